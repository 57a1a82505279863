//! A circuit breaker for each operation in a location: one that hangs or is refused for item after item is not called for
//! the rest. A thousand items would otherwise wait for it one after the other, until the unit has no time left.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::super::client::{CallError, CallErrorKind};

/// What a row of failed calls may weigh before no more are made.
const MOST_WEIGHT: u32 = 8;

/// A call without an answer has waited through all its attempts. Four in a row open the breaker.
const SILENT: u32 = 2;

/// A call that is throttled to the end has waited too, but the next one may be luckier.
const THROTTLED: u32 = 1;

/// So many denials open the breaker if no call was answered: rights may differ between items.
const MOST_DENIED: u32 = 20;

/// The breakers of a location.
#[derive(Default)]
pub(crate) struct Breakers(Mutex<BTreeMap<OperationKey, Breaker>>);

/// A service and an operation.
type OperationKey = (String, String);

/// What became of the calls of one operation.
#[derive(Debug, Default)]
struct Breaker {
    weight: u32,
    denied: u32,
    answered: bool,
    skipped: u64,
    collector: &'static str,
}

impl Breaker {
    fn is_open(&self) -> bool {
        self.weight >= MOST_WEIGHT || self.is_denied()
    }

    fn is_denied(&self) -> bool {
        self.denied >= MOST_DENIED && !self.answered
    }

    fn answered(&mut self) {
        self.weight = 0;
        self.answered = true;
    }

    fn failed(&mut self, kind: CallErrorKind) {
        match kind {
            CallErrorKind::Unavailable => self.weight += SILENT,
            CallErrorKind::Throttled => self.weight += THROTTLED,
            // What is not there could be asked for.
            CallErrorKind::NotFound => self.answered(),
            CallErrorKind::Denied => {
                self.weight = 0;
                self.denied += 1;
            }
            _ => self.weight = 0,
        }
    }

    /// Why no more calls are made.
    fn reason(&self) -> String {
        match self.is_denied() {
            true => format!("{} were denied and none was answered", self.denied),
            false => "several in a row had no answer".to_owned(),
        }
    }
}

/// Calls of an operation that were not made.
pub(crate) struct SkippedCalls {
    pub(crate) service: String,
    pub(crate) operation: String,
    pub(crate) collector: &'static str,
    pub(crate) message: String,
}

impl Breakers {
    /// Whether a call is worth making. One that is not counts as left out, on behalf of the collector.
    pub(crate) fn allows(&self, service: &str, operation: &str, collector: &'static str) -> bool {
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(&key(service, operation)).filter(|breaker| breaker.is_open()) else {
            return true;
        };
        breaker.skipped += 1;
        breaker.collector = collector;
        false
    }

    /// A call was answered.
    pub(crate) fn answered(&self, service: &str, operation: &str) {
        self.lock().entry(key(service, operation)).or_default().answered();
    }

    /// A call failed.
    pub(crate) fn failed(&self, error: &CallError) {
        self.lock().entry(key(&error.service, &error.operation)).or_default().failed(error.kind);
    }

    /// What was left out.
    pub(crate) fn skipped(&self) -> Vec<SkippedCalls> {
        let breakers = self.lock();
        let skipped = breakers.iter().filter(|(_, breaker)| breaker.skipped > 0);
        let told = skipped.map(|((service, operation), breaker)| SkippedCalls {
            service: service.clone(),
            operation: operation.clone(),
            collector: breaker.collector,
            message: format!("{} more calls were not made, as {}", breaker.skipped, breaker.reason()),
        });
        told.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperationKey, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(service: &str, operation: &str) -> OperationKey {
    (service.to_owned(), operation.to_owned())
}

#[cfg(test)]
mod tests {
    use CallErrorKind::{Denied, NotFound, Throttled, Unavailable, Unexpected};

    use super::*;

    fn after(kinds: &[CallErrorKind]) -> Breaker {
        let mut breaker = Breaker::default();
        kinds.iter().for_each(|kind| breaker.failed(*kind));
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
        breaker.answered();
        breaker.failed(Unavailable);
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
            breakers.lock().entry(key("cloudwatch", "ListTagsForResource")).or_default().failed(Denied);
        };
        (0..20).for_each(|_| denied(&breakers));
        assert!(breakers.allows("cloudwatch", "DescribeAlarms", "alarms"));
        (0..3).for_each(|_| assert!(!breakers.allows("cloudwatch", "ListTagsForResource", "alarms")));
        let skipped = breakers.skipped();
        assert_eq!(skipped.len(), 1);
        assert_eq!(skipped[0].operation, "ListTagsForResource");
        assert_eq!(skipped[0].message, "3 more calls were not made, as 20 were denied and none was answered");
    }
}
