//! How a conversation ends, and how its worker is ended then.
//!
//! A worker goes in steps: it may end by itself, then TERM, then KILL. A command to stop that comes meanwhile, such as
//! by a second signal, can only shorten them.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use worker_proto::{Event, FromWorker};

use super::{peer::Body, streams::Frames, talk::Command};
use crate::{
    graph::StoreError,
    process::{ExitReason, StopReason},
    supervisor::event::Outcome,
};

/// Why the conversation is over.
pub(super) enum End {
    /// The worker's last word.
    Said(Outcome),
    /// The stream ended without one.
    Silent,
    /// The supervisor ends it.
    Stop(StopReason, Duration, String),
    /// Another version.
    Version(String),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Spool { .. } => Self::Stop(StopReason::Spool, Duration::ZERO, error.to_string()),
            StoreError::LineFeed { .. } | StoreError::Kinds { .. } => protocol(error),
        }
    }
}

/// An end because of what a worker said.
pub(super) fn protocol(detail: impl ToString) -> End {
    End::Stop(StopReason::Protocol, Duration::ZERO, detail.to_string())
}

/// When each step is due.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    /// TERM.
    term: Instant,
    /// KILL.
    kill: Instant,
}

impl Steps {
    /// Of a worker that has nothing more to do: no TERM, and KILL if it lingers.
    pub(super) fn lingering(patience: Duration) -> Self {
        let end = Instant::now() + patience;
        Self { term: end, kill: end }
    }

    /// Of a worker that is told to stop: half of the grace by itself, half of it after TERM.
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

/// Waits while the worker may end by itself, and takes its frames, so that it can say its last ones.
///
/// `None` if it did not end.
pub(super) async fn leave(
    body: &mut Body,
    frames: &mut Frames,
    commands: &mut mpsc::Receiver<Command>,
    steps: &mut Steps,
    mut event: impl FnMut(Event),
) -> Option<ExitReason> {
    loop {
        tokio::select! {
            biased;
            grace = stopped(commands) => steps.shorten(grace),
            () = sleep_until(steps.term) => return None,
            exit = body.wait() => return Some(exit),
            Some(frame) = frames.recv() => if let Ok(FromWorker::Event(said)) = frame {
                event(said);
            }
        }
    }
}

/// Ends the worker: TERM, what is left of the grace, KILL.
pub(super) async fn stop(body: &mut Body, commands: &mut mpsc::Receiver<Command>, mut steps: Steps) -> ExitReason {
    loop {
        let grace = steps.kill.saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            shorter = stopped(commands) => steps.shorten(shorter),
            exit = body.stop(grace) => return exit,
        }
    }
}

/// Waits for a command to stop, and answers its grace.
async fn stopped(commands: &mut mpsc::Receiver<Command>) -> Duration {
    loop {
        match commands.recv().await {
            Some(Command::Stop(_, grace)) => return grace,
            Some(Command::Operate(_) | Command::Finish) => {}
            None => std::future::pending().await,
        }
    }
}
