//! Deliveries: what is named before them, their start, and their end.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{task::JoinSet, time::timeout};
use worker_proto::Plan;

use super::{Dispatcher, handles::AttemptHandle};
use crate::{
    delivery::{Delivered, Delivery},
    report::RunReport,
    supervisor::{
        abort_on_drop::AbortOnDrop,
        event::{AttemptId, DeliveryError, Event, RunId},
    },
};

/// The longest that a delivery waits for the announcements of its run, beside a tenth of its time.
const ANNOUNCEMENTS_TIMEOUT: Duration = Duration::from_secs(60);

impl Dispatcher {
    /// Has named what is going to be lost, before it is.
    pub(super) fn announce(&mut self, attempt: AttemptId, plan: &Plan) {
        let Some(AttemptHandle { spec, .. }) = self.attempts.get(&attempt) else { return };
        let accounts = plan.units.iter().map(|unit| unit.id.clone()).collect();
        let Some(run) = spec.run.and_then(|run| self.runs.get_mut(&run)) else { return };
        if let Some(announcement) = self.sink.announce(spec.collector, accounts) {
            run.announcements.spawn(announcement);
        }
    }

    pub(super) fn delivered(&mut self, run: RunId, result: Result<Delivered, DeliveryError>) {
        let Some(handle) = self.runs.get_mut(&run) else { return };
        if handle.delivery.take().is_none() {
            // It was given up while its result was on the way.
            return;
        }
        let result = result.map(|delivered| handle.delivered = Some(delivered));
        self.handle(Event::Delivered(run, result));
    }

    pub(super) fn start_delivery(&mut self, run: RunId, report: RunReport, deadline: Instant) {
        let Some(handle) = self.runs.get_mut(&run) else { return };
        let units =
            self.context.completed_units.take_run(run).into_iter().map(|(key, unit)| (key.collector, unit)).collect();
        let spool = self.context.spool.clone();
        let task = handle.action.as_ref().map(|action| action.task.clone());
        let delivery = Delivery { report, units, spool, deadline, task };
        let announcements = std::mem::take(&mut handle.announcements);
        let (sink, delivered) = (Arc::clone(&self.sink), self.delivered.clone());
        handle.delivery = Some(AbortOnDrop::spawn(async move {
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
        }));
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
