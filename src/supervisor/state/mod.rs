//! The state of the supervisor: events and the time go in, effects come out. Pure.
//!
//! One run at a time has its turn, the others wait in a bounded queue. A run's collectors pass through
//! phases: queued, planning, collecting, done. A collector whose units are forked is planned by one worker and
//! collected by one worker per unit; any other is planned and collected by one worker, and what that one left
//! unfinished when it crashed is collected by workers of single units.

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
    policy::Policy,
    run::{CollectorRun, Phase, Run, RunLimits, Trouble},
};
use crate::process::StopReason;

/// The state of the supervisor.
#[derive(Debug)]
pub struct State {
    policy: Policy,
    runs: VecDeque<Run>,
    attempts: Attempts,
    /// The time of the last event.
    decided_at: Option<Instant>,
    stopping: bool,
    exited: bool,
}

/// Handles one event and returns the effects to carry out.
pub fn handle_event(state: &mut State, event: Event, now: Instant) -> Vec<Effect> {
    let mut effects = Vec::new();
    match event {
        Event::Collect(run) => state.collect(run, now, &mut effects),
        Event::Attempt(attempt, event) => state.attempt(attempt, event, now, &mut effects),
        Event::Delivered(run, result) => state.delivered(run, result, now, &mut effects),
        Event::Abort(run) => state.abort(run, &mut effects),
        Event::Tick => {}
        Event::Stop => state.stop(state.policy.stop_grace, &mut effects),
        Event::StopNow => state.stop(Duration::ZERO, &mut effects),
    }
    state.advance(now, &mut effects);
    state.decided_at = Some(now);
    effects
}

impl State {
    /// Returns a state without runs.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let (runs, attempts) = (VecDeque::new(), Attempts::default());
        Self { policy, runs, attempts, decided_at: None, stopping: false, exited: false }
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
        let run = self.runs.front()?;
        if run.delivering {
            return run.limits.map(|limits| limits.end);
        }
        let retries = run.collectors.iter().filter_map(|collector| match collector.phase {
            Phase::Queued(at) => Some(at).filter(|at| self.decided_at.is_none_or(|decided| *at > decided)),
            Phase::Collecting => collector.units.next_retry(),
            Phase::Planning | Phase::Done => None,
        });
        let hard = run.limits.filter(|_| self.attempts.has_live()).map(|limits| limits.hard);
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
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if let AttemptEvent::Started(pid) = event {
            attempt.pid = pid;
            return;
        }
        let assignment = *attempt;
        let ended = matches!(event, AttemptEvent::Ended(_));
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

    /// Starts workers, stops those that are overdue, and finishes collectors and runs.
    fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.stopping {
            if self.attempts.is_empty() && !self.exited {
                self.exited = true;
                effects.push(Effect::Exit);
            }
            return;
        }
        self.give_up_delivery(now, effects);
        let Some(run) = self.runs.front_mut() else { return };
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
            start(run, &self.policy, &mut self.attempts, limits, now, effects);
        }
        if run.is_collected() && run.is_idle() && !run.delivering {
            run.delivering = true;
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
    attempts: &mut Attempts,
    limits: RunLimits,
    now: Instant,
    effects: &mut Vec<Effect>,
) {
    let mut active = run.collectors.iter().filter(|collector| collector.is_active()).count();
    let (run_id, soft_deadline) = (run.id, limits.soft);
    let mut launch = |number: usize, collector: &mut CollectorRun, kind: JobKind, process: bool| {
        let unit = match &kind {
            JobKind::Unit { index, .. } => Some(*index),
            JobKind::Plan | JobKind::PlanAndCollect { .. } | JobKind::Operate { .. } => None,
        };
        collector.workers += 1;
        collector.unit_workers += usize::from(unit.is_some());
        let id = attempts.add(run_id, number, unit);
        let collector = collector.policy.name;
        effects.push(Effect::Start(AttemptSpec { id, run: run_id, collector, kind, process, soft_deadline }));
        id
    };
    for (number, collector) in run.collectors.iter_mut().enumerate() {
        let CollectorRun { policy: own, .. } = *collector;
        if matches!(collector.phase, Phase::Queued(at) if at <= now) && active < policy.pool_size {
            active += 1;
            collector.phase = Phase::Planning;
            collector.began.get_or_insert(now);
            collector.attempts += 1;
            let pool = u32::try_from(own.units.pool).unwrap_or(u32::MAX);
            let kind = if own.units.fork { JobKind::Plan } else { JobKind::PlanAndCollect { pool } };
            launch(number, collector, kind, own.process);
        }
        collector.units.release_due(now);
        for _ in collector.places_taken()..own.units.pool {
            let Some((index, unit)) = collector.units.pop_ready() else { break };
            let attempt = launch(number, collector, JobKind::Unit { index, unit }, own.process || own.units.fork);
            collector.units.begin(index, attempt, now);
        }
    }
}
