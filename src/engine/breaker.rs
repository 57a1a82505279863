//! A circuit breaker for each operation in a location: after repeated timeouts or denials, its remaining calls are
//! skipped. Otherwise a thousand items could wait one after the other until the unit's deadline.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::error::{CallError, CallErrorKind};

/// The weight of consecutive failures at which the breaker opens.
const MAX_WEIGHT: u32 = 8;

/// The weight of a call without a response, which has waited through all its attempts: four in a row open the breaker.
const UNAVAILABLE_WEIGHT: u32 = 2;

/// The weight of a call that was throttled to the end: it has waited as well, but the next one may succeed.
const THROTTLED_WEIGHT: u32 = 1;

/// The denials that open the breaker if no call has succeeded: permissions may differ between items.
const MAX_DENIED: u32 = 20;

/// The breakers of a location.
#[derive(Default)]
pub(crate) struct Breakers(Mutex<BTreeMap<OperationKey, Breaker>>);

/// A service and an operation.
type OperationKey = (String, String);

/// The results of one operation's calls.
#[derive(Debug, Default)]
struct Breaker {
    weight: u32,
    denied: u32,
    succeeded: bool,
    skipped: u64,
    collector: &'static str,
}

impl Breaker {
    fn is_open(&self) -> bool {
        self.weight >= MAX_WEIGHT || self.is_denied()
    }

    fn is_denied(&self) -> bool {
        self.denied >= MAX_DENIED && !self.succeeded
    }

    fn record_success(&mut self) {
        self.weight = 0;
        self.succeeded = true;
    }

    fn record_failure(&mut self, kind: CallErrorKind) {
        match kind {
            CallErrorKind::Unavailable => self.weight += UNAVAILABLE_WEIGHT,
            CallErrorKind::Throttled => self.weight += THROTTLED_WEIGHT,
            // The operation itself works.
            CallErrorKind::NotFound => self.record_success(),
            CallErrorKind::Denied => {
                self.weight = 0;
                self.denied += 1;
            }
            _ => self.weight = 0,
        }
    }

    /// Returns why the breaker is open.
    fn reason(&self) -> String {
        match self.is_denied() {
            true => format!("{} were denied and none succeeded", self.denied),
            false => "several in a row had no response".to_owned(),
        }
    }
}

/// The skipped calls of an operation.
pub(crate) struct SkippedCalls {
    pub(crate) service: String,
    pub(crate) operation: String,
    pub(crate) collector: &'static str,
    pub(crate) message: String,
}

impl Breakers {
    /// Returns whether a call may be made. Otherwise the call counts as skipped, for this collector.
    pub(crate) fn allows(&self, service: &str, operation: &str, collector: &'static str) -> bool {
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(&key(service, operation)).filter(|breaker| breaker.is_open()) else {
            return true;
        };
        breaker.skipped += 1;
        breaker.collector = collector;
        false
    }

    /// Records a success.
    pub(crate) fn record_success(&self, service: &str, operation: &str) {
        self.lock().entry(key(service, operation)).or_default().record_success();
    }

    /// Records a failure.
    pub(crate) fn record_failure(&self, error: &CallError) {
        self.lock().entry(key(&error.service, &error.operation)).or_default().record_failure(error.kind);
    }

    /// Returns the skipped calls by operation.
    pub(crate) fn skipped(&self) -> Vec<SkippedCalls> {
        let breakers = self.lock();
        let skipped = breakers.iter().filter(|(_, breaker)| breaker.skipped > 0);
        let calls = skipped.map(|((service, operation), breaker)| SkippedCalls {
            service: service.clone(),
            operation: operation.clone(),
            collector: breaker.collector,
            message: format!("skipped {} more calls: {}", breaker.skipped, breaker.reason()),
        });
        calls.collect()
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
}
