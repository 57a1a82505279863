//! The work of a worker: jobs, plans, operations, and the credentials for them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Failure, Gap, Level};

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
    /// Execute operations on resources of one account until [`ToWorker::Finish`](crate::ToWorker::Finish).
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
    /// The cloud executed the change, and these fields of the node have changed with it, by name. Only a change of a tag
    /// ends so.
    Changed(Vec<(String, String)>),
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
