//! The end of a session, and the termination of its worker.
//!
//! A worker is terminated in steps: it may exit by itself, then TERM, then KILL. A further stop, such as by a second
//! signal, can only shorten them.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use worker_proto::{Event, FromWorker};

use super::{
    session::Command,
    transport::{Frames, WorkerHandle},
};
use crate::{
    graph::StoreError,
    process::{ExitReason, StopReason},
    supervisor::event::AttemptOutcome,
};

/// How long a worker's streams may stay open once its process is gone.
pub(super) const STREAM_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a session ended.
pub(super) enum SessionEnd {
    /// The worker reported its outcome.
    Reported(AttemptOutcome),
    /// The stream ended without an outcome.
    Eof,
    /// The supervisor stops the worker.
    Stop(StopReason, Duration, String),
    /// The worker has another version of the protocol.
    Version(String),
}

impl From<StoreError> for SessionEnd {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Spool { .. } => Self::Stop(StopReason::Spool, Duration::ZERO, error.to_string()),
            StoreError::LineFeed { .. } | StoreError::Kinds { .. } => protocol(error),
        }
    }
}

/// Returns the end of a session whose worker violated the protocol.
pub(super) fn protocol(detail: impl ToString) -> SessionEnd {
    SessionEnd::Stop(StopReason::Protocol, Duration::ZERO, detail.to_string())
}

/// The time of each step.
#[derive(Clone, Copy)]
pub(super) struct Escalation {
    /// TERM.
    term: Instant,
    /// KILL.
    kill: Instant,
}

impl Escalation {
    /// For a worker that has nothing more to do: KILL without TERM if it lingers.
    pub(super) fn lingering(timeout: Duration) -> Self {
        let end = Instant::now() + timeout;
        Self { term: end, kill: end }
    }

    /// For a worker that is asked to stop: half of the grace period before TERM, half of it after.
    pub(super) fn stopping(grace: Duration) -> Self {
        let now = Instant::now();
        Self { term: now + grace / 2, kill: now + grace }
    }

    fn shorten(&mut self, grace: Duration) {
        let other = Self::stopping(grace);
        self.term = self.term.min(other.term);
        self.kill = self.kill.min(other.kill);
    }
}

/// Waits while the worker may exit by itself, and takes its last frames.
///
/// Returns `None` if it did not exit.
pub(super) async fn wait_for_exit(
    handle: &mut WorkerHandle,
    frames: &mut Frames,
    commands: &mut mpsc::Receiver<Command>,
    escalation: &mut Escalation,
    mut event: impl FnMut(Event),
) -> Option<ExitReason> {
    let (mut open, mut exit) = (true, None);
    while open || exit.is_none() {
        tokio::select! {
            biased;
            grace = stop_requested(commands) => escalation.shorten(grace),
            () = sleep_until(escalation.term) => break,
            frame = frames.recv(), if open => match frame {
                Some(Ok(FromWorker::Event(said))) => event(said),
                Some(_) => {}
                None => open = false,
            },
            reason = handle.wait(), if exit.is_none() => {
                exit = Some(reason);
                // The last frames may still be in transit.
                escalation.term = escalation.term.min(Instant::now() + STREAM_DRAIN_TIMEOUT);
            }
        }
    }
    exit
}

/// Terminates the worker: TERM, the rest of the grace period, KILL.
pub(super) async fn terminate(
    handle: &mut WorkerHandle,
    commands: &mut mpsc::Receiver<Command>,
    mut escalation: Escalation,
) -> ExitReason {
    loop {
        let grace = escalation.kill.saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            shorter = stop_requested(commands) => escalation.shorten(shorter),
            exit = handle.stop(grace) => return exit,
        }
    }
}

/// Waits for a command to stop, and returns its grace period.
async fn stop_requested(commands: &mut mpsc::Receiver<Command>) -> Duration {
    loop {
        match commands.recv().await {
            Some(Command::Stop(_, grace)) => return grace,
            Some(Command::Operate(_) | Command::Finish) => {}
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;
    use crate::process::{self, Program};

    const LONG: Duration = Duration::from_secs(600);

    /// A process that ignores TERM.
    async fn stubborn() -> WorkerHandle {
        let script = "trap '' TERM; echo ready >&2; while :; do sleep 1; done";
        let program = Program { path: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
        let spawned = process::spawn(&program).unwrap();
        let mut line = String::new();
        BufReader::new(spawned.stderr.unwrap()).read_line(&mut line).await.unwrap();
        assert_eq!(line, "ready\n");
        WorkerHandle::Process(spawned.process)
    }

    /// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
    #[tokio::test]
    async fn second_stop_shortens_grace_of_first() {
        let (sender, mut commands) = mpsc::channel(4);
        let began = Instant::now();
        let mut handle = stubborn().await;
        let impatient = async {
            sender.send(Command::Finish).await.unwrap();
            sender.send(Command::Stop(StopReason::Shutdown, Duration::from_secs(1))).await.unwrap();
            std::future::pending::<()>().await;
        };
        let exit = tokio::select! {
            exit = terminate(&mut handle, &mut commands, Escalation::stopping(LONG)) => exit,
            () = impatient => ExitReason::Lost,
        };
        assert_eq!(exit, ExitReason::Signal(9));
        assert!(began.elapsed() >= Duration::from_secs(1), "not before its time");
        assert!(began.elapsed() < LONG / 10);
    }

    #[tokio::test]
    async fn stop_shortens_wait_for_worker_to_exit() {
        let (sender, mut commands) = mpsc::channel(4);
        let (_keep, mut frames) = mpsc::channel(1);
        let mut handle = stubborn().await;
        let mut escalation = Escalation::lingering(LONG);
        sender.send(Command::Stop(StopReason::Shutdown, Duration::ZERO)).await.unwrap();
        assert_eq!(wait_for_exit(&mut handle, &mut frames, &mut commands, &mut escalation, |_| {}).await, None);
        assert_eq!(terminate(&mut handle, &mut commands, escalation).await, ExitReason::Signal(9));
    }
}
