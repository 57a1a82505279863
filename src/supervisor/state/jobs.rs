//! The workers that have not ended, and what each of them has.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{JobId, RunId, StopReason};

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
pub(super) struct Jobs {
    jobs: BTreeMap<JobId, Assignment>,
    next: u64,
    /// Those that were not told to stop.
    live: usize,
}

impl Jobs {
    pub(super) fn add(&mut self, run: RunId, collector: usize, unit: Option<u32>) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        self.live += 1;
        self.jobs.insert(id, Assignment { run, collector, unit, pid: None, stopped: None });
        id
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Assignment> {
        self.jobs.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: JobId) {
        if let Entry::Occupied(job) = self.jobs.entry(id) {
            self.live -= usize::from(job.remove().stopped.is_none());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a worker was not told to stop.
    pub(super) fn has_live(&self) -> bool {
        self.live > 0
    }

    /// Notes that a worker is told to stop, also if it was before; whether there is one.
    pub(super) fn stop(&mut self, id: JobId, reason: StopReason) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        self.live -= usize::from(job.stopped.is_none());
        job.stopped = Some(reason);
        true
    }

    /// Notes that all workers are told to stop, also those that were before.
    pub(super) fn stop_all(&mut self, reason: StopReason) -> impl Iterator<Item = JobId> {
        self.live = 0;
        self.jobs.iter_mut().map(move |(id, job)| {
            job.stopped = Some(reason);
            *id
        })
    }

    /// Notes that the workers of a run are told to stop, and returns those that were not before.
    pub(super) fn stop_run(&mut self, run: RunId, reason: StopReason) -> Vec<JobId> {
        let live = self.jobs.iter_mut().filter(|(_, job)| job.run == run && job.stopped.is_none());
        let stopped = live.map(|(id, job)| {
            job.stopped = Some(reason);
            *id
        });
        let stopped: Vec<JobId> = stopped.collect();
        self.live -= stopped.len();
        stopped
    }
}
