//! The schedule as sequences of events.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct Play {
    scheduler: Scheduler,
    now: Instant,
}

fn rules(name: &'static str, running: usize, waiting: usize, excludes: &'static [&'static str]) -> Rules {
    let limits = ActionLimits { running, waiting, timeout: None, remedy: "ask for less" };
    Rules { name, limits, timeout: 100 * SECOND, excludes }
}

/// Two actions that never run beside themselves nor each other, and one that may run twice.
fn play() -> Play {
    let all = vec![
        rules("cleanup", 9, 2, &["cleanup"]),
        rules("expired", 9, 2, &["expired", "cleanup"]),
        rules("tag", 2, 2, &[]),
    ];
    Play { scheduler: Scheduler::new(all), now: Instant::now() }
}

const CLEANUP: usize = 0;
const EXPIRED: usize = 1;
const TAG: usize = 2;

impl Play {
    /// Returns the effects in short words.
    fn step(&mut self, event: Event) -> Vec<String> {
        let effects = self.scheduler.handle(event, self.now);
        let short = |effect| match effect {
            Effect::Run(id, _) => format!("run {}", id.0),
            Effect::Cancel(id) => format!("cancel {}", id.0),
            Effect::Reject(id, reason) => format!("reject {}: {reason}", id.0),
            Effect::Abandon(id, reason) => format!("abandon {}: {reason}", id.0),
        };
        effects.into_iter().map(short).collect()
    }

    fn request(&mut self, id: u64, action: usize) -> Vec<String> {
        self.step(Event::Requested(RequestId(id), action))
    }

    fn ended(&mut self, id: u64) -> Vec<String> {
        self.step(Event::Ended(RequestId(id)))
    }

    fn later(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.step(Event::Tick)
    }
}

#[test]
fn excluded_actions_run_one_after_the_other() {
    let mut play = play();
    assert_eq!(play.request(1, CLEANUP), ["run 1"]);
    assert_eq!(play.request(2, CLEANUP), [""; 0]);
    assert_eq!(play.request(3, TAG), ["run 3"], "others are not held up");
    assert_eq!(play.ended(1), ["run 2"]);
    assert_eq!(play.ended(2), [""; 0]);
}

#[test]
fn exclusion_counts_in_both_directions_and_keeps_the_order() {
    let mut play = play();
    play.request(1, EXPIRED);
    assert_eq!(play.request(2, CLEANUP), [""; 0], "expired excludes cleanup");
    assert_eq!(play.request(3, EXPIRED), [""; 0]);
    assert_eq!(play.ended(1), ["run 2"], "the one that waits longer");
    assert_eq!(play.ended(2), ["run 3"]);
}

#[test]
fn running_requests_are_bounded() {
    let mut play = play();
    assert_eq!((play.request(1, TAG), play.request(2, TAG)), (vec!["run 1".into()], vec!["run 2".into()]));
    assert_eq!(play.request(3, TAG), [""; 0]);
    assert_eq!(play.ended(2), ["run 3"]);
}

/// Invariant: excess actions are rejected, not queued without a bound.
#[test]
fn requests_beyond_the_queue_are_rejected() {
    let mut play = play();
    (1..=4).for_each(|id| drop(play.request(id, TAG)));
    assert_eq!(play.request(5, TAG), ["reject 5: 4 requests for tag are running or waiting already"]);
    assert_eq!(play.request(6, CLEANUP), ["run 6"], "each action has its own queue");
    play.ended(1);
    assert_eq!(play.request(7, TAG), [""; 0], "there is room again");
}

#[test]
fn request_that_waits_too_long_is_rejected_with_remedy() {
    let mut play = play();
    (1..=2).for_each(|id| drop(play.request(id, TAG)));
    play.now += 50 * SECOND;
    play.request(3, TAG);
    play.ended(1);
    play.ended(2);
    play.request(4, TAG);
    assert_eq!(play.scheduler.wake_at(), Some(play.now + 110 * SECOND), "nothing waits");
    play.request(6, TAG);
    assert_eq!(play.scheduler.wake_at(), Some(play.now + 100 * SECOND));
    assert_eq!(play.later(99 * SECOND), [""; 0]);
    let rejected = play.later(SECOND);
    let expected = "reject 6: timeout exceeded before it could begin, with 2 in progress; ask for less";
    assert_eq!(rejected, [expected]);
}

#[test]
fn action_that_outlasts_its_deadline_is_abandoned() {
    let mut play = play();
    play.request(1, CLEANUP);
    play.request(2, EXPIRED);
    assert_eq!(play.later(109 * SECOND).len(), 1, "the one that waits is rejected");
    play.request(3, CLEANUP);
    assert_eq!(play.later(SECOND), ["abandon 1: timeout exceeded, and the action did not end", "run 3"]);
    assert_eq!(play.ended(1), [""; 0], "too late");
}

#[test]
fn cancelled_request_ends_once_or_does_not_begin() {
    let mut play = play();
    play.request(1, CLEANUP);
    play.request(2, CLEANUP);
    play.request(3, CLEANUP);
    assert_eq!(play.step(Event::Cancelled(RequestId(2))), ["reject 2: stopped before it could begin"]);
    assert_eq!(play.step(Event::Cancelled(RequestId(1))), ["cancel 1"]);
    assert_eq!(play.step(Event::Cancelled(RequestId(1))), [""; 0]);
    assert_eq!(play.ended(1), ["run 3"], "not before the cancelled one has ended");
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[test]
fn stop_cancels_what_runs_and_rejects_the_rest() {
    let mut play = play();
    play.request(1, CLEANUP);
    play.request(2, CLEANUP);
    assert_eq!(play.step(Event::Stop), ["reject 2: stopped before it could begin", "cancel 1"]);
    assert_eq!(play.step(Event::Stop), [""; 0]);
    assert_eq!(play.request(3, TAG), ["reject 3: ckworker is stopping"]);
    assert!(!play.scheduler.is_idle());
    play.ended(1);
    assert!(play.scheduler.is_idle());
}

#[test]
fn action_that_does_not_end_is_abandoned_at_the_end_of_a_stop() {
    let mut play = play();
    play.request(1, CLEANUP);
    play.step(Event::Stop);
    assert_eq!(play.step(Event::GiveUp), ["abandon 1: ckworker was stopped before the action ended"]);
    assert!(play.scheduler.is_idle());
}
