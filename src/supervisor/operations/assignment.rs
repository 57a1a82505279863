//! The choice of a worker for each operation that waits.
//!
//! An operation goes to the worker of its account, if that one has room; else a worker is started, if the collector's bound
//! has room; else a worker makes room: one that is idle is finished, and one of deletions gets no new ones while a tag or a
//! collection waits for its place.

use std::time::Instant;

use worker_proto::{JobKind, Operation};

use super::{
    Priority,
    state::{OperationWorker, Operations, Pending, cancelled},
};
use crate::supervisor::{
    event::{AttemptId, AttemptSpec, Effect},
    workers::{Purpose, Workers},
};

/// Operations that one worker has open at the same time.
const PER_WORKER: usize = 64;
/// Background operations among them: the rest is for urgent ones.
const BACKGROUND_PER_WORKER: usize = 48;

impl From<Priority> for Purpose {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Urgent => Purpose::Urgent,
            Priority::Background => Purpose::Background,
        }
    }
}

impl OperationWorker {
    fn has_room(&self, priority: Priority) -> bool {
        let is_background = |pending: &&Pending| pending.client.priority == Priority::Background;
        self.open.len() < PER_WORKER
            && (priority == Priority::Urgent
                || self.open.values().filter(is_background).count() < BACKGROUND_PER_WORKER)
    }
}

impl Operations {
    /// Gives what waits to workers: urgent operations first, then the oldest.
    pub(super) fn assign(&mut self, workers: &mut Workers, now: Instant, effects: &mut Vec<Effect>) {
        for mut pending in self.waiting.take() {
            if pending.request.deadline <= now {
                effects.push(Effect::Reply(pending.id, cancelled("timeout exceeded before it could begin")));
                continue;
            }
            let Some(attempt) = self.worker_for(&pending, workers, now, effects) else {
                self.waiting.push(pending);
                continue;
            };
            let Some(worker) = self.workers.get_mut(&attempt) else { continue };
            pending.attempts += 1;
            pending.until = pending.request.deadline.min(now + pending.request.limit);
            let limit = pending.until.saturating_duration_since(now).as_millis();
            let operation = Operation {
                id: pending.id.0,
                verb: pending.request.verb.clone(),
                subject: pending.request.target.clone(),
                limit_ms: u64::try_from(limit).unwrap_or(u64::MAX),
            };
            worker.open.insert(pending.id, pending);
            effects.push(Effect::Operate(attempt, operation));
        }
    }

    /// Returns a worker that has room, started if the bound has room for it.
    fn worker_for(
        &mut self,
        pending: &Pending,
        workers: &mut Workers,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Option<AttemptId> {
        let (request, priority) = (&pending.request, pending.client.priority);
        let of_account = || {
            let is_own =
                |worker: &OperationWorker| worker.collector == request.collector && worker.unit == request.unit;
            self.workers.iter().filter(move |(_, worker)| is_own(worker))
        };
        let takes_more = |worker: &OperationWorker| {
            worker.ending.is_none() && !worker.is_draining && now < worker.born + self.lifetimes.age
        };
        if let Some((attempt, worker)) = of_account().find(|(_, worker)| takes_more(worker)) {
            let fits = priority == Priority::Urgent || workers.use_for_background(*attempt);
            return (fits && worker.has_room(priority)).then_some(*attempt);
        }
        // No other worker begins while an old or stopping one may have operations in progress in the account.
        if of_account().any(|(_, worker)| !worker.open.is_empty()) {
            return None;
        }
        let attempt = workers.take(request.collector, priority.into());
        if attempt.is_none() {
            self.make_room(request.collector, priority, workers);
        }
        let attempt = attempt?;
        self.workers.insert(attempt, OperationWorker::new(request, now));
        effects.push(Effect::Start(AttemptSpec {
            id: attempt,
            run: None,
            collector: request.collector,
            kind: JobKind::Operate { unit: request.unit.clone() },
            process: self.processes.get(request.collector).copied().unwrap_or_default(),
            soft_deadline: now + self.lifetimes.age * 2,
        }));
        Some(attempt)
    }

    /// Has one worker of the collector give its place up, unless one does already: one that is idle, or for an urgent
    /// operation that waits for deletions alone, one of these as soon as it is idle.
    fn make_room(&mut self, collector: &'static str, priority: Priority, workers: &Workers) {
        let own = |(_, worker): &(&AttemptId, &OperationWorker)| worker.collector == collector;
        if self.workers.iter().filter(own).any(|(_, worker)| worker.is_draining || worker.ending.is_some()) {
            return;
        }
        let purpose = |id: &AttemptId| workers.purpose(*id);
        let idle = self.workers.iter().filter(own).filter(|(_, worker)| worker.open.is_empty());
        // An idle worker of the same purpose helps for sure: there may be room but for the share.
        let leaving =
            idle.min_by_key(|(id, _)| purpose(id) != Some(priority.into())).map(|(id, _)| *id).or_else(|| {
                let is_urgent = |(id, _): (&AttemptId, _)| purpose(id) == Some(Purpose::Urgent);
                let waits_for_deletions =
                    priority == Priority::Urgent && !self.workers.iter().filter(own).any(is_urgent);
                let mut deleting = self.workers.iter().filter(own).filter(|_| waits_for_deletions);
                deleting.next().map(|(id, _)| *id)
            });
        if let Some(worker) = leaving.and_then(|id| self.workers.get_mut(&id)) {
            worker.is_draining = true;
        }
    }

    /// Has workers of deletions give their places up while a collection waits and they have more than their share.
    pub(super) fn drain_excess(&mut self, workers: &Workers) {
        for (collector, excess) in workers.excess() {
            let is_one = |id: &AttemptId, worker: &OperationWorker| {
                worker.collector == collector && workers.purpose(*id) == Some(Purpose::Background)
            };
            let leaving = |worker: &OperationWorker| worker.is_draining || worker.ending.is_some();
            let left = self.workers.iter().filter(|(id, worker)| is_one(id, worker) && leaving(worker)).count();
            let staying = self.workers.iter_mut().filter(|(id, worker)| is_one(id, worker) && !leaving(worker));
            // The youngest first: the accounts that were begun first are finished first.
            for (_, worker) in staying.rev().take(excess.saturating_sub(left)) {
                worker.is_draining = true;
            }
        }
    }

    /// Finishes the workers that give their places up and have no operation left.
    pub(super) fn finish_drained(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let grace = self.lifetimes.grace;
        for (attempt, worker) in &mut self.workers {
            if worker.is_draining && worker.open.is_empty() && worker.ending.is_none() {
                effects.push(Effect::Finish(*attempt));
                worker.ending = Some(now + grace);
            }
        }
    }
}
