//! Actions of the core, the ledger of their results, and the websocket that carries both.

mod frames;
mod ledger;
mod loss_log;
mod progress;
mod subscriber;

pub use progress::{InfoLevel, ProgressPart, ProgressTree, Update};
use serde_json::{Map, Value};
pub use subscriber::{SharedLedger, Subscriber};

/// The identity of an action in the core.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionKey {
    /// The ID of the running workflow.
    pub task: String,
    /// The step of the workflow that waits for the result.
    pub step: String,
}

impl std::fmt::Display for ActionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of task {}", self.step, self.task)
    }
}

/// The actions that ckworker subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// Collect the clouds and deliver the graph.
    Collect,
    /// Delete the resources that are marked for it.
    Cleanup,
}

impl ActionKind {
    /// All kinds, in the order of subscription.
    pub const ALL: [ActionKind; 2] = [ActionKind::Collect, ActionKind::Cleanup];

    /// Returns the name of the action in the core.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ActionKind::Collect => "collect",
            ActionKind::Cleanup => "cleanup",
        }
    }

    /// Returns the kind with this name in the core.
    #[must_use]
    pub fn named(name: &str) -> Option<ActionKind> {
        ActionKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A step of a workflow of the core. Gets exactly one result.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The action's identity.
    pub key: ActionKey,
    /// The kind of work.
    pub kind: ActionKind,
    /// The data that the core sent; returned with the result.
    pub data: Map<String, Value>,
}

/// The limit of an action's data that is kept for its result, in bytes of JSON.
const ECHO_LIMIT: usize = 16 * 1024;

impl Action {
    /// Returns the action with the data for its result: above the limit only the members that the core compares.
    fn for_answer(&self) -> Action {
        if Value::Object(self.data.clone()).to_string().len() <= ECHO_LIMIT {
            return self.clone();
        }
        let ActionKey { task, step } = self.key.clone();
        let data = Map::from_iter([("task".to_owned(), Value::from(task)), ("step".to_owned(), Value::from(step))]);
        Action { key: self.key.clone(), kind: self.kind, data }
    }
}

/// The outcome of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The action succeeded.
    Done,
    /// The action failed, with the reason. Long reasons are truncated.
    Error(String),
}
