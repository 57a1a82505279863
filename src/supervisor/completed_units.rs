//! The complete units of a run, until they are delivered.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::event::{RunId, UnitKey, UnitStats};
use crate::graph::CompleteUnit;

/// Complete units by run, collector and unit.
#[derive(Default)]
pub struct CompletedUnits(Mutex<BTreeMap<UnitKey, CompleteUnit>>);

impl CompletedUnits {
    /// Inserts a unit in place of an earlier one of the same key, and returns its statistics.
    pub fn insert(&self, key: UnitKey, unit: CompleteUnit) -> UnitStats {
        let stats = UnitStats { nodes_by_kind: unit.nodes_by_kind(), edges: unit.edge_count() };
        self.lock().insert(key, unit);
        stats
    }

    /// Removes a unit.
    pub fn remove(&self, key: &UnitKey) {
        self.lock().remove(key);
    }

    /// Takes the units of a run, in the order of collectors' names and plans.
    pub fn take_run(&self, run: RunId) -> Vec<(UnitKey, CompleteUnit)> {
        self.lock().extract_if(.., |key, _| key.run == run).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<UnitKey, CompleteUnit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
