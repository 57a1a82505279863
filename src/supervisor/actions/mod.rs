//! Actions: what the core may ask for beside collections, as plugins.
//!
//! An [`Action`] says which actions of workflows it subscribes to, which tasks of the work queue it takes, and under
//! which rules it runs. `scheduler` decides when it does, and is pure; `runner` carries that out. An action receives an
//! [`ActionContext`] with everything that it may use, and no other part of the supervisor.

mod context;
mod runner;
mod scheduler;

use std::time::Duration;

use serde_json::Value;

pub use self::context::{ActionContext, Cancellation, TargetCollector, TargetCollectors};
pub(super) use self::runner::{ActionEnd, ActionRunner, ActionView};
pub use super::operations::{Priority, Request as OperationRequest};
use crate::{
    ckcore::{self, ActionKey, Subscription, Task},
    collector_api::BoxFuture,
    settings::{OptionGroup, Settings},
};

/// The time that a cancelled action has to report to the core what it did, when the supervisor stops.
pub const FINAL_REPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// What the core asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// A step of a workflow.
    Action(ckcore::Action),
    /// A task of the work queue.
    Task(Task),
}

impl Request {
    /// Returns the identity of the step, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&ActionKey> {
        match self {
            Self::Action(action) => Some(&action.key),
            Self::Task(_) => None,
        }
    }

    /// Returns the ID of the workflow or of the task.
    fn task(&self) -> &str {
        match self {
            Self::Action(action) => &action.key.task,
            Self::Task(task) => &task.id,
        }
    }
}

/// The result of an action: what the core gets back for a task (null for a step of a workflow), or the reason of the
/// failure.
pub type ActionResult = Result<Value, String>;

/// How many requests of an action may run and wait, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionLimits {
    /// How many run at the same time, at least one.
    pub running: usize,
    /// How many may wait; further ones are rejected.
    pub waiting: usize,
    /// From the request to the result, the wait included; `None` stands for `--timeout`.
    pub timeout: Option<Duration>,
    /// What helps if requests time out while they wait.
    pub remedy: &'static str,
}

/// A plugin that carries out what the core asks for.
///
/// It must not wait without its deadline, and must end soon after it is cancelled.
pub trait Action: Send + Sync {
    /// Returns the name in the log, in metrics and on `/jobs`, and for [`Action::excludes`].
    fn name(&self) -> &'static str;

    /// Returns its options, also those that no single option can check.
    fn options(&self) -> &'static OptionGroup;

    /// Whether these settings enable it. One that is not enabled does not subscribe.
    fn is_enabled(&self, _settings: &Settings) -> bool {
        true
    }

    /// Returns the actions of workflows that it carries out.
    fn subscriptions(&self) -> &'static [Subscription] {
        &[]
    }

    /// Returns the names of the tasks of the work queue that it carries out.
    fn tasks(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the names of the actions beside which it must not run; its own name means one after the other.
    fn excludes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns how many requests may run and wait.
    fn limits(&self) -> ActionLimits;

    /// Returns the priority of its operations on resources.
    fn priority(&self) -> Priority {
        Priority::Background
    }

    /// Carries out a request.
    fn run(&self, request: Request, context: ActionContext) -> BoxFuture<'static, ActionResult>;
}

/// An enabled action and the values of its options.
#[derive(Clone)]
pub struct EnabledAction {
    /// The action.
    pub action: &'static dyn Action,
    /// Its settings.
    pub settings: Settings,
}
