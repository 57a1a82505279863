//! The units of one collector: the state of each, and which one is next.
//!
//! Queues and counters answer what every event asks, so that no event looks at all units. The state of a unit changes
//! in this file only, which keeps them right.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use worker_proto::{Gap, Unit};

use super::Trouble;
use crate::supervisor::{
    event::{AttemptId, UnitStats},
    report::{Outcome, UnitReport},
};

/// The state of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum UnitState {
    /// The unit waits for its turn or for its next attempt.
    Queued(Instant),
    /// A worker collects the unit.
    Running(AttemptId),
    /// The unit is complete and kept.
    Complete(UnitStats),
    /// The unit has failed for good.
    Failed(Trouble),
}

impl UnitState {
    fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    fn is_settled(&self) -> bool {
        matches!(self, Self::Complete(_) | Self::Failed(_))
    }
}

/// A unit of a collector.
#[derive(Debug)]
pub(in crate::supervisor) struct UnitRun {
    pub(in crate::supervisor) unit: Unit,
    pub(in crate::supervisor) attempts: u32,
    pub(in crate::supervisor) gaps: Vec<Gap>,
    state: UnitState,
    began: Option<Instant>,
    took: Duration,
}

impl UnitRun {
    fn report(&self) -> UnitReport {
        let (outcome, stats) = match &self.state {
            UnitState::Complete(stats) => (Outcome::Complete, stats.clone()),
            UnitState::Failed(trouble) => (trouble.outcome(), UnitStats::default()),
            UnitState::Queued(_) | UnitState::Running(_) => (Trouble::unfinished().outcome(), UnitStats::default()),
        };
        UnitReport {
            id: self.unit.id.clone(),
            label: self.unit.label.clone(),
            kind: self.unit.kind.clone(),
            outcome,
            attempts: self.attempts,
            nodes_by_kind: stats.nodes_by_kind,
            edges: stats.edges,
            gaps: self.gaps.clone(),
            kept: 0,
            took: self.took,
        }
    }
}

/// All units of one collector, in the order of its plan.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Units {
    units: Vec<UnitRun>,
    /// Indices of the units that wait for room in the pool, lowest first.
    ready: BinaryHeap<Reverse<u32>>,
    /// Units that wait for their next attempt, earliest first.
    retries: BinaryHeap<Reverse<(Instant, u32)>>,
    running: usize,
    settled: usize,
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

impl Units {
    /// Units that wait for workers of their own.
    pub(in crate::supervisor) fn queued(plan: Vec<Unit>, now: Instant) -> Self {
        let units = Self::unit_runs(plan, &UnitState::Queued(now));
        let ready = (0..).zip(&units).map(|(index, _)| Reverse(index)).collect();
        Self { units, ready, ..Self::default() }
    }

    /// Units that one worker has.
    pub(in crate::supervisor) fn running(plan: Vec<Unit>, attempt: AttemptId) -> Self {
        let units = Self::unit_runs(plan, &UnitState::Running(attempt));
        Self { running: units.len(), units, ..Self::default() }
    }

    fn unit_runs(plan: Vec<Unit>, state: &UnitState) -> Vec<UnitRun> {
        let unit = |unit| UnitRun {
            unit,
            attempts: 0,
            gaps: Vec::new(),
            state: state.clone(),
            began: None,
            took: Duration::ZERO,
        };
        plan.into_iter().map(unit).collect()
    }

    /// Returns the number of units that workers have.
    pub(in crate::supervisor) fn running_count(&self) -> usize {
        self.running
    }

    /// Whether no unit will change any more.
    pub(in crate::supervisor) fn are_settled(&self) -> bool {
        self.settled == self.units.len()
    }

    /// Returns when the first retry is due, without those that wait for room in the pool already.
    pub(in crate::supervisor) fn next_retry(&self) -> Option<Instant> {
        self.look(1);
        self.retries.peek().map(|Reverse((at, _))| *at)
    }

    /// Lets retries that are due wait for room in the pool.
    pub(in crate::supervisor) fn release_due(&mut self, now: Instant) {
        while let Some(Reverse((at, index))) = self.retries.peek().copied()
            && at <= now
        {
            self.look(1);
            self.retries.pop();
            self.ready.push(Reverse(index));
        }
    }

    /// Whether a unit waits for room in the pool.
    pub(in crate::supervisor) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the next unit that waits for room in the pool; the caller begins it.
    pub(in crate::supervisor) fn pop_ready(&mut self) -> Option<(u32, Unit)> {
        let Reverse(index) = self.ready.pop()?;
        self.look(1);
        self.units.get(index as usize).map(|unit| (index, unit.unit.clone()))
    }

    /// Returns a unit if this worker has it.
    pub(in crate::supervisor) fn held_by(&mut self, attempt: AttemptId, index: u32) -> Option<&mut UnitRun> {
        self.look(1);
        self.units.get_mut(index as usize).filter(|unit| unit.state == UnitState::Running(attempt))
    }

    /// Returns the indices of all units that a worker has; looks at all units.
    pub(in crate::supervisor) fn all_held_by(&self, attempt: AttemptId) -> Vec<u32> {
        self.look(self.units.len());
        let held = (0..).zip(&self.units).filter(|(_, unit)| unit.state == UnitState::Running(attempt));
        held.map(|(index, _)| index).collect()
    }

    /// A worker takes a unit up; what an earlier attempt lacked no longer counts.
    pub(in crate::supervisor) fn begin(&mut self, index: u32, attempt: AttemptId, now: Instant) {
        if let Some(unit) = self.set(index, UnitState::Running(attempt)) {
            unit.attempts += 1;
            unit.gaps.clear();
            unit.began = Some(now);
        }
    }

    /// Ends an attempt: the unit is complete, has failed, or waits for its next attempt.
    pub(in crate::supervisor) fn settle(&mut self, index: u32, state: UnitState, now: Instant) {
        if let UnitState::Queued(at) = state {
            self.retries.push(Reverse((at, index)));
        }
        if let Some(unit) = self.set(index, state) {
            unit.took += unit.began.take().map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        }
    }

    /// Fails all units that no worker has taken up.
    pub(in crate::supervisor) fn fail_queued(&mut self, trouble: &Trouble, now: Instant) {
        let retries = self.retries.drain().map(|Reverse((_, index))| index);
        let queued: Vec<u32> = self.ready.drain().map(|Reverse(index)| index).chain(retries).collect();
        for index in queued {
            self.settle(index, UnitState::Failed(trouble.clone()), now);
        }
    }

    /// Returns the outcome of each unit.
    pub(in crate::supervisor) fn reports(&self) -> Vec<UnitReport> {
        self.look(self.units.len());
        self.units.iter().map(UnitRun::report).collect()
    }

    fn set(&mut self, index: u32, state: UnitState) -> Option<&mut UnitRun> {
        self.look(1);
        let unit = self.units.get_mut(index as usize)?;
        self.running += usize::from(state.is_running());
        self.running -= usize::from(unit.state.is_running());
        self.settled += usize::from(state.is_settled());
        self.settled -= usize::from(unit.state.is_settled());
        unit.state = state;
        Some(unit)
    }

    /// Counts units that are looked at, for the test that no event looks at all of them.
    #[cfg(test)]
    fn look(&self, units: usize) {
        self.looks.set(self.looks.get() + units);
    }

    #[cfg(not(test))]
    fn look(&self, _units: usize) {}

    /// Returns how many units were looked at, each as often as it was.
    #[cfg(test)]
    pub(in crate::supervisor) fn looks(&self) -> usize {
        self.looks.get()
    }
}
