//! The workers that have not ended, and what each of them has.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{AttemptId, RunId, StopReason};

/// What a worker has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assignment {
    pub(super) run: RunId,
    pub(super) collector: usize,
    pub(super) unit: Option<u32>,
    pub(super) pid: Option<u32>,
    stopped: Option<StopReason>,
}

/// The workers that have not ended.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    open: BTreeMap<AttemptId, Assignment>,
    next: u64,
    /// Those that were not told to stop.
    live: usize,
}

impl Attempts {
    pub(super) fn add(&mut self, run: RunId, collector: usize, unit: Option<u32>) -> AttemptId {
        let id = AttemptId(self.next);
        self.next += 1;
        self.live += 1;
        self.open.insert(id, Assignment { run, collector, unit, pid: None, stopped: None });
        id
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

    /// Whether a worker was not told to stop.
    pub(super) fn has_live(&self) -> bool {
        self.live > 0
    }

    /// Notes that a worker is told to stop, also if it was before; whether there is one.
    pub(super) fn stop(&mut self, id: AttemptId, reason: StopReason) -> bool {
        let Some(attempt) = self.open.get_mut(&id) else { return false };
        self.live -= usize::from(attempt.stopped.is_none());
        attempt.stopped = Some(reason);
        true
    }

    /// Notes that all workers are told to stop, also those that were before.
    pub(super) fn stop_all(&mut self, reason: StopReason) -> impl Iterator<Item = AttemptId> {
        self.live = 0;
        self.open.iter_mut().map(move |(id, attempt)| {
            attempt.stopped = Some(reason);
            *id
        })
    }

    /// Notes that the workers of a run are told to stop, and returns those that were not before.
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
