//! Handles the events of one attempt: their consequences for its collector and units.

use std::time::Instant;

use worker_proto::Plan;

use super::{AttemptEvent, AttemptId, AttemptOutcome, Effect, Notice, Policy, RunId, UnitStats, attempts::Assignment};
use crate::supervisor::{
    event::UnitKey,
    run::{CollectorRun, Phase, Trouble, UnitRun, UnitState, Units, keep_gap},
};

/// The largest number of units in a plan.
const MAX_UNITS: usize = 100_000;

/// The context of one event of an attempt.
pub(super) struct Scope<'a> {
    pub(super) policy: &'a Policy,
    pub(super) run: RunId,
    pub(super) collector: &'a mut CollectorRun,
    pub(super) attempt: AttemptId,
    pub(super) assignment: Assignment,
    pub(super) now: Instant,
    pub(super) effects: &'a mut Vec<Effect>,
}

impl Scope<'_> {
    /// Handles the event; false if the worker has to be stopped because its plan is too large.
    pub(super) fn handle(mut self, event: AttemptEvent) -> bool {
        match event {
            AttemptEvent::Started(_) | AttemptEvent::Quiet(..) => {}
            AttemptEvent::Planned(plan) => return self.planned(plan),
            AttemptEvent::UnitStarted(unit) => self.unit_started(unit),
            AttemptEvent::Progress(progress) => {
                let key = self.key(progress.unit);
                self.effects.push(Effect::Notify(Notice::UnitProgress { key, progress }));
            }
            AttemptEvent::Gap(unit, gap) => {
                if let Some(unit) = self.own_unit(unit) {
                    keep_gap(&mut unit.gaps, gap);
                }
            }
            AttemptEvent::UnitComplete(unit, stats) => self.unit_complete(unit, stats),
            AttemptEvent::UnitFailed(unit, failure) => self.unit_failed(unit, &Trouble::from(failure)),
            AttemptEvent::Ended(outcome) => self.ended(outcome),
            // Workers that operate belong to the operation pool.
            AttemptEvent::Operated(..) => {}
        }
        true
    }

    fn key(&self, unit: u32) -> UnitKey {
        UnitKey { run: self.run, collector: self.collector.policy.name, unit }
    }

    /// Returns the unit, if this attempt holds it.
    fn own_unit(&mut self, unit: u32) -> Option<&mut UnitRun> {
        self.collector.units.held_by(self.attempt, unit)
    }

    /// Takes the units of a plan; returns false if there are too many.
    fn planned(&mut self, plan: Plan) -> bool {
        if self.assignment.unit.is_some() || self.collector.phase != Phase::Planning {
            return true;
        }
        let name = self.collector.policy.name;
        if plan.units.len() > MAX_UNITS {
            self.fail(format!("a plan of {} units exceeds the maximum of {MAX_UNITS}", plan.units.len()));
            return false;
        }
        let labels = plan.units.iter().map(|unit| unit.label.clone()).collect();
        self.effects.push(Effect::Notify(Notice::Planned { collector: name, units: labels }));
        // With forked units, each waits for a worker of its own; otherwise this worker has them all.
        self.collector.units = if self.collector.policy.units.fork {
            Units::queued(plan.units, self.now)
        } else {
            Units::running(plan.units, self.attempt)
        };
        for gap in plan.gaps {
            keep_gap(&mut self.collector.gaps, gap);
        }
        self.collector.is_whole = plan.is_whole;
        self.collector.phase = Phase::Collecting;
        true
    }

    fn unit_started(&mut self, index: u32) {
        let (key, pid, attempt, now) = (self.key(index), self.assignment.pid, self.attempt, self.now);
        let forked = self.assignment.unit.is_some();
        if let Some(unit) = self.own_unit(index) {
            let label = unit.unit.label.clone();
            if !forked {
                self.collector.units.begin(index, attempt, now);
            }
            self.effects.push(Effect::Notify(Notice::UnitStarted { key, label, pid }));
        }
    }

    fn unit_complete(&mut self, index: u32, stats: UnitStats) {
        let (key, now) = (self.key(index), self.now);
        match self.own_unit(index) {
            Some(unit) => {
                let (label, gaps) = (unit.unit.label.clone(), unit.gaps.len());
                self.collector.units.settle(index, UnitState::Complete(stats.clone()), now);
                self.effects.push(Effect::Notify(Notice::UnitFinished { key, label, gaps, result: Ok(stats) }));
            }
            None => self.effects.push(Effect::Drop(key)),
        }
    }

    fn unit_failed(&mut self, index: u32, trouble: &Trouble) {
        let (key, now) = (self.key(index), self.now);
        let (attempts, delay) = (self.policy.attempts, self.policy.retry_delay);
        let name = self.collector.policy.name;
        let Some(unit) = self.own_unit(index) else { return };
        let (label, gaps, begun) = (unit.unit.label.clone(), unit.gaps.len(), unit.attempts);
        let reason = trouble.reason.clone();
        let notice = if trouble.retry && begun < attempts {
            let wait = delay * 2_u32.saturating_pow(begun.saturating_sub(1)).min(64);
            self.collector.units.settle(index, UnitState::Queued(now + wait), now);
            Notice::Retry { collector: name, unit: Some(index), what: label, reason }
        } else {
            self.collector.units.settle(index, UnitState::Failed(trouble.clone()), now);
            Notice::UnitFinished { key, label, gaps, result: Err((trouble.label, reason)) }
        };
        self.effects.push(Effect::Notify(notice));
    }

    fn ended(&mut self, outcome: AttemptOutcome) {
        let mine = match self.assignment.unit {
            Some(unit) => self.own_unit(unit).map(|_| unit).into_iter().collect(),
            None => self.collector.units.all_held_by(self.attempt),
        };
        let planning = self.assignment.unit.is_none() && self.collector.phase == Phase::Planning;
        if mine.is_empty() && !planning {
            return;
        }
        if let AttemptOutcome::Failed(failure) = &outcome
            && planning
            && self.collector.policy.is_skipped_by(failure)
        {
            return self.skip(failure.message.clone());
        }
        let trouble = Trouble::from(outcome);
        for unit in mine {
            self.unit_failed(unit, &trouble);
        }
        if planning {
            self.plan_failed(trouble);
        }
    }

    fn plan_failed(&mut self, trouble: Trouble) {
        let attempts = self.collector.attempts;
        if trouble.retry && attempts < self.policy.attempts {
            let wait = self.policy.retry_delay * 2_u32.saturating_pow(attempts.saturating_sub(1)).min(64);
            self.collector.phase = Phase::Queued(self.now + wait);
            let collector = self.collector.policy.name;
            let (what, reason) = ("the plan".to_owned(), trouble.reason);
            self.effects.push(Effect::Notify(Notice::Retry { collector, unit: None, what, reason }));
        } else {
            self.fail(trouble.reason);
        }
    }

    fn skip(&mut self, reason: String) {
        self.collector.finish(self.now);
        self.collector.skipped = Some(reason.clone());
        let collector = self.collector.policy.name;
        self.effects.push(Effect::Notify(Notice::CollectorSkipped { collector, reason }));
    }

    fn fail(&mut self, reason: String) {
        self.collector.finish(self.now);
        self.collector.failure = Some(reason.clone());
        let collector = self.collector.policy.name;
        self.effects.push(Effect::Notify(Notice::CollectorFailed { collector, reason }));
    }
}
