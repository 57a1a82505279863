//! What the dispatcher hears and what it has done: the whole vocabulary of the supervisor's decisions.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use worker_proto::{Failure, Gap, JobKind, Plan, Progress};

use super::report::RunReport;
pub use crate::delivery::DeliveryError;
use crate::process::{ExitReason, StopReason};

/// A run: one collection of all enabled collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// An attempt: one execution of a job by one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A collection is wanted.
    Collect(RunId),
    /// A worker said or did something.
    Attempt(AttemptId, AttemptEvent),
    /// A run's graph was delivered, or could not be.
    Delivered(RunId, Result<(), DeliveryError>),
    /// A collection is no longer wanted.
    Abort(RunId),
    /// A wanted time has come.
    Tick,
    /// The first request to end.
    Stop,
    /// A further request to end: without patience.
    StopNow,
}

/// What a worker said or did.
#[derive(Debug)]
pub enum AttemptEvent {
    /// It greeted and got its job; the process id, if it is a process.
    Started(Option<u32>),
    /// It made a plan.
    Planned(Plan),
    /// It began a unit.
    UnitStarted(u32),
    /// How far a unit is.
    Progress(Progress),
    /// A unit makes no progress and waits for this, or makes progress again.
    Quiet(u32, Option<String>),
    /// It could not collect a part of a unit.
    Gap(u32, Gap),
    /// A unit is complete, and what it sent was kept.
    UnitComplete(u32, UnitStats),
    /// A unit failed, and what it sent was dropped.
    UnitFailed(u32, Failure),
    /// An operation has ended.
    Operated(u64, worker_proto::Outcome),
    /// It is over; always the last event of an attempt.
    Ended(AttemptOutcome),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It said that it was done.
    Finished,
    /// It said why it failed.
    Failed(Failure),
    /// The supervisor ended it.
    Stopped(StopReason, String),
    /// It ended without a last word.
    Crashed(ExitReason),
    /// It could not be started.
    NotStarted(String),
    /// It speaks another version of the protocol.
    Version(String),
}

impl AttemptOutcome {
    /// Returns the name of this outcome in metrics and tables.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed(failure) => failure.kind.label(),
            Self::Stopped(reason, _) => reason.label(),
            Self::Crashed(ExitReason::Signal(_)) => "signal",
            Self::Crashed(ExitReason::Code(_) | ExitReason::Lost) => "crashed",
            Self::NotStarted(_) => "not_started",
            Self::Version(_) => "version",
        }
    }

    /// Returns what happened, for people.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Finished => "worker exited without a result".to_owned(),
            Self::Failed(failure) => failure.message.clone(),
            Self::Stopped(reason, detail) if detail.is_empty() => reason.to_string(),
            Self::Stopped(reason, detail) => format!("{reason}: {detail}"),
            Self::Crashed(exit @ ExitReason::Signal(_)) => format!("worker was killed by {exit}"),
            Self::Crashed(exit @ ExitReason::Code(_)) => format!("worker exited without a result, with {exit}"),
            Self::Crashed(ExitReason::Lost) => "worker process was killed and cannot be reaped".to_owned(),
            Self::NotStarted(reason) | Self::Version(reason) => reason.clone(),
        }
    }

    /// Returns whether another worker may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Finished | Self::Crashed(_) | Self::NotStarted(_) => true,
            Self::Failed(failure) => failure.kind.is_retryable(),
            Self::Stopped(reason, _) => reason.is_retryable(),
            Self::Version(_) => false,
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Start a worker.
    Start(AttemptSpec),
    /// End a worker: TERM, the grace, KILL.
    Stop(AttemptId, StopReason, Duration),
    /// Drop what was kept of a unit.
    Drop(UnitKey),
    /// Merge what was kept and deliver it before the deadline.
    Deliver(RunId, RunReport, Instant),
    /// Give up a delivery that is under way.
    CancelDelivery(RunId),
    /// A run is over: report it, and answer whoever wanted it.
    FinishRun(RunId, RunOutcome),
    /// Publish a notice.
    Notify(Notice),
    /// Everything has ended.
    Exit,
}

/// Where the nodes of one unit are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitKey {
    /// The run.
    pub run: RunId,
    /// The collector's name.
    pub collector: &'static str,
    /// Index of the unit in the plan.
    pub unit: u32,
}

/// What a complete unit has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitStats {
    /// Nodes by kind.
    pub nodes_by_kind: BTreeMap<String, u64>,
    /// Edges.
    pub edges: u64,
}

/// An attempt to start.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSpec {
    /// Its id.
    pub id: AttemptId,
    /// Its run.
    pub run: RunId,
    /// Its collector.
    pub collector: &'static str,
    /// What its worker does.
    pub kind: JobKind,
    /// Whether it gets a process of its own.
    pub process: bool,
    /// When the worker must have ended by itself.
    pub soft_deadline: Instant,
}

/// How a run ended.
#[derive(Debug)]
pub enum RunOutcome {
    /// It went to its end; the report says what is missing.
    Ended(RunReport, Result<(), DeliveryError>),
    /// It was not begun or was given up, and why.
    Refused(String),
}

/// A notice about the progress of a run, for the log, the progress display, `/jobs` and the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A collector's plan is known.
    Planned {
        /// The collector.
        collector: &'static str,
        /// Its units' labels.
        units: Vec<String>,
    },
    /// A unit began.
    UnitStarted {
        /// Where it is kept.
        key: UnitKey,
        /// Its name.
        label: String,
        /// The process that does it.
        pid: Option<u32>,
    },
    /// A unit goes on.
    UnitProgress {
        /// Where it is kept.
        key: UnitKey,
        /// How far it is.
        progress: Progress,
    },
    /// A unit ended.
    UnitFinished {
        /// Where it is kept.
        key: UnitKey,
        /// Its name.
        label: String,
        /// How much it had to leave out.
        gaps: usize,
        /// What it has, or why it has nothing.
        result: Result<UnitStats, (&'static str, String)>,
    },
    /// A unit or a plan is tried again.
    Retry {
        /// The collector.
        collector: &'static str,
        /// The unit's index in the plan; none if it is the plan itself.
        unit: Option<u32>,
        /// What is tried again.
        what: String,
        /// Why.
        reason: String,
    },
    /// A collector failed as a whole.
    CollectorFailed {
        /// The collector.
        collector: &'static str,
        /// Why.
        reason: String,
    },
    /// The graph is being delivered.
    Delivering,
}
