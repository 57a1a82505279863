//! Operations: changes of resources, carried out by workers that live as long as they have work.
//!
//! `state` decides, as a part of the supervisor's state; `assignment` chooses the worker of an operation, and `room`
//! those that leave. `callers` is the way to them: a handle for callers, and the dispatcher's list of callers that
//! wait. Every request gets exactly one outcome: from its worker, or because the worker ended, its deadline passed, or
//! the supervisor stops.

mod assignment;
mod callers;
mod room;
mod state;
#[cfg(test)]
mod tests;
mod worker;

use std::time::{Duration, Instant};

use worker_proto::{Unit, Verb};

pub use self::callers::OperationPool;
pub(super) use self::callers::{Callers, Message};
pub use self::state::{Pending, WorkerLifetimes};
pub(super) use self::{state::Operations, worker::OperationWorker};

/// How urgent an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for the outcome, for seconds.
    Urgent,
    /// The operation may take long.
    Background,
}

/// On whose behalf an operation is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The name of the action.
    pub action: &'static str,
    /// The priority of its operations.
    pub priority: Priority,
}

/// An operation on a resource, and its time limits.
#[derive(Clone, Debug)]
pub struct Request {
    /// The collector.
    pub collector: &'static str,
    /// The account.
    pub unit: Unit,
    /// The operation.
    pub verb: Verb,
    /// The resource, as JSON of a target.
    pub target: String,
    /// The time limit of the worker; the wait for a worker does not count.
    pub limit: Duration,
    /// When the operation must have ended, the wait included.
    pub deadline: Instant,
}
