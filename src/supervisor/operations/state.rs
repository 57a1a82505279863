//! The state of operations and their workers: a part of the supervisor's pure state, tested as sequences of events.
//!
//! A worker serves one account of one collector and has that account's credentials only; it carries out tags and
//! deletions alike. How many workers there are is decided by [`Workers`], which collections share. The operations of a
//! worker that died are retried once by a new one: all operations are idempotent.
//!
//! A cancelled operation is not begun; an operation in progress continues while its caller waits for the outcome. A
//! worker with an abandoned operation gets no others. It is stopped once all that it has left are abandoned, and its
//! account gets no other worker before it has ended.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use worker_proto::{Failure, FailureKind, Outcome};

use super::{
    Client, Priority, Request,
    worker::{Admission, OperationWorker, OperationWorkers},
};
use crate::{
    process::StopReason,
    supervisor::{
        event::{AttemptEvent, AttemptId, AttemptOutcome, Effect, OperationEvent, OperationId},
        policy::Policy,
        workers::Workers,
    },
};

/// How often an operation is given to a worker.
const ATTEMPTS: u32 = 2;

/// How long workers of operations live.
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

impl WorkerLifetimes {
    /// Returns the default lifetimes, for actions with this timeout.
    #[must_use]
    pub fn new(timeout: Duration, stop_grace: Duration) -> Self {
        Self { idle: Duration::from_secs(10), age: timeout, grace: Duration::from_secs(5), stop_grace }
    }
}

/// A request, with what became of it so far.
#[derive(Clone, Debug)]
pub struct Pending {
    pub(super) id: OperationId,
    pub(super) client: Client,
    pub(super) request: Box<Request>,
    /// How often the operation was given to a worker.
    pub(super) attempts: u32,
    /// When the current worker must have finished the operation.
    pub(super) until: Instant,
    /// The operation must not be begun again.
    is_cancelled: bool,
    /// The caller no longer waits for the outcome.
    is_abandoned: bool,
}

impl Pending {
    pub(super) fn new(id: OperationId, client: Client, request: Request) -> Self {
        let until = request.deadline;
        Self { id, client, request: Box::new(request), attempts: 0, until, is_cancelled: false, is_abandoned: false }
    }

    pub(super) fn id(&self) -> OperationId {
        self.id
    }
}

/// The requests that wait for a worker, oldest first within each priority.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    urgent: VecDeque<Pending>,
    background: VecDeque<Pending>,
}

impl Waiting {
    fn queue(&mut self, priority: Priority) -> &mut VecDeque<Pending> {
        match priority {
            Priority::Urgent => &mut self.urgent,
            Priority::Background => &mut self.background,
        }
    }

    pub(super) fn push(&mut self, pending: Pending) {
        self.queue(pending.client.priority).push_back(pending);
    }

    fn push_front(&mut self, pending: Pending) {
        self.queue(pending.client.priority).push_front(pending);
    }

    fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.urgent.iter().chain(&self.background)
    }

    /// Removes a request; returns whether it was there.
    fn remove(&mut self, id: OperationId) -> bool {
        let before = self.urgent.len() + self.background.len();
        self.urgent.retain(|pending| pending.id != id);
        self.background.retain(|pending| pending.id != id);
        self.urgent.len() + self.background.len() < before
    }

    /// Takes all requests, urgent ones first.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Pending> + use<> {
        let Self { urgent, background } = std::mem::take(self);
        urgent.into_iter().chain(background)
    }
}

/// All workers of operations and what waits for them.
#[derive(Debug)]
pub(in crate::supervisor) struct Operations {
    pub(super) lifetimes: WorkerLifetimes,
    /// By collector: whether its workers are processes.
    pub(super) processes: BTreeMap<&'static str, bool>,
    pub(super) workers: OperationWorkers,
    pub(super) waiting: Waiting,
    stopped: bool,
}

impl Operations {
    pub(in crate::supervisor) fn new(policy: &Policy) -> Self {
        let is_process = |collector: &crate::supervisor::policy::CollectorPolicy| {
            (collector.name, collector.process || collector.units.fork)
        };
        Self {
            lifetimes: WorkerLifetimes::new(policy.timeout, policy.stop_grace),
            processes: policy.collectors.iter().map(is_process).collect(),
            workers: OperationWorkers::default(),
            waiting: Waiting::default(),
            stopped: false,
        }
    }

    /// Whether no worker is left.
    pub(in crate::supervisor) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// The workers that have not ended.
    pub(in crate::supervisor) fn workers(&self) -> impl Iterator<Item = &OperationWorker> {
        self.workers.iter().map(|(_, worker)| worker)
    }

    /// Handles what a caller wants.
    pub(in crate::supervisor) fn requested(&mut self, event: OperationEvent, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            OperationEvent::Requested(pending) if self.stopped => effects.push(Effect::Reply(pending.id, stopping())),
            OperationEvent::Requested(pending) => self.waiting.push(pending),
            OperationEvent::Cancelled(id) => self.cancel(id, effects),
            OperationEvent::Abandoned(id) => self.abandon(id, now, effects),
        }
    }

    /// Handles an event of a worker.
    pub(in crate::supervisor) fn attempt(
        &mut self,
        id: AttemptId,
        event: AttemptEvent,
        workers: &mut Workers,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            AttemptEvent::Started(pid) => {
                if let Some(worker) = self.workers.get_mut(id) {
                    worker.pid = pid;
                }
            }
            AttemptEvent::Operated(operation, outcome) => {
                self.operated(id, OperationId(operation), outcome, now, effects);
                if self.workers.get_mut(id).is_some_and(|worker| !worker.has_background()) {
                    workers.use_for_urgent(id);
                }
            }
            AttemptEvent::Ended(outcome) => self.ended(id, &outcome, now, effects),
            // A session reports nothing else of such a worker.
            _ => {}
        }
    }

    /// When the next tick is needed.
    pub(in crate::supervisor) fn wake_at(&self) -> Option<Instant> {
        let workers = self.workers.iter().filter_map(|(_, worker)| {
            let limits = worker.open().map(|pending| pending.until + self.lifetimes.grace).min();
            let idle = worker.is_idle().then(|| worker.idle_since + self.lifetimes.idle);
            worker.ending.or(limits).or(idle)
        });
        workers.chain(self.waiting.iter().map(|pending| pending.request.deadline)).min()
    }

    fn cancel(&mut self, id: OperationId, effects: &mut Vec<Effect>) {
        if self.waiting.remove(id) {
            effects.push(Effect::Reply(id, cancelled("cancelled before it could begin")));
        }
        if let Some(open) = self.workers.iter_mut().find_map(|(_, worker)| worker.open_mut(id)) {
            open.is_cancelled = true;
        }
    }

    fn abandon(&mut self, id: OperationId, now: Instant, effects: &mut Vec<Effect>) {
        self.waiting.remove(id);
        for (attempt, worker) in self.workers.iter_mut() {
            if let Some(open) = worker.open_mut(id) {
                open.is_abandoned = true;
                worker.admission = Admission::Condemned;
                return stop_abandoned(attempt, worker, self.lifetimes.stop_grace, now, effects);
            }
        }
    }

    fn operated(
        &mut self,
        attempt: AttemptId,
        id: OperationId,
        outcome: Outcome,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let grace = self.lifetimes.stop_grace;
        let Some(worker) = self.workers.get_mut(attempt) else { return };
        if !worker.finish(id) {
            worker.ending.get_or_insert(now + grace * 2);
            return effects.push(Effect::Stop(attempt, StopReason::Protocol, Duration::ZERO));
        }
        worker.idle_since = now;
        effects.push(Effect::Reply(id, outcome));
        stop_abandoned(attempt, worker, grace, now, effects);
    }

    fn ended(&mut self, attempt: AttemptId, outcome: &AttemptOutcome, now: Instant, effects: &mut Vec<Effect>) {
        let Some(mut worker) = self.workers.remove(attempt) else { return };
        let (failure, again) = (failure(outcome), outcome.is_retryable());
        for pending in worker.take_open().rev() {
            let wants_another = !(self.stopped || pending.is_cancelled || pending.is_abandoned);
            if again && wants_another && pending.attempts < ATTEMPTS && now < pending.request.deadline {
                self.waiting.push_front(pending);
            } else {
                effects.push(Effect::Reply(pending.id, Outcome::Failed(failure.clone())));
            }
        }
    }

    /// Stops all workers, with this time until KILL; open operations fail.
    pub(in crate::supervisor) fn stop(&mut self, grace: Duration, now: Instant, effects: &mut Vec<Effect>) {
        self.stopped = true;
        effects.extend(self.waiting.take().map(|pending| Effect::Reply(pending.id, stopping())));
        for (attempt, worker) in self.workers.iter_mut() {
            effects.extend(worker.take_open().map(|pending| Effect::Reply(pending.id, stopping())));
            effects.push(Effect::Stop(attempt, StopReason::Shutdown, grace));
            worker.ending = Some(now + self.lifetimes.stop_grace * 2);
        }
    }

    /// Gives what waits to workers.
    pub(in crate::supervisor) fn advance(&mut self, workers: &mut Workers, now: Instant, effects: &mut Vec<Effect>) {
        self.assign(workers, now, effects);
        self.finish_drained(now, effects);
    }

    /// Ends workers that are overdue or idle.
    pub(in crate::supervisor) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for (attempt, worker) in self.workers.iter_mut() {
            let late = worker.open().any(|pending| pending.until + self.lifetimes.grace <= now);
            match worker.ending {
                Some(end) if end <= now => {
                    effects.push(Effect::Stop(attempt, StopReason::Deadline, Duration::ZERO));
                    worker.ending = Some(now + self.lifetimes.stop_grace * 2);
                }
                Some(_) => {}
                None if late => {
                    effects.push(Effect::Stop(attempt, StopReason::Overdue, self.lifetimes.stop_grace));
                    worker.ending = Some(now + self.lifetimes.stop_grace * 2);
                }
                None if worker.is_idle() && worker.idle_since + self.lifetimes.idle <= now => {
                    effects.push(Effect::Finish(attempt));
                    worker.ending = Some(now + self.lifetimes.grace);
                }
                None => {}
            }
        }
    }
}

/// Stops a worker if all operations that it has left are abandoned.
fn stop_abandoned(
    attempt: AttemptId,
    worker: &mut OperationWorker,
    grace: Duration,
    now: Instant,
    effects: &mut Vec<Effect>,
) {
    if !worker.is_idle() && !worker.is_ending() && worker.open().all(|pending| pending.is_abandoned) {
        effects.push(Effect::Stop(attempt, StopReason::Abandoned, grace));
        worker.ending = Some(now + grace * 2);
    }
}

/// Returns the outcome of an operation that is not carried out because the supervisor stops.
pub(super) fn stopping() -> Outcome {
    cancelled("ckworker is stopping")
}

pub(super) fn cancelled(why: &str) -> Outcome {
    Outcome::Failed(Failure { kind: FailureKind::Cancelled, message: why.to_owned() })
}

/// Returns how the open operations of a worker failed when it ended.
fn failure(outcome: &AttemptOutcome) -> Failure {
    match outcome {
        AttemptOutcome::Failed(failure) => failure.clone(),
        other => Failure { kind: FailureKind::Internal, message: other.message() },
    }
}
