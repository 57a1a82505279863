//! A worker's pending requests to the supervisor.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use worker_proto::{Credentials, Failure, FromWorker};

use crate::{
    collector_api::shared_values::{Answer, SingleFlight, Told},
    collector_api::{Request, SharedWaiter},
};

/// A requester of a unit's credentials.
struct CredentialWaiter {
    unit: u32,
    /// Whether the cloud has rejected the credentials that it has.
    has_rejected: bool,
    answer: oneshot::Sender<Result<Credentials, Failure>>,
}

/// The pending requests of one worker. Their number is bounded by the concurrency of its units.
#[derive(Default)]
pub(super) struct PendingRequests {
    credentials: Vec<CredentialWaiter>,
    /// The units whose request for credentials is open at the supervisor, and whether it is for a renewal. A request
    /// stays open when its requesters no longer wait.
    open: BTreeMap<u32, bool>,
    shared: SingleFlight<SharedWaiter>,
    /// The first requesters in this worker, until the supervisor has answered.
    first: BTreeMap<String, (u64, SharedWaiter)>,
    asked: u64,
}

impl PendingRequests {
    /// Adds a request, and returns the frame for the supervisor, if one is needed.
    pub(super) fn take(&mut self, request: Request) -> Option<FromWorker> {
        match request {
            Request::Credentials { unit, rejected, waiter } => {
                self.credentials.push(CredentialWaiter { unit, has_rejected: rejected, answer: waiter });
                self.request_credentials(unit, rejected)
            }
            Request::Shared(key, waiter) => self.ask(key, waiter),
            Request::Publish(key, who, value) => {
                let told = self.shared.publish(&key, who, value.clone());
                let passed_on = told.iter().any(|(_, answer)| *answer == Answer::Fetch);
                tell(told);
                // If the lease passes to another unit of this worker, the supervisor is not involved.
                (!passed_on).then_some(FromWorker::Publish { key, value })
            }
        }
    }

    fn ask(&mut self, key: String, waiter: SharedWaiter) -> Option<FromWorker> {
        self.asked += 1;
        let who = self.asked;
        let mut told = self.shared.ask(&key, who, waiter.by(who));
        match told.pop() {
            Some((waiter, Answer::Fetch)) => {
                self.first.insert(key.clone(), (who, waiter));
                Some(FromWorker::NeedShared { key })
            }
            Some((waiter, answer)) => {
                waiter.tell(answer);
                None
            }
            None => None,
        }
    }

    fn request_credentials(&mut self, unit: u32, rejected: bool) -> Option<FromWorker> {
        if self.open.contains_key(&unit) {
            return None;
        }
        self.open.insert(unit, rejected);
        Some(FromWorker::NeedCredentials { unit, rejected })
    }

    /// Delivers the supervisor's answer to requests for credentials, and returns the frame for the supervisor, if one is
    /// needed: the answer to a request that was not for a renewal may be the rejected credentials, so that those who
    /// have them need another one.
    pub(super) fn credentials(&mut self, unit: u32, credentials: &Result<Credentials, Failure>) -> Option<FromWorker> {
        let is_renewed = self.open.remove(&unit).unwrap_or_default();
        let is_answered = |waiter: &mut CredentialWaiter| waiter.unit == unit && (is_renewed || !waiter.has_rejected);
        for waiter in self.credentials.extract_if(.., is_answered) {
            // The requester may no longer wait.
            let _ = waiter.answer.send(credentials.clone());
        }
        self.credentials.retain(|waiter| waiter.unit != unit || !waiter.answer.is_closed());
        let is_waiting = self.credentials.iter().any(|waiter| waiter.unit == unit);
        is_waiting.then(|| self.request_credentials(unit, true)).flatten()
    }

    /// Delivers the supervisor's answer to a request for a shared value: the value, or a lease.
    pub(super) fn shared(&mut self, key: &str, value: Option<String>) {
        let Some((who, waiter)) = self.first.remove(key) else { return };
        match value {
            Some(value) => {
                tell(self.shared.publish(key, who, Some(value.clone())));
                waiter.tell(Answer::Value(value));
            }
            None => waiter.tell(Answer::Fetch),
        }
    }
}

fn tell(told: Told<SharedWaiter>) {
    for (waiter, answer) in told {
        waiter.tell(answer);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use worker_proto::FailureKind;

    use super::*;

    type Answered = oneshot::Receiver<Result<Credentials, Failure>>;

    fn ask(pending: &mut PendingRequests, unit: u32, rejected: bool) -> (Option<FromWorker>, Answered) {
        let (waiter, answered) = oneshot::channel();
        (pending.take(Request::Credentials { unit, rejected, waiter }), answered)
    }

    fn need(unit: u32, rejected: bool) -> Option<FromWorker> {
        Some(FromWorker::NeedCredentials { unit, rejected })
    }

    fn credentials(secret: &str) -> Result<Credentials, Failure> {
        Ok(Credentials { secret: secret.into(), expires: None })
    }

    fn unavailable() -> Result<Credentials, Failure> {
        Err(Failure { kind: FailureKind::Unavailable, message: "no".into() })
    }

    #[test]
    fn renewal_is_not_answered_by_an_older_request() {
        for (old, is_given_up) in [(credentials("old"), true), (credentials("old"), false), (unavailable(), true)] {
            let mut pending = PendingRequests::default();
            let (asked, mut plain) = ask(&mut pending, 7, false);
            assert_eq!(asked, need(7, false));
            if is_given_up {
                plain.close();
            }
            let (asked, mut renewal) = ask(&mut pending, 7, true);
            assert_eq!(asked, None, "one open request for each unit");
            assert_eq!(pending.credentials(7, &old), need(7, true));
            assert!(renewal.try_recv().is_err(), "still waiting");
            assert_eq!(plain.try_recv().ok(), (!is_given_up).then_some(old));
            // The next requester shares the renewed ones.
            let (asked, mut next) = ask(&mut pending, 7, false);
            assert_eq!(asked, None);
            assert_eq!(pending.credentials(7, &credentials("new")), None);
            assert_eq!([renewal.try_recv().unwrap(), next.try_recv().unwrap()], [(); 2].map(|()| credentials("new")));
            assert_eq!(ask(&mut pending, 7, false).0, need(7, false), "none is open");
        }
    }

    #[test]
    fn answer_to_a_renewal_is_for_all_requesters_of_the_unit() {
        for answer in [credentials("new"), unavailable()] {
            let mut pending = PendingRequests::default();
            let (asked, mut renewal) = ask(&mut pending, 7, true);
            assert_eq!(asked, need(7, true));
            let (_, mut plain) = ask(&mut pending, 7, false);
            let (asked, mut other) = ask(&mut pending, 8, true);
            assert_eq!(asked, need(8, true));
            assert_eq!(pending.credentials(7, &answer), None);
            assert_eq!([renewal.try_recv().unwrap(), plain.try_recv().unwrap()], [answer.clone(), answer]);
            assert!(other.try_recv().is_err(), "of another unit");
        }
    }

    #[test]
    fn abandoned_renewal_is_not_requested_again() {
        let mut pending = PendingRequests::default();
        let (_, plain) = ask(&mut pending, 7, false);
        let (_, renewal) = ask(&mut pending, 7, true);
        drop((plain, renewal));
        assert_eq!(pending.credentials(7, &credentials("old")), None);
        assert_eq!(ask(&mut pending, 7, true).0, need(7, true));
    }
}
