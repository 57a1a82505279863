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

mod actions;
mod config;
mod connection;
mod dialect;
mod error;
mod event;
mod graph;
mod outbox;
mod tasks;
mod transport;

pub use actions::{Action, ActionKey, ActionKind, Answer, InfoLevel, ProgressPart, ProgressTree};
pub use config::{CoreConfig, Generation, Psk, Timing};
pub use connection::{Core, connect};
pub use dialect::Granularity;
pub use error::CoreError;
pub use event::CoreEvent;
pub use graph::{
    Ancestor, CoreApi, LastKnownAccount, LastKnownEdge, LastKnownNode, MergeReport, MergeRequest, NodeChange,
    StoredGraph, StoredNode, Summaries, Summary,
};
pub use tasks::{Task, TaskResult};
pub use transport::{Backoff, KeyRejections, TlsOptions, retry};
