//! The pool as sequences of events.

#![expect(clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use worker_proto::{Unit, Verb};

use super::*;
use crate::{
    collector_api::Concurrency,
    process::{ExitReason, StopReason},
    settings::Settings,
    supervisor::policy::CollectorPolicy,
};

const SECOND: Duration = Duration::from_secs(1);

struct Play {
    state: PoolState,
    now: Instant,
}

impl Play {
    fn new(workers: usize) -> Self {
        let lifetimes =
            WorkerLifetimes { idle: 10 * SECOND, age: 1000 * SECOND, grace: 5 * SECOND, stop_grace: SECOND };
        let limits = BTreeMap::from([("aws", Limit { workers, process: true })]);
        Self { state: PoolState::new(limits, lifetimes), now: Instant::now() }
    }

    fn new_request(&self, account: &str, limit: Duration) -> Request {
        let unit =
            Unit { id: account.into(), label: String::new(), kind: String::new(), parts: 0, payload: String::new() };
        let deadline = self.now + 100 * SECOND;
        Request { collector: "aws", unit, verb: Verb::Delete, subject: String::new(), limit, deadline }
    }

    /// Returns the effects in short words.
    fn step(&mut self, event: Event) -> Vec<String> {
        self.state.step(event, self.now).into_iter().map(short).collect()
    }

    fn request(&mut self, id: u64, account: &str) -> Vec<String> {
        let request = self.new_request(account, 100 * SECOND);
        self.step(Event::Requested(Pending::new(id, request)))
    }

    fn crashed(&mut self, job: u64) -> Vec<String> {
        self.step(Event::Ended(AttemptId(job), AttemptOutcome::Crashed(ExitReason::Signal(9))))
    }

    fn later(&mut self, seconds: u32) -> Vec<String> {
        self.now += seconds * SECOND;
        self.step(Event::Tick)
    }
}

fn short(effect: Effect) -> String {
    match effect {
        Effect::Start(order) => format!("start {}", order.id.0),
        Effect::Send(job, operation) => format!("send {} to {}", operation.id, job.0),
        Effect::Finish(job) => format!("finish {}", job.0),
        Effect::Stop(job, reason, _) => format!("kill {} {}", job.0, reason.label()),
        Effect::Reply(id, Outcome::Failed(failure)) => format!("{id} failed: {}", failure.message),
        Effect::Reply(id, outcome) => format!("{id} {outcome:?}"),
    }
}

#[test]
fn account_has_one_worker_for_all_operations() {
    let mut play = Play::new(5);
    assert_eq!(play.request(1, "a"), ["start 0", "send 1 to 0"]);
    assert_eq!(play.request(2, "a"), ["send 2 to 0"]);
    assert_eq!(play.request(3, "b"), ["start 1", "send 3 to 1"]);
    assert_eq!(play.step(Event::Operated(AttemptId(0), 2, Outcome::Done)), ["2 Done"]);
}

#[test]
fn account_without_room_waits_for_idle_worker_to_exit() {
    let mut play = Play::new(1);
    play.request(1, "a");
    assert_eq!(play.request(2, "b"), [""; 0]);
    assert_eq!(play.step(Event::Operated(AttemptId(0), 1, Outcome::Done)), ["1 Done", "finish 0"]);
    assert_eq!(play.step(Event::Ended(AttemptId(0), AttemptOutcome::Finished)), ["start 1", "send 2 to 1"]);
}

#[test]
fn operations_of_dead_worker_are_retried_once() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "a");
    assert_eq!(play.crashed(0), ["start 1", "send 1 to 1", "send 2 to 1"]);
    play.step(Event::Operated(AttemptId(1), 2, Outcome::Done));
    assert_eq!(play.crashed(1), ["1 failed: worker was killed by signal SIGKILL"]);
}

#[test]
fn version_mismatch_is_not_retried() {
    let mut play = Play::new(1);
    play.request(1, "a");
    let ended = Event::Ended(AttemptId(0), AttemptOutcome::Version("another version".into()));
    assert_eq!(play.step(ended), ["1 failed: another version"]);
}

#[test]
fn idle_worker_is_finished() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.step(Event::Operated(AttemptId(0), 1, Outcome::Done));
    assert_eq!(play.later(9), [""; 0]);
    assert_eq!(play.later(1), ["finish 0"]);
    assert_eq!(play.later(6), ["kill 0 deadline"], "one that does not end is ended");
}

#[test]
fn overdue_operation_stops_its_worker() {
    let mut play = Play::new(1);
    play.request(1, "a");
    assert_eq!(play.later(104), [""; 0]);
    assert_eq!(play.later(1), ["kill 0 overdue"]);
    let ended = Event::Ended(AttemptId(0), AttemptOutcome::Stopped(StopReason::Overdue, String::new()));
    let Some(answer) = play.step(ended).pop() else { panic!("no answer") };
    assert!(answer.starts_with("1 failed: worker exceeded the time limit"), "{answer}");
}

#[test]
fn operation_waiting_beyond_deadline_fails() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "b");
    assert_eq!(play.later(100), ["2 failed: timeout exceeded before it could begin"]);
}

#[test]
fn unexpected_result_stops_the_worker() {
    let mut play = Play::new(1);
    play.request(1, "a");
    assert_eq!(play.step(Event::Operated(AttemptId(0), 7, Outcome::Done)), ["kill 0 protocol"]);
}

#[test]
fn stop_fails_open_operations_and_ends_with_last_worker() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "b");
    assert_eq!(
        play.step(Event::Stop(SECOND)),
        ["2 failed: ckworker is stopping", "1 failed: ckworker is stopping", "kill 0 shutdown"]
    );
    assert_eq!(play.request(3, "a"), ["3 failed: ckworker is stopping"]);
    assert!(!play.state.is_over());
    assert_eq!(play.crashed(0), [""; 0]);
    assert!(play.state.is_over());
}

#[test]
fn old_worker_is_replaced_when_idle() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.now += 50 * SECOND;
    play.step(Event::Operated(AttemptId(0), 1, Outcome::Done));
    play.now += 1000 * SECOND;
    assert_eq!(play.request(2, "a"), ["start 1", "send 2 to 1"]);
}

#[test]
fn cancelled_operation_starts_only_if_begun_before() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "b");
    assert_eq!(play.step(Event::Cancelled(2)), ["2 failed: cancelled before it could begin"]);
    assert_eq!(play.step(Event::Cancelled(1)), [""; 0]);
    assert_eq!(play.step(Event::Operated(AttemptId(0), 1, Outcome::Done)), ["1 Done"]);
    assert_eq!(play.step(Event::Cancelled(1)), [""; 0], "an outcome that came first stands");
}

#[test]
fn cancelled_operation_is_not_retried() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.step(Event::Cancelled(1));
    assert_eq!(play.crashed(0), ["1 failed: worker was killed by signal SIGKILL"]);
}

/// Invariant: an abandoned operation is not executed.
#[test]
fn abandoned_operation_is_skipped_or_its_worker_stopped() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "a");
    play.request(3, "b");
    assert_eq!(play.step(Event::Abandoned(3)), [""; 0]);
    assert_eq!(play.step(Event::Abandoned(1)), [""; 0], "the other operation is waited for");
    assert_eq!(play.step(Event::Abandoned(2)), ["kill 0 abandoned"]);
    // The next request, perhaps for the same resource, waits until the worker has ended.
    assert_eq!(play.request(4, "a"), [""; 0]);
    let ended = Event::Ended(AttemptId(0), AttemptOutcome::Stopped(StopReason::Abandoned, String::new()));
    let effects = play.step(ended);
    assert_eq!(effects[effects.len() - 2..], ["start 1", "send 4 to 1"], "{effects:?}");
}

#[test]
fn account_has_no_second_worker_while_first_is_stopping() {
    let mut play = Play::new(2);
    play.request(1, "a");
    assert_eq!(play.step(Event::Operated(AttemptId(0), 7, Outcome::Done)), ["kill 0 protocol"]);
    assert_eq!(play.request(2, "a"), [""; 0]);
    assert_eq!(play.request(3, "b"), ["start 1", "send 3 to 1"]);
}

#[test]
fn operation_time_limit_starts_with_its_worker() {
    let mut play = Play::new(1);
    play.request(1, "a");
    let request = play.new_request("b", 30 * SECOND);
    play.step(Event::Requested(Pending::new(2, request)));
    play.now += 50 * SECOND;
    play.step(Event::Operated(AttemptId(0), 1, Outcome::Done));
    let effects = play.state.step(Event::Ended(AttemptId(0), AttemptOutcome::Finished), play.now);
    let Some(Effect::Send(_, operation)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((operation.id, operation.limit_ms), (2, 30_000));
    assert_eq!(play.later(34), [""; 0]);
    assert_eq!(play.later(1), ["kill 1 overdue"]);
}

#[test]
fn second_stop_kills_workers_at_once() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.request(2, "b");
    let mut graces = |grace| {
        let effects = play.state.step(Event::Stop(grace), play.now).into_iter();
        effects
            .filter_map(|effect| if let Effect::Stop(_, _, grace) = effect { Some(grace) } else { None })
            .collect::<Vec<_>>()
    };
    assert_eq!(graces(SECOND), [SECOND; 2]);
    assert_eq!(graces(Duration::ZERO), [Duration::ZERO; 2]);
}

/// Invariant: rejected credentials are permanent, and a crash is retried.
#[test]
fn operation_beyond_any_worker_is_not_retried() {
    for (reason, is_given) in [
        (StopReason::Memory, false),
        (StopReason::Excess, false),
        (StopReason::Spool, false),
        (StopReason::Protocol, true),
        (StopReason::Silence, true),
        (StopReason::Overdue, true),
    ] {
        let mut play = Play::new(1);
        play.request(1, "a");
        let effects = play.step(Event::Ended(AttemptId(0), AttemptOutcome::Stopped(reason, String::new())));
        assert_eq!(effects.contains(&"send 1 to 1".to_owned()), is_given, "{effects:?}");
        assert_eq!(effects.contains(&format!("1 failed: {reason}")), !is_given, "{effects:?}");
    }
}

#[test]
fn old_idle_worker_does_not_block_its_successor() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.now += 1000 * SECOND;
    play.step(Event::Operated(AttemptId(0), 1, Outcome::Done));
    assert_eq!(play.request(2, "a"), ["start 1", "send 2 to 1"]);
    assert_eq!(play.request(3, "a"), ["send 3 to 1"]);
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[tokio::test]
async fn second_stop_reaches_workers() {
    let long = 600 * SECOND;
    let units = Concurrency { fork: true, pool: 1 };
    let policy = Policy::new(vec![CollectorPolicy { name: "aws", process: true, units }], 1, long);
    let collectors = BTreeMap::from([("aws", SessionCollector { settings: Settings::default(), broker: None })]);
    let task = OperationPoolTask::start(
        &policy,
        WorkerLifetimes::new(long, long),
        collectors,
        &worker_session::idle_context(),
    );
    let (pool, request) = (task.pool(), Play::new(1).new_request("a", long));
    let late = Request { deadline: Instant::now(), ..request.clone() };
    let begun = tokio::spawn(async move { pool.operate(request, std::future::pending()).await });
    tokio::task::yield_now().await;
    // Requests are handled in order: when this one has its outcome, the other has its worker.
    assert!(matches!(task.pool().operate(late, std::future::pending()).await, Outcome::Failed(_)));
    task.stop(long);
    assert_eq!(begun.await.ok(), Some(stopping()));
    assert!(!task.is_over(), "the worker has its grace");
    task.stop(Duration::ZERO);
    assert!(tokio::time::timeout(20 * SECOND, task.task).await.is_ok());
}
