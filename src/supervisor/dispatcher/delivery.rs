//! Deliveries: what is named before them, their start, and their end.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{task::JoinSet, time::timeout};
use worker_proto::Plan;

use super::Dispatcher;
use crate::{
    delivery::{Delivered, Delivery},
    report::RunReport,
    supervisor::event::{AttemptId, DeliveryError, Event, RunId},
};

/// The longest that a delivery waits for the announcements of its run, beside a tenth of its time.
const ANNOUNCEMENTS_TIMEOUT: Duration = Duration::from_secs(60);

impl Dispatcher {
    /// Has named what is going to be lost, before it is.
    pub(super) fn announce(&mut self, attempt: AttemptId, plan: &Plan) {
        let Some(spec) = self.attempts.get(&attempt) else { return };
        let accounts = plan.units.iter().map(|unit| unit.id.clone()).collect();
        let (Some(run), collector) = (spec.run, spec.collector) else { return };
        if let Some(announcement) = self.sink.announce(collector, accounts) {
            self.announcements.entry(run).or_default().spawn(announcement);
        }
    }

    pub(super) fn delivered(&mut self, run: RunId, result: Result<Delivered, DeliveryError>) {
        if self.deliveries.remove(&run).is_none() {
            // It was given up while its result was on the way.
            return;
        }
        let result = result.map(|delivered| drop(self.arrived.insert(run, delivered)));
        self.handle(Event::Delivered(run, result));
    }

    pub(super) fn start_delivery(&mut self, run: RunId, report: RunReport, deadline: Instant) {
        let units =
            self.context.completed_units.take_run(run).into_iter().map(|(key, unit)| (key.collector, unit)).collect();
        let spool = self.context.spool.clone();
        let task = self.actions.get(&run).map(|action| action.task.clone());
        let delivery = Delivery { report, units, spool, deadline, task };
        let announcements = self.announcements.remove(&run).unwrap_or_default();
        let (sink, delivered) = (Arc::clone(&self.sink), self.delivered.clone());
        let task = tokio::spawn(async move {
            // A run whose delivery never ends would hold up all others.
            let work = AssertUnwindSafe(async {
                finish(announcements, deadline).await;
                sink.deliver(delivery).await
            })
            .catch_unwind();
            let message = "the delivery panicked: a fault in ckworker, please report it";
            let panicked = |_| Err(DeliveryError { message: message.into(), nothing: false });
            let result = work.await.unwrap_or_else(panicked);
            // A dispatcher that is gone has given the run up.
            let _ = delivered.send((run, result)).await;
        });
        self.deliveries.insert(run, task);
    }
}

/// Waits for announcements, which nothing depends on: one that fails or takes too long is given up.
async fn finish(mut announcements: JoinSet<()>, deadline: Instant) {
    let limit = (deadline.saturating_duration_since(Instant::now()) / 10).min(ANNOUNCEMENTS_TIMEOUT);
    let all = async { while announcements.join_next().await.is_some() {} };
    if timeout(limit, all).await.is_err() {
        tracing::warn!("the core did not say in time what it will forget; delivering without an announcement");
    }
}
