//! The workers of operations: what each has open, which operations it accepts, and which worker an account has.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use worker_proto::Unit;

use super::{Priority, Request, state::Pending};
use crate::supervisor::event::{AttemptId, OperationId};

/// Operations that one worker has open at the same time.
const PER_WORKER: usize = 64;
/// Background operations among them: the rest is for urgent ones.
const BACKGROUND_PER_WORKER: usize = 48;

/// Which new operations a worker accepts that was not asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Admission {
    /// All.
    Open,
    /// None, so that its place becomes free; but urgent ones while its background operations last, as it cannot leave
    /// before, and its account gets no other worker.
    Draining,
    /// None: it carries out operations that nobody waits for. Its account gets no other worker before it has ended.
    Condemned,
}

/// A worker of operations.
#[derive(Debug)]
pub(in crate::supervisor) struct OperationWorker {
    pub(in crate::supervisor) collector: &'static str,
    pub(in crate::supervisor) unit: Unit,
    pub(in crate::supervisor) born: Instant,
    /// The PID, once the worker is ready and if it is a process.
    pub(in crate::supervisor) pid: Option<u32>,
    open: BTreeMap<OperationId, Pending>,
    /// The number of background operations that are open.
    background: usize,
    pub(super) idle_since: Instant,
    pub(super) admission: Admission,
    /// Set when the worker was asked to end: when it must have ended.
    pub(super) ending: Option<Instant>,
}

impl OperationWorker {
    pub(super) fn new(request: &Request, now: Instant) -> Self {
        Self {
            collector: request.collector,
            unit: request.unit.clone(),
            born: now,
            pid: None,
            open: BTreeMap::new(),
            background: 0,
            idle_since: now,
            admission: Admission::Open,
            ending: None,
        }
    }

    /// The number of operations in progress.
    pub(in crate::supervisor) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The actions that it has operations of.
    pub(in crate::supervisor) fn actions(&self) -> BTreeSet<&'static str> {
        self.open.values().map(|pending| pending.client.action).collect()
    }

    /// Whether it was asked to end.
    pub(in crate::supervisor) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether it ends without a further decision.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_ending() || self.admission > Admission::Open
    }

    /// Whether it ends within seconds: no deletion holds it up.
    pub(super) fn is_leaving_soon(&self) -> bool {
        self.is_ending() || (self.is_leaving() && self.background == 0)
    }

    pub(super) fn has_background(&self) -> bool {
        self.background > 0
    }

    /// Whether it accepts an operation once it has room; it stops accepting at this age.
    pub(super) fn accepts(&self, priority: Priority, age: Duration, now: Instant) -> bool {
        let is_old = now >= self.born + age;
        let by_admission = match self.admission {
            Admission::Open if !is_old => true,
            Admission::Open | Admission::Draining => priority == Priority::Urgent && self.has_background(),
            Admission::Condemned => false,
        };
        by_admission && !self.is_ending()
    }

    /// Whether no other worker may begin in its account: it may have operations in progress.
    pub(super) fn excludes_others(&self) -> bool {
        !self.is_idle() || self.admission == Admission::Condemned
    }

    pub(super) fn has_room(&self, priority: Priority) -> bool {
        self.open.len() < PER_WORKER && (priority == Priority::Urgent || self.background < BACKGROUND_PER_WORKER)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Pending> {
        self.open.values()
    }

    pub(super) fn open_mut(&mut self, id: OperationId) -> Option<&mut Pending> {
        self.open.get_mut(&id)
    }

    pub(super) fn begin(&mut self, pending: Pending) {
        self.background += usize::from(pending.client.priority == Priority::Background);
        self.open.insert(pending.id, pending);
    }

    /// Removes an operation that has its outcome; returns whether it was open.
    pub(super) fn finish(&mut self, id: OperationId) -> bool {
        let finished = self.open.remove(&id);
        let is_background = |pending: &Pending| pending.client.priority == Priority::Background;
        self.background -= usize::from(finished.as_ref().is_some_and(is_background));
        finished.is_some()
    }

    /// Removes all operations, oldest first.
    pub(super) fn take_open(&mut self) -> impl DoubleEndedIterator<Item = Pending> + use<> {
        self.background = 0;
        std::mem::take(&mut self.open).into_values()
    }
}

/// All workers of operations that have not ended, found by their ID and by their account.
#[derive(Debug, Default)]
pub(super) struct OperationWorkers {
    workers: BTreeMap<AttemptId, OperationWorker>,
    accounts: HashMap<&'static str, HashMap<String, Vec<AttemptId>>>,
}

impl OperationWorkers {
    pub(super) fn insert(&mut self, id: AttemptId, worker: OperationWorker) {
        let accounts = self.accounts.entry(worker.collector).or_default();
        accounts.entry(worker.unit.id.clone()).or_default().push(id);
        self.workers.insert(id, worker);
    }

    pub(super) fn remove(&mut self, id: AttemptId) -> Option<OperationWorker> {
        let worker = self.workers.remove(&id)?;
        if let Some(accounts) = self.accounts.get_mut(worker.collector)
            && let Some(workers) = accounts.get_mut(&worker.unit.id)
        {
            workers.retain(|own| *own != id);
            if workers.is_empty() {
                accounts.remove(&worker.unit.id);
            }
        }
        Some(worker)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    pub(super) fn get_mut(&mut self, id: AttemptId) -> Option<&mut OperationWorker> {
        self.workers.get_mut(&id)
    }

    /// Returns all workers, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (AttemptId, &OperationWorker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (AttemptId, &mut OperationWorker)> {
        self.workers.iter_mut().map(|(id, worker)| (*id, worker))
    }

    /// Returns the workers of an account, oldest first.
    pub(super) fn of_account(
        &self,
        collector: &str,
        unit: &Unit,
    ) -> impl Iterator<Item = (AttemptId, &OperationWorker)> {
        let ids = self.accounts.get(collector).and_then(|accounts| accounts.get(&unit.id)).into_iter().flatten();
        let workers = ids.filter_map(|id| self.workers.get(id).map(|worker| (*id, worker)));
        workers.filter(move |(_, worker)| worker.unit == *unit)
    }
}
