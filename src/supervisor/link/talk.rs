//! The conversation with one worker.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::timeout,
};
use worker_proto::{
    Event, Failure, FailureKind, FrameReader, FrameWriter, FromWorker, Operation, PROTOCOL_VERSION, ProtoError,
    ToWorker,
};

use super::{
    LinkCollector, LinkContext,
    chatter::{Allowance, NO_MEMORY, relay_stderr},
    end::{self, End, Steps, protocol},
    held::Held,
    job_frame,
    peer::{Body, Peer},
    streams::{AFTER_EXIT, Frames, last_line, read_frames, write_frames},
    texts, unit_key,
};
use crate::{
    process::{ExitReason, StopReason},
    shared::{Answer, MAX_KEY},
    supervisor::event::{JobEvent, JobOrder, Outcome, Work},
    worker::COLLECTOR,
};

/// What a link is told while it runs.
#[derive(Clone, Debug)]
pub enum Command {
    /// End the worker, with this time until KILL.
    Stop(StopReason, Duration),
    /// Have it carry out an operation.
    Operate(Operation),
    /// Let it end when its operations have ended.
    Finish,
}

/// Questions for shared values that a worker may have open; it asks for each key once.
const QUESTIONS: usize = 1000;

/// The state of one conversation.
pub(super) struct Talk<'a> {
    name: &'a str,
    order: JobOrder,
    collector: LinkCollector,
    context: &'a LinkContext,
    planned: bool,
    held: Held,
    log: Allowance,
    /// Answers that are being looked for.
    answers: JoinSet<ToWorker>,
    /// The units whose credentials are among them.
    credentials: BTreeSet<u32>,
    /// How many shared values are among them.
    questions: usize,
}

impl<'a> Talk<'a> {
    pub(super) fn new(name: &'a str, order: JobOrder, collector: LinkCollector, context: &'a LinkContext) -> Self {
        let held = Held::new(&order.work, context.bounds, &context.spool);
        Self {
            name,
            order,
            collector,
            context,
            planned: false,
            held,
            log: Allowance::new(std::time::Instant::now()),
            answers: JoinSet::new(),
            credentials: BTreeSet::new(),
            questions: 0,
        }
    }

    /// Talks until the worker is over, ends it, and says how it ended.
    pub(super) async fn run(mut self, peer: Peer, mut commands: mpsc::Receiver<Command>) -> Outcome {
        let Peer { reader, writer, stderr, mut body } = peer;
        let (mut frames, reading) = read_frames(FrameReader::new(reader), Arc::clone(&self.context.metrics));
        let (out, writing) = write_frames(FrameWriter::new(writer), Arc::clone(&self.context.metrics));
        let stderr = stderr.map(|stderr| tokio::spawn(relay_stderr(self.name.to_owned(), stderr)));
        let end = self.converse(&mut frames, &out, &mut body, &mut commands).await;
        self.answers.abort_all();
        let mut steps = match &end {
            End::Stop(_, grace, _) => Steps::stopping(*grace),
            End::Said(_) | End::Silent | End::Version(_) => Steps::lingering(self.context.patience.exit),
        };
        if matches!(&end, End::Stop(_, grace, _) if !grace.is_zero()) {
            // One that does not read is ended by the next step.
            let _ = out.try_send(ToWorker::Cancel);
        }
        // The writer ends with what it has, and the worker sees the end of its stream.
        drop(out);
        let left = end::leave(&mut body, &mut frames, &mut commands, &mut steps, |event| self.event(event)).await;
        reading.abort();
        writing.abort();
        let exit = match left {
            Some(exit) => exit,
            None => end::stop(&mut body, &mut commands, steps).await,
        };
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
                if exit == ExitReason::Signal(Signal::SIGABRT as i32) && last.starts_with(NO_MEMORY) {
                    let detail = format!(
                        "it may have {} MiB: let it collect less at the same time, such as by a smaller \
                         --aws-region-pool-size, or by --aws-fork if it had all accounts",
                        self.context.memory_limit >> 20
                    );
                    return Outcome::Stopped(StopReason::Memory, detail);
                }
                Outcome::Crashed(exit)
            }
        }
    }

    async fn converse(
        &mut self,
        frames: &mut Frames,
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
                Some(answer) = self.answers.join_next() => {
                    if let Err(end) = self.answer(answer, out) {
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
            // A worker that is killed may be in the middle of a frame; how it ended says more.
            Some(Some(Err(ProtoError::Truncated | ProtoError::Io(_))) | None) => Some(End::Silent),
            Some(Some(Err(error))) => Some(protocol(error)),
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
                self.tell(JobEvent::Operated(id, texts::outcome(outcome))).await;
            }
            FromWorker::Plan(plan) => {
                if self.planned || !matches!(self.order.work, Work::Plan | Work::Whole(_)) {
                    return Some(protocol("it sent a plan that was not asked for"));
                }
                self.planned = true;
                let plan = texts::plan(plan);
                if matches!(self.order.work, Work::Whole(_)) {
                    self.held.plan(&plan.units);
                }
                self.tell(JobEvent::Planned(plan)).await;
            }
            FromWorker::Event(event) => self.event(event),
            FromWorker::NeedCredentials { unit } => return self.need_credentials(unit, out).err(),
            FromWorker::NeedShared { key } => return self.need_shared(key).err(),
            FromWorker::Publish { key, value } => self.context.shelf.publish(&self.order, &key, value),
            FromWorker::Done => return Some(End::Said(Outcome::Finished)),
            FromWorker::Failed(failure) => return Some(End::Said(Outcome::Failed(texts::failure(failure)))),
            FromWorker::Operated { .. } => return Some(protocol("it speaks of operations and has none")),
            _ if self.operates() => return Some(protocol("it collects, but was asked for operations")),
            FromWorker::UnitStarted { unit }
            | FromWorker::Nodes { unit, .. }
            | FromWorker::Edges { unit, .. }
            | FromWorker::Deferred { unit, .. }
            | FromWorker::Gap { unit, .. }
            | FromWorker::UnitDone { unit, .. }
            | FromWorker::UnitFailed { unit, .. }
                if self.held.unit(unit).is_none() && unit != COLLECTOR =>
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
            FromWorker::UnitStarted { unit } => match self.held.begin(unit) {
                Ok(()) => {
                    self.tell(JobEvent::UnitStarted(unit)).await;
                    Ok(())
                }
                Err(end) => Err(end),
            },
            FromWorker::Progress(progress) => {
                self.tell(JobEvent::Progress(progress)).await;
                Ok(())
            }
            FromWorker::Nodes { unit, nodes } => self.held.add(unit, |store| store.nodes(&nodes)),
            FromWorker::Edges { unit, edges } => self.held.add(unit, |store| {
                store.edges(&edges);
                Ok(())
            }),
            FromWorker::Deferred { unit, edges } => self.held.add(unit, |store| {
                store.deferred(edges);
                Ok(())
            }),
            FromWorker::Gap { unit, gap } => {
                let gap = texts::gap(gap);
                self.context.metrics.gap(self.order.collector, &gap);
                let kept = self.held.gap(&gap);
                self.tell(JobEvent::Gap(unit, gap)).await;
                kept
            }
            FromWorker::UnitDone { unit, counts } => return self.unit_done(unit, counts).await,
            FromWorker::UnitFailed { unit, failure } => {
                self.held.fail(unit);
                self.tell(JobEvent::UnitFailed(unit, texts::failure(failure))).await;
                Ok(())
            }
            _ => Err(protocol("an unexpected frame")),
        };
        kept.err()
    }

    async fn unit_done(&mut self, unit: u32, counts: worker_proto::Counts) -> Option<End> {
        match self.held.complete(unit, counts) {
            Ok(complete) => {
                let stats = self.context.keep.put(unit_key(&self.order, unit), complete);
                self.tell(JobEvent::UnitComplete(unit, stats)).await;
                None
            }
            Err(end) => Some(end),
        }
    }

    fn need_credentials(&mut self, unit: u32, out: &mpsc::Sender<ToWorker>) -> Result<(), End> {
        let Some(broker) = self.collector.broker.clone() else {
            let message = format!("the collector {} has no credentials", self.order.collector);
            let credentials = Err(Failure { kind: FailureKind::Configuration, message });
            return give(out, ToWorker::Credentials { unit, credentials });
        };
        let has = self.held.is_open(unit) || self.operates();
        let subject = match (unit, self.held.unit(unit)) {
            (COLLECTOR, _) if matches!(self.order.work, Work::Plan | Work::Whole(_)) => None,
            (_, Some(unit)) if has => Some(unit.clone()),
            _ => return Err(protocol(format!("it wants credentials of unit {unit}, which it is not at work on"))),
        };
        if !self.credentials.insert(unit) {
            return Err(protocol(format!("it wants credentials of unit {unit} while they are on their way")));
        }
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

    fn need_shared(&mut self, key: String) -> Result<(), End> {
        if key.len() > MAX_KEY {
            return Err(protocol(format!("it wants a shared value with a key of {} bytes", key.len())));
        }
        if self.questions >= QUESTIONS {
            return Err(protocol(format!("it wants more than {QUESTIONS} shared values at the same time")));
        }
        self.questions += 1;
        let answer = self.context.shelf.ask(&self.order, &key);
        self.answers.spawn(async move {
            let value = match answer.await {
                Answer::Value(value) => Some(value),
                Answer::Fetch => None,
            };
            ToWorker::Shared { key, value }
        });
        Ok(())
    }

    /// What was looked for was found, or the search for it has a fault.
    fn answer(&mut self, answer: Result<ToWorker, JoinError>, out: &mpsc::Sender<ToWorker>) -> Result<(), End> {
        let answer = answer.map_err(|_| End::Stop(StopReason::Fault, Duration::ZERO, String::new()))?;
        match &answer {
            ToWorker::Credentials { unit, .. } => _ = self.credentials.remove(unit),
            ToWorker::Shared { .. } => self.questions -= 1,
            _ => {}
        }
        give(out, answer)
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

#[cfg(test)]
#[path = "talk_tests.rs"]
mod tests;
