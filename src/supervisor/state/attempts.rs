//! The attempts that have not ended, and what each of them executes.

use std::collections::{BTreeMap, btree_map::Entry};

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
    /// The number of attempts that were not asked to stop.
    live: usize,
}

impl Attempts {
    pub(super) fn add(&mut self, id: AttemptId, run: RunId, collector: usize, unit: Option<u32>) {
        self.live += 1;
        self.open.insert(id, Assignment { run, collector, unit, pid: None, stopped: None });
    }

    pub(super) fn get_mut(&mut self, id: AttemptId) -> Option<&mut Assignment> {
        self.open.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: AttemptId) {
        if let Entry::Occupied(attempt) = self.open.entry(id) {
            self.live -= usize::from(attempt.remove().stopped.is_none());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns whether an attempt was not asked to stop.
    pub(super) fn has_live(&self) -> bool {
        self.live > 0
    }

    /// Marks an attempt as stopped, also if it was before; returns whether it exists.
    pub(super) fn stop(&mut self, id: AttemptId, reason: StopReason) -> bool {
        let Some(attempt) = self.open.get_mut(&id) else { return false };
        self.live -= usize::from(attempt.stopped.is_none());
        attempt.stopped = Some(reason);
        true
    }

    /// Marks all attempts as stopped, also those that were before.
    pub(super) fn stop_all(&mut self, reason: StopReason) -> impl Iterator<Item = AttemptId> {
        self.live = 0;
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
        let stopped: Vec<AttemptId> = stopped.collect();
        self.live -= stopped.len();
        stopped
    }
}
