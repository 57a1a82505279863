//! The pool as sequences of events.

#![expect(clippy::panic, reason = "tests")]

mod room;

use std::time::{Duration, Instant};

use worker_proto::{Outcome, Unit, Verb};

use super::*;
use crate::{
    collector_api::Concurrency,
    process::{ExitReason, StopReason},
    supervisor::{
        event::{AttemptEvent, AttemptId, AttemptOutcome, Effect, Event, OperationEvent, OperationId, RunId},
        policy::{CollectorPolicy, Policy},
        state::{State, handle_event},
    },
};

const SECOND: Duration = Duration::from_secs(1);
const DELETE: Client = Client { action: "cleanup", priority: Priority::Background };
const TAG: Client = Client { action: "tag", priority: Priority::Urgent };

struct Play {
    state: State,
    now: Instant,
}

impl Play {
    fn new(workers: usize) -> Self {
        let units = Concurrency { fork: true, pool: workers };
        let policy =
            Policy::new(vec![CollectorPolicy { name: "aws", is_named: true, process: true, units }], 1, 1000 * SECOND);
        let policy = Policy { stop_grace: SECOND, ..policy };
        Self { state: State::new(policy), now: Instant::now() }
    }

    fn new_request(&self, account: &str, limit: Duration) -> Request {
        let unit =
            Unit { id: account.into(), label: String::new(), kind: String::new(), parts: 0, payload: String::new() };
        let deadline = self.now + 100 * SECOND;
        Request { collector: "aws", unit, verb: Verb::Delete, target: String::new(), limit, deadline }
    }

    /// Returns the effects in short words.
    fn step(&mut self, event: Event) -> Vec<String> {
        handle_event(&mut self.state, event, self.now).into_iter().map(short).collect()
    }

    fn submit(&mut self, id: u64, client: Client, request: Request) -> Vec<String> {
        self.step(Event::Operation(OperationEvent::Requested(Pending::new(OperationId(id), client, request))))
    }

    fn request(&mut self, id: u64, account: &str) -> Vec<String> {
        self.submit(id, DELETE, self.new_request(account, 100 * SECOND))
    }

    fn tag(&mut self, id: u64, account: &str) -> Vec<String> {
        self.submit(id, TAG, self.new_request(account, 100 * SECOND))
    }

    fn cancel(&mut self, id: u64) -> Vec<String> {
        self.step(Event::Operation(OperationEvent::Cancelled(OperationId(id))))
    }

    fn abandon(&mut self, id: u64) -> Vec<String> {
        self.step(Event::Operation(OperationEvent::Abandoned(OperationId(id))))
    }

    fn done(&mut self, job: u64, id: u64) -> Vec<String> {
        self.step(Event::Attempt(AttemptId(job), AttemptEvent::Operated(id, Outcome::Done)))
    }

    fn ended(&mut self, job: u64, outcome: AttemptOutcome) -> Vec<String> {
        self.step(Event::Attempt(AttemptId(job), AttemptEvent::Ended(outcome)))
    }

    fn crashed(&mut self, job: u64) -> Vec<String> {
        self.ended(job, AttemptOutcome::Crashed(ExitReason::Signal(9)))
    }

    fn later(&mut self, seconds: u32) -> Vec<String> {
        self.now += seconds * SECOND;
        self.step(Event::Tick)
    }
}

fn short(effect: Effect) -> String {
    match effect {
        Effect::Start(order) => format!("start {}", order.id.0),
        Effect::Operate(job, operation) => format!("send {} to {}", operation.id, job.0),
        Effect::Finish(job) => format!("finish {}", job.0),
        Effect::Stop(job, reason, _) => format!("kill {} {}", job.0, reason.label()),
        Effect::Reply(id, Outcome::Failed(failure)) => format!("{} failed: {}", id.0, failure.message),
        Effect::Reply(id, outcome) => format!("{} {outcome:?}", id.0),
        Effect::Exit => "exit".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn account_has_one_worker_for_all_operations() {
    let mut play = Play::new(5);
    assert_eq!(play.request(1, "a"), ["start 0", "send 1 to 0"]);
    assert_eq!(play.request(2, "a"), ["send 2 to 0"]);
    assert_eq!(play.request(3, "b"), ["start 1", "send 3 to 1"]);
    assert_eq!(play.done(0, 2), ["2 Done"]);
}

#[test]
fn account_without_room_waits_for_idle_worker_to_exit() {
    let mut play = Play::new(1);
    play.tag(1, "a");
    play.request(2, "b");
    assert_eq!(play.done(0, 1), ["1 Done"]);
    assert_eq!(play.request(3, "c"), [""; 0], "the idle worker does not hold it up");
    assert_eq!(play.tag(4, "c"), ["finish 0"]);
    assert_eq!(play.ended(0, AttemptOutcome::Finished), ["start 2", "send 4 to 2"]);
    assert_eq!(play.done(1, 2), ["2 Done", "send 3 to 2"]);
}

#[test]
fn operations_of_dead_worker_are_retried_once() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "a");
    assert_eq!(play.crashed(0), ["start 1", "send 1 to 1", "send 2 to 1"]);
    play.done(1, 2);
    assert_eq!(play.crashed(1), ["1 failed: worker was killed by signal SIGKILL"]);
}

#[test]
fn version_mismatch_is_not_retried() {
    let mut play = Play::new(1);
    play.request(1, "a");
    assert_eq!(play.ended(0, AttemptOutcome::Version("another version".into())), ["1 failed: another version"]);
}

#[test]
fn idle_worker_is_finished() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.done(0, 1);
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
    let Some(answer) = play.ended(0, AttemptOutcome::Stopped(StopReason::Overdue, String::new())).pop() else {
        panic!("no answer")
    };
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
    assert_eq!(play.done(0, 7), ["kill 0 protocol"]);
}

#[test]
fn stop_fails_open_operations_and_ends_with_last_worker() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "b");
    assert_eq!(
        play.step(Event::Stop),
        ["2 failed: ckworker is stopping", "1 failed: ckworker is stopping", "kill 0 shutdown"]
    );
    assert_eq!(play.request(3, "a"), ["3 failed: ckworker is stopping"]);
    assert_eq!(play.crashed(0), ["exit"]);
}

#[test]
fn old_worker_is_replaced_when_idle() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.now += 50 * SECOND;
    play.done(0, 1);
    play.now += 1000 * SECOND;
    assert_eq!(play.request(2, "a"), ["start 1", "send 2 to 1"]);
}

#[test]
fn cancelled_operation_starts_only_if_begun_before() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "b");
    assert_eq!(play.cancel(2), ["2 failed: cancelled before it could begin"]);
    assert_eq!(play.cancel(1), [""; 0]);
    assert_eq!(play.done(0, 1), ["1 Done"]);
    assert_eq!(play.cancel(1), [""; 0], "an outcome that came first stands");
}

#[test]
fn cancelled_operation_is_not_retried() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.cancel(1);
    assert_eq!(play.crashed(0), ["1 failed: worker was killed by signal SIGKILL"]);
}

/// Invariant: an abandoned operation is not executed.
#[test]
fn abandoned_operation_is_skipped_or_its_worker_stopped() {
    let mut play = Play::new(1);
    play.request(1, "a");
    play.request(2, "a");
    play.request(3, "b");
    assert_eq!(play.abandon(3), [""; 0]);
    assert_eq!(play.abandon(1), [""; 0], "the other operation is waited for");
    assert_eq!(play.abandon(2), ["kill 0 abandoned"]);
    // The next request, perhaps for the same resource, waits until the worker has ended.
    assert_eq!(play.request(4, "a"), [""; 0]);
    let effects = play.ended(0, AttemptOutcome::Stopped(StopReason::Abandoned, String::new()));
    assert_eq!(effects[effects.len() - 2..], ["start 1", "send 4 to 1"], "{effects:?}");
}

#[test]
fn account_has_no_second_worker_while_first_is_stopping() {
    let mut play = Play::new(2);
    play.request(1, "a");
    assert_eq!(play.done(0, 7), ["kill 0 protocol"]);
    assert_eq!(play.request(2, "a"), [""; 0]);
    assert_eq!(play.request(3, "b"), ["start 1", "send 3 to 1"]);
}

#[test]
fn operation_time_limit_starts_with_its_worker() {
    let mut play = Play::new(1);
    play.request(1, "a");
    let request = play.new_request("b", 30 * SECOND);
    play.submit(2, DELETE, request);
    play.now += 50 * SECOND;
    let done = Event::Attempt(AttemptId(0), AttemptEvent::Operated(1, Outcome::Done));
    let effects = handle_event(&mut play.state, done, play.now);
    let Some(Effect::Operate(_, operation)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((operation.id, operation.limit_ms), (2, 30_000));
    assert_eq!(play.later(34), ["finish 0"]);
    assert_eq!(play.later(1), ["kill 1 overdue"]);
}

#[test]
fn second_stop_kills_workers_at_once() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.request(2, "b");
    let mut graces = |stop| {
        let effects = handle_event(&mut play.state, stop, play.now).into_iter();
        effects
            .filter_map(|effect| if let Effect::Stop(_, _, grace) = effect { Some(grace) } else { None })
            .collect::<Vec<_>>()
    };
    assert_eq!(graces(Event::Stop), [SECOND; 2]);
    assert_eq!(graces(Event::StopNow), [Duration::ZERO; 2]);
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
        let effects = play.ended(0, AttemptOutcome::Stopped(reason, String::new()));
        assert_eq!(effects.contains(&"send 1 to 1".to_owned()), is_given, "{effects:?}");
        assert_eq!(effects.contains(&format!("1 failed: {reason}")), !is_given, "{effects:?}");
    }
}

#[test]
fn old_idle_worker_does_not_block_its_successor() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.now += 1000 * SECOND;
    play.done(0, 1);
    assert_eq!(play.request(2, "a"), ["start 1", "send 2 to 1"]);
    assert_eq!(play.request(3, "a"), ["send 3 to 1"]);
}

#[test]
fn worker_of_an_account_carries_out_tags_and_deletions() {
    let mut play = Play::new(1);
    play.request(1, "a");
    assert_eq!(play.tag(2, "a"), ["send 2 to 0"]);
}

#[test]
fn tag_goes_to_the_worker_although_many_deletions_are_open() {
    let mut play = Play::new(2);
    let begun =
        (0..100).filter(|id| play.request(*id, "a").last().is_some_and(|last| last.starts_with("send"))).count();
    assert_eq!(begun, 48);
    assert_eq!(play.tag(100, "a"), ["send 100 to 0"]);
}
