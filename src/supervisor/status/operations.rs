//! What `/jobs` shows of operations and actions.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{
    report::{ActionStatus, JobState, OperationStatus},
    supervisor::{actions::ActionView, operations::OperationWorker, worker_session::operations_name},
};

/// Returns the status of a worker of operations.
pub(super) fn operation(worker: &OperationWorker) -> OperationStatus {
    let state = match (worker.is_ending(), worker.open_count()) {
        (true, _) => JobState::Stopping,
        (false, 0) => JobState::Waiting,
        (false, _) => JobState::Running,
    };
    OperationStatus {
        name: operations_name(worker.collector, &worker.unit),
        collector: worker.collector.to_owned(),
        unit: worker.unit.id.clone(),
        state,
        pid: worker.pid,
        started: epoch(worker.born),
        open: worker.open_count(),
        actions: worker.actions().into_iter().map(str::to_owned).collect(),
    }
}

/// Returns the status of an action.
pub(super) fn action(view: ActionView<'_>) -> ActionStatus {
    let state = match (view.is_cancelled, view.started) {
        (true, _) => JobState::Stopping,
        (false, None) => JobState::Waiting,
        (false, Some(_)) => JobState::Running,
    };
    ActionStatus {
        name: view.name.to_owned(),
        task: view.task.to_owned(),
        state,
        started: view.started.map(epoch),
        deadline: epoch(view.deadline),
    }
}

/// Returns a time in seconds since 1970.
pub(super) fn epoch(at: Instant) -> u64 {
    let now = Instant::now();
    let (later, earlier) = (at.saturating_duration_since(now), now.saturating_duration_since(at));
    let time = (SystemTime::now() + later).checked_sub(earlier).unwrap_or(UNIX_EPOCH);
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
