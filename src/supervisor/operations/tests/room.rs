//! Which workers accept operations and which leave, as sequences of events.

use super::*;

#[test]
fn tags_come_before_deletions_that_wait_longer() {
    let mut play = Play::new(2);
    play.tag(1, "a");
    play.tag(2, "b");
    assert_eq!(play.request(3, "c"), ["start 2", "send 3 to 2"], "tags leave a worker to deletions");
    assert_eq!(play.request(4, "d"), [""; 0]);
    assert_eq!(play.tag(5, "e"), [""; 0]);
    assert_eq!(play.done(0, 1), ["1 Done", "finish 0"]);
    assert_eq!(play.ended(0, AttemptOutcome::Finished), ["start 3", "send 5 to 3"]);
}

/// An account has one worker, so a tag of an account with a deletion goes to its worker.
#[test]
fn draining_worker_carries_out_tags_while_it_deletes() {
    let mut play = Play::new(1);
    play.step(Event::Collect(RunId(1)));
    play.request(1, "a");
    assert_eq!(play.tag(2, "b"), [""; 0], "the worker of the deletion drains");
    assert_eq!(play.tag(3, "a"), ["send 3 to 1"]);
    assert_eq!(play.done(1, 1), ["1 Done"]);
    assert_eq!(play.tag(4, "a"), [""; 0], "nothing else holds the worker up");
    assert_eq!(play.done(1, 3), ["3 Done", "finish 1"]);
}

#[test]
fn old_worker_carries_out_tags_while_it_deletes() {
    let mut play = Play::new(2);
    let request = Request { deadline: play.now + 5000 * SECOND, ..play.new_request("a", 5000 * SECOND) };
    play.submit(1, DELETE, request);
    play.now += 1000 * SECOND;
    assert_eq!(play.request(2, "a"), [""; 0]);
    assert_eq!(play.tag(3, "a"), ["send 3 to 0"]);
}

/// An abandoned operation is not carried out beside its successor.
#[test]
fn worker_with_abandoned_deletion_gets_no_operation() {
    let mut play = Play::new(5);
    play.request(1, "a");
    assert_eq!(play.tag(2, "a"), ["send 2 to 0"]);
    assert_eq!(play.abandon(1), [""; 0], "the tag is waited for");
    assert_eq!(play.request(3, "a"), [""; 0]);
    assert_eq!(play.tag(4, "a"), [""; 0]);
    assert_eq!(play.done(0, 2), ["2 Done", "kill 0 abandoned"]);
    let effects = play.ended(0, AttemptOutcome::Stopped(StopReason::Abandoned, String::new()));
    assert_eq!(effects[effects.len() - 3..], ["start 1", "send 4 to 1", "send 3 to 1"], "{effects:?}");
}

#[test]
fn worker_that_had_abandoned_deletion_exits_before_successor() {
    let mut play = Play::new(5);
    play.request(1, "a");
    play.tag(2, "a");
    play.abandon(1);
    play.done(0, 1);
    assert_eq!(play.done(0, 2), ["2 Done", "finish 0"]);
    assert_eq!(play.tag(3, "a"), [""; 0]);
    assert_eq!(play.ended(0, AttemptOutcome::Finished), ["start 1", "send 3 to 1"]);
}

#[test]
fn tags_of_accounts_take_turns() {
    let mut play = Play::new(1);
    play.tag(1, "a");
    assert_eq!(play.tag(2, "b"), [""; 0], "the worker of the other account drains");
    assert_eq!(play.tag(3, "a"), [""; 0]);
    assert_eq!(play.done(0, 1), ["1 Done", "finish 0"]);
    assert_eq!(play.ended(0, AttemptOutcome::Finished), ["start 1", "send 2 to 1"]);
    assert_eq!(play.done(1, 2), ["2 Done", "finish 1"]);
    assert_eq!(play.ended(1, AttemptOutcome::Finished), ["start 2", "send 3 to 2"]);
}

#[test]
fn account_that_was_served_longest_makes_room_for_a_tag() {
    let mut play = Play::new(2);
    ["a", "b"].into_iter().zip(1..).for_each(|(account, id)| drop(play.tag(id, account)));
    play.tag(3, "c");
    assert_eq!(play.tag(4, "a"), [""; 0]);
    assert_eq!(play.tag(5, "b"), ["send 5 to 1"]);
    assert_eq!(play.done(1, 2), ["2 Done"]);
    assert_eq!(play.done(1, 5), ["5 Done", "finish 1"], "an idle worker leaves at once");
}

#[test]
fn tag_does_not_wait_for_a_worker_that_deletes() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.request(2, "b");
    play.tag(3, "c");
    play.step(Event::Collect(RunId(1)));
    assert_eq!(play.request(4, "b"), [""; 0], "it drains, and may take hours");
    assert_eq!(play.tag(5, "d"), [""; 0]);
    assert_eq!(play.done(2, 3), ["3 Done", "finish 2"]);
    assert_eq!(play.ended(2, AttemptOutcome::Finished), ["start 3", "send 5 to 3"]);
}

#[test]
fn deletion_keeps_idle_workers_that_are_not_in_its_way() {
    let mut play = Play::new(2);
    play.tag(1, "a");
    play.done(0, 1);
    play.request(2, "b");
    play.request(3, "c");
    assert_eq!(play.request(4, "d"), [""; 0], "two deletions are the bound");
    assert_eq!(play.tag(5, "a"), ["send 5 to 0"]);
}

#[test]
fn worker_whose_deletions_ended_counts_as_one_of_tags() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.request(2, "b");
    play.tag(3, "a");
    assert_eq!(play.request(4, "c"), [""; 0]);
    assert_eq!(play.done(0, 1), ["1 Done", "start 2", "send 4 to 2"], "the tag goes on");
}

/// A full worker is not counted for deletions that it does not get.
#[test]
fn worker_full_of_tags_is_not_used_for_deletions() {
    let mut play = Play::new(2);
    (0..64).for_each(|id| drop(play.tag(id, "a")));
    assert_eq!(play.request(64, "a"), [""; 0]);
    assert_eq!(play.request(65, "b"), ["start 1", "send 65 to 1"]);
    assert_eq!(play.request(66, "c"), ["start 2", "send 66 to 2"]);
}

#[test]
fn idle_workers_leave_at_once_for_a_collection() {
    let mut play = Play::new(1);
    play.tag(1, "a");
    play.request(2, "b");
    play.done(1, 2);
    assert_eq!(play.step(Event::Collect(RunId(1))), ["finish 1"]);
    assert_eq!(play.ended(1, AttemptOutcome::Finished), ["start 2"], "the plan");
    assert_eq!(play.tag(3, "a"), ["send 3 to 0"], "operations keep one worker");
}

/// A run whose time is over while it waits for its first worker ends without an event of a worker.
#[test]
fn run_without_worker_ends_at_its_deadline() {
    let mut play = Play::new(1);
    for (id, client, account) in [(1, DELETE, "a"), (2, TAG, "b")] {
        let request = Request { deadline: play.now + 5000 * SECOND, ..play.new_request(account, 5000 * SECOND) };
        play.submit(id, client, request);
    }
    assert_eq!(play.step(Event::Collect(RunId(1))), [""; 0]);
    let Some(wake) = play.state.wake_at() else { panic!("no deadline of the run") };
    assert!(wake < play.now + 1000 * SECOND, "there must be time left for the delivery");
    play.now = wake;
    let effects = play.step(Event::Tick);
    assert!(effects.iter().any(|effect| effect.starts_with("Deliver(RunId(1)")), "{effects:?}");
    assert!(play.state.wake_at().is_some_and(|next| next > wake));
}

#[test]
fn busy_workers_of_tags_leave_for_a_collection() {
    let mut play = Play::new(5);
    for (account, id) in ["a", "b", "c", "d", "e"].into_iter().zip(0..) {
        play.tag(id, account);
    }
    play.request(5, "f");
    assert_eq!(play.step(Event::Collect(RunId(1))), [""; 0]);
    assert_eq!(play.tag(6, "c"), [""; 0], "three of the five leave");
    assert_eq!(play.tag(7, "b"), ["send 7 to 1"]);
    assert_eq!(play.done(2, 2), ["2 Done", "finish 2"]);
    assert_eq!(play.ended(2, AttemptOutcome::Finished), ["start 6"], "the plan");
    assert_eq!(play.done(3, 3), ["3 Done", "finish 3"]);
    assert_eq!(play.ended(3, AttemptOutcome::Finished), ["start 7", "send 6 to 7"], "no collection waits any more");
}

#[test]
fn tag_waits_for_one_deletion_at_most() {
    let mut play = Play::new(1);
    play.step(Event::Collect(RunId(1)));
    assert_eq!(play.request(1, "a"), ["start 1", "send 1 to 1"], "a pool of one has nothing to share");
    assert_eq!(play.tag(2, "b"), [""; 0]);
    assert_eq!(play.request(3, "a"), [""; 0], "the worker of the deletion gets no more");
    assert_eq!(play.done(1, 1), ["1 Done", "finish 1"]);
    assert_eq!(play.ended(1, AttemptOutcome::Finished), ["start 2", "send 2 to 2"]);
}

#[test]
fn deletions_give_their_worker_up_when_a_collection_waits() {
    let mut play = Play::new(2);
    play.request(1, "a");
    play.request(2, "b");
    let effects = play.step(Event::Collect(RunId(1)));
    assert_eq!(effects, [""; 0], "the collection waits for a worker");
    assert_eq!(play.request(3, "b"), [""; 0], "the younger worker gets no more");
    assert_eq!(play.request(4, "a"), ["send 4 to 0"]);
    assert_eq!(play.done(1, 2), ["2 Done", "finish 1", "start 2"], "the plan");
}
