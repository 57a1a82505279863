//! The connection to ckcore: actions in, answers and graphs out.
//!
//! # Theory of operation
//! One task owns the action websocket. It registers for the actions that we answer, connects, hands arriving actions to
//! the dispatcher and sends answers, for as long as the daemon lives. What is in work, what was answered, and what still
//! has to be delivered is kept in a pure ledger, which decides what a redelivered action means. [`CoreApi`] carries
//! the requests that need no websocket: graph, model, merge, query.
//!
//! Everything that differs between versions of the core is said by `dialect.rs`; nothing outside this folder
//! knows which core it talks to.
//!
//! # Invariants
//! - The reader of the websocket never waits for the dispatcher, so pings are answered at all times.
//! - An action that is in work or was answered is not started again, however often it is delivered.
//! - An answer is sent until the core has taken it, and again only if the core asks again.

mod api;
mod authority;
mod backoff;
mod carry;
mod config;
mod connection;
mod dialect;
mod error;
mod frames;
mod http;
mod inventory;
mod ledger;
mod lines;
mod link;
mod losses;
mod notes;
mod outbox;
mod peer;
mod queue;
mod stored;
mod tasks;
mod tls;
mod token;
mod until;
mod wire;
mod work;

pub use api::{CoreApi, MergeOrder, MergeReport};
pub use backoff::Backoff;
pub use carry::{Carried, CarriedEdge, CarriedNode};
pub use config::{CoreConfig, Generation, Psk, Timing};
pub use connection::{Core, connect};
pub use dialect::Granularity;
pub use error::CoreError;
pub use inventory::{Summaries, Summary};
use serde_json::{Map, Value};
pub use stored::{Ancestor, NodeChange, Stored, StoredGraph, stored_node};
pub use tls::TlsOptions;
pub use until::{KeyRefusals, until};
pub use work::{InfoLevel, ProgressPart, ProgressTree, Task, TaskResult};

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
pub enum Duty {
    /// Collect the clouds and deliver the graph.
    Collect,
    /// Delete the resources that are marked for it.
    Cleanup,
}

impl Duty {
    /// All of them, in the order of registration.
    pub const ALL: [Duty; 2] = [Duty::Collect, Duty::Cleanup];

    /// The name of the action in the core.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Duty::Collect => "collect",
            Duty::Cleanup => "cleanup",
        }
    }

    /// The duty with this name in the core.
    #[must_use]
    pub fn named(name: &str) -> Option<Duty> {
        Duty::ALL.into_iter().find(|duty| duty.name() == name)
    }
}

/// Something that the core wants done. It waits for exactly one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What identifies it.
    pub key: ActionKey,
    /// What to do.
    pub duty: Duty,
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
        Action { key: self.key.clone(), duty: self.duty, data }
    }
}

/// What the connection tells the dispatcher.
#[derive(Clone, Debug, PartialEq)]
pub enum CoreEvent {
    /// The action websocket is open.
    Connected,
    /// The action websocket could not be opened or was lost. Not said for the short pause after an answer.
    Disconnected {
        /// Why, for people.
        reason: String,
    },
    /// An action that was never delivered before.
    Action(Action),
    /// The core no longer wants an action that is in work. It is answered all the same.
    Abort(ActionKey),
    /// A task of the work queue that was never delivered before.
    Task(Task),
}

/// The outcome of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It failed, with the reason for people; long texts are cut.
    Error(String),
}
