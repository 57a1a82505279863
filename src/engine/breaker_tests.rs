//! When breakers of operations and services open, and what they say of it.

#![expect(clippy::unwrap_used, reason = "tests")]

use CallErrorKind::{Denied, NotFound, Throttled, Unavailable, Unexpected};

use super::{super::error::ErrorFacts, *};

fn after(kinds: &[CallErrorKind]) -> Breaker {
    let mut breaker = Breaker::default();
    kinds.iter().for_each(|kind| breaker.record_failure(*kind));
    breaker
}

#[test]
fn four_unavailable_calls_in_a_row_open_breaker() {
    assert!(!after(&[Unavailable; 3]).is_open());
    assert!(after(&[Unavailable; 4]).is_open());
    assert!(!after(&[Throttled; 7]).is_open());
    assert!(after(&[Throttled; 8]).is_open());
    for answer in [Denied, NotFound, Unexpected] {
        assert!(!after(&[Unavailable, Unavailable, Unavailable, answer, Unavailable]).is_open(), "{answer:?}");
    }
}

#[test]
fn success_resets_the_failure_weight() {
    let mut breaker = after(&[Unavailable; 3]);
    breaker.record_success();
    breaker.record_failure(Unavailable);
    assert!(!breaker.is_open());
}

#[test]
fn denials_open_breaker_only_without_success() {
    assert!(!after(&[Denied; 19]).is_open());
    assert!(after(&[Denied; 20]).is_open());
    assert!(!after(&[&[NotFound][..], &[Denied; 1000]].concat()).is_open());
}

#[test]
fn skipped_calls_are_counted_by_operation() {
    let breakers = Breakers::default();
    let denied = |breakers: &Breakers| {
        breakers.lock().entry(key("monitoring", "ListLabels")).or_default().record_failure(Denied);
    };
    (0..20).for_each(|_| denied(&breakers));
    assert!(breakers.allows("monitoring", "ListAlarms", "alarms"));
    (0..3).for_each(|_| assert!(!breakers.allows("monitoring", "ListLabels", "alarms")));
    let skipped = breakers.skipped();
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].operation, "ListLabels");
    assert_eq!(skipped[0].message, "skipped 3 more calls: 20 were denied and none succeeded");
}

fn error(service: &str, facts: ErrorFacts) -> CallError {
    let kind = if facts == ErrorFacts::default() { Unavailable } else { Denied };
    let mut error = CallError::new(kind, "code", "message").of(service, "List", "here");
    error.facts = facts;
    error
}

#[test]
fn service_without_response_ends_and_others_go_on() {
    let breakers = Breakers::default();
    let silent = error("compute", ErrorFacts::default());
    (0..3).for_each(|_| assert!(breakers.record_failure(&silent)));
    assert!(!breakers.has_ended("compute"));
    assert!(breakers.record_failure(&silent));
    assert!(breakers.has_ended("compute") && !breakers.is_unresponsive());
    assert!(!breakers.allows("compute", "Other", "x") && breakers.allows("storage", "Other", "x"));
    breakers.skip_kind("compute", "disk");
    breakers.skip_kind("compute", "disk");
    let [(of, message)] = breakers.given_up().try_into().unwrap();
    assert_eq!(&*of.service, "compute");
    assert_eq!(message, "the service was given up; skipped kinds: disk; skipped 1 more calls");
    // A second service without a response.
    breakers.record_failure(&error("storage", ErrorFacts::default()));
    assert!(!breakers.is_unresponsive());
    breakers.record_failure(&error("storage", ErrorFacts::default()));
    assert!(breakers.is_unresponsive());
}

#[test]
fn service_that_responded_does_not_end() {
    let breakers = Breakers::default();
    breakers.record_success("compute", "List");
    (0..9).for_each(|_| assert!(breakers.record_failure(&error("compute", ErrorFacts::default()))));
    assert!(!breakers.has_ended("compute"));
}

#[test]
fn answer_for_whole_account_ends_service_once() {
    for is_not_in_use in [true, false] {
        let breakers = Breakers::default();
        let facts = ErrorFacts { is_not_in_use, ends_service: !is_not_in_use, ..ErrorFacts::default() };
        assert!(breakers.record_failure(&error("compute", facts)));
        assert!(!breakers.record_failure(&error("compute", facts)), "only the first one is reported");
        breakers.skip_kind("compute", "disk");
        assert_eq!(breakers.given_up().len(), usize::from(!is_not_in_use));
    }
}

#[test]
fn service_is_not_in_use_only_without_any_success() {
    let not_in_use = error("compute", ErrorFacts { is_not_in_use: true, ..ErrorFacts::default() });
    for (succeeds_before, succeeds_after) in [(false, false), (true, false), (false, true), (true, true)] {
        let breakers = Breakers::default();
        let succeed = |succeeds: bool| {
            if succeeds {
                breakers.record_success("compute", "Other")
            }
        };
        breakers.record_success("storage", "List");
        succeed(succeeds_before);
        assert!(breakers.record_failure(&not_in_use));
        succeed(succeeds_after);
        breakers.skip_kind("compute", "disk");
        let has_succeeded = succeeds_before || succeeds_after;
        let case = format!("{succeeds_before} {succeeds_after}");
        assert!(breakers.has_ended("compute"), "{case}");
        assert_eq!(breakers.is_not_in_use("compute"), !has_succeeded, "{case}");
        assert_eq!(breakers.why("compute") == Why::Unseen, has_succeeded, "{case}");
        assert_eq!(breakers.given_up().len(), usize::from(has_succeeded), "{case}");
        // A failure after a success was reported at once.
        assert_eq!(breakers.contradicted().len(), usize::from(succeeds_after && !succeeds_before), "{case}");
    }
}
