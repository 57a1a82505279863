//! What goes between the core and the dispatcher beside actions: tasks of the work queue, progress, messages.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::stored::{Stored, stored_node};

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
    pub fn node(&self) -> Option<Stored> {
        self.data.get("node").and_then(stored_node)
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

/// How far an action is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressTree {
    /// The action's name for people.
    pub name: String,
    /// Its parts.
    pub parts: Vec<ProgressPart>,
}

/// How far a part of an action is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressPart {
    /// The names of what it is a part of, outermost first.
    pub path: Vec<String>,
    /// Its name, unique among its neighbours.
    pub name: String,
    /// How much is done, at most `total`.
    pub current: u64,
    /// How much there is to do, at least one.
    pub total: u64,
}

/// How grave a message about an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoLevel {
    /// Good to know.
    Info,
    /// Something was lost.
    Error,
}
