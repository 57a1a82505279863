//! Input events and effects of the supervisor's state.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use worker_proto::{Failure, Gap, JobKind, Operation, Plan, Progress};

use super::{operations::Pending, report::RunReport};
pub use crate::delivery::DeliveryError;
use crate::process::{ExitReason, StopReason};

/// A run: one collection of all enabled collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// An attempt: one execution of a job by one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub u64);

/// A requested operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(pub u64);

/// An input of the state.
#[derive(Debug)]
pub enum Event {
    /// A collection was requested.
    Collect(RunId),
    /// An operation was requested, or is no longer wanted.
    Operation(OperationEvent),
    /// A worker sent or did something.
    Attempt(AttemptId, AttemptEvent),
    /// A run's graph was delivered, or could not be.
    Delivered(RunId, Result<(), DeliveryError>),
    /// A collection was aborted by whoever requested it.
    Abort(RunId),
    /// The time of [`State::wake_at`](super::state::State::wake_at) has come.
    Tick,
    /// The first request to shut down.
    Stop,
    /// A further request to shut down: without a grace period.
    StopNow,
}

/// What the caller of an operation wants.
#[derive(Debug)]
pub enum OperationEvent {
    /// The operation is to be carried out.
    Requested(Pending),
    /// The operation must not be begun any more.
    Cancelled(OperationId),
    /// The caller no longer waits for the outcome.
    Abandoned(OperationId),
}

/// An event of one attempt.
#[derive(Debug)]
pub enum AttemptEvent {
    /// The handshake is complete. Holds the worker's PID, or `None` for a thread.
    Started(Option<u32>),
    /// The worker sent its plan.
    Planned(Plan),
    /// The worker began a unit.
    UnitStarted(u32),
    /// The progress of a unit.
    Progress(Progress),
    /// A unit makes no progress and waits for the named calls, or makes progress again.
    Quiet(u32, Option<String>),
    /// The worker could not collect a part of a unit.
    Gap(u32, Gap),
    /// A unit is complete, and its data is kept.
    UnitComplete(u32, UnitStats),
    /// A unit failed, and its data was dropped.
    UnitFailed(u32, Failure),
    /// An operation has ended.
    Operated(u64, worker_proto::Outcome),
    /// The attempt has ended; always its last event.
    Ended(AttemptOutcome),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The worker reported that it was done.
    Finished,
    /// The worker reported why it failed.
    Failed(Failure),
    /// The supervisor stopped the worker, for this reason and with this detail.
    Stopped(StopReason, String),
    /// The worker exited without a final frame.
    Crashed(ExitReason),
    /// The worker could not be started.
    NotStarted(String),
    /// The worker has another version of the protocol.
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

/// A decision of the state, which the dispatcher carries out.
#[derive(Debug)]
pub enum Effect {
    /// Start a worker.
    Start(AttemptSpec),
    /// Stop a worker: TERM, the grace period, KILL.
    Stop(AttemptId, StopReason, Duration),
    /// Have a worker carry out an operation.
    Operate(AttemptId, Operation),
    /// Let a worker exit when its operations have ended.
    Finish(AttemptId),
    /// Send the outcome of an operation to its caller.
    Reply(OperationId, worker_proto::Outcome),
    /// Drop the kept data of a unit.
    Drop(UnitKey),
    /// Merge the kept units and deliver the graph before the deadline.
    Deliver(RunId, RunReport, Instant),
    /// Cancel a delivery in progress.
    CancelDelivery(RunId),
    /// Finish a run: report it, and answer its action.
    FinishRun(RunId, RunOutcome),
    /// Publish a notice.
    Notify(Notice),
    /// Exit: all workers have ended.
    Exit,
}

/// The key under which the nodes of one unit are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitKey {
    /// The run.
    pub run: RunId,
    /// The collector's name.
    pub collector: &'static str,
    /// Index of the unit in the plan.
    pub unit: u32,
}

/// Counts of a complete unit.
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
    /// The attempt's id.
    pub id: AttemptId,
    /// The run; `None` for operations.
    pub run: Option<RunId>,
    /// The collector.
    pub collector: &'static str,
    /// The kind of the job.
    pub kind: JobKind,
    /// Whether the worker is a process; otherwise it is a thread.
    pub process: bool,
    /// When the worker must have exited by itself.
    pub soft_deadline: Instant,
}

/// How a run ended.
#[derive(Debug)]
pub enum RunOutcome {
    /// The run was carried out; the report says what is missing.
    Ended(RunReport, Result<(), DeliveryError>),
    /// The run was rejected or aborted, for this reason.
    Refused(String),
}

/// A notice about the progress of a run, for the log, the progress display, `/jobs` and the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A collector's plan is known.
    Planned {
        /// The collector.
        collector: &'static str,
        /// The units' labels.
        units: Vec<String>,
    },
    /// A unit began.
    UnitStarted {
        /// The unit.
        key: UnitKey,
        /// The unit's name for people.
        label: String,
        /// The worker's PID, or `None` for a thread.
        pid: Option<u32>,
    },
    /// A unit made progress.
    UnitProgress {
        /// The unit.
        key: UnitKey,
        /// The progress.
        progress: Progress,
    },
    /// A unit ended.
    UnitFinished {
        /// The unit.
        key: UnitKey,
        /// The unit's name for people.
        label: String,
        /// The number of gaps.
        gaps: usize,
        /// Its counts, or the label and the reason of its failure.
        result: Result<UnitStats, (&'static str, String)>,
    },
    /// A unit or a plan is retried.
    Retry {
        /// The collector.
        collector: &'static str,
        /// The unit's index in the plan, or `None` for the plan itself.
        unit: Option<u32>,
        /// The name of the unit or plan for people.
        what: String,
        /// The reason.
        reason: String,
    },
    /// A collector failed as a whole.
    CollectorFailed {
        /// The collector.
        collector: &'static str,
        /// The reason.
        reason: String,
    },
    /// A collector that nobody named was skipped, as there are no credentials.
    CollectorSkipped {
        /// The collector.
        collector: &'static str,
        /// The reason and the remedy.
        reason: String,
    },
    /// The graph is being delivered.
    Delivering,
}
