//! Sequences of deliveries and results.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::Map;

use super::{super::SubscriberId, *};

fn action(task: &str) -> Action {
    let key = ActionKey { subscriber: SubscriberId::Worker, task: task.to_owned(), step: "collect".to_owned() };
    Action { key, name: "collect", data: Map::new() }
}

/// Starts an action, records its result, and sends the result.
fn sent(ledger: &mut Ledger, task: &str) -> ActionKey {
    let action = action(task);
    assert_eq!(ledger.arrived(&action), Arrival::Start);
    assert!(ledger.answered(&action.key, Answer::Done));
    assert_eq!(ledger.send_next(), Some((action.clone(), Answer::Done)));
    action.key
}

/// Invariant: each action gets exactly one result.
#[test]
fn action_is_answered_once() {
    let mut ledger = Ledger::default();
    let key = sent(&mut ledger, "1");
    assert_eq!(ledger.send_next(), None);
    ledger.settled(&key);
    assert!(!ledger.has_answer());
    assert!(!ledger.answered(&key, Answer::Error("again".into())));
}

#[test]
fn action_in_progress_is_not_started_again() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.arrived(&action("1")), Arrival::Start);
    assert_eq!(ledger.arrived(&action("1")), Arrival::InProgress);
    assert_eq!(ledger.arrived(&action("2")), Arrival::Start);
    assert!(!ledger.has_answer());
}

#[test]
fn kept_result_is_sent_again_on_redelivery() {
    let mut ledger = Ledger::default();
    let key = sent(&mut ledger, "1");
    ledger.settled(&key);
    assert_eq!(ledger.arrived(&action("1")), Arrival::Answered);
    assert_eq!(ledger.arrived(&action("1")), Arrival::Answered);
    assert_eq!(ledger.send_next().unwrap().1, Answer::Done);
    assert_eq!(ledger.send_next(), None);
}

#[test]
fn delivery_that_crossed_the_result_is_ignored() {
    let mut ledger = Ledger::default();
    let key = sent(&mut ledger, "1");
    assert_eq!(ledger.arrived(&action("1")), Arrival::Answered);
    assert!(!ledger.has_answer());
    ledger.settled(&key);
    assert!(!ledger.has_answer());
}

#[test]
fn unwritten_result_is_sent_first_on_next_connection() {
    let mut ledger = Ledger::default();
    for task in ["1", "2"] {
        ledger.arrived(&action(task));
        ledger.answered(&action(task).key, Answer::Error(task.into()));
    }
    let (first, _) = ledger.send_next().unwrap();
    ledger.not_sent(&first.key);
    assert_eq!(ledger.send_next(), Some((action("1"), Answer::Error("1".into()))));
    ledger.settled(&first.key);
    assert_eq!(ledger.send_next(), Some((action("2"), Answer::Error("2".into()))));
}

#[test]
fn result_of_unknown_action_is_ignored() {
    let mut ledger = Ledger::default();
    assert!(!ledger.answered(&action("1").key, Answer::Done));
    assert_eq!(ledger.send_next(), None);
}

#[test]
fn only_the_last_results_are_kept() {
    let mut ledger = Ledger::default();
    for task in 0..=KEPT_LIMIT {
        let key = sent(&mut ledger, &task.to_string());
        ledger.settled(&key);
    }
    assert_eq!(ledger.entries.len(), KEPT_LIMIT);
    assert_eq!(ledger.arrived(&action("1")), Arrival::Answered);
    assert_eq!(ledger.arrived(&action("0")), Arrival::Start, "the oldest is forgotten");
}

#[test]
fn open_actions_are_bounded_and_the_bound_recovers() {
    let mut ledger = Ledger::default();
    for task in 0..OPEN_LIMIT {
        assert_eq!(ledger.arrived(&action(&task.to_string())), Arrival::Start);
    }
    assert_eq!(ledger.arrived(&action("more")), Arrival::NoRoom);
    assert_eq!(ledger.arrived(&action("0")), Arrival::InProgress);
    ledger.answered(&action("0").key, Answer::Done);
    let (action_0, _) = ledger.send_next().unwrap();
    ledger.settled(&action_0.key);
    assert_eq!(ledger.arrived(&action("more")), Arrival::Start);
}

#[test]
fn large_data_is_not_kept() {
    let mut ledger = Ledger::default();
    let mut large = action("1");
    large.data.insert("more".into(), "x".repeat(100_000).into());
    ledger.arrived(&large);
    ledger.answered(&large.key, Answer::Done);
    let (kept, _) = ledger.send_next().unwrap();
    assert_eq!(serde_json::to_string(&kept.data).unwrap(), r#"{"step":"collect","task":"1"}"#);
}
