//! The decisions: events in, effects out, the clock passed in. Nothing here does I/O.
//!
//! One run at a time has its turn, the others wait in a bounded queue. A run's collectors pass through
//! [`Phase`]s: queued, planning, collecting, done. A collector whose units are forked is planned by one worker and
//! collected by one worker per unit; any other is planned and collected by one worker, and what that one left
//! unfinished when it crashed is taken up by workers of single units.

mod endings;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use worker_proto::Plan;

use super::{
    event::{
        Conclusion, DeliveryError, Effect, Event, JobEvent, JobId, JobOrder, Outcome, RunId, Shown, UnitKey, UnitStats,
        Work,
    },
    policy::Policy,
    run::{CollectorRun, Phase, Run, RunLimits, Trouble, UnitRun, UnitState, keep_gap},
};
use crate::process::StopReason;

/// The largest number of units in a plan.
const MAX_UNITS: usize = 100_000;

/// What a worker has.
#[derive(Clone, Copy, Debug)]
struct Assignment {
    run: RunId,
    collector: usize,
    unit: Option<u32>,
    stopped: Option<StopReason>,
    pid: Option<u32>,
}

/// Everything that the supervisor knows.
#[derive(Debug)]
pub struct State {
    policy: Policy,
    runs: VecDeque<Run>,
    jobs: BTreeMap<JobId, Assignment>,
    next_job: u64,
    /// The time of the last event.
    decided_at: Option<Instant>,
    stopping: bool,
    exited: bool,
}

/// The one function of the supervisor: takes what happened, answers what is to be done.
pub fn handle_event(state: &mut State, event: Event, now: Instant) -> Vec<Effect> {
    let mut effects = Vec::new();
    match event {
        Event::Collect(run) => state.collect(run, now, &mut effects),
        Event::Job(job, event) => state.job(job, event, now, &mut effects),
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
    /// A supervisor that has nothing to do yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let (runs, jobs) = (VecDeque::new(), BTreeMap::new());
        Self { policy, runs, jobs, next_job: 0, decided_at: None, stopping: false, exited: false }
    }

    /// What it was told.
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
        let retries = run.collectors.iter().flat_map(|collector| {
            let queued = match collector.phase {
                Phase::Queued(at) => Some(at),
                Phase::Planning | Phase::Collecting | Phase::Done => None,
            };
            let units = collector.units.iter().filter_map(|unit| match unit.state {
                UnitState::Queued(at) if collector.phase == Phase::Collecting => Some(at),
                _ => None,
            });
            queued.into_iter().chain(units)
        });
        let overdue = self.jobs.values().all(|job| job.stopped.is_some());
        let hard = run.limits.filter(|_| !overdue).map(|limits| limits.hard);
        retries.filter(|at| self.decided_at.is_none_or(|decided| *at > decided)).chain(hard).min()
    }

    fn collect(&mut self, id: RunId, now: Instant, effects: &mut Vec<Effect>) {
        if self.stopping {
            effects.push(Effect::Conclude(id, Conclusion::Refused("ckworker is stopping".into())));
        } else if self.runs.len() > self.policy.queue {
            let message = format!("{} collections are waiting already", self.policy.queue);
            effects.push(Effect::Conclude(id, Conclusion::Refused(message)));
        } else {
            self.runs.push_back(Run::new(id, &self.policy, now));
        }
    }

    fn delivered(&mut self, id: RunId, result: Result<(), DeliveryError>, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(run) = self.runs.pop_front_if(|run| run.id == id) {
            effects.push(Effect::Conclude(id, Conclusion::Ended(run.report(now), result)));
        }
    }

    fn job(&mut self, id: JobId, event: JobEvent, now: Instant, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let assignment = *job;
        if let JobEvent::Started(pid) = event {
            job.pid = pid;
            return;
        }
        if matches!(event, JobEvent::Ended(_)) {
            self.jobs.remove(&id);
        }
        let policy = self.policy.clone();
        let Some(run) = self.runs.iter_mut().find(|run| run.id == assignment.run) else { return };
        let run_id = run.id;
        let Some(collector) = run.collectors.get_mut(assignment.collector) else { return };
        let mut scope = Scope { policy: &policy, run: run_id, collector, job: id, assignment, now, effects };
        match event {
            JobEvent::Started(_) | JobEvent::Quiet(..) => {}
            JobEvent::Planned(plan) => {
                if !scope.planned(plan) {
                    self.stop_job(id, StopReason::Excess, Duration::ZERO, effects);
                }
            }
            JobEvent::UnitStarted(unit) => scope.unit_started(unit),
            JobEvent::Progress(progress) => {
                let key = scope.key(progress.unit);
                scope.effects.push(Effect::Show(Shown::UnitProgress { key, progress }));
            }
            JobEvent::Gap(unit, gap) => {
                if let Some(unit) = scope.own_unit(unit) {
                    keep_gap(&mut unit.gaps, gap);
                }
            }
            JobEvent::UnitComplete(unit, stats) => scope.unit_complete(unit, stats),
            JobEvent::UnitFailed(unit, failure) => scope.unit_failed(unit, &Trouble::from(failure)),
            JobEvent::Ended(outcome) => scope.ended(outcome),
            // Workers that operate are the operator's.
            JobEvent::Operated(..) => {}
        }
    }

    /// Starts what can be started, ends what is overdue, and moves on what is finished.
    fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.stopping {
            if self.jobs.is_empty() && !self.exited {
                self.exited = true;
                effects.push(Effect::Exit);
            }
            return;
        }
        self.give_up_delivery(now, effects);
        let Some(run) = self.runs.front_mut() else { return };
        let limits = *run.limits.get_or_insert_with(|| RunLimits::new(run.received, &self.policy));
        if now >= limits.hard {
            overdue(run, &mut self.jobs, self.policy.grace.min(self.policy.timeout / 10), now, effects);
        }
        for (index, collector) in run.collectors.iter_mut().enumerate() {
            let busy = self.jobs.values().any(|job| job.run == run.id && job.collector == index);
            if collector.phase == Phase::Collecting && !busy && collector.units.iter().all(UnitRun::is_settled) {
                collector.finish(now);
            }
        }
        if !run.delivering {
            start(run, &self.policy, &mut self.jobs, &mut self.next_job, limits, now, effects);
        }
        let idle = !self.jobs.values().any(|job| job.run == run.id);
        if run.is_collected() && idle && !run.delivering {
            run.delivering = true;
            let report = run.report(now);
            if report.has_something() {
                effects.push(Effect::Show(Shown::Delivering));
            }
            effects.push(Effect::Deliver(run.id, report, limits.delivery));
        }
    }
}

/// Ends the workers of a run whose time is over; what has not begun will not begin.
fn overdue(
    run: &mut Run,
    jobs: &mut BTreeMap<JobId, Assignment>,
    grace: Duration,
    now: Instant,
    effects: &mut Vec<Effect>,
) {
    for (id, job) in jobs.iter_mut().filter(|(_, job)| job.run == run.id && job.stopped.is_none()) {
        job.stopped = Some(StopReason::Deadline);
        effects.push(Effect::Stop(*id, StopReason::Deadline, grace));
    }
    for collector in &mut run.collectors {
        if matches!(collector.phase, Phase::Queued(_)) {
            collector.failure = Some(Trouble::late().reason);
            collector.finish(now);
        }
        for unit in collector.units.iter_mut().filter(|unit| matches!(unit.state, UnitState::Queued(_))) {
            unit.settle(UnitState::Failed(Trouble::late()), now);
        }
    }
}

/// Starts collectors and units up to the sizes of their pools.
fn start(
    run: &mut Run,
    policy: &Policy,
    jobs: &mut BTreeMap<JobId, Assignment>,
    next_job: &mut u64,
    limits: RunLimits,
    now: Instant,
    effects: &mut Vec<Effect>,
) {
    let mut active = run.collectors.iter().filter(|collector| collector.is_active()).count();
    let run_id = run.id;
    // A worker has its place until it has ended, also when its unit is complete.
    let mut workers: BTreeMap<usize, usize> = BTreeMap::new();
    for job in jobs.values().filter(|job| job.run == run_id && job.unit.is_some()) {
        *workers.entry(job.collector).or_default() += 1;
    }
    let mut launch = |index: usize, collector: &CollectorRun, work: Work, process: bool| {
        let id = JobId(*next_job);
        *next_job += 1;
        let unit = match &work {
            Work::Unit(unit, _) => Some(*unit),
            Work::Plan | Work::Whole(_) | Work::Operate(_) => None,
        };
        jobs.insert(id, Assignment { run: run_id, collector: index, unit, stopped: None, pid: None });
        let soft_deadline = limits.soft;
        let collector = collector.policy.name;
        effects.push(Effect::Start(JobOrder { id, run: run_id, collector, work, process, soft_deadline }));
        id
    };
    for (index, collector) in run.collectors.iter_mut().enumerate() {
        let CollectorRun { policy: own, .. } = *collector;
        if matches!(collector.phase, Phase::Queued(at) if at <= now) && active < policy.pool_size {
            active += 1;
            collector.phase = Phase::Planning;
            collector.began.get_or_insert(now);
            collector.attempts += 1;
            let work = if own.units.fork { Work::Plan } else { Work::Whole(own.units.pool) };
            launch(index, collector, work, own.process);
        }
        let taken = collector.running().max(workers.get(&index).copied().unwrap_or_default());
        let mut room = own.units.pool.saturating_sub(taken);
        for unit in 0..collector.units.len() {
            let ready = matches!(collector.units[unit].state, UnitState::Queued(at) if at <= now);
            if collector.phase == Phase::Collecting && ready && room > 0 {
                room -= 1;
                let work = Work::Unit(u32::try_from(unit).unwrap_or(u32::MAX), collector.units[unit].unit.clone());
                let job = launch(index, collector, work, own.process || own.units.fork);
                collector.units[unit].begin(job, now);
            }
        }
    }
}

/// One event of one job, with what it is about.
struct Scope<'a> {
    policy: &'a Policy,
    run: RunId,
    collector: &'a mut CollectorRun,
    job: JobId,
    assignment: Assignment,
    now: Instant,
    effects: &'a mut Vec<Effect>,
}

impl Scope<'_> {
    fn key(&self, unit: u32) -> UnitKey {
        UnitKey { run: self.run, collector: self.collector.policy.name, unit }
    }

    /// The unit, if it is this job's to speak of.
    fn own_unit(&mut self, unit: u32) -> Option<&mut UnitRun> {
        let job = self.job;
        self.collector.units.get_mut(unit as usize).filter(|unit| unit.state == UnitState::Running(job))
    }

    /// Takes a plan; false if it is none to work on.
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
        self.effects.push(Effect::Show(Shown::Planned { collector: name, units: labels }));
        // With a plan of its own kind of worker, the units wait for theirs; otherwise this worker has them all.
        let state =
            if self.collector.policy.units.fork { UnitState::Queued(self.now) } else { UnitState::Running(self.job) };
        self.collector.units = plan.units.into_iter().map(|unit| UnitRun::new(unit, state.clone())).collect();
        for gap in plan.gaps {
            keep_gap(&mut self.collector.gaps, gap);
        }
        self.collector.is_whole = plan.is_whole;
        self.collector.phase = Phase::Collecting;
        true
    }

    fn unit_started(&mut self, index: u32) {
        let (key, pid, job, now) = (self.key(index), self.assignment.pid, self.job, self.now);
        let forked = self.assignment.unit.is_some();
        if let Some(unit) = self.own_unit(index) {
            if !forked {
                unit.begin(job, now);
            }
            let label = unit.unit.label.clone();
            self.effects.push(Effect::Show(Shown::UnitStarted { key, label, pid }));
        }
    }

    fn unit_complete(&mut self, index: u32, stats: UnitStats) {
        let (key, now) = (self.key(index), self.now);
        match self.own_unit(index) {
            Some(unit) => {
                let (label, gaps) = (unit.unit.label.clone(), unit.gaps.len());
                unit.settle(UnitState::Complete(stats.clone()), now);
                self.effects.push(Effect::Show(Shown::UnitFinished { key, label, gaps, result: Ok(stats) }));
            }
            None => self.effects.push(Effect::Drop(key)),
        }
    }

    fn unit_failed(&mut self, index: u32, trouble: &Trouble) {
        let (key, now) = (self.key(index), self.now);
        let (attempts, delay) = (self.policy.attempts, self.policy.retry_delay);
        let name = self.collector.policy.name;
        let Some(unit) = self.own_unit(index) else { return };
        let (label, gaps) = (unit.unit.label.clone(), unit.gaps.len());
        let reason = trouble.reason.clone();
        let shown = if trouble.retry && unit.attempts < attempts {
            let wait = delay * 2_u32.saturating_pow(unit.attempts.saturating_sub(1)).min(64);
            unit.settle(UnitState::Queued(now + wait), now);
            Shown::Retry { collector: name, unit: Some(index), what: label, reason }
        } else {
            unit.settle(UnitState::Failed(trouble.clone()), now);
            Shown::UnitFinished { key, label, gaps, result: Err((trouble.label, reason)) }
        };
        self.effects.push(Effect::Show(shown));
    }

    fn ended(&mut self, outcome: Outcome) {
        let mine: Vec<u32> = (0..)
            .zip(&self.collector.units)
            .filter_map(|(index, unit)| (unit.state == UnitState::Running(self.job)).then_some(index))
            .collect();
        let planning = self.assignment.unit.is_none() && self.collector.phase == Phase::Planning;
        if mine.is_empty() && !planning {
            return;
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
            self.effects.push(Effect::Show(Shown::Retry { collector, unit: None, what, reason }));
        } else {
            self.fail(trouble.reason);
        }
    }

    fn fail(&mut self, reason: String) {
        self.collector.finish(self.now);
        self.collector.failure = Some(reason.clone());
        let collector = self.collector.policy.name;
        self.effects.push(Effect::Show(Shown::CollectorFailed { collector, reason }));
    }
}
