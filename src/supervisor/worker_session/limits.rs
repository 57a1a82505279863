//! Buffers of one worker's units, and the limits on their size.
//!
//! What is counted is what it takes in the memory of the supervisor, and not what it took in a frame: a node whose line
//! is empty takes some fifty bytes all the same. Lines are counted by themselves, as they go to a file when there are
//! many of them.

use std::collections::BTreeMap;

use worker_proto::{Counts, Gap, JobKind, Unit};

use super::{
    Limits,
    termination::{SessionEnd, protocol},
    truncate,
};
use crate::{
    graph::{Account, CompleteUnit, Spool, StoreError, UnitStore},
    process::StopReason,
};

/// The units of one worker.
pub(super) struct UnitBuffers {
    limits: Limits,
    spool: Spool,
    /// The options that make a worker send less.
    advice: Option<&'static str>,
    /// Units that may be open at the same time.
    pool: usize,
    /// Units that have not ended.
    units: BTreeMap<u32, Unit>,
    /// Units that have begun and have not ended.
    open: BTreeMap<u32, UnitStore>,
    /// Memory of all units in bytes; complete units stay until their run is delivered.
    memory: u64,
    /// All lines in bytes.
    lines: u64,
}

impl UnitBuffers {
    pub(super) fn new(kind: &JobKind, limits: Limits, spool: &Spool, advice: Option<&'static str>) -> Self {
        let (units, pool) = match kind {
            JobKind::Unit { index, unit } => (BTreeMap::from([(*index, unit.clone())]), 1),
            JobKind::Operate { unit } => (BTreeMap::from([(0, unit.clone())]), 0),
            JobKind::Plan => (BTreeMap::new(), 0),
            JobKind::PlanAndCollect { pool } => (BTreeMap::new(), usize::try_from(*pool).unwrap_or(usize::MAX).max(1)),
        };
        Self { limits, spool: spool.clone(), advice, pool, units, open: BTreeMap::new(), memory: 0, lines: 0 }
    }

    /// The worker has these units.
    pub(super) fn plan(&mut self, units: &[Unit]) {
        self.units = (0..).zip(units.iter().cloned()).collect();
    }

    /// A unit that is not over.
    pub(super) fn unit(&self, unit: u32) -> Option<&Unit> {
        self.units.get(&unit)
    }

    /// Whether a unit has begun and is not over.
    pub(super) fn is_open(&self, unit: u32) -> bool {
        self.open.contains_key(&unit)
    }

    pub(super) fn begin(&mut self, unit: u32) -> Result<(), SessionEnd> {
        let Some(account) = self.units.get(&unit).map(Account::from) else {
            return Err(protocol(format!("unit {unit} is not part of the job")));
        };
        if self.is_open(unit) {
            return Err(protocol(format!("unit {unit} was started twice")));
        }
        if self.open.len() >= self.pool {
            return Err(protocol(format!("more than {} units were open at the same time", self.pool)));
        }
        let store = UnitStore::new(account, &self.spool);
        self.memory += store.memory();
        self.open.insert(unit, store);
        Ok(())
    }

    /// Adds to a unit, and looks whether that was too much.
    pub(super) fn add(
        &mut self,
        unit: u32,
        add: impl FnOnce(&mut UnitStore) -> Result<(), StoreError>,
    ) -> Result<(), SessionEnd> {
        let Some(store) = self.open.get_mut(&unit) else {
            return Err(protocol(format!("data of unit {unit} before its start")));
        };
        let (memory, lines) = (store.memory(), store.line_bytes());
        add(store)?;
        let own = store.memory();
        self.memory += own.saturating_sub(memory);
        self.lines += store.line_bytes() - lines;
        if own > self.limits.unit {
            return Err(self.excess("what it sent of one account takes", self.limits.unit));
        }
        self.check()
    }

    /// Counts a gap, also one that is not kept.
    pub(super) fn gap(&mut self, gap: &Gap) -> Result<(), SessionEnd> {
        self.memory += truncate::gap_bytes(gap) as u64;
        self.check()
    }

    /// Ends a unit, if all arrived that was sent.
    pub(super) fn complete(&mut self, unit: u32, counts: Counts) -> Result<CompleteUnit, SessionEnd> {
        let Some(store) = self.open.remove(&unit) else {
            return Err(protocol(format!("unit {unit} was finished before its start")));
        };
        self.memory -= store.memory();
        let complete = store.complete(counts).map_err(protocol)?;
        self.memory += complete.memory();
        self.units.remove(&unit);
        Ok(complete)
    }

    /// Forgets a unit, and gives back what it took.
    pub(super) fn fail(&mut self, unit: u32) {
        if let Some(store) = self.open.remove(&unit) {
            self.memory -= store.memory();
        }
        self.units.remove(&unit);
    }

    fn check(&self) -> Result<(), SessionEnd> {
        if self.memory > self.limits.worker {
            return Err(self.excess("what it sent of all its accounts takes", self.limits.worker));
        }
        if self.lines > self.limits.lines {
            return Err(self.excess("the lines that it sent take", self.limits.lines));
        }
        Ok(())
    }

    fn excess(&self, what: &str, most: u64) -> SessionEnd {
        let advice = self.advice.map_or_else(String::new, |options| format!(", such as by {options}"));
        let detail = format!("{what} more than {} MiB in the supervisor: collect less at a time{advice}", most >> 20);
        SessionEnd::Stop(StopReason::Excess, std::time::Duration::ZERO, detail)
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
