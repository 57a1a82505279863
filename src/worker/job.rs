//! Execution of one job: plan, collect one unit, or both.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::Instant};
use worker_proto::{COLLECTOR_INDEX, Failure, FailureKind, FromWorker, Job, JobKind, Operation, Unit};

use super::operate;
use crate::{
    collector_api::{CollectContext, Collector, Request, Waits},
    settings::Settings,
};

/// Returns the collector of a job.
pub type Find<'f> = &'f (dyn Fn(&Job) -> Option<&'static dyn Collector> + Sync);

/// A unit that waits for nothing outside the worker and makes no progress for this long has failed: nothing will wake
/// it. A unit that computes does not count, as the timer runs in the same thread.
const STALL: Duration = Duration::from_secs(30);

/// Creates the contexts of one job.
struct Contexts {
    settings: Arc<Settings>,
    requests: mpsc::Sender<Request>,
    out: mpsc::Sender<FromWorker>,
    deadline: Instant,
    waits: Waits,
}

impl Contexts {
    fn of(&self, unit: u32) -> CollectContext {
        let settings = Arc::clone(&self.settings);
        CollectContext::new(unit, settings, self.requests.clone(), self.out.clone(), &self.waits).until(self.deadline)
    }
}

/// The channels between a job and its session.
pub(super) struct Links {
    /// Requests to the supervisor.
    pub(super) requests: mpsc::Sender<Request>,
    /// The operations of a worker with [`JobKind::Operate`]; closed when there are no more.
    pub(super) operations: mpsc::Receiver<Operation>,
    /// Frames to the supervisor.
    pub(super) out: mpsc::Sender<FromWorker>,
    /// The registry of waits.
    pub(super) waits: Waits,
}

/// Runs the job, which is ended at `deadline`. Failures of units are sent as frames; an error fails the job as a whole.
pub(super) async fn run(job: Arc<Job>, find: Find<'_>, links: Links, deadline: Instant) -> Result<(), Failure> {
    let collector = find(&job).ok_or_else(|| Failure {
        kind: FailureKind::Configuration,
        message: format!("this worker has no collector {:?}", job.collector),
    })?;
    let settings = serde_json::from_str(&job.settings).map_err(|error| Failure {
        kind: FailureKind::Internal,
        message: format!("the settings of {} cannot be read: {error}", job.collector),
    })?;
    let Links { requests, operations, out, waits } = links;
    let contexts = Contexts { settings: Arc::new(settings), requests, out, deadline, waits };
    match &job.kind {
        JobKind::Plan => plan(collector, &contexts).await.map(|_| ()),
        JobKind::Unit { index, unit } => collect(collector, &contexts, *index, unit).await,
        JobKind::PlanAndCollect { pool } => {
            let units = plan(collector, &contexts).await?;
            collect_all(collector, &contexts, &units, *pool as usize).await
        }
        JobKind::Operate { unit } => operate::run(collector, &contexts.of(0), unit, operations, &contexts.out).await,
    }
}

async fn plan(collector: &dyn Collector, contexts: &Contexts) -> Result<Vec<Unit>, Failure> {
    let plan = collector.plan(&contexts.of(COLLECTOR_INDEX)).await?;
    contexts.waits.end(COLLECTOR_INDEX);
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

/// Collects one unit and sends its outcome. An error means that the session has ended.
async fn collect(collector: &dyn Collector, contexts: &Contexts, index: u32, unit: &Unit) -> Result<(), Failure> {
    send(&contexts.out, FromWorker::UnitStarted { unit: index }).await?;
    let context = contexts.of(index);
    let collected = tokio::select! {
        collected = collector.collect(&context, unit) => collected,
        () = context.waits().stalled(STALL) => Err(stalled(&unit.label)),
    };
    contexts.waits.end(index);
    let frame = match collected {
        Ok(()) => FromWorker::UnitDone { unit: index, counts: context.finish().await? },
        Err(failure) if failure.kind == FailureKind::Cancelled => return Err(failure),
        Err(failure) => FromWorker::UnitFailed { unit: index, failure },
    };
    send(&contexts.out, frame).await
}

fn stalled(unit: &str) -> Failure {
    let seconds = STALL.as_secs();
    let message = format!(
        "{unit} made no progress for {seconds} s and waited for nothing outside the worker: a bug in its collector; \
         please report it"
    );
    Failure { kind: FailureKind::Stalled, message }
}

async fn send(out: &mpsc::Sender<FromWorker>, frame: FromWorker) -> Result<(), Failure> {
    let over = |_| Failure { kind: FailureKind::Cancelled, message: "the worker is stopping".into() };
    out.send(frame).await.map_err(over)
}
