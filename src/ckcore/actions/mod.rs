//! Actions of the core, the ledger of their results, and the websocket that carries both.

mod connections;
mod frames;
mod ledger;
mod loss_log;
mod progress;
mod subscriber;

pub use connections::Connections;
pub use progress::{InfoLevel, ProgressPart, ProgressTree, Update};
use serde_json::{Map, Value};
pub use subscriber::{SharedLedger, Subscriber};

/// The ID under which actions are subscribed to. Each ID has a websocket and a ledger of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubscriberId {
    /// The ID of the Python worker's part that collects and cleans up.
    Worker,
    /// An ID that ends with this, such as `actions-cleanup_plan-CleanupExpiredPlugin`.
    Plugin(&'static str),
}

impl std::fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Plugin(suffix) => suffix,
        })
    }
}

/// An action of the core that is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The subscriber.
    pub subscriber: SubscriberId,
    /// The name of the action in the core.
    pub action: &'static str,
}

/// The identity of an action in the core.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionKey {
    /// The subscriber that the action was sent to.
    pub subscriber: SubscriberId,
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

/// A step of a workflow of the core. Gets exactly one result.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The action's identity.
    pub key: ActionKey,
    /// The name of the action in the core, as it is subscribed to.
    pub name: &'static str,
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
        let ActionKey { task, step, .. } = self.key.clone();
        let data = Map::from_iter([("task".to_owned(), Value::from(task)), ("step".to_owned(), Value::from(step))]);
        Action { key: self.key.clone(), name: self.name, data }
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
