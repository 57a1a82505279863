//! The supervisor: decides what runs, and carries it out.
//!
//! # Theory of operation
//!
//! One task, the dispatcher, receives everything: signals, the core, workers, deliveries and the clock. Each is an
//! [`event::Event`]; the pure function [`state::handle_event`] returns [`event::Effect`]s, which the dispatcher
//! carries out. Every worker is owned by one `worker_session` task, which alone exchanges frames with it, buffers its
//! units, and terminates it.
//! Complete units wait in `completed_units` until their run is merged and delivered.
//!
//! Cleanups and tasks of the core are `actions`: tasks of their own that have their operations carried out by a pool
//! of `operations`, whose workers have sessions too.
//!
//! # Invariants
//!
//! * a unit's nodes are delivered only if the worker reported the unit as done and the counts match;
//! * a cloud is not replaced in a core by a graph that lacks an account for a technical reason;
//! * every run is finished exactly once, and every action is answered exactly once;
//! * the whole shutdown has one upper bound.

mod abort_on_drop;
pub mod actions;
mod completed_units;
mod dispatcher;
pub mod event;
mod notify;
pub mod operations;
pub mod policy;
mod run;
mod shared_values;
pub mod state;
mod status;
pub mod worker_session;
mod workers;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::Stream;

use self::{
    actions::EnabledAction,
    event::DeliveryError,
    policy::Policy,
    worker_session::{Limits, SessionCollector, Timeouts},
};
pub use self::{completed_units::CompletedUnits, dispatcher::Source, status::StatusSenders};
use crate::{
    ckcore::{SubscriberId, Subscription},
    collector_api::Collector,
    delivery::Sink,
    graph::Spool,
    process::Program,
    report::{self, ProgressEvent, RunReport},
    telemetry::Metrics,
};

/// The subscription of the supervisor itself.
const COLLECT: Subscription = Subscription { subscriber: SubscriberId::Worker, action: "collect" };

/// Returns the actions of the core that a supervisor carries out with these plugins.
#[must_use]
pub fn subscriptions(actions: &[EnabledAction]) -> Vec<Subscription> {
    let of_actions = actions.iter().flat_map(|enabled| enabled.action.subscriptions()).copied();
    std::iter::once(COLLECT).chain(of_actions).collect()
}

/// Everything that a supervisor needs.
pub struct Setup {
    /// The collectors, the sizes of pools, timeouts and retries.
    pub policy: Policy,
    /// The enabled collectors: settings and holders of credentials.
    pub collectors: BTreeMap<&'static str, SessionCollector>,
    /// What the core may ask for beside collections.
    pub actions: Vec<EnabledAction>,
    /// The program of worker processes.
    pub program: Program,
    /// The most memory that a worker process may allocate, in bytes; 0 for no limit.
    pub memory_limit: u64,
    /// Where lines wait, and how much memory they may take before they go to a temporary file.
    pub spool: Spool,
    /// The timeouts of worker sessions.
    pub timeouts: Timeouts,
    /// The limits on the data of a worker.
    pub limits: Limits,
    /// Finds collectors that run in this process.
    pub find: fn(&str) -> Option<&'static dyn Collector>,
    /// The most verbose log level that workers should send.
    pub level: worker_proto::Level,
    /// Where graphs go.
    pub sink: Arc<dyn Sink>,
    /// Where measurements go.
    pub metrics: Arc<Metrics>,
    /// Whether a summary is printed at the end, so that the log need not repeat failures.
    pub has_summary: bool,
    /// Receives the progress of a run.
    pub on_progress: Box<dyn FnMut(&ProgressEvent) + Send>,
}

/// How a supervisor ended.
#[derive(Debug)]
pub struct Ended {
    /// The report of the one run, if there was one and it went to its end.
    pub report: Option<RunReport>,
    /// Whether its graph was delivered.
    pub delivery: Result<(), DeliveryError>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    over: bool,
}

impl Default for Ended {
    fn default() -> Self {
        Self { report: None, delivery: Ok(()), signal: None, over: false }
    }
}

/// Runs a supervisor until its source is exhausted or a signal ends it. Afterwards no worker is left.
pub async fn run(
    setup: Setup,
    source: Source,
    signals: impl Stream<Item = i32> + Unpin,
    senders: StatusSenders,
) -> Ended {
    dispatcher::run(setup, source, signals, senders).await
}
