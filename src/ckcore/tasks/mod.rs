//! Tasks: entries of the core's work queue, their ledger, and the connections that carry them.

mod frames;
mod ledger;
mod queue;

use std::collections::BTreeMap;

pub use queue::{SharedTaskLedger, TaskQueue};
use serde_json::{Map, Value};

use super::graph::StoredNode;

/// An entry of the core's work queue. The core waits about 30 s for its one result.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The task's ID.
    pub id: String,
    /// The task's name, such as `tag`.
    pub name: String,
    /// The IDs of cloud, account, region and zone, as far as the node has them.
    pub attrs: BTreeMap<String, String>,
    /// The data: for `tag` either `update` (key to value) or `delete` (keys), and the `node`.
    pub data: Map<String, Value>,
}

impl Task {
    /// Returns the node that the task changes, without the members that the core added.
    #[must_use]
    pub fn node(&self) -> Option<StoredNode> {
        self.data.get("node").and_then(StoredNode::read)
    }
}

/// The outcome of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskResult {
    /// The task succeeded; the changed node without the core's additions, or null.
    Done(Value),
    /// The task failed, with the reason. Long reasons are truncated.
    Error(String),
}
