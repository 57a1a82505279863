//! All that can be said: one enum per direction.
//!
//! The order of variants and fields is the wire format; a change of either is a new
//! [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) with new golden bytes in `testdata`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Supervisor to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Always first. Its place and its first field never change.
    Hello {
        /// The supervisor's [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
        version: u32,
        /// The most memory that a worker process may allocate, in bytes; 0 for no limit.
        memory_limit: u64,
    },
    /// What to do; exactly one per worker.
    Job(Job),
    /// The answer to [`FromWorker::NeedCredentials`].
    Credentials {
        /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
        unit: u32,
        /// The fresh credentials, or why there are none.
        credentials: Result<Credentials, Failure>,
    },
    /// Stop collecting, send what is open and end with `Failed`.
    Cancel,
    /// Something to carry out; only to a worker with [`JobKind::Operate`], any number at the same time.
    Operate(Operation),
    /// No further operation will come: end with `Done` when the open ones have ended.
    Finish,
    /// The answer to [`FromWorker::NeedShared`].
    Shared {
        /// The key that was asked for.
        key: String,
        /// What another worker published; `None` if this one is to fetch it, and to publish it or that it failed.
        value: Option<String>,
    },
}

/// Worker to supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// Always first. Its place and its first field never change.
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
    /// How far a unit is; informational, may be dropped.
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
    /// Something could not be collected; the unit goes on without it.
    Gap {
        /// Index of the unit in the plan.
        unit: u32,
        /// What is missing.
        gap: Gap,
    },
    /// What of a unit could not be seen, so that it must not count as gone; any number before [`FromWorker::UnitDone`].
    Missing {
        /// Index of the unit in the plan.
        unit: u32,
        /// What is missing.
        missing: Vec<Missing>,
    },
    /// The unit's credentials end soon or are missing.
    NeedCredentials {
        /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
        unit: u32,
    },
    /// A unit is complete; its nodes count only after this and only if the counts match.
    UnitDone {
        /// Index of the unit in the plan.
        unit: u32,
        /// What was sent for it.
        counts: Counts,
    },
    /// A unit failed as a whole; what was sent for it is discarded.
    UnitFailed {
        /// Index of the unit in the plan.
        unit: u32,
        /// Why.
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
        /// The operation's id.
        id: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A value is needed that is the same for all units of the run, such as a price.
    NeedShared {
        /// What the collector calls it.
        key: String,
    },
    /// A value that this worker was told to fetch.
    Publish {
        /// What the collector calls it.
        key: String,
        /// The value; `None` if it could not be had, so that another worker may try.
        value: Option<String>,
    },
}

/// One job of one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The name of the job in logs and metrics, such as `aws/123456789012`.
    pub name: String,
    /// The collector's registered name.
    pub collector: String,
    /// What to do.
    pub kind: JobKind,
    /// The collector's settings as JSON, without secrets.
    pub settings: String,
    /// Time until the worker must end by itself, in milliseconds from receipt.
    pub soft_deadline_ms: u64,
    /// The most verbose level of log line that the supervisor wants.
    pub level: Level,
}

/// The part of a collection that a job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum JobKind {
    /// Find the units of work and send the plan.
    Plan,
    /// Collect one unit of a plan.
    Unit {
        /// Its index in the plan.
        index: u32,
        /// The unit itself.
        unit: Unit,
    },
    /// Plan, then collect all units in this process.
    PlanAndCollect {
        /// How many units may run at the same time.
        pool: u32,
    },
    /// Carry out operations on resources of one account until told to finish.
    Operate {
        /// The account as the collector's `operator` made it.
        unit: Unit,
    },
}

/// One change to one resource of the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Names it in the answer; unique for this worker.
    pub id: u64,
    /// What to do.
    pub verb: Verb,
    /// The resource, its account and its region, as JSON.
    pub subject: String,
    /// Time until the worker gives it up, in milliseconds from receipt.
    pub limit_ms: u64,
}

/// What to do with a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verb {
    /// Set a tag.
    UpdateTag {
        /// Its key.
        key: String,
        /// Its new value.
        value: String,
    },
    /// Remove a tag; one that is not there is no error.
    DeleteTag {
        /// Its key.
        key: String,
    },
    /// Loosen what would keep it from being deleted.
    PreDelete,
    /// Delete it, and wait until it is gone where others depend on that.
    Delete,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The cloud has done it, or had it so already.
    Done,
    /// It is not possible for this kind, or there is nothing to do, and why.
    Nothing(String),
    /// It failed.
    Failed(Failure),
    /// The cloud has done it, and for it removed what these texts name. Only a preparation of a deletion ends so.
    Detached(Vec<String>),
}

/// The answer to planning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is to be collected, one after the other or at the same time.
    pub units: Vec<Unit>,
    /// What is known to be left out before anything is collected.
    pub gaps: Vec<Gap>,
    /// Whether the units are all that the cloud has: no option selects some of them, and their list was complete. Only then
    /// is an account that the core knows beside them gone.
    pub is_whole: bool,
}

/// A part of a collector's work that can run in a process of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The account's id in the cloud, unique within the plan.
    pub id: String,
    /// The account's name for people.
    pub label: String,
    /// The kind of the account node, such as `aws_account`.
    pub kind: String,
    /// How many parts (regions) the unit has, for progress; 0 if unknown.
    pub parts: u32,
    /// What the collector needs to collect it, as JSON; opaque to the supervisor, no secrets.
    pub payload: String,
}

/// A node as it goes into the upload.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The 16 bytes of the node id.
    pub id: [u8; 16],
    /// The node's kind.
    pub kind: String,
    /// The resource's id in the cloud, for deferred edges.
    pub resource: String,
    /// The final ndjson line, without a line feed.
    pub line: ByteBuf,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {}, {} bytes)", self.kind, self.resource, self.line.len())
    }
}

/// Edges as pairs of node ids: 32 bytes an edge, `from` then `to`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeList(ByteBuf);

impl EdgeList {
    /// Adds an edge.
    pub fn push(&mut self, from: [u8; 16], to: [u8; 16]) {
        self.0.extend_from_slice(&from);
        self.0.extend_from_slice(&to);
    }

    /// The number of edges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / 32
    }

    /// Whether there is no edge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether the bytes are a whole number of edges.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.0.len().is_multiple_of(32)
    }

    /// The edges as (from, to).
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

/// An edge whose ends are found when all units are complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deferred {
    /// The predecessor.
    pub from: Selector,
    /// The successor.
    pub to: Selector,
}

/// How a deferred edge names a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Selector {
    /// By its node id.
    Node([u8; 16]),
    /// By kind and by the resource's id in the cloud.
    Resource {
        /// The kind.
        kind: String,
        /// The resource's id.
        id: String,
    },
}

/// How far a unit is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Index of the unit in the plan.
    pub unit: u32,
    /// Parts (regions) that are complete.
    pub parts_done: u32,
    /// All parts (regions); 0 if unknown.
    pub parts: u32,
    /// Nodes found so far.
    pub nodes: u64,
}

/// Whether a job makes progress, and otherwise what its units wait for.
///
/// A step is the end of a wait or a frame that was queued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Time since the last step of any unit, in milliseconds.
    pub quiet_ms: u64,
    /// Time since the session's loop last ran, in milliseconds. It runs every few seconds unless it hangs.
    pub loop_ms: u64,
    /// The queue of frames has no room.
    pub queue_full: bool,
    /// Units in progress without a step for some seconds, at most [`MAX_QUIET_UNITS`](crate::MAX_QUIET_UNITS).
    pub quiet: Vec<QuietUnit>,
}

/// A unit that makes no progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietUnit {
    /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
    pub unit: u32,
    /// Time since its last step, in milliseconds.
    pub quiet_ms: u64,
    /// The number of its open waits.
    pub open: u32,
    /// The oldest of them, at most [`MAX_WAITS`](crate::MAX_WAITS).
    pub waits: Vec<Wait>,
}

/// Something that a unit waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Who has to end it.
    pub on: WaitOn,
    /// What it is, such as `ec2 DescribeVolumes in us-east-1`.
    pub what: String,
    /// How long it has been open, in milliseconds.
    pub for_ms: u64,
}

/// Who has to end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitOn {
    /// The cloud: a call, with its retries and its place in the queue of the limiter.
    Call,
    /// The supervisor: an answer to a question for credentials or a shared value.
    Answer,
    /// The supervisor: room in the queue of frames.
    Room,
}

/// A log line or a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A log line.
    Log {
        /// Its level.
        level: Level,
        /// The module that wrote it.
        target: String,
        /// The text.
        message: String,
    },
    /// A counter went up.
    Count {
        /// The metric's name, without prefix and suffix.
        name: String,
        /// Label names and values.
        labels: Vec<(String, String)>,
        /// By how much.
        by: u64,
    },
    /// Something took its time.
    Duration {
        /// The metric's name, without prefix and suffix.
        name: String,
        /// How long, in seconds.
        seconds: f64,
    },
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Something was lost.
    Error,
    /// Something is odd; the work goes on.
    Warn,
    /// What a user wants to follow.
    Info,
    /// What a developer wants to follow.
    Debug,
    /// Everything.
    Trace,
}

/// A part of a unit that could not be collected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The account's id.
    pub account: String,
    /// The region, or empty.
    pub region: String,
    /// The service, such as `ec2`.
    pub service: String,
    /// The API call, such as `DescribeVolumes`, or empty.
    pub operation: String,
    /// The error code, such as `UnauthorizedOperation`.
    pub code: String,
    /// The error's text, without secrets.
    pub message: String,
}

/// Something of a unit that was not seen. It may exist, as it was when it was seen last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Missing {
    /// Nodes of a kind directly below a node, as their list was not complete.
    Kind {
        /// The node that they hang below, such as that of a region.
        below: [u8; 16],
        /// The name of that region, in which references to them are looked up.
        scope: String,
        /// Their kind.
        kind: String,
        /// Kinds that are listed for each of them, and for each of those in turn.
        with: Vec<String>,
        /// Why they are missing.
        why: Why,
    },
    /// Properties and edges of nodes that were sent.
    Parts {
        /// The nodes.
        nodes: Vec<[u8; 16]>,
        /// Names of properties. `name` stands for the identity of the node as well.
        properties: Vec<String>,
        /// Edges that come from the missing answers.
        edges: Vec<MissingEdge>,
    },
    /// Edges of nodes that were sent, to or from nodes that were not seen.
    Edges {
        /// The direction and the kind of the other ends.
        edge: MissingEdge,
        /// The attribute by which the other ends are found.
        attribute: String,
        /// The nodes, each with the hash of the reference to its other end.
        ends: Vec<([u8; 16], [u8; 16])>,
    },
}

/// Why nodes of a kind are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// They could not be seen.
    Unseen,
    /// An option leaves them out, and the core is to keep them.
    Kept,
    /// An option leaves them out, and the core forgets them.
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

/// What was sent for a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Nodes.
    pub nodes: u64,
    /// Edges, deferred ones not counted.
    pub edges: u64,
    /// Deferred edges.
    pub deferred: u64,
}

/// Why a job or a unit failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class, which decides about a retry.
    pub kind: FailureKind,
    /// What failed, where, and what to do.
    pub message: String,
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The settings cannot work. Not retried.
    Configuration,
    /// No credentials, or refused ones. Not retried.
    Credentials,
    /// The cloud did not answer, throttled for too long, or answered oddly. Retried.
    Unavailable,
    /// The soft deadline passed, or the supervisor cancelled. Not retried.
    Cancelled,
    /// A fault in the worker itself. Retried.
    Internal,
    /// The unit made no progress, and nothing outside the worker would have woken it. Retried.
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

/// Short-lived credentials of one unit, as the collector's broker made them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Credentials {
    /// The collector's own form, as JSON.
    pub secret: String,
    /// When they end, in seconds since 1970; `None` if they do not.
    pub expires: Option<i64>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("expires", &self.expires).finish_non_exhaustive()
    }
}
