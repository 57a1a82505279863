//! One run: its collectors, their units, and the state of each.

mod units;

use std::time::{Duration, Instant};

use worker_proto::{Failure, Gap};

pub(super) use self::units::{UnitRun, UnitState, Units};
use super::{
    event::{AttemptOutcome, RunId},
    policy::{CollectorPolicy, Policy},
    report::{CollectorReport, Outcome, RunReport},
};

/// The largest number of gaps that a unit or a plan keeps; the rest is only counted.
const MAX_GAPS: usize = 1000;

/// A collection of all enabled collectors.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) received: Instant,
    /// Set when it is its turn.
    pub(super) limits: Option<RunLimits>,
    pub(super) collectors: Vec<CollectorRun>,
    pub(super) delivering: bool,
    /// The hard deadline has passed, and the workers were asked to stop.
    pub(super) overdue: bool,
}

/// The times of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunLimits {
    /// Soft deadline: workers exit by themselves.
    pub(super) soft: Instant,
    /// Hard deadline: workers are stopped.
    pub(super) hard: Instant,
    /// The delivery times out by itself, with a message.
    pub(super) delivery: Instant,
    /// The delivery is cancelled.
    pub(super) end: Instant,
}

impl RunLimits {
    /// Reserves a tenth of the time, at most five minutes, for the delivery. The soft deadline is two grace periods and
    /// the hard deadline one before that.
    pub(super) fn new(received: Instant, policy: &Policy) -> Self {
        let end = received + policy.timeout;
        let reserve = (policy.timeout / 10).min(Duration::from_secs(300));
        let grace = policy.grace.min(policy.timeout / 10);
        let delivery = end - (policy.timeout / 100).min(Duration::from_secs(1));
        Self { soft: end - reserve - grace * 2, hard: end - reserve - grace, delivery, end }
    }
}

/// The phase of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The collector waits for its turn or for its next attempt.
    Queued(Instant),
    /// A worker plans, or plans and collects.
    Planning,
    /// The units are known and being collected.
    Collecting,
    /// Nothing will change any more.
    Done,
}

/// A collector of a run.
#[derive(Debug)]
pub(super) struct CollectorRun {
    pub(super) policy: CollectorPolicy,
    pub(super) phase: Phase,
    pub(super) attempts: u32,
    pub(super) units: Units,
    /// Workers that have not ended.
    pub(super) workers: usize,
    /// Workers of single units among them.
    pub(super) unit_workers: usize,
    pub(super) failure: Option<String>,
    /// Why the collector was skipped.
    pub(super) skipped: Option<String>,
    pub(super) gaps: Vec<Gap>,
    pub(super) is_whole: bool,
    pub(super) began: Option<Instant>,
    pub(super) took: Duration,
}

impl CollectorRun {
    pub(super) fn new(policy: CollectorPolicy, now: Instant) -> Self {
        Self {
            policy,
            phase: Phase::Queued(now),
            attempts: 0,
            units: Units::default(),
            workers: 0,
            unit_workers: 0,
            failure: None,
            skipped: None,
            gaps: Vec::new(),
            is_whole: false,
            began: None,
            took: Duration::ZERO,
        }
    }

    /// Nothing will change any more.
    pub(super) fn finish(&mut self, now: Instant) {
        self.phase = Phase::Done;
        self.took = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Planning | Phase::Collecting)
    }

    /// Returns how many workers its units have. A worker keeps its place until it has ended, also when its unit is
    /// complete; one that has all units counts once for each unit that is not settled.
    pub(super) fn places_taken(&self) -> usize {
        self.units.running_count().max(self.unit_workers)
    }

    fn report(&self) -> CollectorReport {
        CollectorReport {
            name: self.policy.name.to_owned(),
            units: self.units.reports(),
            failure: self.failure.clone(),
            skipped: self.skipped.clone(),
            gaps: self.gaps.clone(),
            is_whole: self.is_whole,
            took: self.took,
        }
    }
}

/// Why an attempt failed, and whether to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The name of the failure in metrics and tables.
    pub(super) label: &'static str,
    /// The failure and its remedy.
    pub(super) reason: String,
    /// Whether another attempt may succeed.
    pub(super) retry: bool,
}

impl Trouble {
    pub(super) fn late() -> Self {
        let reason = "run timeout exceeded before it could begin (--timeout)".to_owned();
        Self { label: "deadline", reason, retry: false }
    }

    fn unfinished() -> Self {
        Self { label: "unfinished", reason: "not collected".into(), retry: false }
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome::Failed { reason: self.label.to_owned(), detail: self.reason.clone() }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { label: failure.kind.label(), reason: failure.message, retry: failure.kind.is_retryable() }
    }
}

impl From<AttemptOutcome> for Trouble {
    fn from(outcome: AttemptOutcome) -> Self {
        // The label says what became of the unit, as there is nothing wrong with the worker.
        let label = if outcome == AttemptOutcome::Finished { Self::unfinished().label } else { outcome.label() };
        Self { label, reason: outcome.message(), retry: outcome.is_retryable() }
    }
}

/// Keeps a gap unless there are too many.
pub(super) fn keep_gap(gaps: &mut Vec<Gap>, gap: Gap) {
    if gaps.len() < MAX_GAPS {
        gaps.push(gap);
    }
}

impl Run {
    pub(super) fn new(id: RunId, policy: &Policy, now: Instant) -> Self {
        let collectors = policy.collectors.iter().map(|collector| CollectorRun::new(*collector, now)).collect();
        Self { id, received: now, limits: None, collectors, delivering: false, overdue: false }
    }

    pub(super) fn is_collected(&self) -> bool {
        self.collectors.iter().all(|collector| collector.phase == Phase::Done)
    }

    /// Whether no worker of this run is left.
    pub(super) fn is_idle(&self) -> bool {
        self.collectors.iter().all(|collector| collector.workers == 0)
    }

    pub(super) fn report(&self, now: Instant) -> RunReport {
        RunReport {
            collectors: self.collectors.iter().map(CollectorRun::report).collect(),
            nodes: 0,
            edges: 0,
            took: now.saturating_duration_since(self.received),
        }
    }
}
