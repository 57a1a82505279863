//! Actions of the core: what it wants done, how its deliveries are kept apart, and the websocket that carries them.

mod frames;
mod ledger;
mod loss_log;
mod progress;
mod subscriber;

pub use progress::{InfoLevel, ProgressPart, ProgressTree, Update};
use serde_json::{Map, Value};
pub use subscriber::{SharedLedger, Subscriber};

/// What identifies an action to the core.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionKey {
    /// The id of the running workflow.
    pub task: String,
    /// The step of the workflow that waits for the answer.
    pub step: String,
}

impl std::fmt::Display for ActionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of task {}", self.step, self.task)
    }
}

/// The actions that we register for and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// Collect the clouds and deliver the graph.
    Collect,
    /// Delete the resources that are marked for it.
    Cleanup,
}

impl ActionKind {
    /// All of them, in the order of registration.
    pub const ALL: [ActionKind; 2] = [ActionKind::Collect, ActionKind::Cleanup];

    /// The name of the action in the core.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ActionKind::Collect => "collect",
            ActionKind::Cleanup => "cleanup",
        }
    }

    /// The kind with this name in the core.
    #[must_use]
    pub fn named(name: &str) -> Option<ActionKind> {
        ActionKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that the core wants done. It waits for exactly one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What identifies it.
    pub key: ActionKey,
    /// What to do.
    pub kind: ActionKind,
    /// All that the core said about it; goes back with the answer.
    pub data: Map<String, Value>,
}

/// The most of an action's data that is kept for its answer, in bytes of JSON.
const ECHO_LIMIT: usize = 16 * 1024;

impl Action {
    /// The same action with no more data than its answer carries: beyond a limit only what the core compares.
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
    /// It is done.
    Done,
    /// It failed, with the reason for people; long texts are cut.
    Error(String),
}
