//! Concurrent operations on the resources of one account, each with its own timeout.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::timeout};
use worker_proto::{Failure, FailureKind, FromWorker, Operation, Outcome, Unit};

use crate::collector_api::{CollectContext, Collector};

/// The number of operations that run at the same time.
const PARALLEL: usize = 64;

/// Executes operations until the channel is closed and all have ended.
///
/// # Errors
/// If the session has ended. A failed operation is sent as its outcome.
pub(super) async fn run(
    collector: &dyn Collector,
    context: &CollectContext,
    unit: &Unit,
    mut operations: mpsc::Receiver<Operation>,
    out: &mpsc::Sender<FromWorker>,
) -> Result<(), Failure> {
    let mut running = FuturesUnordered::new();
    let mut open = true;
    while open || !running.is_empty() {
        tokio::select! {
            operation = operations.recv(), if open && running.len() < PARALLEL => match operation {
                // Each reports its own outcome: waiting here for room would stop all others, which may hold the room.
                Some(operation) => running.push(report(one(collector, context, unit, operation), out)),
                None => open = false,
            },
            Some(reported) = running.next(), if !running.is_empty() => reported?,
        }
    }
    Ok(())
}

async fn report(ended: impl Future<Output = (u64, Outcome)>, out: &mpsc::Sender<FromWorker>) -> Result<(), Failure> {
    let (id, outcome) = ended.await;
    let over = |_| Failure { kind: FailureKind::Cancelled, message: "the worker is stopping".into() };
    out.send(FromWorker::Operated { id, outcome }).await.map_err(over)
}

async fn one(collector: &dyn Collector, context: &CollectContext, unit: &Unit, operation: Operation) -> (u64, Outcome) {
    let limit = Duration::from_millis(operation.limit_ms);
    let outcome = match timeout(limit, collector.operate(context, unit, &operation)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(_) => Outcome::Failed(Failure {
            kind: FailureKind::Cancelled,
            message: format!("operation timed out after {} s", limit.as_secs()),
        }),
    };
    (operation.id, outcome)
}
