//! The conversation with one worker.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use worker_proto::{
    Activity, COLLECTOR_INDEX, Event, FrameReader, FrameWriter, FromWorker, JobKind, Operation, PROTOCOL_VERSION,
    ProtoError, ToWorker,
};

use super::{
    LinkCollector, LinkContext,
    chatter::{self, NO_MEMORY, relay_stderr},
    end::{self, End, Steps, protocol},
    held::Held,
    job_frame,
    liveness::Liveness,
    peer::{Body, Peer},
    streams::{AFTER_EXIT, Frames, last_line, read_frames, write_frames},
    texts, unit_key,
};
use crate::{
    collector_api::limits,
    process::{ExitReason, StopReason},
    supervisor::event::{AttemptEvent, AttemptOutcome, AttemptSpec},
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

/// The state of one conversation.
pub(super) struct Talk<'a> {
    name: &'a str,
    pub(super) order: AttemptSpec,
    pub(super) collector: LinkCollector,
    pub(super) context: &'a LinkContext,
    planned: bool,
    pub(super) held: Held,
    liveness: Liveness,
    /// Answers that are being looked for.
    pub(super) answers: JoinSet<ToWorker>,
    /// The units whose credentials are among them.
    pub(super) credentials: BTreeSet<u32>,
    /// How many shared values are among them.
    pub(super) questions: usize,
}

impl<'a> Talk<'a> {
    pub(super) fn new(name: &'a str, order: AttemptSpec, collector: LinkCollector, context: &'a LinkContext) -> Self {
        let advice = (context.find)(order.collector).and_then(|collector| collector.advice(limits::RESULT_SIZE));
        let held = Held::new(&order.kind, context.bounds, &context.spool, advice);
        Self {
            name,
            order,
            collector,
            context,
            planned: false,
            held,
            liveness: Liveness::default(),
            answers: JoinSet::new(),
            credentials: BTreeSet::new(),
            questions: 0,
        }
    }

    /// Talks until the worker is over, ends it, and says how it ended.
    pub(super) async fn run(mut self, peer: Peer, mut commands: mpsc::Receiver<Command>) -> AttemptOutcome {
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

    fn outcome(&self, end: End, exit: ExitReason, last: &str) -> AttemptOutcome {
        match end {
            End::Said(outcome) => outcome,
            End::Version(message) => AttemptOutcome::Version(message),
            End::Stop(reason, _, detail) => AttemptOutcome::Stopped(reason, detail),
            End::Silent => {
                tracing::warn!(peer = "worker", job = self.name, %exit, last, "a worker ended without a last word");
                if exit == ExitReason::Signal(Signal::SIGABRT as i32) && last.starts_with(NO_MEMORY) {
                    let collector = (self.context.find)(self.order.collector);
                    let advice = collector.and_then(|collector| collector.advice(limits::WORKER_MEMORY));
                    let advice = advice.map_or_else(String::new, |options| format!(", such as by {options}"));
                    let limit = self.context.memory_limit >> 20;
                    let detail = format!("it may have {limit} MiB: let it collect less at the same time{advice}");
                    return AttemptOutcome::Stopped(StopReason::Memory, detail);
                }
                AttemptOutcome::Crashed(exit)
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
        let mut heard_at = Instant::now();
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
                frame = frames.recv() => {
                    if let Some(end) = self.heard(Some(frame), (&mut greeted, exited), body.pid(), out).await {
                        return end;
                    }
                    // What it took to handle the frame is no silence of the worker.
                    heard_at = Instant::now();
                }
                _ = body.wait(), if !exited => {
                    exited = true;
                    heard_at = Instant::now();
                }
                () = sleep_until(heard_at + patience) => {
                    if let Some(end) = self.heard(None, (&mut greeted, exited), body.pid(), out).await {
                        return end;
                    }
                }
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
                self.tell(AttemptEvent::Started(pid)).await;
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
            FromWorker::Alive(activity) => return self.alive(&activity).await,
            FromWorker::Operated { id, outcome } if self.operates() => {
                self.tell(AttemptEvent::Operated(id, texts::outcome(outcome))).await;
            }
            FromWorker::Plan(plan) => {
                if self.planned || !matches!(self.order.kind, JobKind::Plan | JobKind::PlanAndCollect { .. }) {
                    return Some(protocol("it sent a plan that was not asked for"));
                }
                self.planned = true;
                let plan = texts::plan(plan);
                if matches!(self.order.kind, JobKind::PlanAndCollect { .. }) {
                    self.held.plan(&plan.units);
                }
                self.tell(AttemptEvent::Planned(plan)).await;
            }
            FromWorker::Event(event) => self.event(event),
            FromWorker::NeedCredentials { unit } => return self.need_credentials(unit, out).err(),
            FromWorker::NeedShared { key } => return self.need_shared(key).err(),
            FromWorker::Publish { key, value } => self.context.shelf.publish(&self.order, &key, value),
            FromWorker::Done => return Some(End::Said(AttemptOutcome::Finished)),
            FromWorker::Failed(failure) => return Some(End::Said(AttemptOutcome::Failed(texts::failure(failure)))),
            FromWorker::Operated { .. } => return Some(protocol("it speaks of operations and has none")),
            _ if self.operates() => return Some(protocol("it collects, but was asked for operations")),
            FromWorker::UnitStarted { unit }
            | FromWorker::Nodes { unit, .. }
            | FromWorker::Edges { unit, .. }
            | FromWorker::Deferred { unit, .. }
            | FromWorker::Gap { unit, .. }
            | FromWorker::Missing { unit, .. }
            | FromWorker::UnitDone { unit, .. }
            | FromWorker::UnitFailed { unit, .. }
                if self.held.unit(unit).is_none() && unit != COLLECTOR_INDEX =>
            {
                return Some(protocol(format!("it spoke of unit {unit}, which it does not have")));
            }
            frame => return self.unit_frame(frame).await,
        }
        None
    }

    /// Names units that make no progress, and ends a worker of which nothing will come any more.
    async fn alive(&mut self, activity: &Activity) -> Option<End> {
        if self.operates() {
            // It may have nothing to do, and each operation has a limit of its own.
            return None;
        }
        let judgement = self.liveness.judge(activity, &self.context.patience, !self.answers.is_empty());
        for (unit, time, waits) in judgement.notices {
            let waits = texts::message(waits);
            let account = self.held.unit(unit).map_or("", |unit| unit.id.as_str());
            let seconds = time.as_secs();
            tracing::warn!(peer = "worker", job = self.name, account, seconds, waits_for = waits, "no progress");
            self.tell(AttemptEvent::Quiet(unit, Some(waits))).await;
        }
        for unit in judgement.resumed {
            self.tell(AttemptEvent::Quiet(unit, None)).await;
        }
        let stalled = judgement.stalled?;
        Some(End::Stop(StopReason::Stalled, Duration::ZERO, texts::message(stalled)))
    }

    pub(super) fn operates(&self) -> bool {
        matches!(self.order.kind, JobKind::Operate { .. })
    }

    /// A frame about one of the worker's own units.
    async fn unit_frame(&mut self, frame: FromWorker) -> Option<End> {
        let kept = match frame {
            FromWorker::UnitStarted { unit } => match self.held.begin(unit) {
                Ok(()) => {
                    self.tell(AttemptEvent::UnitStarted(unit)).await;
                    Ok(())
                }
                Err(end) => Err(end),
            },
            FromWorker::Progress(progress) => {
                self.tell(AttemptEvent::Progress(progress)).await;
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
            FromWorker::Missing { unit, missing } => self.held.add(unit, |store| {
                store.missing(missing);
                Ok(())
            }),
            FromWorker::Gap { unit, gap } => {
                let gap = texts::gap(gap);
                self.context.metrics.gap(self.order.collector, &gap);
                let kept = self.held.gap(&gap);
                self.tell(AttemptEvent::Gap(unit, gap)).await;
                kept
            }
            FromWorker::UnitDone { unit, counts } => return self.unit_done(unit, counts).await,
            FromWorker::UnitFailed { unit, failure } => {
                self.held.fail(unit);
                self.tell(AttemptEvent::UnitFailed(unit, texts::failure(failure))).await;
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
                self.tell(AttemptEvent::UnitComplete(unit, stats)).await;
                None
            }
            Err(end) => Some(end),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Log { level, target: _, message } => chatter::log(self.name, level, &message),
            Event::Count { name, labels, by } => self.context.metrics.count(&name, &labels, by),
            Event::Duration { name, seconds } => self.context.metrics.duration(&name, seconds),
        }
    }

    async fn tell(&self, event: AttemptEvent) {
        // A dispatcher that is gone drops this task with everything else.
        let _ = self.context.events.send((self.order.id, event)).await;
    }
}

/// A worker that does not read what it asked for is not waited for.
pub(super) fn give(out: &mpsc::Sender<ToWorker>, message: ToWorker) -> Result<(), End> {
    out.try_send(message).map_err(|_| protocol("it does not read its answers"))
}

#[cfg(test)]
#[path = "talk_tests.rs"]
mod tests;
