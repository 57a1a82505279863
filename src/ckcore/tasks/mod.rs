//! Tasks of the core: entries of its work queue, and the connections that carry them.

mod frames;
mod ledger;
mod queue;

use std::collections::BTreeMap;

pub use queue::{SharedTaskLedger, TaskQueue};
use serde_json::{Map, Value};

use super::graph::StoredNode;

/// A piece of work from the core's queue. It waits for exactly one result, about 30 s long.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What identifies it.
    pub id: String,
    /// What to do: `tag`.
    pub name: String,
    /// The ids of cloud, account, region and zone in the cloud, as far as there are any.
    pub attrs: BTreeMap<String, String>,
    /// What the core said: for `tag` either `update` (key to value) or `delete` (keys), and the `node`.
    pub data: Map<String, Value>,
}

impl Task {
    /// The node that the task is about, without what its core added.
    #[must_use]
    pub fn node(&self) -> Option<StoredNode> {
        self.data.get("node").and_then(StoredNode::read)
    }
}

/// The outcome of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskResult {
    /// It is done; the node as it is now, without the core's additions, or null.
    Done(Value),
    /// It failed, with the reason for people; long texts are cut.
    Error(String),
}
