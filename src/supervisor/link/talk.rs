//! The conversation with one worker.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use worker_proto::{
    Event, Failure, FailureKind, FrameReader, FrameWriter, FromWorker, Operation, PROTOCOL_VERSION, ProtoError,
    ToWorker, Unit,
};

use super::{
    LinkCollector, LinkContext,
    chatter::{Allowance, relay_stderr},
    job_frame,
    peer::{Body, Peer},
    streams::{AFTER_EXIT, Frames, last_line, read_frames, write_frames},
    unit_key,
};
use crate::{
    graph::{Account, StoreError, UnitStore},
    process::{ExitReason, StopReason},
    shared::Answer,
    supervisor::event::{JobEvent, JobOrder, Outcome, Work},
    worker::COLLECTOR,
};

/// What a link is told while it runs.
#[derive(Clone, Debug)]
pub enum Command {
    /// End the worker, with this time from TERM to KILL.
    Stop(StopReason, Duration),
    /// Have it carry out an operation.
    Operate(Operation),
    /// Let it end when its operations have ended.
    Finish,
}

/// The most that one worker may send to be kept, in bytes: far beyond any account, and what a disk can take.
const MAX_BYTES: u64 = 16 << 30;

/// Why the conversation is over.
enum End {
    /// The worker's last word.
    Said(Outcome),
    /// The stream ended without one.
    Silent,
    /// The supervisor ends it.
    Stop(StopReason, Duration, String),
    /// Another version.
    Version(String),
}

/// The state of one conversation.
pub(super) struct Talk<'a> {
    name: &'a str,
    order: JobOrder,
    collector: LinkCollector,
    context: &'a LinkContext,
    units: BTreeMap<u32, Unit>,
    stores: BTreeMap<u32, UnitStore>,
    /// What was kept in all.
    bytes: u64,
    log: Allowance,
    /// Answers that are being looked for.
    answers: JoinSet<ToWorker>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(name: &'a str, order: JobOrder, collector: LinkCollector, context: &'a LinkContext) -> Self {
        let units = match &order.work {
            Work::Unit(index, unit) => BTreeMap::from([(*index, unit.clone())]),
            Work::Operate(unit) => BTreeMap::from([(0, unit.clone())]),
            Work::Plan | Work::Whole(_) => BTreeMap::new(),
        };
        let log = Allowance::new(std::time::Instant::now());
        Self { name, order, collector, context, units, stores: BTreeMap::new(), bytes: 0, log, answers: JoinSet::new() }
    }

    /// Talks until the worker is over, ends it, and says how it ended.
    pub(super) async fn run(mut self, peer: Peer, mut commands: mpsc::Receiver<Command>) -> Outcome {
        let Peer { reader, writer, stderr, mut body } = peer;
        let (frames, reading) = read_frames(FrameReader::new(reader), Arc::clone(&self.context.metrics));
        let (out, writing) = write_frames(FrameWriter::new(writer), Arc::clone(&self.context.metrics));
        let stderr = stderr.map(|stderr| tokio::spawn(relay_stderr(self.name.to_owned(), stderr)));
        let end = self.converse(frames, &out, &mut body, &mut commands).await;
        self.answers.abort_all();
        self.context.shelf.release(self.order.run, self.order.collector, self.order.id);
        drop(out);
        let exit = match &end {
            End::Stop(_, grace, _) => {
                reading.abort();
                writing.abort();
                body.stop(*grace).await
            }
            End::Said(_) | End::Silent | End::Version(_) => {
                match timeout(self.context.patience.exit, body.wait()).await {
                    Ok(exit) => exit,
                    Err(_) => body.stop(Duration::ZERO).await,
                }
            }
        };
        reading.abort();
        writing.abort();
        let last = last_line(stderr).await;
        self.outcome(end, exit, &last)
    }

    fn outcome(&self, end: End, exit: ExitReason, last: &str) -> Outcome {
        match end {
            End::Said(outcome) => outcome,
            End::Version(message) => Outcome::Version(message),
            End::Stop(reason, _, detail) => Outcome::Stopped(reason, detail),
            End::Silent => {
                tracing::warn!(job = self.name, %exit, last, "a worker ended without a last word");
                Outcome::Crashed(exit)
            }
        }
    }

    async fn converse(
        &mut self,
        mut frames: Frames,
        out: &mpsc::Sender<ToWorker>,
        body: &mut Body,
        commands: &mut mpsc::Receiver<Command>,
    ) -> End {
        let memory_limit = self.context.memory_limit;
        let hello = ToWorker::Hello { version: PROTOCOL_VERSION, memory_limit };
        let job = job_frame(self.name, &self.order, &self.collector.settings, self.context.level);
        for message in [hello, ToWorker::Job(job)] {
            // A stream that is broken already is found by the reader.
            let _ = out.send(message).await;
        }
        let mut greeted = false;
        let mut exited = false;
        loop {
            let patience = match (exited, greeted) {
                (true, _) => AFTER_EXIT,
                (false, true) => self.context.patience.silence,
                (false, false) => self.context.patience.greeting,
            };
            tokio::select! {
                biased;
                Some(command) = commands.recv() => {
                    let message = match command {
                        Command::Stop(reason, grace) => return End::Stop(reason, grace, String::new()),
                        Command::Operate(operation) => ToWorker::Operate(operation),
                        Command::Finish => ToWorker::Finish,
                    };
                    if let Err(end) = give(out, message) {
                        return end;
                    }
                }
                Some(Ok(answer)) = self.answers.join_next() => {
                    if let Err(end) = give(out, answer) {
                        return end;
                    }
                }
                frame = timeout(patience, frames.recv()) => {
                    if let Some(end) = self.heard(frame.ok(), (&mut greeted, exited), body.pid(), out).await {
                        return end;
                    }
                }
                _ = body.wait(), if !exited => exited = true,
            }
        }
    }

    /// What came from the stream, `None` if nothing came in time; an end if nothing more will or may come.
    async fn heard(
        &mut self,
        frame: Option<Option<Result<FromWorker, ProtoError>>>,
        (greeted, exited): (&mut bool, bool),
        pid: Option<u32>,
        out: &mpsc::Sender<ToWorker>,
    ) -> Option<End> {
        match frame {
            Some(Some(Ok(FromWorker::Ready { .. }))) if !*greeted => {
                *greeted = true;
                self.tell(JobEvent::Started(pid)).await;
                None
            }
            Some(Some(Ok(frame))) if *greeted => self.frame(frame, out).await,
            Some(Some(Ok(_))) => Some(protocol("it did not greet first")),
            Some(Some(Err(error @ ProtoError::Version { .. }))) => Some(End::Version(error.to_string())),
            Some(Some(Err(error))) => Some(protocol(error)),
            Some(None) => Some(End::Silent),
            None if exited => Some(End::Silent),
            None if *greeted => Some(End::Stop(StopReason::Silence, Duration::ZERO, String::new())),
            None => Some(End::Stop(StopReason::Handshake, Duration::ZERO, String::new())),
        }
    }

    /// One frame of a greeted worker; an end if it was the last one or cannot be.
    async fn frame(&mut self, frame: FromWorker, out: &mpsc::Sender<ToWorker>) -> Option<End> {
        match frame {
            FromWorker::Ready { .. } => return Some(protocol("it greeted twice")),
            FromWorker::Alive => {}
            FromWorker::Operated { id, outcome } if self.operates() => {
                self.tell(JobEvent::Operated(id, outcome)).await;
            }
            FromWorker::Plan(plan) => {
                if self.operates() || matches!(self.order.work, Work::Unit(..)) || !self.units.is_empty() {
                    return Some(protocol("it sent a plan that was not asked for"));
                }
                if matches!(self.order.work, Work::Whole(_)) {
                    self.units = (0..).zip(plan.units.iter().cloned()).collect();
                }
                self.tell(JobEvent::Planned(plan)).await;
            }
            FromWorker::Event(event) => self.event(event),
            FromWorker::NeedCredentials { unit } => return self.need_credentials(unit, out).err(),
            FromWorker::NeedShared { key } => {
                let answer = self.context.shelf.ask(&self.order, &key);
                self.answers.spawn(async move {
                    let value = match answer.await {
                        Answer::Value(value) => Some(value),
                        Answer::Fetch => None,
                    };
                    ToWorker::Shared { key, value }
                });
            }
            FromWorker::Publish { key, value } => self.context.shelf.publish(&self.order, &key, value),
            FromWorker::Done => return Some(End::Said(Outcome::Finished)),
            FromWorker::Failed(failure) => return Some(End::Said(Outcome::Failed(failure))),
            FromWorker::Operated { .. } => return Some(protocol("it speaks of operations and has none")),
            _ if self.operates() => return Some(protocol("it collects, but was asked for operations")),
            FromWorker::UnitStarted { unit }
            | FromWorker::Nodes { unit, .. }
            | FromWorker::Edges { unit, .. }
            | FromWorker::Deferred { unit, .. }
            | FromWorker::Gap { unit, .. }
            | FromWorker::UnitDone { unit, .. }
            | FromWorker::UnitFailed { unit, .. }
                if !self.units.contains_key(&unit) && unit != COLLECTOR =>
            {
                return Some(protocol(format!("it spoke of unit {unit}, which it does not have")));
            }
            frame => return self.unit_frame(frame).await,
        }
        None
    }

    fn operates(&self) -> bool {
        matches!(self.order.work, Work::Operate(_))
    }

    /// A frame about one of the worker's own units.
    async fn unit_frame(&mut self, frame: FromWorker) -> Option<End> {
        let kept = match frame {
            FromWorker::UnitStarted { unit } => {
                let account = self.units.get(&unit).map(Account::from)?;
                self.stores.insert(unit, UnitStore::new(account, &self.context.spool));
                self.tell(JobEvent::UnitStarted(unit)).await;
                Ok(())
            }
            FromWorker::Progress(progress) => {
                self.tell(JobEvent::Progress(progress)).await;
                Ok(())
            }
            FromWorker::Nodes { unit, nodes } => {
                let bytes = nodes.iter().map(|node| node.line.len()).sum();
                self.store(unit, bytes, |store| store.nodes(&nodes))
            }
            FromWorker::Edges { unit, edges } => self.store(unit, edges.bytes(), |store| {
                store.edges(&edges);
                Ok(())
            }),
            FromWorker::Deferred { unit, edges } => self.store(unit, edges.len() * 64, |store| {
                store.deferred(edges);
                Ok(())
            }),
            FromWorker::Gap { unit, gap } => {
                self.context.metrics.gap(self.order.collector, &gap);
                self.tell(JobEvent::Gap(unit, gap)).await;
                Ok(())
            }
            FromWorker::UnitDone { unit, counts } => return self.unit_done(unit, counts).await,
            FromWorker::UnitFailed { unit, failure } => {
                self.stores.remove(&unit);
                self.tell(JobEvent::UnitFailed(unit, failure)).await;
                self.units.remove(&unit);
                Ok(())
            }
            _ => Err(End::Stop(StopReason::Protocol, Duration::ZERO, "an unexpected frame".into())),
        };
        kept.err()
    }

    fn store(
        &mut self,
        unit: u32,
        bytes: usize,
        add: impl FnOnce(&mut UnitStore) -> Result<(), StoreError>,
    ) -> Result<(), End> {
        let Some(store) = self.stores.get_mut(&unit) else {
            return Err(protocol(format!("it sent nodes of unit {unit} before it began")));
        };
        self.bytes += bytes as u64;
        if self.bytes > MAX_BYTES {
            let detail = format!("more than {MAX_BYTES} bytes");
            return Err(End::Stop(StopReason::Excess, Duration::ZERO, detail));
        }
        add(store).map_err(|error| End::Stop(StopReason::Excess, Duration::ZERO, error.to_string()))
    }

    async fn unit_done(&mut self, unit: u32, counts: worker_proto::Counts) -> Option<End> {
        let Some(store) = self.stores.remove(&unit) else {
            return Some(protocol(format!("it finished unit {unit} before it began")));
        };
        match store.complete(counts) {
            Ok(complete) => {
                let stats = self.context.keep.put(unit_key(&self.order, unit), complete);
                self.units.remove(&unit);
                self.tell(JobEvent::UnitComplete(unit, stats)).await;
                None
            }
            Err(error) => Some(protocol(error)),
        }
    }

    fn need_credentials(&mut self, unit: u32, out: &mpsc::Sender<ToWorker>) -> Result<(), End> {
        let Some(broker) = self.collector.broker.clone() else {
            let message = format!("the collector {} has no credentials", self.order.collector);
            let credentials = Err(Failure { kind: FailureKind::Configuration, message });
            return give(out, ToWorker::Credentials { unit, credentials });
        };
        let subject = match (unit, self.units.get(&unit)) {
            (COLLECTOR, _) if !matches!(self.order.work, Work::Unit(..) | Work::Operate(_)) => None,
            (_, Some(unit)) => Some(unit.clone()),
            (_, None) => return Err(protocol(format!("it wants credentials of unit {unit}, which it does not have"))),
        };
        let patience = self.context.patience.credentials;
        self.answers.spawn(async move {
            let late = Failure {
                kind: FailureKind::Unavailable,
                message: format!("no credentials within {} seconds", patience.as_secs()),
            };
            let answer = timeout(patience, broker.credentials(subject.as_ref())).await;
            ToWorker::Credentials { unit, credentials: answer.unwrap_or(Err(late)) }
        });
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Log { level, target: _, message } => self.log.log(self.name, level, &message),
            Event::Count { name, labels, by } => self.context.metrics.count(&name, &labels, by),
            Event::Duration { name, seconds } => self.context.metrics.duration(&name, seconds),
        }
    }

    async fn tell(&self, event: JobEvent) {
        // A dispatcher that is gone drops this task with everything else.
        let _ = self.context.events.send((self.order.id, event)).await;
    }
}

/// A worker that does not read what it asked for is not waited for.
fn give(out: &mpsc::Sender<ToWorker>, message: ToWorker) -> Result<(), End> {
    out.try_send(message).map_err(|_| protocol("it does not read its answers"))
}

fn protocol(detail: impl ToString) -> End {
    End::Stop(StopReason::Protocol, Duration::ZERO, detail.to_string())
}
