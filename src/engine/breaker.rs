//! Circuit breakers of a location: for each operation, and for each service.
//!
//! After repeated timeouts or denials, the remaining calls of an operation are skipped. Otherwise a thousand items could
//! wait one after the other until the unit's deadline. A service that gives no response at all, or whose calls all fail
//! for the account, is given up, and one that is not in use in the account is not called again. If other calls of such
//! a service have succeeded, its answers contradict each other, as when it was just disabled: then it is given up.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use worker_proto::Why;

use super::error::{CallError, CallErrorKind};

/// The weight of consecutive failures at which the breaker opens.
const MAX_WEIGHT: u32 = 8;

/// The weight of a call without a response, which has waited through all its attempts: four in a row open the breaker.
const UNAVAILABLE_WEIGHT: u32 = 2;

/// The weight of a call that was throttled to the end: it has waited as well, but the next one may succeed.
const THROTTLED_WEIGHT: u32 = 1;

/// The denials that open the breaker if no call has succeeded: permissions may differ between items.
const MAX_DENIED: u32 = 20;

/// The failed calls after which a service without any response, or a location, is given up.
pub(crate) const UNRESPONSIVE_CALLS: u32 = 4;

/// The breakers of a location.
#[derive(Default)]
pub(crate) struct Breakers {
    operations: Mutex<BTreeMap<OperationKey, Breaker>>,
    services: Mutex<BTreeMap<String, ServiceBreaker>>,
}

/// The results of one service's calls.
#[derive(Debug, Default)]
struct ServiceBreaker {
    succeeded: bool,
    unresponsive: u32,
    /// Why no further call is made.
    ended: Option<CallError>,
    /// Whether `ended` was reported as a failure.
    is_end_reported: bool,
    skipped_kinds: Vec<&'static str>,
    skipped_calls: u64,
}

impl ServiceBreaker {
    /// Records a failure. Returns `false` if the service had ended, so that the failure is that of a skipped call.
    fn record_failure(&mut self, error: &CallError) -> bool {
        let ends = error.facts.ends_service || error.facts.is_not_in_use;
        if ends && self.ended.is_some() {
            return false;
        }
        if error.kind == CallErrorKind::Unavailable && !self.succeeded {
            self.unresponsive += 1;
        }
        if self.ended.is_none() && (ends || self.unresponsive >= UNRESPONSIVE_CALLS) {
            self.ended = Some(error.clone());
            self.is_end_reported = self.succeeded || !error.facts.is_not_in_use;
        }
        true
    }

    /// Returns the error that ended the service because it is not in use.
    fn not_in_use(&self) -> Option<&CallError> {
        self.ended.as_ref().filter(|ended| ended.facts.is_not_in_use && !self.succeeded)
    }

    /// Returns what was skipped of a service that was given up.
    fn message(&self) -> Option<String> {
        let kinds = match self.skipped_kinds.as_slice() {
            [] if self.skipped_calls == 0 => return None,
            [] => String::new(),
            kinds => format!("; skipped kinds: {}", kinds.join(", ")),
        };
        let calls = match self.skipped_calls {
            0 => String::new(),
            calls => format!("; skipped {calls} more calls"),
        };
        Some(format!("the service was given up{kinds}{calls}"))
    }
}

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
        if let Some(ended) = self.services().get_mut(service).filter(|service| service.ended.is_some()) {
            ended.skipped_calls += 1;
            return false;
        }
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
        let mut services = self.services();
        match services.get_mut(service) {
            Some(known) => known.succeeded = true,
            None => services.entry(service.to_owned()).or_default().succeeded = true,
        }
    }

    /// Records a failure. Returns `false` for a call that was in flight when its service ended.
    pub(crate) fn record_failure(&self, error: &CallError) -> bool {
        self.lock().entry(key(&error.service, &error.operation)).or_default().record_failure(error.kind);
        self.services().entry(error.service.to_string()).or_default().record_failure(error)
    }

    /// Returns whether a service has ended.
    pub(crate) fn has_ended(&self, service: &str) -> bool {
        self.services().get(service).is_some_and(|service| service.ended.is_some())
    }

    /// Returns whether any call of a service has succeeded.
    pub(crate) fn has_succeeded(&self, service: &str) -> bool {
        self.services().get(service).is_some_and(|service| service.succeeded)
    }

    /// Returns whether a service has ended because it is not in use, and no call of it has succeeded.
    pub(crate) fn is_not_in_use(&self, service: &str) -> bool {
        self.services().get(service).is_some_and(|service| service.not_in_use().is_some())
    }

    /// Returns why what a service would have listed is missing.
    pub(crate) fn why(&self, service: &str) -> Why {
        self.services().get(service).and_then(ServiceBreaker::not_in_use).map_or(Why::Unseen, CallError::why)
    }

    /// Returns the errors of services that are not in use by their own answer, but of which a call in flight has
    /// succeeded afterwards, so that the error was not reported as a failure.
    pub(crate) fn contradicted(&self) -> Vec<CallError> {
        let services = self.services();
        let contradicted = services.values().filter(|service| service.succeeded && !service.is_end_reported);
        contradicted.filter_map(|service| service.ended.clone()).collect()
    }

    /// Records that a kind of a service that has ended was not listed.
    pub(crate) fn skip_kind(&self, service: &str, kind: &'static str) {
        let mut services = self.services();
        let skipped = &mut services.entry(service.to_owned()).or_default().skipped_kinds;
        if !skipped.contains(&kind) {
            skipped.push(kind);
        }
    }

    /// Returns whether the location as a whole gives no response. One service counts with at most half of the calls, as
    /// others may respond.
    pub(crate) fn is_unresponsive(&self) -> bool {
        let services = self.services();
        let counted = services.values().map(|service| service.unresponsive.min(UNRESPONSIVE_CALLS / 2));
        counted.sum::<u32>() >= UNRESPONSIVE_CALLS
    }

    /// Returns the services that were given up, each with its last error and what was skipped.
    pub(crate) fn given_up(&self) -> Vec<(CallError, String)> {
        let services = self.services();
        let given_up = services.values().filter(|service| service.not_in_use().is_none());
        let ended = given_up.filter_map(|service| Some((service.ended.as_ref()?, service)));
        ended.filter_map(|(error, service)| Some((error.clone(), service.message()?))).collect()
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
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<String, ServiceBreaker>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(service: &str, operation: &str) -> OperationKey {
    (service.to_owned(), operation.to_owned())
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
