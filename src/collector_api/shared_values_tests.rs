//! Leases on shared values: who fetches, who waits, and what remains when a requester ends.

use proptest::prelude::*;

use super::*;

fn value(text: &str) -> Answer {
    Answer::Value(text.into())
}

#[test]
fn first_requester_fetches_and_others_wait() {
    let mut leases = SingleFlight::default();
    assert_eq!(leases.ask("k", 1, "a"), [("a", Answer::Fetch)]);
    assert_eq!(leases.ask("k", 2, "b"), []);
    assert_eq!(leases.ask("k", 3, "c"), []);
    assert_eq!(leases.publish("k", 1, Some("v".into())), [("b", value("v")), ("c", value("v"))]);
    assert_eq!(leases.ask("k", 4, "d"), [("d", value("v"))]);
}

#[test]
fn failed_fetch_passes_lease_to_next_waiter() {
    let mut leases = SingleFlight::default();
    leases.ask("k", 1, "a");
    leases.ask("k", 2, "b");
    assert_eq!(leases.publish("k", 1, None), [("b", Answer::Fetch)]);
    assert_eq!(leases.publish("k", 2, None), []);
    assert_eq!(leases.ask("k", 3, "c"), [("c", Answer::Fetch)]);
}

#[test]
fn released_lease_passes_to_next_waiter() {
    let mut leases = SingleFlight::default();
    leases.ask("k", 1, "a");
    leases.ask("k", 2, "b");
    leases.ask("k", 3, "c");
    assert_eq!(leases.release(2), []);
    assert_eq!(leases.release(1), [("c", Answer::Fetch)]);
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[test]
fn memory_of_shared_values_is_bounded() {
    let mut leases = SingleFlight::default();
    let large = "v".repeat(MAX_VALUE);
    for key in 0..2000 {
        assert_eq!(leases.ask(&key.to_string(), 1, key), [(key, Answer::Fetch)]);
        leases.publish(&key.to_string(), 1, Some(large.clone()));
    }
    assert!(leases.bytes <= MAX_BYTES, "{}", leases.bytes);
    assert!((1000..1024).contains(&leases.entries.len()), "{}", leases.entries.len());
    let mut leases = SingleFlight::default();
    leases.ask("k", 1, 0);
    assert_eq!(leases.publish("k", 1, Some(large + "v")), []);
    assert_eq!(leases.bytes, 0, "too long to be kept");
    assert_eq!(leases.ask("k", 2, 0), [(0, Answer::Fetch)]);
    leases.release(2);
    assert_eq!(leases.bytes, 0);
}

#[test]
fn only_lease_holder_may_publish() {
    let mut leases = SingleFlight::default();
    leases.ask("k", 1, "a");
    assert_eq!(leases.publish("k", 9, Some("forged".into())), []);
    assert_eq!(leases.publish("other", 9, Some("forged".into())), []);
    assert_eq!(leases.ask("other", 2, "b"), [("b", Answer::Fetch)]);
}

/// What the entries say about each requester, found by looking at all of them.
fn open_by_scan(leases: &SingleFlight<usize>) -> BTreeMap<u64, BTreeSet<Arc<str>>> {
    let mut open = BTreeMap::<u64, BTreeSet<Arc<str>>>::new();
    for (key, entry) in &leases.entries {
        if let Entry::Fetching { holder, waiting } = entry {
            for who in waiting.iter().map(|(who, _)| *who).chain([*holder]) {
                open.entry(who).or_default().insert(Arc::clone(key));
            }
        }
    }
    open
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, u64),
    Publish(u8, u64, Option<&'static str>),
    Release(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4_u8, 0..4_u64).prop_map(|(key, who)| Step::Ask(key, who)),
        3 => (0..4_u8, 0..4_u64, proptest::option::of(Just("v")))
            .prop_map(|(key, who, value)| Step::Publish(key, who, value)),
        1 => (0..4_u64).prop_map(Step::Release),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// A requester that ends keeps no lease and no place in a queue, and every other waiter still gets an answer.
    #[test]
    fn ended_requesters_hold_nothing_and_others_are_answered(steps in steps()) {
        let mut leases = SingleFlight::default();
        let mut waiting = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            let (told, ended) = match step {
                Step::Ask(key, who) => {
                    waiting.insert(number, who);
                    (leases.ask(&key.to_string(), who, number), None)
                }
                Step::Publish(key, who, value) => {
                    (leases.publish(&key.to_string(), who, value.map(str::to_owned)), None)
                }
                Step::Release(who) => (leases.release(who), Some(who)),
            };
            waiting.retain(|_, who| Some(*who) != ended);
            for (waiter, _) in told {
                prop_assert!(waiting.remove(&waiter).is_some(), "{waiter} was answered twice or after its end");
            }
            prop_assert_eq!(&leases.open, &open_by_scan(&leases));
        }
        for who in 0..4 {
            for (waiter, _) in leases.release(who) {
                prop_assert!(waiting.remove(&waiter).is_some_and(|waiting| waiting > who));
            }
            waiting.retain(|_, waiting| *waiting != who);
        }
        prop_assert!(waiting.is_empty() && leases.open.is_empty(), "{waiting:?} wait for ever");
    }
}

#[test]
fn end_of_requester_looks_at_its_own_keys_only() {
    let mut leases = SingleFlight::default();
    for key in 0..1000_u64 {
        leases.ask(&key.to_string(), key, key);
    }
    leases.ask("7", 9, 1000);
    assert_eq!(leases.open[&9].len(), 2);
    assert_eq!(leases.release(9), []);
    assert_eq!(leases.entries.len(), 999, "its lease is free, and it waits no more");
    assert_eq!(leases.release(7), []);
    assert_eq!(leases.open.len(), 998);
}
