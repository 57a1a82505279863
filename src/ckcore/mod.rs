//! The connection to the core: receives actions and tasks, sends results and graphs.
//!
//! # Theory of operation
//! One task for each subscriber owns an action websocket (`actions`). The task subscribes to its actions, connects, passes
//! received actions to the dispatcher and sends their results, as long as the daemon runs. A ledger, a pure state,
//! records which actions are in progress, answered and delivered, and decides how a redelivered action is handled.
//! `tasks` does the same for the work queue, `graph` has the requests that need no websocket ([`CoreApi`]), and
//! `transport` connects.
//!
//! All differences between versions of the core are in `dialect.rs`; nothing outside this directory depends on the
//! version.
//!
//! # Invariants
//! - The reader of the websocket never waits for the dispatcher, so pings are answered at all times.
//! - An action that is in progress or answered is not started again when it is redelivered.
//! - A result is sent until the core has received it, and again only if the core redelivers the action.

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

pub use actions::{Action, ActionKey, Answer, InfoLevel, ProgressPart, ProgressTree, SubscriberId, Subscription};
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
