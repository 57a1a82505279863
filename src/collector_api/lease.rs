//! A collector's side of values that one unit fetches for all.

use tokio::sync::{mpsc, oneshot};

use super::{Request, shared_values::Answer};

/// A value that all units of a run share.
pub enum Shared {
    /// Somebody fetched it.
    Value(String),
    /// It is for this unit to fetch.
    Fetch(Lease),
}

/// The duty to fetch a value and to publish it. Dropped without, it passes to the next unit that wants the value.
pub struct Lease {
    key: String,
    who: u64,
    requests: Option<mpsc::Sender<Request>>,
}

impl Lease {
    /// Gives the value to all.
    pub async fn publish(mut self, value: String) {
        if let Some(requests) = self.requests.take() {
            // A session that is ending needs no value.
            let _ = requests.send(Request::Publish(std::mem::take(&mut self.key), self.who, Some(value))).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(requests) = self.requests.take() {
            let request = Request::Publish(std::mem::take(&mut self.key), self.who, None);
            if let Err(mpsc::error::TrySendError::Full(request)) = requests.try_send(request) {
                // Waiting is not possible here; whoever waits for the value must not wait for ever.
                tokio::spawn(async move { requests.send(request).await });
            }
        }
    }
}

/// Where the answer about a shared value goes.
pub struct SharedWaiter {
    lease: Lease,
    answer: oneshot::Sender<Shared>,
}

impl SharedWaiter {
    /// Somebody who wants a value; a lease will send to `requests`.
    pub(super) fn new(key: &str, requests: mpsc::Sender<Request>) -> (Self, oneshot::Receiver<Shared>) {
        let (answer, receiver) = oneshot::channel();
        let lease = Lease { key: key.to_owned(), who: 0, requests: Some(requests) };
        (Self { lease, answer }, receiver)
    }

    /// The same with the number of the question.
    #[must_use]
    pub fn by(mut self, who: u64) -> Self {
        self.lease.who = who;
        self
    }

    /// Answers. If nobody waits any more, a duty to fetch passes on, as the lease is dropped.
    pub fn tell(self, answer: Answer) {
        let Self { mut lease, answer: waiter } = self;
        let shared = match answer {
            Answer::Value(value) => {
                lease.requests = None;
                Shared::Value(value)
            }
            Answer::Fetch => Shared::Fetch(lease),
        };
        drop(waiter.send(shared));
    }

    /// Forgets the question; nothing passes on.
    pub fn forget(mut self) {
        self.lease.requests = None;
    }
}
