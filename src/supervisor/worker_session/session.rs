//! The exchange of frames with one worker.

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
    SessionCollector, SessionContext, job_frame,
    limits::UnitBuffers,
    liveness::Liveness,
    stderr::{self, NO_MEMORY, last_line, relay_stderr},
    termination::{self, Escalation, STREAM_DRAIN_TIMEOUT, SessionEnd, protocol},
    transport::{Frames, Transport, WorkerHandle, read_frames, write_frames},
    truncate, unit_key,
};
use crate::{
    collector_api::limits,
    process::{ExitReason, StopReason},
    supervisor::event::{AttemptEvent, AttemptOutcome, AttemptSpec},
};

/// A command to a session.
#[derive(Clone, Debug)]
pub enum Command {
    /// Stop the worker, with this time until KILL.
    Stop(StopReason, Duration),
    /// Have the worker carry out an operation.
    Operate(Operation),
    /// Let the worker exit when its operations have ended.
    Finish,
}

/// The state of one session.
pub(super) struct WorkerSession<'a> {
    name: &'a str,
    pub(super) spec: AttemptSpec,
    pub(super) collector: SessionCollector,
    pub(super) context: &'a SessionContext,
    planned: bool,
    pub(super) buffers: UnitBuffers,
    liveness: Liveness,
    /// Replies in preparation.
    pub(super) replies: JoinSet<ToWorker>,
    /// The units whose credentials are among them.
    pub(super) credentials: BTreeSet<u32>,
    /// How many shared values are among them.
    pub(super) shared_requests: usize,
}

impl<'a> WorkerSession<'a> {
    pub(super) fn new(
        name: &'a str,
        spec: AttemptSpec,
        collector: SessionCollector,
        context: &'a SessionContext,
    ) -> Self {
        let advice = (context.find)(spec.collector).and_then(|collector| collector.advice(limits::RESULT_SIZE));
        let buffers = UnitBuffers::new(&spec.kind, context.limits, &context.spool, advice);
        Self {
            name,
            spec,
            collector,
            context,
            planned: false,
            buffers,
            liveness: Liveness::default(),
            replies: JoinSet::new(),
            credentials: BTreeSet::new(),
            shared_requests: 0,
        }
    }

    /// Exchanges frames until the session ends, terminates the worker, and returns the outcome.
    pub(super) async fn run(mut self, transport: Transport, mut commands: mpsc::Receiver<Command>) -> AttemptOutcome {
        let Transport { reader, writer, stderr, mut handle } = transport;
        let (mut frames, reading) = read_frames(FrameReader::new(reader), Arc::clone(&self.context.metrics));
        let (out, writing) = write_frames(FrameWriter::new(writer), Arc::clone(&self.context.metrics));
        let stderr = stderr.map(|stderr| tokio::spawn(relay_stderr(self.name.to_owned(), stderr)));
        let end = self.run_session(&mut frames, &out, &mut handle, &mut commands).await;
        self.replies.abort_all();
        let mut escalation = match &end {
            SessionEnd::Stop(_, grace, _) => Escalation::stopping(*grace),
            SessionEnd::Reported(_) | SessionEnd::Eof | SessionEnd::Version(_) => {
                Escalation::lingering(self.context.timeouts.exit)
            }
        };
        if matches!(&end, SessionEnd::Stop(_, grace, _) if !grace.is_zero()) {
            // A worker that does not read `Cancel` is terminated in the next step.
            let _ = out.try_send(ToWorker::Cancel);
        }
        // The writer finishes its queue, and the worker reads the end of its stream.
        drop(out);
        let exit = termination::wait_for_exit(&mut handle, &mut frames, &mut commands, &mut escalation, |event| {
            self.relay_event(event)
        })
        .await;
        reading.abort();
        writing.abort();
        let exit = match exit {
            Some(exit) => exit,
            None => termination::terminate(&mut handle, &mut commands, escalation).await,
        };
        let last = last_line(stderr).await;
        self.outcome(end, exit, &last)
    }

    fn outcome(&self, end: SessionEnd, exit: ExitReason, last: &str) -> AttemptOutcome {
        match end {
            SessionEnd::Reported(outcome) => outcome,
            SessionEnd::Version(message) => AttemptOutcome::Version(message),
            SessionEnd::Stop(reason, _, detail) => AttemptOutcome::Stopped(reason, detail),
            SessionEnd::Eof => {
                tracing::warn!(peer = "worker", job = self.name, %exit, last, "worker exited without a result");
                if exit == ExitReason::Signal(Signal::SIGABRT as i32) && last.starts_with(NO_MEMORY) {
                    let collector = (self.context.find)(self.spec.collector);
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

    async fn run_session(
        &mut self,
        frames: &mut Frames,
        out: &mpsc::Sender<ToWorker>,
        handle: &mut WorkerHandle,
        commands: &mut mpsc::Receiver<Command>,
    ) -> SessionEnd {
        let memory_limit = self.context.memory_limit;
        let hello = ToWorker::Hello { version: PROTOCOL_VERSION, memory_limit };
        let job = job_frame(self.name, &self.spec, &self.collector.settings, self.context.level);
        for message in [hello, ToWorker::Job(job)] {
            // The reader detects a broken stream.
            let _ = out.send(message).await;
        }
        let (mut is_ready, mut has_exited) = (false, false);
        let mut last_input = Instant::now();
        loop {
            let timeout = match (has_exited, is_ready) {
                (true, _) => STREAM_DRAIN_TIMEOUT,
                (false, true) => self.context.timeouts.silence,
                (false, false) => self.context.timeouts.handshake,
            };
            tokio::select! {
                biased;
                Some(command) = commands.recv() => {
                    let message = match command {
                        Command::Stop(reason, grace) => return SessionEnd::Stop(reason, grace, String::new()),
                        Command::Operate(operation) => ToWorker::Operate(operation),
                        Command::Finish => ToWorker::Finish,
                    };
                    if let Err(end) = send(out, message) {
                        return end;
                    }
                }
                Some(reply) = self.replies.join_next() => {
                    if let Err(end) = self.send_reply(reply, out) {
                        return end;
                    }
                }
                frame = frames.recv() => {
                    let end = self.handle_input(Some(frame), (&mut is_ready, has_exited), handle.pid(), out).await;
                    if let Some(end) = end {
                        return end;
                    }
                    // The time to handle the frame does not count as silence of the worker.
                    last_input = Instant::now();
                }
                _ = handle.wait(), if !has_exited => {
                    has_exited = true;
                    last_input = Instant::now();
                }
                () = sleep_until(last_input + timeout) => {
                    let end = self.handle_input(None, (&mut is_ready, has_exited), handle.pid(), out).await;
                    if let Some(end) = end {
                        return end;
                    }
                }
            }
        }
    }

    /// Handles the next item of the stream, or `None` after a timeout. Returns why the session ends, if it does.
    async fn handle_input(
        &mut self,
        frame: Option<Option<Result<FromWorker, ProtoError>>>,
        (is_ready, has_exited): (&mut bool, bool),
        pid: Option<u32>,
        out: &mpsc::Sender<ToWorker>,
    ) -> Option<SessionEnd> {
        match frame {
            Some(Some(Ok(FromWorker::Ready { .. }))) if !*is_ready => {
                *is_ready = true;
                self.emit(AttemptEvent::Started(pid)).await;
                None
            }
            Some(Some(Ok(frame))) if *is_ready => self.handle_frame(frame, out).await,
            Some(Some(Ok(_))) => Some(protocol("the first frame was not Ready")),
            Some(Some(Err(error @ ProtoError::Version { .. }))) => Some(SessionEnd::Version(error.to_string())),
            // A worker may be killed in the middle of a frame; its exit reason says more.
            Some(Some(Err(ProtoError::Truncated | ProtoError::Io(_))) | None) => Some(SessionEnd::Eof),
            Some(Some(Err(error))) => Some(protocol(error)),
            None if has_exited => Some(SessionEnd::Eof),
            None if *is_ready => Some(SessionEnd::Stop(StopReason::Silence, Duration::ZERO, String::new())),
            None => Some(SessionEnd::Stop(StopReason::Handshake, Duration::ZERO, String::new())),
        }
    }

    /// Handles a frame after the handshake. Returns why the session ends, if it does.
    async fn handle_frame(&mut self, frame: FromWorker, out: &mpsc::Sender<ToWorker>) -> Option<SessionEnd> {
        match frame {
            FromWorker::Ready { .. } => return Some(protocol("Ready was sent twice")),
            FromWorker::Alive(activity) => return self.handle_activity(&activity).await,
            FromWorker::Operated { id, outcome } if self.operates() => {
                self.emit(AttemptEvent::Operated(id, truncate::outcome(outcome))).await;
            }
            FromWorker::Plan(plan) => {
                if self.planned || !matches!(self.spec.kind, JobKind::Plan | JobKind::PlanAndCollect { .. }) {
                    return Some(protocol("an unexpected plan"));
                }
                self.planned = true;
                let plan = truncate::plan(plan);
                if matches!(self.spec.kind, JobKind::PlanAndCollect { .. }) {
                    self.buffers.plan(&plan.units);
                }
                self.emit(AttemptEvent::Planned(plan)).await;
            }
            FromWorker::Event(event) => self.relay_event(event),
            FromWorker::NeedCredentials { unit, rejected } => {
                return self.request_credentials(unit, rejected, out).err();
            }
            FromWorker::NeedShared { key } => return self.request_shared_value(key).err(),
            FromWorker::Publish { key, value } => self.context.shared_values.publish(&self.spec, &key, value),
            FromWorker::Done => return Some(SessionEnd::Reported(AttemptOutcome::Finished)),
            FromWorker::Failed(failure) => {
                return Some(SessionEnd::Reported(AttemptOutcome::Failed(truncate::failure(failure))));
            }
            FromWorker::Operated { .. } => return Some(protocol("a result of an operation, but the job has none")),
            _ if self.operates() => return Some(protocol("data of a collection, but the job has operations")),
            FromWorker::UnitStarted { unit }
            | FromWorker::Nodes { unit, .. }
            | FromWorker::Edges { unit, .. }
            | FromWorker::Deferred { unit, .. }
            | FromWorker::Names { unit, .. }
            | FromWorker::Gap { unit, .. }
            | FromWorker::Missing { unit, .. }
            | FromWorker::Kinds { unit, .. }
            | FromWorker::UnitDone { unit, .. }
            | FromWorker::UnitFailed { unit, .. }
                if self.buffers.unit(unit).is_none() && unit != COLLECTOR_INDEX =>
            {
                return Some(protocol(format!("unit {unit} is not part of the job")));
            }
            frame => return self.handle_unit_frame(frame).await,
        }
        None
    }

    /// Logs units that make no progress, and stops a stalled worker.
    async fn handle_activity(&mut self, activity: &Activity) -> Option<SessionEnd> {
        if self.operates() {
            // Such a worker may be idle, and each operation has its own time limit.
            return None;
        }
        let judgement = self.liveness.judge(activity, &self.context.timeouts, !self.replies.is_empty());
        for (unit, time, waits) in judgement.notices {
            let waits = truncate::message(waits);
            let account = self.buffers.unit(unit).map_or("", |unit| unit.id.as_str());
            let seconds = time.as_secs();
            tracing::warn!(peer = "worker", job = self.name, account, seconds, waits_for = waits, "no progress");
            self.emit(AttemptEvent::Quiet(unit, Some(waits))).await;
        }
        for unit in judgement.resumed {
            self.emit(AttemptEvent::Quiet(unit, None)).await;
        }
        let stalled = judgement.stalled?;
        Some(SessionEnd::Stop(StopReason::Stalled, Duration::ZERO, truncate::message(stalled)))
    }

    pub(super) fn operates(&self) -> bool {
        matches!(self.spec.kind, JobKind::Operate { .. })
    }

    /// Handles a frame about one of the worker's own units.
    async fn handle_unit_frame(&mut self, frame: FromWorker) -> Option<SessionEnd> {
        let kept = match frame {
            FromWorker::UnitStarted { unit } => match self.buffers.begin(unit) {
                Ok(()) => {
                    self.emit(AttemptEvent::UnitStarted(unit)).await;
                    Ok(())
                }
                Err(end) => Err(end),
            },
            FromWorker::Progress(progress) => {
                self.emit(AttemptEvent::Progress(progress)).await;
                Ok(())
            }
            FromWorker::Nodes { unit, nodes } => self.buffers.add(unit, |store| store.nodes(&nodes)),
            FromWorker::Edges { unit, edges } => self.buffers.add(unit, |store| {
                store.edges(&edges);
                Ok(())
            }),
            FromWorker::Deferred { unit, edges } => self.buffers.add(unit, |store| {
                store.deferred(edges);
                Ok(())
            }),
            FromWorker::Names { unit, names } => self.buffers.add(unit, |store| {
                store.names(names);
                Ok(())
            }),
            FromWorker::Missing { unit, missing } => self.buffers.add(unit, |store| {
                store.missing(missing);
                Ok(())
            }),
            FromWorker::Kinds { unit, kinds } => self.buffers.add(unit, |store| store.kinds(kinds)),
            FromWorker::Gap { unit, gap } => {
                let gap = truncate::gap(gap);
                self.context.metrics.gap(self.spec.collector, &gap);
                let kept = self.buffers.gap(&gap);
                self.emit(AttemptEvent::Gap(unit, gap)).await;
                kept
            }
            FromWorker::UnitDone { unit, counts } => return self.complete_unit(unit, counts).await,
            FromWorker::UnitFailed { unit, failure } => {
                self.buffers.fail(unit);
                self.emit(AttemptEvent::UnitFailed(unit, truncate::failure(failure))).await;
                Ok(())
            }
            _ => Err(protocol("an unexpected frame")),
        };
        kept.err()
    }

    async fn complete_unit(&mut self, unit: u32, counts: worker_proto::Counts) -> Option<SessionEnd> {
        match self.buffers.complete(unit, counts) {
            Ok(complete) => {
                let Some(key) = unit_key(&self.spec, unit) else { return Some(protocol("a unit without a run")) };
                let stats = self.context.completed_units.insert(key, complete);
                self.emit(AttemptEvent::UnitComplete(unit, stats)).await;
                None
            }
            Err(end) => Some(end),
        }
    }

    fn relay_event(&mut self, event: Event) {
        match event {
            Event::Log { level, target: _, message } => stderr::log_line(self.name, level, &message),
            Event::Count { name, labels, by } => self.context.metrics.count(&name, &labels, by),
            Event::Duration { name, seconds } => self.context.metrics.duration(&name, seconds),
        }
    }

    async fn emit(&self, event: AttemptEvent) {
        // The dispatcher has exited; the send error can be ignored.
        let _ = self.context.events.send((self.spec.id, event)).await;
    }
}

/// Sends a message without waiting: a worker that does not read its replies is stopped.
pub(super) fn send(out: &mpsc::Sender<ToWorker>, message: ToWorker) -> Result<(), SessionEnd> {
    out.try_send(message).map_err(|_| protocol("the worker does not read its replies"))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
