//! The collector's side of shared values.

use tokio::sync::{mpsc, oneshot};

use super::{Request, shared_values::Answer};

/// The answer to a request for a shared value.
pub enum Shared {
    /// The value, fetched by another unit.
    Value(String),
    /// A lease: this unit fetches the value.
    Fetch(Lease),
}

/// The exclusive right to fetch a shared value. Dropped without a value, it passes to the next waiter.
pub struct Lease {
    key: String,
    who: u64,
    requests: Option<mpsc::Sender<Request>>,
}

impl Lease {
    /// Publishes the value.
    pub async fn publish(mut self, value: String) {
        if let Some(requests) = self.requests.take() {
            // A session that is ending does not need the value.
            let _ = requests.send(Request::Publish(std::mem::take(&mut self.key), self.who, Some(value))).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(requests) = self.requests.take() {
            let request = Request::Publish(std::mem::take(&mut self.key), self.who, None);
            if let Err(mpsc::error::TrySendError::Full(request)) = requests.try_send(request) {
                // `drop` cannot wait, and the waiters must not wait forever.
                tokio::spawn(async move { requests.send(request).await });
            }
        }
    }
}

/// A waiter for a shared value.
pub struct SharedWaiter {
    lease: Lease,
    answer: oneshot::Sender<Shared>,
}

impl SharedWaiter {
    /// Creates a waiter, whose lease sends to `requests`.
    pub(super) fn new(key: &str, requests: mpsc::Sender<Request>) -> (Self, oneshot::Receiver<Shared>) {
        let (answer, receiver) = oneshot::channel();
        let lease = Lease { key: key.to_owned(), who: 0, requests: Some(requests) };
        (Self { lease, answer }, receiver)
    }

    /// Sets the number of the request.
    #[must_use]
    pub fn by(mut self, who: u64) -> Self {
        self.lease.who = who;
        self
    }

    /// Sends the answer. If the receiver was dropped, so is the lease, and passes on.
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

    /// Drops the request without passing on a lease.
    pub fn forget(mut self) {
        self.lease.requests = None;
    }
}
