//! Outcomes of sessions that fail in the supervisor.

#![expect(clippy::panic, reason = "tests")]

use super::*;
use crate::{
    settings::Settings,
    supervisor::{
        event::{AttemptId, RunId},
        worker_session::idle_context,
    },
};

/// Invariant: no delivery outlasts its run, and no panic blocks a run.
#[tokio::test]
async fn panic_in_broker_stops_worker_at_once() {
    let context = idle_context();
    let soft_deadline = std::time::Instant::now() + Duration::from_secs(60);
    let spec = AttemptSpec {
        id: AttemptId(1),
        run: Some(RunId(1)),
        collector: "aws",
        kind: JobKind::Plan,
        process: true,
        soft_deadline,
    };
    let collector = SessionCollector { settings: Settings::default(), broker: None };
    let mut session = WorkerSession::new("aws/plan", spec, collector, &context);
    session.replies.spawn(async { panic!("a broker") });
    let Some(reply) = session.replies.join_next().await else { panic!("no answer") };
    let (out, _read) = mpsc::channel(1);
    let Err(end) = session.send_reply(reply, &out) else { panic!("the session continues") };
    assert!(matches!(&end, SessionEnd::Stop(StopReason::InternalError, grace, _) if grace.is_zero()));
    let outcome = session.outcome(end, ExitReason::Signal(9), "");
    assert!(matches!(outcome, AttemptOutcome::Stopped(StopReason::InternalError, _)), "{outcome:?}");
}

#[test]
fn worker_out_of_memory_fails_with_remedy() {
    let context = SessionContext { memory_limit: 64 << 20, ..idle_context() };
    let soft_deadline = std::time::Instant::now();
    let spec = AttemptSpec {
        id: AttemptId(1),
        run: Some(RunId(1)),
        collector: "aws",
        kind: JobKind::Plan,
        process: true,
        soft_deadline,
    };
    let collector = SessionCollector { settings: Settings::default(), broker: None };
    let session = WorkerSession::new("aws/plan", spec, collector, &context);
    let outcome = session.outcome(SessionEnd::Eof, ExitReason::Signal(Signal::SIGABRT as i32), NO_MEMORY);
    let AttemptOutcome::Stopped(StopReason::Memory, detail) = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("64 MiB") && detail.contains("--aws-region-pool-size"), "{detail}");
}
