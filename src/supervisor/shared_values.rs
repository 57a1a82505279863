//! Values that the workers of a run share until the run is over; each is fetched once (single flight). A worker of
//! operations keeps its values for itself until it ends.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::event::{AttemptId, AttemptSpec, RunId};
use crate::collector_api::shared_values::{Answer, SingleFlight, Told};

type Waiter = oneshot::Sender<Answer>;

/// Who shares values with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lender {
    /// The workers of one collector in a run.
    Run(RunId, &'static str),
    /// One worker of operations.
    Worker(AttemptId),
}

impl Lender {
    pub(super) fn of(spec: &AttemptSpec) -> Self {
        spec.run.map_or(Self::Worker(spec.id), |run| Self::Run(run, spec.collector))
    }
}

/// Shared values by run and collector.
#[derive(Default)]
pub struct SharedValues(Mutex<BTreeMap<Lender, SingleFlight<Waiter>>>);

impl SharedValues {
    /// Requests a value for an attempt; waits while another attempt fetches it.
    pub(super) fn request(&self, spec: &AttemptSpec, key: &str) -> impl Future<Output = Answer> + Send + 'static {
        let (waiter, answer) = oneshot::channel();
        let replies = self.lock().entry(Lender::of(spec)).or_default().ask(key, spec.id.0, waiter);
        send_replies(replies);
        // A finished run has dropped the request; its workers are being terminated.
        async { answer.await.unwrap_or(Answer::Fetch) }
    }

    /// Publishes the value that an attempt fetched, or `None` if the fetch failed.
    pub(super) fn publish(&self, spec: &AttemptSpec, key: &str, value: Option<String>) {
        if let Some(leases) = self.lock().get_mut(&Lender::of(spec)) {
            send_replies(leases.publish(key, spec.id.0, value));
        }
    }

    /// Releases an attempt's leases; each passes to the next waiter.
    pub(super) fn release(&self, lender: Lender, attempt: AttemptId) {
        let mut lenders = self.lock();
        if let Lender::Worker(_) = lender {
            lenders.remove(&lender);
        } else if let Some(leases) = lenders.get_mut(&lender) {
            send_replies(leases.release(attempt.0));
        }
    }

    /// Removes the values of a run.
    pub(super) fn remove_run(&self, run: RunId) {
        self.lock().retain(|lender, _| !matches!(lender, Lender::Run(of, _) if *of == run));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Lender, SingleFlight<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_replies(replies: Told<Waiter>) {
    for (waiter, answer) in replies {
        // A receiver that was dropped belongs to an attempt that is ending and releases its leases.
        let _ = waiter.send(answer);
    }
}
