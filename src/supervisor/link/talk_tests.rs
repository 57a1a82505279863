//! What a conversation makes of its own faults.

#![expect(clippy::panic, reason = "tests")]

use super::*;
use crate::{
    settings::Settings,
    supervisor::{
        event::{AttemptId, RunId},
        link::idle_context,
    },
};

#[tokio::test]
async fn a_panic_in_a_broker_ends_the_worker_at_once() {
    let context = idle_context();
    let soft_deadline = std::time::Instant::now() + Duration::from_secs(60);
    let order = AttemptSpec {
        id: AttemptId(1),
        run: RunId(1),
        collector: "aws",
        kind: JobKind::Plan,
        process: true,
        soft_deadline,
    };
    let collector = LinkCollector { settings: Settings::default(), broker: None };
    let mut talk = Talk::new("aws/plan", order, collector, &context);
    talk.answers.spawn(async { panic!("a broker") });
    let Some(answer) = talk.answers.join_next().await else { panic!("no answer") };
    let (out, _read) = mpsc::channel(1);
    let Err(end) = talk.answer(answer, &out) else { panic!("it goes on") };
    assert!(matches!(&end, End::Stop(StopReason::Fault, grace, _) if grace.is_zero()));
    let outcome = talk.outcome(end, ExitReason::Signal(9), "");
    assert!(matches!(outcome, AttemptOutcome::Stopped(StopReason::Fault, _)), "{outcome:?}");
}

#[test]
fn a_worker_without_memory_is_told_how_to_need_less() {
    let context = LinkContext { memory_limit: 64 << 20, ..idle_context() };
    let soft_deadline = std::time::Instant::now();
    let order = AttemptSpec {
        id: AttemptId(1),
        run: RunId(1),
        collector: "aws",
        kind: JobKind::Plan,
        process: true,
        soft_deadline,
    };
    let collector = LinkCollector { settings: Settings::default(), broker: None };
    let talk = Talk::new("aws/plan", order, collector, &context);
    let outcome = talk.outcome(End::Silent, ExitReason::Signal(Signal::SIGABRT as i32), NO_MEMORY);
    let AttemptOutcome::Stopped(StopReason::Memory, detail) = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("64 MiB") && detail.contains("--aws-region-pool-size"), "{detail}");
}
