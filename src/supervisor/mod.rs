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
//! What the core asks for beside collections are [`actions`]: plugins whose requests are scheduled by a pure function
//! and run in tasks of their own. They have resources changed by `operations`, a part of the same state as the runs, so
//! that one bound (`workers`) holds for all workers of a collector.
//!
//! # Tasks
//!
//! | task | hears | tells | ends when |
//! |---|---|---|---|
//! | dispatcher, one | signals, the core, sessions, deliveries, callers of operations, ends of actions, the clock | sessions (commands), callers (outcomes), the core (answers, progress), `/jobs` | the work is done, or all has ended after a signal, at the latest four seconds after it |
//! | worker session, one per attempt | its worker's frames, commands, credentials and shared values | its worker, the dispatcher (attempt events) | its worker has ended; it is aborted with its `AttemptHandle` |
//! | reader, writer and relay of standard error, one each per session | the worker's stream; the session's frames; standard error | the session; the worker; the log | the stream ends, or the session does |
//! | request for credentials or a shared value, at most as many as a worker may have open | the broker, or the worker that fetches the value | its session | it has the reply, its timeout passes, or the session ends |
//! | announcement, one per collector and run | the core | the log | it is done; a delivery waits a tenth of its time for it; it ends with its `RunHandle` |
//! | delivery, one per run | the sink | the dispatcher (its result) | it is delivered or fails; it is aborted at the run's deadline, with its `RunHandle` |
//! | action, one per request that runs | the core, outcomes of operations, its cancellation | the dispatcher (operations, its result), the core (progress, reports) | it has its result; it is aborted ten seconds after its deadline, or at the end of a stop |
//!
//! The dispatcher waits for none of them: it sends into queues that have room for all that it may send, and receives
//! from bounded ones. A worker that is a thread runs in a runtime of its own.
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
