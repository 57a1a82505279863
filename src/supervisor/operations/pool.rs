//! Assignment of operations to workers: a pure state machine, tested as sequences of events.
//!
//! A worker serves one account of one collector and has that account's credentials only. A collector has as many of
//! them as it has workers that collect; an account that finds no room waits until another one's worker is idle. The
//! operations of a worker that died are retried once by a new one: all operations are idempotent.
//!
//! A cancelled operation is not begun; an operation in progress continues while its caller waits for the outcome. A
//! worker whose operations are all abandoned is stopped, and its account gets no other worker before it has ended.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use worker_proto::{Failure, FailureKind, JobKind, Operation, Outcome, Unit, Verb};

use crate::{
    process::StopReason,
    supervisor::event::{AttemptId, AttemptOutcome, AttemptSpec, RunId},
};

/// Operations that one worker has open at the same time.
const PER_WORKER: usize = 64;
/// How often an operation is given to a worker.
const ATTEMPTS: u32 = 2;

/// How long workers live.
#[derive(Clone, Copy, Debug)]
pub struct WorkerLifetimes {
    /// A worker without operations ends after this.
    pub idle: Duration,
    /// A worker gets no new operations after this; its soft deadline is twice this.
    pub age: Duration,
    /// Additional time beyond an operation's limit for the worker to report the failure.
    pub grace: Duration,
    /// From TERM to KILL.
    pub stop_grace: Duration,
}

/// How many workers a collector may have, and where they run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) workers: usize,
    pub(super) process: bool,
}

/// An operation on a resource, and its time limits.
#[derive(Clone, Debug)]
pub struct Request {
    /// The collector.
    pub collector: &'static str,
    /// The account.
    pub unit: Unit,
    /// The operation.
    pub verb: Verb,
    /// The resource, as JSON of a subject.
    pub subject: String,
    /// The time limit of the worker; the wait for a worker does not count.
    pub limit: Duration,
    /// When the operation must have ended, the wait included.
    pub deadline: Instant,
}

/// A request in the pool, with what became of it so far.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    pub(super) request: Box<Request>,
    /// How often the operation was given to a worker.
    attempts: u32,
    /// When the current worker must have finished the operation.
    until: Instant,
    /// The operation must not be begun again.
    is_cancelled: bool,
    /// The caller no longer waits for the outcome.
    is_abandoned: bool,
}

impl Pending {
    pub(super) fn new(id: u64, request: Request) -> Self {
        let until = request.deadline;
        Self { id, request: Box::new(request), attempts: 0, until, is_cancelled: false, is_abandoned: false }
    }
}

/// An input of the pool.
#[derive(Debug)]
pub(super) enum Event {
    Requested(Pending),
    /// The request must not be begun any more.
    Cancelled(u64),
    /// The caller no longer waits.
    Abandoned(u64),
    Operated(AttemptId, u64, Outcome),
    Ended(AttemptId, AttemptOutcome),
    Tick,
    /// Stop all workers, with this time until KILL.
    Stop(Duration),
}

/// A decision of the pool.
#[derive(Debug)]
pub(super) enum Effect {
    Start(AttemptSpec),
    Send(AttemptId, Operation),
    Finish(AttemptId),
    Stop(AttemptId, StopReason, Duration),
    Reply(u64, Outcome),
}

struct Worker {
    collector: &'static str,
    unit: Unit,
    open: BTreeMap<u64, Pending>,
    born: Instant,
    idle_since: Instant,
    /// Set when the worker was asked to end: when it must have ended.
    ending: Option<Instant>,
}

/// All workers and what waits for them.
pub(super) struct PoolState {
    limits: BTreeMap<&'static str, Limit>,
    lifetimes: WorkerLifetimes,
    workers: BTreeMap<AttemptId, Worker>,
    waiting: VecDeque<Pending>,
    next_attempt: u64,
    stopped: bool,
}

impl PoolState {
    pub(super) fn new(limits: BTreeMap<&'static str, Limit>, lifetimes: WorkerLifetimes) -> Self {
        Self { limits, lifetimes, workers: BTreeMap::new(), waiting: VecDeque::new(), next_attempt: 0, stopped: false }
    }

    /// Whether everything has ended after a stop.
    pub(super) fn is_over(&self) -> bool {
        self.stopped && self.workers.is_empty()
    }

    pub(super) fn step(&mut self, input: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Event::Requested(pending) if self.stopped => effects.push(Effect::Reply(pending.id, stopping())),
            Event::Requested(pending) => self.waiting.push_back(pending),
            Event::Cancelled(id) => self.cancel(id, &mut effects),
            Event::Abandoned(id) => self.abandon(id, now, &mut effects),
            Event::Operated(attempt, id, outcome) => self.operated(attempt, id, outcome, now, &mut effects),
            Event::Ended(attempt, outcome) => self.ended(attempt, &outcome, now, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
            Event::Stop(grace) => self.stop(grace, now, &mut effects),
        }
        self.assign(now, &mut effects);
        effects
    }

    /// When the next tick is needed.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(|worker| {
            let limits = worker.open.values().map(|pending| pending.until + self.lifetimes.grace).min();
            let idle = worker.open.is_empty().then(|| worker.idle_since + self.lifetimes.idle);
            worker.ending.or(limits).or(idle)
        });
        workers.chain(self.waiting.iter().map(|pending| pending.request.deadline)).min()
    }

    fn cancel(&mut self, id: u64, effects: &mut Vec<Effect>) {
        let before = self.waiting.len();
        self.waiting.retain(|pending| pending.id != id);
        if self.waiting.len() < before {
            effects.push(Effect::Reply(id, cancelled("cancelled before it could begin")));
        }
        if let Some(open) = self.workers.values_mut().find_map(|worker| worker.open.get_mut(&id)) {
            open.is_cancelled = true;
        }
    }

    fn abandon(&mut self, id: u64, now: Instant, effects: &mut Vec<Effect>) {
        self.waiting.retain(|pending| pending.id != id);
        let Some((attempt, worker)) = self.workers.iter_mut().find(|(_, worker)| worker.open.contains_key(&id)) else {
            return;
        };
        if let Some(open) = worker.open.get_mut(&id) {
            open.is_abandoned = true;
        }
        if worker.ending.is_none() && worker.open.values().all(|pending| pending.is_abandoned) {
            effects.push(Effect::Stop(*attempt, StopReason::Abandoned, self.lifetimes.stop_grace));
            worker.ending = Some(now + self.lifetimes.stop_grace * 2);
        }
    }

    fn operated(&mut self, attempt: AttemptId, id: u64, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
        let grace = self.lifetimes.stop_grace;
        let Some(worker) = self.workers.get_mut(&attempt) else { return };
        if worker.open.remove(&id).is_none() {
            worker.ending.get_or_insert(now + grace * 2);
            return effects.push(Effect::Stop(attempt, StopReason::Protocol, Duration::ZERO));
        }
        worker.idle_since = now;
        effects.push(Effect::Reply(id, outcome));
    }

    fn ended(&mut self, attempt: AttemptId, outcome: &AttemptOutcome, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.remove(&attempt) else { return };
        let (failure, again) = (failure(outcome), outcome.is_retryable());
        for (id, pending) in worker.open.into_iter().rev() {
            let wants_another = !(self.stopped || pending.is_cancelled || pending.is_abandoned);
            if again && wants_another && pending.attempts < ATTEMPTS && now < pending.request.deadline {
                self.waiting.push_front(pending);
            } else {
                effects.push(Effect::Reply(id, Outcome::Failed(failure.clone())));
            }
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for (attempt, worker) in &mut self.workers {
            let late = worker.open.values().any(|pending| pending.until + self.lifetimes.grace <= now);
            match worker.ending {
                Some(end) if end <= now => {
                    effects.push(Effect::Stop(*attempt, StopReason::Deadline, Duration::ZERO));
                    worker.ending = Some(now + self.lifetimes.stop_grace * 2);
                }
                Some(_) => {}
                None if late => {
                    effects.push(Effect::Stop(*attempt, StopReason::Overdue, self.lifetimes.stop_grace));
                    worker.ending = Some(now + self.lifetimes.stop_grace * 2);
                }
                None if worker.open.is_empty() && worker.idle_since + self.lifetimes.idle <= now => {
                    effects.push(Effect::Finish(*attempt));
                    worker.ending = Some(now + self.lifetimes.grace);
                }
                None => {}
            }
        }
    }

    fn stop(&mut self, grace: Duration, now: Instant, effects: &mut Vec<Effect>) {
        self.stopped = true;
        effects.extend(self.waiting.drain(..).map(|pending| Effect::Reply(pending.id, stopping())));
        for (attempt, worker) in &mut self.workers {
            effects.extend(std::mem::take(&mut worker.open).into_keys().map(|id| Effect::Reply(id, stopping())));
            effects.push(Effect::Stop(*attempt, StopReason::Shutdown, grace));
            worker.ending = Some(now + self.lifetimes.stop_grace * 2);
        }
    }

    /// Gives what waits to workers, oldest first.
    fn assign(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for mut pending in std::mem::take(&mut self.waiting) {
            if pending.request.deadline <= now {
                effects.push(Effect::Reply(pending.id, cancelled("timeout exceeded before it could begin")));
                continue;
            }
            let Some(attempt) = self.worker_for(&pending.request, now, effects) else {
                self.waiting.push_back(pending);
                continue;
            };
            let Some(worker) = self.workers.get_mut(&attempt) else { continue };
            pending.attempts += 1;
            pending.until = pending.request.deadline.min(now + pending.request.limit);
            let limit = pending.until.saturating_duration_since(now).as_millis();
            let operation = Operation {
                id: pending.id,
                verb: pending.request.verb.clone(),
                subject: pending.request.subject.clone(),
                limit_ms: u64::try_from(limit).unwrap_or(u64::MAX),
            };
            worker.open.insert(pending.id, pending);
            effects.push(Effect::Send(attempt, operation));
        }
    }

    /// A worker that has room, started if there is room for it.
    fn worker_for(&mut self, pending: &Request, now: Instant, effects: &mut Vec<Effect>) -> Option<AttemptId> {
        let limit = self.limits.get(pending.collector).copied()?;
        let of_collector = || self.workers.iter().filter(|(_, worker)| worker.collector == pending.collector);
        let takes_more = |worker: &Worker| worker.ending.is_none() && now < worker.born + self.lifetimes.age;
        let own = of_collector().find(|(_, worker)| worker.unit == pending.unit && takes_more(worker));
        if let Some((attempt, worker)) = own {
            return (worker.open.len() < PER_WORKER).then_some(*attempt);
        }
        // No other worker begins while an old or stopping one may have operations in progress in the account.
        if of_collector().any(|(_, worker)| worker.unit == pending.unit && !worker.open.is_empty()) {
            return None;
        }
        if of_collector().count() < limit.workers {
            return Some(self.start(pending, limit, now, effects));
        }
        let idle = of_collector().find(|(_, worker)| worker.ending.is_none() && worker.open.is_empty());
        if let Some(attempt) = idle.map(|(attempt, _)| *attempt) {
            effects.push(Effect::Finish(attempt));
            if let Some(worker) = self.workers.get_mut(&attempt) {
                worker.ending = Some(now + self.lifetimes.grace);
            }
        }
        None
    }

    fn start(&mut self, pending: &Request, limit: Limit, now: Instant, effects: &mut Vec<Effect>) -> AttemptId {
        let id = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        let Request { collector, unit, .. } = pending;
        let worker =
            Worker { collector, unit: unit.clone(), open: BTreeMap::new(), born: now, idle_since: now, ending: None };
        self.workers.insert(id, worker);
        effects.push(Effect::Start(AttemptSpec {
            id,
            run: RunId(0),
            collector,
            kind: JobKind::Operate { unit: unit.clone() },
            process: limit.process,
            soft_deadline: now + self.lifetimes.age * 2,
        }));
        id
    }
}

/// Returns the outcome of an operation that is not carried out because the supervisor stops.
pub(super) fn stopping() -> Outcome {
    cancelled("ckworker is stopping")
}

fn cancelled(why: &str) -> Outcome {
    Outcome::Failed(Failure { kind: FailureKind::Cancelled, message: why.to_owned() })
}

/// Returns how the open operations of a worker failed when it ended.
fn failure(outcome: &AttemptOutcome) -> Failure {
    match outcome {
        AttemptOutcome::Failed(failure) => failure.clone(),
        other => Failure { kind: FailureKind::Internal, message: other.message() },
    }
}
