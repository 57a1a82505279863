//! The state of the supervisor: events and the time go in, effects come out. Pure.
//!
//! One run at a time has its turn, the others wait in a bounded queue. A run's collectors pass through
//! phases: queued, planning, collecting, done. A collector whose units are forked is planned by one worker and
//! collected by one worker per unit; any other is planned and collected by one worker, and what that one left
//! unfinished when it crashed is collected by workers of single units.
//!
//! Operations have a state of their own (`operations`). All workers, of collections and of operations, are taken from
//! one bound (`workers`); operations come first.

mod attempt_event;
mod attempts;
mod cancellation;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use worker_proto::JobKind;

use self::{attempt_event::Scope, attempts::Attempts};
use super::{
    event::{
        AttemptEvent, AttemptId, AttemptOutcome, AttemptSpec, DeliveryError, Effect, Event, Notice, RunId, RunOutcome,
        UnitStats,
    },
    operations::{OperationWorker, Operations},
    policy::Policy,
    run::{CollectorRun, Phase, Run, RunLimits, Trouble},
    workers::{Purpose, Workers},
};
use crate::process::StopReason;

/// The state of the supervisor.
#[derive(Debug)]
pub struct State {
    policy: Policy,
    /// The workers of collections and operations.
    workers: Workers,
    operations: Operations,
    /// Whether the event may have changed what operations can do.
    operations_due: bool,
    /// When operations need the next tick.
    operations_wake: Option<Instant>,
    runs: VecDeque<Run>,
    /// The attempts of collections.
    attempts: Attempts,
    /// The time of the last event.
    decided_at: Option<Instant>,
    stopping: bool,
    exited: bool,
}

/// Handles one event and returns the effects to carry out.
pub fn handle_event(state: &mut State, event: Event, now: Instant) -> Vec<Effect> {
    let mut effects = Vec::new();
    // Of a collection only the end of a worker concerns operations.
    state.operations_due = !matches!(event, Event::Attempt(..));
    match event {
        Event::Collect(run) => state.collect(run, now, &mut effects),
        Event::Operation(event) => state.operations.requested(event, now, &mut effects),
        Event::Attempt(attempt, event) => state.attempt(attempt, event, now, &mut effects),
        Event::Delivered(run, result) => state.delivered(run, result, now, &mut effects),
        Event::Abort(run) => state.abort(run, &mut effects),
        Event::Tick => state.operations.tick(now, &mut effects),
        Event::Stop => state.stop(state.policy.stop_grace, now, &mut effects),
        Event::StopNow => state.stop(Duration::ZERO, now, &mut effects),
    }
    state.advance(now, &mut effects);
    state.decided_at = Some(now);
    effects
}

impl State {
    /// Returns a state without runs.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let workers = Workers::new(policy.collectors.iter().map(|collector| (collector.name, collector.units.pool)));
        let (operations, runs, attempts) = (Operations::new(&policy), VecDeque::new(), Attempts::default());
        Self {
            policy,
            workers,
            operations,
            operations_due: false,
            operations_wake: None,
            runs,
            attempts,
            decided_at: None,
            stopping: false,
            exited: false,
        }
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns when the next [`Event::Tick`] is needed. A retry that was due at the last event waits for room in its
    /// pool and not for the clock; one that came due since then needs a tick at once.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.run_wake_at().into_iter().chain(self.operations_wake).min()
    }

    /// Returns the workers that carry out operations.
    pub(super) fn operation_workers(&self) -> impl Iterator<Item = &OperationWorker> {
        self.operations.workers()
    }

    fn run_wake_at(&self) -> Option<Instant> {
        let run = self.runs.front()?;
        if run.delivering {
            return run.limits.map(|limits| limits.end);
        }
        let retries = run.collectors.iter().filter_map(|collector| match collector.phase {
            Phase::Queued(at) => Some(at).filter(|at| self.decided_at.is_none_or(|decided| *at > decided)),
            Phase::Collecting => collector.units.next_retry(),
            Phase::Planning | Phase::Done => None,
        });
        let hard = run.limits.filter(|_| !run.overdue).map(|limits| limits.hard);
        retries.chain(hard).min()
    }

    /// Returns how many units the run whose turn it is was asked for, each as often as it was.
    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        let collectors = self.runs.front().into_iter().flat_map(|run| &run.collectors);
        collectors.map(|collector| collector.units.looks()).sum()
    }

    fn collect(&mut self, id: RunId, now: Instant, effects: &mut Vec<Effect>) {
        if self.stopping {
            effects.push(Effect::FinishRun(id, RunOutcome::Refused("ckworker is stopping".into())));
        } else if self.runs.len() > self.policy.queue {
            let message = format!("{} collections are waiting already", self.policy.queue);
            effects.push(Effect::FinishRun(id, RunOutcome::Refused(message)));
        } else {
            self.runs.push_back(Run::new(id, &self.policy, now));
        }
    }

    fn delivered(&mut self, id: RunId, result: Result<(), DeliveryError>, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(run) = self.runs.pop_front_if(|run| run.id == id) {
            effects.push(Effect::FinishRun(id, RunOutcome::Ended(run.report(now), result)));
        }
    }

    fn attempt(&mut self, id: AttemptId, event: AttemptEvent, now: Instant, effects: &mut Vec<Effect>) {
        let ended = matches!(event, AttemptEvent::Ended(_));
        let purpose = if ended { self.workers.release(id) } else { self.workers.purpose(id) };
        let operates = matches!(purpose, Some(Purpose::Urgent | Purpose::Background));
        self.operations_due = ended || operates;
        if operates {
            return self.operations.attempt(id, event, &mut self.workers, now, effects);
        }
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if let AttemptEvent::Started(pid) = event {
            attempt.pid = pid;
            return;
        }
        let assignment = *attempt;
        if ended {
            self.attempts.remove(id);
        }
        let Some(run) = self.runs.iter_mut().find(|run| run.id == assignment.run) else { return };
        let run_id = run.id;
        let Some(collector) = run.collectors.get_mut(assignment.collector) else { return };
        if ended {
            collector.workers -= 1;
            collector.unit_workers -= usize::from(assignment.unit.is_some());
        }
        let scope = Scope { policy: &self.policy, run: run_id, collector, attempt: id, assignment, now, effects };
        if !scope.handle(event) {
            self.stop_attempt(id, StopReason::Excess, Duration::ZERO, effects);
        }
    }

    /// Has operations and then the run go on with the workers that are free.
    fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.operations_due {
            self.operations.advance(&mut self.workers, now, effects);
        }
        self.advance_runs(now, effects);
        if self.operations_due {
            self.operations.give_way(&self.workers, now, effects);
            self.operations_wake = self.operations.wake_at();
        }
    }

    /// Starts workers, stops those that are overdue, and finishes collectors and runs.
    fn advance_runs(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.stopping {
            if self.attempts.is_empty() && self.operations.is_empty() && !self.exited {
                self.exited = true;
                effects.push(Effect::Exit);
            }
            return;
        }
        self.give_up_delivery(now, effects);
        let Some(run) = self.runs.front_mut() else { return self.workers.no_collection_waits() };
        let limits = *run.limits.get_or_insert_with(|| RunLimits::new(run.received, &self.policy));
        if now >= limits.hard {
            cancellation::overdue(
                run,
                &mut self.attempts,
                self.policy.grace.min(self.policy.timeout / 10),
                now,
                effects,
            );
        }
        for collector in &mut run.collectors {
            if collector.phase == Phase::Collecting && collector.workers == 0 && collector.units.are_settled() {
                collector.finish(now);
            }
        }
        if !run.delivering {
            let Self { policy, workers, attempts, .. } = self;
            start(run, policy, (workers, attempts), limits, now, effects);
        }
        if run.is_collected() && run.is_idle() && !run.delivering {
            run.delivering = true;
            self.workers.no_collection_waits();
            let report = run.report(now);
            if report.has_something() {
                effects.push(Effect::Notify(Notice::Delivering));
            }
            effects.push(Effect::Deliver(run.id, report, limits.delivery));
        }
    }
}

/// Starts collectors and units up to the sizes of their pools.
fn start(
    run: &mut Run,
    policy: &Policy,
    (workers, attempts): (&mut Workers, &mut Attempts),
    limits: RunLimits,
    now: Instant,
    effects: &mut Vec<Effect>,
) {
    let mut active = run.collectors.iter().filter(|collector| collector.is_active()).count();
    let run_id = run.id;
    for (number, collector) in run.collectors.iter_mut().enumerate() {
        let CollectorRun { policy: own, .. } = *collector;
        let mut launch = |collector: &mut CollectorRun, id: AttemptId, kind: JobKind, process: bool| {
            let unit = if let JobKind::Unit { index, .. } = &kind { Some(*index) } else { None };
            collector.workers += 1;
            collector.unit_workers += usize::from(unit.is_some());
            attempts.add(id, run_id, number, unit);
            let (run, collector, soft_deadline) = (Some(run_id), own.name, limits.soft);
            effects.push(Effect::Start(AttemptSpec { id, run, collector, kind, process, soft_deadline }));
        };
        let mut waits = false;
        if matches!(collector.phase, Phase::Queued(at) if at <= now) && active < policy.pool_size {
            let id = workers.take(own.name, Purpose::Collect);
            waits = id.is_none();
            if let Some(id) = id {
                active += 1;
                collector.phase = Phase::Planning;
                collector.began.get_or_insert(now);
                collector.attempts += 1;
                let pool = u32::try_from(own.units.pool).unwrap_or(u32::MAX);
                let kind = if own.units.fork { JobKind::Plan } else { JobKind::PlanAndCollect { pool } };
                launch(collector, id, kind, own.process);
            }
        }
        collector.units.release_due(now);
        while collector.units.has_ready() {
            let has_place = collector.places_taken() < own.units.pool;
            let id = if has_place { workers.take(own.name, Purpose::Collect) } else { None };
            let Some(id) = id else {
                waits = true;
                break;
            };
            let Some((index, unit)) = collector.units.pop_ready() else {
                workers.release(id);
                break;
            };
            launch(collector, id, JobKind::Unit { index, unit }, own.process || own.units.fork);
            collector.units.begin(index, id, now);
        }
        workers.set_collection_waits(own.name, waits);
    }
}
