//! A worker's pending requests to the supervisor.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use worker_proto::{Credentials, Failure, FromWorker};

use crate::{
    collector_api::shared_values::{Answer, SingleFlight, Told},
    collector_api::{Request, SharedWaiter},
};

type CredentialWaiter = (u32, oneshot::Sender<Result<Credentials, Failure>>);

/// The pending requests of one worker. Their number is bounded by the concurrency of its units.
#[derive(Default)]
pub(super) struct PendingRequests {
    credentials: Vec<CredentialWaiter>,
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
                let known = self.credentials.iter().any(|(waiting, _)| *waiting == unit);
                self.credentials.push((unit, waiter));
                (!known).then_some(FromWorker::NeedCredentials { unit, rejected })
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

    /// Delivers the supervisor's answer to requests for credentials.
    pub(super) fn credentials(&mut self, unit: u32, credentials: &Result<Credentials, Failure>) {
        for (_, waiter) in self.credentials.extract_if(.., |(waiting, _)| *waiting == unit) {
            // The waiter may have been dropped.
            let _ = waiter.send(credentials.clone());
        }
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
