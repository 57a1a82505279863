//! The messages: one enum for each direction.
//!
//! The order of variants and fields is the wire format. A change of either requires a new
//! [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) with new golden bytes in `testdata`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

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
    /// A request for credentials: those of the unit expire soon or are missing.
    NeedCredentials {
        /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
        unit: u32,
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
}

/// The job of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The name of the job in logs and metrics, such as `aws/123456789012`.
    pub name: String,
    /// The collector's registered name.
    pub collector: String,
    /// The kind of work.
    pub kind: JobKind,
    /// The collector's settings as JSON, without secrets.
    pub settings: String,
    /// Time until the worker must end by itself, in milliseconds from receipt.
    pub soft_deadline_ms: u64,
    /// The most verbose level of log lines that the supervisor accepts.
    pub level: Level,
}

/// The part of a collection that a job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum JobKind {
    /// Find the units and send the plan.
    Plan,
    /// Collect one unit of a plan.
    Unit {
        /// The unit's index in the plan.
        index: u32,
        /// The unit.
        unit: Unit,
    },
    /// Plan, then collect all units in this process.
    PlanAndCollect {
        /// The limit of units that run at the same time.
        pool: u32,
    },
    /// Execute operations on resources of one account until [`ToWorker::Finish`].
    Operate {
        /// The account as the collector's `operator` made it.
        unit: Unit,
    },
}

/// A change to a resource of the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The operation's ID in its result, unique within this worker.
    pub id: u64,
    /// The change.
    pub verb: Verb,
    /// The resource, its account and its region, as JSON.
    pub subject: String,
    /// Time until the worker cancels the operation, in milliseconds from receipt.
    pub limit_ms: u64,
}

/// The change to a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verb {
    /// Set a tag.
    UpdateTag {
        /// The tag's key.
        key: String,
        /// The tag's new value.
        value: String,
    },
    /// Remove a tag. A tag that does not exist is not an error.
    DeleteTag {
        /// The tag's key.
        key: String,
    },
    /// Remove whatever would prevent a deletion, such as an attachment.
    PreDelete,
    /// Delete the resource. Wait until it is deleted where other deletions depend on that.
    Delete,
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The cloud executed the change, or the change had been made before.
    Done,
    /// The change is impossible for this kind, or there is nothing to do; with the reason.
    Nothing(String),
    /// The operation failed.
    Failed(Failure),
    /// The cloud executed the change, and removed what these strings name. Only a preparation of a deletion ends so.
    Detached(Vec<String>),
}

/// The result of planning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The units to collect, one after the other or at the same time.
    pub units: Vec<Unit>,
    /// The gaps that are known before anything is collected.
    pub gaps: Vec<Gap>,
    /// Whether the units are everything that the cloud has: no option selects some of them, and their list was
    /// complete. Only then is an account deleted that the core knows and the plan lacks.
    pub is_whole: bool,
}

/// A part of a collector's work that can run in its own process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The account's ID in the cloud, unique within the plan.
    pub id: String,
    /// The account's display name.
    pub label: String,
    /// The kind of the account node, such as `aws_account`.
    pub kind: String,
    /// The number of the unit's parts (regions), for progress; 0 if unknown.
    pub parts: u32,
    /// The collector's data for collecting the unit, as JSON; opaque to the supervisor, without secrets.
    pub payload: String,
}

/// A node as it is uploaded.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The 16 bytes of the node ID.
    pub id: [u8; 16],
    /// The node's kind.
    pub kind: String,
    /// The resource's ID in the cloud, for deferred edges.
    pub resource: String,
    /// The final ndjson line, without a line feed.
    pub line: ByteBuf,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {}, {} bytes)", self.kind, self.resource, self.line.len())
    }
}

/// Edges as pairs of node IDs: 32 bytes for each edge, `from` then `to`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeList(ByteBuf);

impl EdgeList {
    /// Adds an edge.
    pub fn push(&mut self, from: [u8; 16], to: [u8; 16]) {
        self.0.extend_from_slice(&from);
        self.0.extend_from_slice(&to);
    }

    /// Returns the number of edges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / 32
    }

    /// Whether there is no edge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether the bytes are a whole number of edges.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.0.len().is_multiple_of(32)
    }

    /// Returns the edges as (from, to).
    pub fn iter(&self) -> impl Iterator<Item = ([u8; 16], [u8; 16])> + '_ {
        self.0.as_chunks::<32>().0.iter().map(|pair| {
            let (mut from, mut to) = ([0; 16], [0; 16]);
            from.copy_from_slice(&pair[..16]);
            to.copy_from_slice(&pair[16..]);
            (from, to)
        })
    }
}

impl fmt::Debug for EdgeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdgeList({})", self.len())
    }
}

/// An edge whose ends are resolved when all units are complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deferred {
    /// The predecessor.
    pub from: Selector,
    /// The successor.
    pub to: Selector,
}

/// The selector of a node in a deferred edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Selector {
    /// By the node ID.
    Node([u8; 16]),
    /// By kind and by the resource's ID in the cloud.
    Resource {
        /// The kind.
        kind: String,
        /// The resource's ID.
        id: String,
    },
}

/// The progress of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Index of the unit in the plan.
    pub unit: u32,
    /// The number of complete parts (regions).
    pub parts_done: u32,
    /// The number of all parts (regions); 0 if unknown.
    pub parts: u32,
    /// The number of nodes found so far.
    pub nodes: u64,
}

/// Whether a job makes progress, and otherwise the waits of its units.
///
/// A step is the end of a wait or a frame that was queued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Time since the last step of any unit, in milliseconds.
    pub quiet_ms: u64,
    /// Time since the session's loop last ran, in milliseconds. The loop runs every few seconds unless it hangs.
    pub loop_ms: u64,
    /// Whether the queue of frames is full.
    pub queue_full: bool,
    /// Units in progress without a step for some seconds, at most [`MAX_QUIET_UNITS`](crate::MAX_QUIET_UNITS).
    pub quiet: Vec<QuietUnit>,
}

/// A unit that makes no progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietUnit {
    /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
    pub unit: u32,
    /// Time since the unit's last step, in milliseconds.
    pub quiet_ms: u64,
    /// The number of the unit's open waits.
    pub open: u32,
    /// The unit's oldest open waits, at most [`MAX_WAITS`](crate::MAX_WAITS).
    pub waits: Vec<Wait>,
}

/// A wait of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The party that has to end the wait.
    pub on: WaitOn,
    /// A description, such as `ec2 DescribeVolumes in us-east-1`.
    pub what: String,
    /// Time since the wait began, in milliseconds.
    pub for_ms: u64,
}

/// The party that has to end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitOn {
    /// The cloud: a call, with its retries and its place in the queue of the limiter.
    Call,
    /// The supervisor: the response to a request for credentials or a shared value.
    Answer,
    /// The supervisor: room in the queue of frames.
    Room,
}

/// A log line or a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A log line.
    Log {
        /// The level.
        level: Level,
        /// The module that wrote it.
        target: String,
        /// The message.
        message: String,
    },
    /// A counter was incremented.
    Count {
        /// The metric's name, without prefix and suffix.
        name: String,
        /// Label names and values.
        labels: Vec<(String, String)>,
        /// The increment.
        by: u64,
    },
    /// A duration was measured.
    Duration {
        /// The metric's name, without prefix and suffix.
        name: String,
        /// The duration in seconds.
        seconds: f64,
    },
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Data was lost.
    Error,
    /// The work continues with less.
    Warn,
    /// Information for users.
    Info,
    /// Information for developers.
    Debug,
    /// Any detail.
    Trace,
}

/// A part of a unit that could not be collected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The account's ID.
    pub account: String,
    /// The region, or empty.
    pub region: String,
    /// The service, such as `ec2`.
    pub service: String,
    /// The API call, such as `DescribeVolumes`, or empty.
    pub operation: String,
    /// The error code, such as `UnauthorizedOperation`.
    pub code: String,
    /// The error's message, without secrets.
    pub message: String,
}

/// A part of a unit that was not seen. The part may exist as it was when it was last seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Missing {
    /// Nodes of a kind directly below a node, because their list was not complete.
    Kind {
        /// The node above them, such as a region's.
        below: [u8; 16],
        /// The name of that region, in which references to the nodes are looked up.
        scope: String,
        /// The nodes' kind.
        kind: String,
        /// Kinds that are listed for each of these nodes, directly or through each other.
        with: Vec<String>,
        /// The reason.
        why: Why,
    },
    /// Properties and edges of nodes that were sent.
    Parts {
        /// The nodes.
        nodes: Vec<[u8; 16]>,
        /// The names of properties. `name` includes the identity of the node.
        properties: Vec<String>,
        /// The edges that result from the missing responses.
        edges: Vec<MissingEdge>,
    },
    /// Edges of nodes that were sent, to or from nodes that were not seen.
    Edges {
        /// The direction and the kind of the other ends.
        edge: MissingEdge,
        /// The attribute by which the other ends are looked up.
        attribute: String,
        /// The nodes, each with the hash of the reference to its other end.
        ends: Vec<([u8; 16], [u8; 16])>,
    },
}

/// The reason why nodes of a kind are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The nodes could not be seen.
    Unseen,
    /// An option excludes the nodes, and the core keeps them.
    Kept,
    /// An option excludes the nodes, and the core forgets them.
    LeftOut,
}

/// Edges of a node to or from nodes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissingEdge {
    /// Whether the edge begins at the node.
    pub outgoing: bool,
    /// The kind of the other end.
    pub kind: String,
}

/// The counts of what was sent for a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The number of nodes.
    pub nodes: u64,
    /// The number of edges, deferred ones not included.
    pub edges: u64,
    /// The number of deferred edges.
    pub deferred: u64,
}

/// The failure of a job or a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class, which decides about a retry.
    pub kind: FailureKind,
    /// The message: what failed, where, and the remedy.
    pub message: String,
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The settings are invalid. Not retried.
    Configuration,
    /// Credentials are missing or were rejected. Not retried.
    Credentials,
    /// The cloud did not respond, throttled for too long, or sent an unexpected response. Retried.
    Unavailable,
    /// The soft deadline passed, or the supervisor cancelled. Not retried.
    Cancelled,
    /// A bug in the worker. Retried.
    Internal,
    /// The unit made no progress, and nothing outside the worker would have ended its wait. Retried.
    Stalled,
}

impl FailureKind {
    /// Returns the name of this kind in metrics and tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Credentials => "credentials",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "deadline",
            Self::Internal => "internal",
            Self::Stalled => "stalled",
        }
    }

    /// Returns whether another attempt may succeed.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::Internal | Self::Stalled => true,
            Self::Configuration | Self::Credentials | Self::Cancelled => false,
        }
    }
}

/// Short-lived credentials of one unit, issued by the collector's broker.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Credentials {
    /// The secret in the collector's own form, as JSON.
    pub secret: String,
    /// The expiry in seconds since 1970; `None` for credentials that do not expire.
    pub expires: Option<i64>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("expires", &self.expires).finish_non_exhaustive()
    }
}
