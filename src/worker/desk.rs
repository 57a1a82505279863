//! What a job asks of the supervisor, and who waits for the answer.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use worker_proto::{Credentials, Failure, FromWorker};

use crate::{
    collector_api::shared_values::{Answer, SingleFlight, Told},
    collector_api::{Request, SharedWaiter},
};

type CredentialWaiter = (u32, oneshot::Sender<Result<Credentials, Failure>>);

/// The open questions of one worker; bounded by the number of units that run and of what they do at the same time.
#[derive(Default)]
pub(super) struct Desk {
    credentials: Vec<CredentialWaiter>,
    shared: SingleFlight<SharedWaiter>,
    /// Who asked first in this worker, until the supervisor has answered.
    first: BTreeMap<String, (u64, SharedWaiter)>,
    asked: u64,
}

impl Desk {
    /// Takes a request, and answers what has to be said to the supervisor about it.
    pub(super) fn take(&mut self, request: Request) -> Option<FromWorker> {
        match request {
            Request::Credentials(unit, waiter) => {
                let known = self.credentials.iter().any(|(waiting, _)| *waiting == unit);
                self.credentials.push((unit, waiter));
                (!known).then_some(FromWorker::NeedCredentials { unit })
            }
            Request::Shared(key, waiter) => self.ask(key, waiter),
            Request::Publish(key, who, value) => {
                let told = self.shared.publish(&key, who, value.clone());
                let passed_on = told.iter().any(|(_, answer)| *answer == Answer::Fetch);
                tell(told);
                // If another unit of this worker fetches next, the supervisor need not know.
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

    /// The supervisor has credentials, or none.
    pub(super) fn credentials(&mut self, unit: u32, credentials: &Result<Credentials, Failure>) {
        for (_, waiter) in self.credentials.extract_if(.., |(waiting, _)| *waiting == unit) {
            // One that no longer waits needs no answer.
            let _ = waiter.send(credentials.clone());
        }
    }

    /// The supervisor has a value, or nobody has it.
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
