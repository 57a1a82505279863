//! One job: plan, collect one unit, or both.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use worker_proto::{Failure, FailureKind, FromWorker, Job, Operation, Task, Unit};

use super::operate;
use crate::{
    collectors::{CollectContext, Collector, CredentialSource, Request},
    settings::Settings,
};

/// The place of the collector itself among its units, for credentials.
pub const COLLECTOR: u32 = u32::MAX;

/// Makes the contexts of one job.
struct Contexts {
    settings: Arc<Settings>,
    requests: mpsc::Sender<Request>,
    out: mpsc::Sender<FromWorker>,
    cancelled: watch::Receiver<bool>,
    deadline: Instant,
}

impl Contexts {
    fn of(&self, unit: u32) -> CollectContext {
        let credentials = CredentialSource::new(unit, self.requests.clone());
        CollectContext::new(unit, Arc::clone(&self.settings), credentials, self.out.clone(), self.cancelled.clone())
            .until(self.deadline)
    }
}

/// Runs the job, which is ended at `deadline`. `operations` gives what a worker with [`Task::Operate`] has to do, and ends
/// when no more will come. Failures of units are sent as frames; an error is one of the job as a whole.
pub async fn run(
    job: Arc<Job>,
    find: &(dyn Fn(&str) -> Option<&'static dyn Collector> + Sync),
    requests: mpsc::Sender<Request>,
    operations: mpsc::Receiver<Operation>,
    out: mpsc::Sender<FromWorker>,
    cancelled: watch::Receiver<bool>,
    deadline: Instant,
) -> Result<(), Failure> {
    let collector = find(&job.collector).ok_or_else(|| Failure {
        kind: FailureKind::Configuration,
        message: format!("this worker has no collector {:?}", job.collector),
    })?;
    let settings = serde_json::from_str(&job.settings).map_err(|error| Failure {
        kind: FailureKind::Internal,
        message: format!("the settings of {} cannot be read: {error}", job.collector),
    })?;
    let contexts = Contexts { settings: Arc::new(settings), requests, out, cancelled, deadline };
    match &job.task {
        Task::Plan => plan(collector, &contexts).await.map(|_| ()),
        Task::Unit { index, unit } => collect(collector, &contexts, *index, unit).await,
        Task::Whole { pool } => {
            let units = plan(collector, &contexts).await?;
            collect_all(collector, &contexts, &units, *pool as usize).await
        }
        Task::Operate { unit } => operate::run(collector, &contexts.of(0), unit, operations, &contexts.out).await,
    }
}

async fn plan(collector: &dyn Collector, contexts: &Contexts) -> Result<Vec<Unit>, Failure> {
    let plan = collector.plan(&contexts.of(COLLECTOR)).await?;
    let units = plan.units.clone();
    send(&contexts.out, FromWorker::Plan(plan)).await?;
    Ok(units)
}

async fn collect_all(
    collector: &dyn Collector,
    contexts: &Contexts,
    units: &[Unit],
    pool: usize,
) -> Result<(), Failure> {
    let mut next = (0..).zip(units);
    let mut running: FuturesUnordered<_> =
        next.by_ref().take(pool.max(1)).map(|(index, unit)| collect(collector, contexts, index, unit)).collect();
    while let Some(result) = running.next().await {
        result?;
        running.extend(next.next().map(|(index, unit)| collect(collector, contexts, index, unit)));
    }
    Ok(())
}

/// Collects one unit and says how it went; an error means that nobody listens any more.
async fn collect(collector: &dyn Collector, contexts: &Contexts, index: u32, unit: &Unit) -> Result<(), Failure> {
    send(&contexts.out, FromWorker::UnitStarted { unit: index }).await?;
    let context = contexts.of(index);
    let frame = match collector.collect(&context, unit).await {
        Ok(()) => FromWorker::UnitDone { unit: index, counts: context.finish().await? },
        Err(failure) if failure.kind == FailureKind::Cancelled => return Err(failure),
        Err(failure) => FromWorker::UnitFailed { unit: index, failure },
    };
    send(&contexts.out, frame).await
}

async fn send(out: &mpsc::Sender<FromWorker>, frame: FromWorker) -> Result<(), Failure> {
    let over = |_| Failure { kind: FailureKind::Cancelled, message: "the worker is ending".into() };
    out.send(frame).await.map_err(over)
}
