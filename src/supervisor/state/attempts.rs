//! The attempts that have not ended, and what each of them executes.

use std::collections::BTreeMap;

use super::{AttemptId, RunId, StopReason};

/// What an attempt executes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assignment {
    pub(super) run: RunId,
    pub(super) collector: usize,
    pub(super) unit: Option<u32>,
    pub(super) pid: Option<u32>,
    stopped: Option<StopReason>,
}

/// The attempts that have not ended.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    open: BTreeMap<AttemptId, Assignment>,
}

impl Attempts {
    pub(super) fn add(&mut self, id: AttemptId, run: RunId, collector: usize, unit: Option<u32>) {
        self.open.insert(id, Assignment { run, collector, unit, pid: None, stopped: None });
    }

    pub(super) fn get_mut(&mut self, id: AttemptId) -> Option<&mut Assignment> {
        self.open.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: AttemptId) {
        self.open.remove(&id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Marks an attempt as stopped, also if it was before; returns whether it exists.
    pub(super) fn stop(&mut self, id: AttemptId, reason: StopReason) -> bool {
        let Some(attempt) = self.open.get_mut(&id) else { return false };
        attempt.stopped = Some(reason);
        true
    }

    /// Marks all attempts as stopped, also those that were before.
    pub(super) fn stop_all(&mut self, reason: StopReason) -> impl Iterator<Item = AttemptId> {
        self.open.iter_mut().map(move |(id, attempt)| {
            attempt.stopped = Some(reason);
            *id
        })
    }

    /// Marks the attempts of a run as stopped, and returns those that were not before.
    pub(super) fn stop_run(&mut self, run: RunId, reason: StopReason) -> Vec<AttemptId> {
        let live = self.open.iter_mut().filter(|(_, attempt)| attempt.run == run && attempt.stopped.is_none());
        let stopped = live.map(|(id, attempt)| {
            attempt.stopped = Some(reason);
            *id
        });
        stopped.collect()
    }
}
