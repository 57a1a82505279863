//! Values that the workers of a run share, until the run is over.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::event::{AttemptId, AttemptSpec, RunId};
use crate::collector_api::shared_values::{Answer, SingleFlight, Told};

type Waiter = oneshot::Sender<Answer>;
type Shelves = BTreeMap<(RunId, &'static str), SingleFlight<Waiter>>;

/// Shared values by run and collector.
#[derive(Default)]
pub struct Shelf(Mutex<Shelves>);

impl Shelf {
    /// Asks for a value on behalf of a job; waits while another job fetches it.
    pub(super) fn ask(&self, order: &AttemptSpec, key: &str) -> impl Future<Output = Answer> + Send + 'static {
        let (waiter, answer) = oneshot::channel();
        let told = self.lock().entry((order.run, order.collector)).or_default().ask(key, order.id.0, waiter);
        tell(told);
        // A run that is over has forgotten the question; its workers are ending.
        async { answer.await.unwrap_or(Answer::Fetch) }
    }

    /// A job has a value, or could not fetch it.
    pub(super) fn publish(&self, order: &AttemptSpec, key: &str, value: Option<String>) {
        if let Some(leases) = self.lock().get_mut(&(order.run, order.collector)) {
            tell(leases.publish(key, order.id.0, value));
        }
    }

    /// A job is over: what it was to fetch is for another one.
    pub(super) fn release(&self, run: RunId, collector: &'static str, job: AttemptId) {
        if let Some(leases) = self.lock().get_mut(&(run, collector)) {
            tell(leases.release(job.0));
        }
    }

    /// A run is over.
    pub(super) fn forget(&self, run: RunId) {
        self.lock().retain(|(of, _), _| *of != run);
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(told: Told<Waiter>) {
    for (waiter, answer) in told {
        // A job that no longer waits is ending, and releases what it has.
        let _ = waiter.send(answer);
    }
}
