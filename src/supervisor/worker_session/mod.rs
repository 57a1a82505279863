//! The session with one worker: starts it, exchanges frames with it, buffers its units, and terminates it.
//!
//! A session is one task that owns one worker for its lifetime and treats its input as untrusted: frames are bounded,
//! units must be the job's own, counts must match, and silence has a limit. It reports to the dispatcher with
//! [`AttemptEvent`]s; the last of them is always [`AttemptEvent::Ended`].

mod limits;
mod liveness;
mod pending_requests;
mod session;
mod stderr;
mod termination;
mod transport;
mod truncate;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::sync::mpsc;
use worker_proto::{Failure, FailureKind, Job, JobKind, Unit};

pub use self::session::Command;
use super::{
    completed_units::CompletedUnits,
    event::{AttemptEvent, AttemptId, AttemptOutcome, AttemptSpec, UnitKey},
    shared_values::{Lender, SharedValues},
};
use crate::{
    collector_api::{Broker, Collector},
    graph::Spool,
    process::Program,
    settings::Settings,
    telemetry::Metrics,
};

/// The timeouts of a session.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the start to the worker's `Ready`.
    pub handshake: Duration,
    /// Between two frames: a worker that is silent for longer has died or is stopped.
    pub silence: Duration,
    /// Without progress, until the log names the calls that a unit waits for; twice the time for each further line.
    pub notice: Duration,
    /// Without progress of any unit, while nothing outside the worker will wake one, until the worker is stopped.
    pub stall: Duration,
    /// The same while a unit waits for a call or for a reply of the supervisor. Longer than a call may take.
    pub longest_wait: Duration,
    /// From the last frame to the exit.
    pub exit: Duration,
    /// For one set of credentials.
    pub credentials: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            notice: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            longest_wait: Duration::from_secs(660),
            exit: Duration::from_secs(5),
            credentials: Duration::from_secs(90),
        }
    }
}

/// The limits on the data of a worker. A worker above a limit is killed, before the supervisor runs out of memory and
/// all workers end.
///
/// An account of a million resources takes some 300 MiB beside its lines.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The memory that one unit may take, in bytes: ids, kinds, edges and the like, but no lines.
    pub unit: u64,
    /// The memory that all units of one worker may take, in bytes; some workers have all accounts.
    pub worker: u64,
    /// The lines of one worker, in bytes: what a disk can take.
    pub lines: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unit: 1 << 30, worker: 4 << 30, lines: 16 << 30 }
    }
}

/// The context that all sessions share.
#[derive(Clone)]
pub struct SessionContext {
    /// The program of worker processes.
    pub program: Program,
    /// The most memory that a worker process may allocate, in bytes; 0 for no limit.
    pub memory_limit: u64,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The limits on the data of a worker.
    pub limits: Limits,
    /// Finds collectors that run in this process.
    pub find: fn(&str) -> Option<&'static dyn Collector>,
    /// The most verbose log level that workers should send.
    pub level: worker_proto::Level,
    /// Where lines wait.
    pub spool: Spool,
    /// Values that the workers of a run share.
    pub shared_values: Arc<SharedValues>,
    /// Where complete units are kept.
    pub completed_units: Arc<CompletedUnits>,
    /// Where measurements go.
    pub metrics: Arc<Metrics>,
    /// Where events go.
    pub events: mpsc::Sender<(AttemptId, AttemptEvent)>,
}

/// The part of a session's context that depends on its collector.
#[derive(Clone)]
pub struct SessionCollector {
    /// The settings, secrets left out.
    pub settings: Settings,
    /// The holder of its credentials.
    pub broker: Option<Arc<dyn Broker>>,
}

/// Returns the name of a job in logs, metrics and `/jobs`.
#[must_use]
pub fn job_name(spec: &AttemptSpec) -> String {
    match &spec.kind {
        JobKind::Plan => format!("{}/plan", spec.collector),
        JobKind::PlanAndCollect { .. } => spec.collector.to_owned(),
        JobKind::Unit { unit, .. } => format!("{}/{}", spec.collector, unit.id),
        JobKind::Operate { unit } => operations_name(spec.collector, unit),
    }
}

/// Returns the name of the operations in one account.
pub(super) fn operations_name(collector: &str, unit: &Unit) -> String {
    format!("{collector}/{}/operations", unit.id)
}

/// Runs one attempt from start to end.
pub async fn run(
    spec: AttemptSpec,
    collector: SessionCollector,
    context: Arc<SessionContext>,
    commands: mpsc::Receiver<Command>,
) {
    let (id, lender) = (spec.id, Lender::of(&spec));
    let name = job_name(&spec);
    let (kind, broker) = (spec.kind.clone(), collector.broker.clone());
    let session = async {
        match transport::start(&spec, &context) {
            Ok(transport) => {
                session::WorkerSession::new(&name, spec, collector, &context).run(transport, commands).await
            }
            Err(error) => AttemptOutcome::NotStarted(error.to_string()),
        }
    };
    let outcome = catch_panic(session).await;
    context.shared_values.release(lender, id);
    end_credentials(&name, broker.as_deref(), &kind, context.timeouts.exit).await;
    // The dispatcher has exited; the send error can be ignored.
    let _ = context.events.send((id, AttemptEvent::Ended(outcome))).await;
}

/// Tells the broker that the worker of a job has ended. It may take as long as the exit of a worker.
async fn end_credentials(job: &str, broker: Option<&dyn Broker>, kind: &JobKind, limit: Duration) {
    let Some(broker) = broker else { return };
    let unit = match kind {
        JobKind::Plan => return,
        JobKind::PlanAndCollect { .. } => None,
        JobKind::Unit { unit, .. } | JobKind::Operate { unit } => Some(unit),
    };
    // An attempt that never ends would block its run.
    let ended = AssertUnwindSafe(tokio::time::timeout(limit, broker.ended(unit))).catch_unwind().await;
    if !matches!(ended, Ok(Ok(()))) {
        tracing::warn!(peer = "worker", job, "the broker did not end the credentials of a worker in time");
    }
}

/// Returns the outcome, also if the session panics: an attempt that never ends would block its run.
async fn catch_panic(session: impl Future<Output = AttemptOutcome>) -> AttemptOutcome {
    AssertUnwindSafe(session).catch_unwind().await.unwrap_or_else(|_| internal_error())
}

/// Returns the outcome of a session that panicked.
fn internal_error() -> AttemptOutcome {
    let message = "internal error: worker session panicked; please report this bug".to_owned();
    AttemptOutcome::Failed(Failure { kind: FailureKind::Internal, message })
}

/// Returns the frame with the job.
fn job_frame(name: &str, spec: &AttemptSpec, settings: &Settings, level: worker_proto::Level) -> Job {
    let soft = spec.soft_deadline.saturating_duration_since(std::time::Instant::now());
    Job {
        name: name.to_owned(),
        collector: spec.collector.to_owned(),
        kind: spec.kind.clone(),
        settings: serde_json::to_string(settings).unwrap_or_default(),
        soft_deadline_ms: u64::try_from(soft.as_millis()).unwrap_or(u64::MAX),
        level,
    }
}

/// Returns the key of a unit of this job; operations have none.
fn unit_key(spec: &AttemptSpec, unit: u32) -> Option<UnitKey> {
    Some(UnitKey { run: spec.run?, collector: spec.collector, unit })
}

/// A context whose workers send nothing and do not exit by themselves.
#[cfg(test)]
pub(super) fn idle_context() -> SessionContext {
    SessionContext {
        program: Program { path: "/bin/sh".into(), args: vec!["-c".into(), "sleep 600".into()] },
        memory_limit: 0,
        timeouts: Timeouts::default(),
        limits: Limits::default(),
        find: crate::collectors::find,
        level: worker_proto::Level::Info,
        spool: Spool::new(1 << 20),
        shared_values: Arc::default(),
        completed_units: Arc::default(),
        metrics: Arc::new(Metrics::new()),
        events: mpsc::channel(1).0,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "tests")]

    use worker_proto::Credentials;

    use super::*;
    use crate::collector_api::BoxFuture;

    /// A broker that never learns of the end of a worker, or panics then.
    struct Faulty {
        panics: bool,
    }

    impl Broker for Faulty {
        fn credentials<'a>(&'a self, _unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
            Box::pin(std::future::pending())
        }

        fn ended<'a>(&'a self, _unit: Option<&'a Unit>) -> BoxFuture<'a, ()> {
            let panics = self.panics;
            Box::pin(async move {
                assert!(!panics, "a fault");
                std::future::pending().await
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn faulty_broker_does_not_keep_an_attempt_from_ending() {
        let (kind, limit) = (JobKind::PlanAndCollect { pool: 1 }, Duration::from_secs(5));
        for panics in [true, false] {
            let began = tokio::time::Instant::now();
            end_credentials("job", Some(&Faulty { panics }), &kind, limit).await;
            assert_eq!(began.elapsed(), if panics { Duration::ZERO } else { limit });
        }
    }

    /// Invariant: no delivery outlasts its run, and no panic blocks a run.
    #[tokio::test]
    async fn panic_in_session_is_an_outcome() {
        let outcome = catch_panic(async { panic!("a fault") }).await;
        let AttemptOutcome::Failed(Failure { kind: FailureKind::Internal, message }) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(message.contains("report"), "{message}");
    }
}
