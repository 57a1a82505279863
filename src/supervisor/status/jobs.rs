//! The table of jobs that `/jobs` shows.
//!
//! A job is a plan or a unit, over all its attempts. Units are shown from the moment they are planned: those that wait
//! for a place are work that is still to come. When the run is over, its report decides.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use tokio::sync::watch;
use worker_proto::{JobKind, Plan};

use super::operations::{action, epoch, operation};
use crate::{
    report::{self, CoreStatus, JobState, JobStatus, RunReport, StatusSnapshot},
    supervisor::event::{AttemptEvent, AttemptId, AttemptOutcome, AttemptSpec, Notice, RunId, RunOutcome},
    supervisor::{actions::ActionView, operations::OperationWorker},
};

/// The channels that the status is published through.
pub struct StatusSenders {
    /// The jobs.
    pub status: watch::Sender<StatusSnapshot>,
    /// The core.
    pub core: watch::Sender<CoreStatus>,
}

/// A collector and the index of its unit; none stands for its plan, or for the collector as a whole.
type Key = (&'static str, Option<u32>);

/// All jobs of the current run, or of the last one.
pub(in crate::supervisor) struct JobTable {
    senders: StatusSenders,
    /// The index of each job in the published list.
    places: BTreeMap<Key, usize>,
    /// The worker of each job that has one.
    workers: BTreeMap<Key, AttemptId>,
    /// The ids of the planned units.
    units: HashMap<&'static str, Vec<String>>,
    attempts: BTreeMap<AttemptId, Attempt>,
}

/// The counts of one attempt so far.
struct Attempt {
    key: Key,
    /// Whether the units that it plans get workers of their own.
    plans: bool,
    nodes: HashMap<u32, u64>,
    total: u64,
    kept: bool,
    failed: bool,
}

impl JobTable {
    pub(in crate::supervisor) fn new(senders: StatusSenders) -> Self {
        Self {
            senders,
            places: BTreeMap::new(),
            workers: BTreeMap::new(),
            units: HashMap::new(),
            attempts: BTreeMap::new(),
        }
    }

    pub(in crate::supervisor) fn core(&self, lost: Option<String>) {
        let status = lost.map_or(CoreStatus::Connected, CoreStatus::Disconnected);
        self.senders.core.send_replace(status);
    }

    /// Shows the workers of operations, and the actions that run or wait.
    pub(in crate::supervisor) fn show_operations<'a>(
        &self,
        workers: impl Iterator<Item = &'a OperationWorker>,
        actions: impl Iterator<Item = ActionView<'a>>,
    ) {
        let (operations, actions): (Vec<_>, Vec<_>) = (workers.map(operation).collect(), actions.map(action).collect());
        self.senders.status.send_if_modified(|snapshot| {
            let is_new = snapshot.operations != operations || snapshot.actions != actions;
            (snapshot.operations, snapshot.actions) = (operations, actions);
            is_new
        });
    }

    /// Adds the attempt of a job; a later attempt replaces an earlier one.
    pub(in crate::supervisor) fn job_started(&mut self, spec: &AttemptSpec, name: String) {
        let Some(run) = spec.run else { return };
        self.turn_to(run);
        let (unit, id) = match &spec.kind {
            JobKind::Unit { index, unit } => (Some(*index), Some(unit.id.as_str())),
            JobKind::Plan | JobKind::PlanAndCollect { .. } | JobKind::Operate { .. } => (None, None),
        };
        let key = (spec.collector, unit);
        let deadline = epoch(spec.soft_deadline);
        self.change(
            key,
            || waiting(spec.collector, name, id),
            |job| {
                job.state = JobState::Running;
                job.started = Some(epoch(Instant::now()));
                job.deadline = Some(deadline);
                job.attempts += 1;
                job.nodes = 0;
                job.waits_for = None;
                job.reason = None;
            },
        );
        // Later events of the worker before are ignored.
        if let Some(before) = self.workers.insert(key, spec.id) {
            self.attempts.remove(&before);
        }
        let plans = matches!(spec.kind, JobKind::Plan);
        let attempt = Attempt { key, plans, nodes: HashMap::new(), total: 0, kept: false, failed: false };
        self.attempts.insert(spec.id, attempt);
    }

    pub(in crate::supervisor) fn job_event(&mut self, id: AttemptId, event: &AttemptEvent) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let key = attempt.key;
        match event {
            AttemptEvent::Started(pid) => self.update(key, |job| job.pid = *pid),
            AttemptEvent::Planned(plan) => self.planned(id, plan),
            AttemptEvent::Progress(progress) => {
                let total = attempt.found(progress.unit, progress.nodes);
                self.update(key, |job| job.nodes = total);
            }
            AttemptEvent::UnitComplete(unit, stats) => {
                attempt.kept = true;
                let total = attempt.found(*unit, stats.nodes_by_kind.values().sum());
                self.update(key, |job| job.nodes = total);
            }
            AttemptEvent::UnitFailed(unit, failure) => {
                attempt.failed = true;
                let total = attempt.found(*unit, 0);
                self.update(key, |job| {
                    job.nodes = total;
                    job.reason = Some(failure.message.clone());
                });
            }
            AttemptEvent::Quiet(_, waits_for) => self.update(key, |job| job.waits_for.clone_from(waits_for)),
            AttemptEvent::Ended(outcome) => self.ended(id, outcome),
            AttemptEvent::UnitStarted(_) | AttemptEvent::Gap(..) | AttemptEvent::Operated(..) => {}
        }
    }

    pub(in crate::supervisor) fn job_stopping(&mut self, id: AttemptId) {
        if let Some(attempt) = self.attempts.get(&id) {
            self.update(attempt.key, |job| job.state = JobState::Stopping);
        }
    }

    /// Sets a job that is retried to waiting, and the plan of a skipped collector to skipped.
    pub(in crate::supervisor) fn notice(&mut self, notice: &Notice) {
        if let Notice::CollectorSkipped { collector, .. } = notice {
            self.update((collector, None), |job| job.state = JobState::Skipped);
        }
        if let Notice::Retry { collector, unit, reason, .. } = notice {
            let id = unit.and_then(|unit| self.units.get(collector)?.get(unit as usize)).cloned();
            self.change(
                (collector, *unit),
                || waiting_unit(collector, id.as_deref().unwrap_or_default()),
                |job| {
                    job.state = JobState::Waiting;
                    job.reason = Some(reason.clone());
                },
            );
        }
    }

    /// Sets the final states of a run's jobs.
    pub(in crate::supervisor) fn run_over(&mut self, run: RunId, conclusion: &RunOutcome) {
        if self.senders.status.borrow().run != Some(run.0) {
            return;
        }
        let places = &self.places;
        self.senders.status.send_modify(|snapshot| {
            for (key, place) in places {
                let Some(job) = snapshot.jobs.get_mut(*place) else { continue };
                match conclusion {
                    RunOutcome::Ended(report, _) => settle(job, *key, report),
                    RunOutcome::Refused(reason) if job.state == JobState::Waiting => give_up(job, reason),
                    RunOutcome::Refused(_) => {}
                }
            }
        });
    }

    /// The units of a plan wait for workers of their own, unless their planner goes on with them.
    fn planned(&mut self, id: AttemptId, plan: &Plan) {
        let Some(Attempt { key: (collector, _), plans, .. }) = self.attempts.get(&id) else { return };
        let (collector, plans) = (*collector, *plans);
        self.units.insert(collector, plan.units.iter().map(|unit| unit.id.clone()).collect());
        if !plans {
            return;
        }
        let places = &mut self.places;
        self.senders.status.send_modify(|snapshot| {
            for (index, unit) in (0..).zip(&plan.units) {
                places.entry((collector, Some(index))).or_insert_with(|| {
                    snapshot.jobs.push(waiting_unit(collector, &unit.id));
                    snapshot.jobs.len() - 1
                });
            }
        });
    }

    fn ended(&mut self, id: AttemptId, outcome: &AttemptOutcome) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        self.workers.remove(&attempt.key);
        // A unit that was kept counts, however its worker ended.
        let is_kept = attempt.kept && attempt.key.1.is_some();
        let is_complete = !attempt.failed && (*outcome == AttemptOutcome::Finished || is_kept);
        let reason = (*outcome != AttemptOutcome::Finished).then(|| outcome.message());
        self.update(attempt.key, |job| {
            job.pid = None;
            // A failed job that is retried waits already.
            if job.state == JobState::Waiting {
                return;
            }
            job.state = if is_complete { JobState::Complete } else { JobState::Failed };
            if let Some(reason) = reason.filter(|_| !is_complete) {
                job.reason = Some(reason);
            }
        });
    }

    /// Forgets the jobs of another run.
    fn turn_to(&mut self, run: RunId) {
        if self.senders.status.borrow().run != Some(run.0) {
            self.places.clear();
            self.workers.clear();
            self.units.clear();
            self.attempts.clear();
            self.senders.status.send_modify(|snapshot| {
                snapshot.run = Some(run.0);
                snapshot.jobs.clear();
            });
        }
    }

    /// Changes a job in place, as a copy of all jobs for each change would be too expensive.
    fn update(&self, key: Key, change: impl FnOnce(&mut JobStatus)) {
        if let Some(place) = self.places.get(&key) {
            self.senders.status.send_modify(|snapshot| {
                if let Some(job) = snapshot.jobs.get_mut(*place) {
                    change(job);
                }
            });
        }
    }

    /// The same for a job that may be new.
    fn change(&mut self, key: Key, new: impl FnOnce() -> JobStatus, change: impl FnOnce(&mut JobStatus)) {
        if !self.places.contains_key(&key) {
            let mut place = 0;
            self.senders.status.send_modify(|snapshot| {
                place = snapshot.jobs.len();
                snapshot.jobs.push(new());
            });
            self.places.insert(key, place);
        }
        self.update(key, change);
    }
}

impl Attempt {
    /// Sets the number of nodes of a unit, and returns that of all units.
    fn found(&mut self, unit: u32, nodes: u64) -> u64 {
        let before = self.nodes.insert(unit, nodes).unwrap_or_default();
        self.total = self.total - before + nodes;
        self.total
    }
}

fn waiting_unit(collector: &str, id: &str) -> JobStatus {
    waiting(collector, format!("{collector}/{id}"), Some(id))
}

fn waiting(collector: &str, name: String, unit: Option<&str>) -> JobStatus {
    JobStatus {
        name,
        collector: collector.to_owned(),
        unit: unit.map(str::to_owned),
        state: JobState::Waiting,
        pid: None,
        started: None,
        deadline: None,
        nodes: 0,
        attempts: 0,
        waits_for: None,
        reason: None,
    }
}

/// Sets a job to its final state in the report.
fn settle(job: &mut JobStatus, (collector, unit): Key, report: &RunReport) {
    let Some(collector) = report.collectors.iter().find(|found| found.name == collector) else { return };
    match unit.and_then(|unit| collector.units.get(unit as usize)) {
        Some(unit) => {
            (job.nodes, job.attempts) = (unit.nodes(), unit.attempts);
            match &unit.outcome {
                report::Outcome::Complete => (job.state, job.reason) = (JobState::Complete, None),
                report::Outcome::Failed { detail, .. } => give_up(job, detail),
            }
        }
        // A plan whose turn never came, or a unit of a plan that was refused.
        None if job.state == JobState::Waiting => give_up(job, collector.failure.as_deref().unwrap_or_default()),
        None => {}
    }
}

fn give_up(job: &mut JobStatus, reason: &str) {
    job.state = JobState::Failed;
    job.reason = Some(reason.to_owned());
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
