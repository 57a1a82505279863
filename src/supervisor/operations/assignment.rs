//! The choice of a worker for each operation that waits.
//!
//! An operation goes to the worker of its account, if that one accepts it and has room. An account gets another worker
//! only if none may have operations in progress there, and if the collector's bound has room; else `room` makes room.
//! What got no worker is tried once in a pass for each account and priority.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};

use worker_proto::{JobKind, Operation};

use super::{
    Priority, Request,
    state::{Operations, Pending, cancelled},
    worker::OperationWorker,
};
use crate::supervisor::{
    event::{AttemptId, AttemptSpec, Effect},
    workers::{Purpose, Workers},
};

impl From<Priority> for Purpose {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Urgent => Purpose::Urgent,
            Priority::Background => Purpose::Background,
        }
    }
}

/// What got no worker in a pass.
#[derive(Default)]
struct Unassigned {
    /// The accounts of each priority and collector.
    accounts: BTreeMap<(Priority, &'static str), HashSet<String>>,
    /// The priorities and collectors that lack a place.
    without_place: BTreeSet<(Priority, &'static str)>,
}

impl Unassigned {
    fn contains(&self, priority: Priority, request: &Request) -> bool {
        let accounts = self.accounts.get(&(priority, request.collector));
        accounts.is_some_and(|accounts| accounts.contains(&request.unit.id))
    }

    fn add(&mut self, priority: Priority, request: &Request) {
        self.accounts.entry((priority, request.collector)).or_default().insert(request.unit.id.clone());
    }
}

impl Operations {
    /// Gives what waits to workers: urgent operations first, then the oldest.
    pub(super) fn assign(&mut self, workers: &mut Workers, now: Instant, effects: &mut Vec<Effect>) {
        let mut unassigned = Unassigned::default();
        for pending in self.waiting.take() {
            let (request, priority) = (&pending.request, pending.client.priority);
            if request.deadline <= now {
                effects.push(Effect::Reply(pending.id, cancelled("timeout exceeded before it could begin")));
                continue;
            }
            let attempt = if unassigned.contains(priority, request) {
                None
            } else {
                self.worker_for(&pending, workers, &mut unassigned, now, effects)
            };
            match attempt {
                Some(attempt) => self.begin(attempt, pending, now, effects),
                None => self.waiting.push(pending),
            }
        }
        // Once each worker has everything that waits for its account.
        for (priority, collector) in unassigned.without_place {
            self.make_room(collector, priority.into(), workers);
        }
    }

    fn begin(&mut self, attempt: AttemptId, mut pending: Pending, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(attempt) else { return };
        pending.attempts += 1;
        pending.until = pending.request.deadline.min(now + pending.request.limit);
        let limit = pending.until.saturating_duration_since(now).as_millis();
        let operation = Operation {
            id: pending.id.0,
            verb: pending.request.verb.clone(),
            subject: pending.request.target.clone(),
            limit_ms: u64::try_from(limit).unwrap_or(u64::MAX),
        };
        worker.begin(pending);
        effects.push(Effect::Operate(attempt, operation));
    }

    /// Returns a worker that has room, started if the bound has room for it.
    fn worker_for(
        &mut self,
        pending: &Pending,
        workers: &mut Workers,
        unassigned: &mut Unassigned,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Option<AttemptId> {
        let (request, priority) = (&pending.request, pending.client.priority);
        let of_account = || self.workers.of_account(request.collector, &request.unit);
        let chosen = if let Some((attempt, worker)) =
            of_account().find(|(_, worker)| worker.accepts(priority, self.lifetimes.age, now))
        {
            let fits =
                worker.has_room(priority) && (priority == Priority::Urgent || workers.use_for_background(attempt));
            fits.then_some(attempt)
        } else if of_account().any(|(_, worker)| worker.excludes_others()) {
            None
        } else {
            let attempt = workers.take(request.collector, priority.into());
            match attempt {
                Some(attempt) => self.start(attempt, request, now, effects),
                None => _ = unassigned.without_place.insert((priority, request.collector)),
            }
            attempt
        };
        if chosen.is_none() {
            unassigned.add(priority, request);
        }
        chosen
    }

    fn start(&mut self, attempt: AttemptId, request: &Request, now: Instant, effects: &mut Vec<Effect>) {
        self.workers.insert(attempt, OperationWorker::new(request, now));
        effects.push(Effect::Start(AttemptSpec {
            id: attempt,
            run: None,
            collector: request.collector,
            kind: JobKind::Operate { unit: request.unit.clone() },
            process: self.processes.get(request.collector).copied().unwrap_or_default(),
            soft_deadline: now + self.lifetimes.age * 2,
        }));
    }
}
