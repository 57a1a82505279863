//! The messages: one enum for each direction.
//!
//! The order of variants and fields is the wire format, here and in the modules below. A change of either requires a new
//! [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) with new golden bytes in `testdata`.

mod graph;
mod report;
mod work;

use serde::{Deserialize, Serialize};

pub use self::{
    graph::{Counts, Deferred, EdgeList, Missing, MissingEdge, Name, Node, Selector, Why},
    report::{Activity, Event, Failure, FailureKind, Gap, Level, Progress, QuietUnit, Wait, WaitOn},
    work::{Credentials, Job, JobKind, Operation, Outcome, Plan, Unit, Verb},
};

/// Supervisor to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The greeting, always the first frame. The place of this variant and of its first field never changes.
    Hello {
        /// The supervisor's [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
        version: u32,
        /// The memory limit of a worker process in bytes; 0 for no limit.
        memory_limit: u64,
    },
    /// The job, exactly one for each worker.
    Job(Job),
    /// The response to [`FromWorker::NeedCredentials`].
    Credentials {
        /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
        unit: u32,
        /// The fresh credentials, or the reason why there are none.
        credentials: Result<Credentials, Failure>,
    },
    /// Stop collecting, send pending frames and end with `Failed`.
    Cancel,
    /// An operation to execute, only for a worker with [`JobKind::Operate`]; any number at the same time.
    Operate(Operation),
    /// The end of operations: end with `Done` when the open ones have ended.
    Finish,
    /// The response to [`FromWorker::NeedShared`].
    Shared {
        /// The requested key.
        key: String,
        /// The value that another worker published. `None` if this worker has to fetch the value, and then to publish
        /// it or its failure.
        value: Option<String>,
    },
}

/// Worker to supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The greeting, always the first frame. The place of this variant and of its first field never changes.
    Ready {
        /// The worker's [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
        version: u32,
    },
    /// The units of work of a collector.
    Plan(Plan),
    /// Work on a unit began.
    UnitStarted {
        /// Index of the unit in the plan.
        unit: u32,
    },
    /// The progress of a unit; informational, may be dropped.
    Progress(Progress),
    /// A batch of finished nodes.
    Nodes {
        /// Index of the unit in the plan.
        unit: u32,
        /// The nodes, in the order of collection.
        nodes: Vec<Node>,
    },
    /// A batch of edges between nodes of one unit.
    Edges {
        /// Index of the unit in the plan.
        unit: u32,
        /// The edges.
        edges: EdgeList,
    },
    /// Edges to nodes that may belong to other units.
    Deferred {
        /// Index of the unit in the plan.
        unit: u32,
        /// The edges by selector.
        edges: Vec<Deferred>,
    },
    /// Names by which deferred edges of other units find nodes of this one.
    Names {
        /// Index of the unit in the plan.
        unit: u32,
        /// The names.
        names: Vec<Name>,
    },
    /// A log line or a measurement.
    Event(Event),
    /// A part that could not be collected; the unit continues without it.
    Gap {
        /// Index of the unit in the plan.
        unit: u32,
        /// The missing part.
        gap: Gap,
    },
    /// Parts of a unit that could not be seen and therefore must not count as deleted; any number before
    /// [`FromWorker::UnitDone`].
    Missing {
        /// Index of the unit in the plan.
        unit: u32,
        /// The missing parts.
        missing: Vec<Missing>,
    },
    /// A request for credentials: those of the unit expire soon, are missing, or were rejected.
    NeedCredentials {
        /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
        unit: u32,
        /// Whether the cloud has rejected the current ones before their expiry, so that others are needed.
        rejected: bool,
    },
    /// A unit is complete. Its nodes count only after this message, and only if the counts match.
    UnitDone {
        /// Index of the unit in the plan.
        unit: u32,
        /// The counts of what was sent for the unit.
        counts: Counts,
    },
    /// A unit failed as a whole. What was sent for the unit is discarded.
    UnitFailed {
        /// Index of the unit in the plan.
        unit: u32,
        /// The reason.
        failure: Failure,
    },
    /// The job is finished. The last frame.
    Done,
    /// The job failed as a whole. The last frame.
    Failed(Failure),
    /// The session is running. Sent every few seconds, also while the queue of all other frames is full.
    Alive(Activity),
    /// An operation has ended.
    Operated {
        /// The operation's ID.
        id: u64,
        /// The outcome.
        outcome: Outcome,
    },
    /// A request for a value that is the same for all units of the run, such as a price.
    NeedShared {
        /// The collector's name for the value.
        key: String,
    },
    /// A value that this worker had to fetch.
    Publish {
        /// The collector's name for the value.
        key: String,
        /// The value; `None` if it could not be fetched, so that another worker may try.
        value: Option<String>,
    },
    /// Kinds of a unit's nodes that its collector knows only at run time, such as custom resources. They are added to the
    /// kinds that the core gets with the unit; any number before [`FromWorker::UnitDone`].
    Kinds {
        /// Index of the unit in the plan.
        unit: u32,
        /// The kinds, each as JSON.
        kinds: Vec<String>,
    },
}
