//! Values that the workers of a run share until the run is over; each is fetched once (single flight).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::event::{AttemptId, AttemptSpec, RunId};
use crate::collector_api::shared_values::{Answer, SingleFlight, Told};

type Waiter = oneshot::Sender<Answer>;
type ByCollector = BTreeMap<(RunId, &'static str), SingleFlight<Waiter>>;

/// Shared values by run and collector.
#[derive(Default)]
pub struct SharedValues(Mutex<ByCollector>);

impl SharedValues {
    /// Requests a value for an attempt; waits while another attempt fetches it.
    pub(super) fn request(&self, spec: &AttemptSpec, key: &str) -> impl Future<Output = Answer> + Send + 'static {
        let (waiter, answer) = oneshot::channel();
        let replies = self.lock().entry((spec.run, spec.collector)).or_default().ask(key, spec.id.0, waiter);
        send_replies(replies);
        // A finished run has dropped the request; its workers are being terminated.
        async { answer.await.unwrap_or(Answer::Fetch) }
    }

    /// Publishes the value that an attempt fetched, or `None` if the fetch failed.
    pub(super) fn publish(&self, spec: &AttemptSpec, key: &str, value: Option<String>) {
        if let Some(leases) = self.lock().get_mut(&(spec.run, spec.collector)) {
            send_replies(leases.publish(key, spec.id.0, value));
        }
    }

    /// Releases an attempt's leases; each passes to the next waiter.
    pub(super) fn release(&self, run: RunId, collector: &'static str, attempt: AttemptId) {
        if let Some(leases) = self.lock().get_mut(&(run, collector)) {
            send_replies(leases.release(attempt.0));
        }
    }

    /// Removes the values of a run.
    pub(super) fn remove_run(&self, run: RunId) {
        self.lock().retain(|(of, _), _| *of != run);
    }

    fn lock(&self) -> MutexGuard<'_, ByCollector> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_replies(replies: Told<Waiter>) {
    for (waiter, answer) in replies {
        // A receiver that was dropped belongs to an attempt that is ending and releases its leases.
        let _ = waiter.send(answer);
    }
}
