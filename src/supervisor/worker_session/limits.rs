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
mod tests {
    #![expect(clippy::panic, reason = "tests")]

    use worker_proto::{Deferred, EdgeList, Node, Selector};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn unit() -> Unit {
        Unit { id: "a".into(), label: "a".into(), kind: "k".into(), parts: 0, payload: String::new() }
    }

    fn buffers(pool: u32, unit_bound: u64) -> UnitBuffers {
        let limits = Limits { unit: unit_bound, worker: 4 * unit_bound, lines: MIB };
        let mut buffers = UnitBuffers::new(
            &JobKind::PlanAndCollect { pool },
            limits,
            &Spool::new(MIB),
            Some("--aws-region, or --aws-fork"),
        );
        buffers.plan(&[unit(), unit(), unit()]);
        buffers
    }

    fn node(resource: &str) -> Node {
        Node { id: [0; 16], kind: "k".into(), resource: resource.into(), line: Vec::new().into() }
    }

    /// How often the same can be added, until it is too much.
    fn room(unit_bound: u64, add: impl Fn(&mut UnitStore) -> Result<(), StoreError>) -> u64 {
        let mut buffers = buffers(1, unit_bound);
        assert!(buffers.begin(0).is_ok());
        for times in 0..10 * unit_bound {
            match buffers.add(0, &add) {
                Ok(()) => {}
                Err(SessionEnd::Stop(StopReason::Excess, _, _)) => return times,
                Err(_) => panic!("not for another reason"),
            }
        }
        panic!("there is no end");
    }

    #[test]
    fn counted_memory_is_actual_memory() {
        let empty = room(MIB, |store| store.nodes(&[node("")]));
        assert!((MIB / 80..MIB / 30).contains(&empty), "{empty} nodes without lines");
        let named = room(MIB, |store| store.nodes(&[node(&"r".repeat(10_000))]));
        assert!((30..105).contains(&named), "{named} nodes with long resource ids");
        let edges = room(MIB, |store| {
            let mut edges = EdgeList::default();
            edges.push([1; 16], [2; 16]);
            store.edges(&edges);
            Ok(())
        });
        assert!((MIB / 70..=MIB / 32).contains(&edges), "{edges} edges");
        let deferred = room(MIB, |store| {
            let to = Selector::Resource { kind: "k".into(), id: "i".repeat(10_000) };
            store.deferred(vec![Deferred { from: Selector::Node([0; 16]), to }]);
            Ok(())
        });
        assert!((50..105).contains(&deferred), "{deferred} deferred edges");
    }

    #[test]
    fn account_of_million_resources_is_far_below_limit() {
        let mut buffers =
            UnitBuffers::new(&JobKind::Unit { index: 0, unit: unit() }, Limits::default(), &Spool::new(MIB), None);
        assert!(buffers.begin(0).is_ok());
        let (arn, mut edges) = ("r".repeat(150), EdgeList::default());
        (0..10_000).for_each(|_| edges.push([1; 16], [2; 16]));
        let nodes: Vec<Node> = (0..10_000).map(|_| node(&arn)).collect();
        for _ in 0..100 {
            assert!(buffers.add(0, |store| store.nodes(&nodes)).is_ok());
            for _ in 0..4 {
                let kept = buffers.add(0, |store| {
                    store.edges(&edges);
                    Ok(())
                });
                assert!(kept.is_ok());
            }
        }
        assert!(buffers.memory < Limits::default().unit / 2, "{}", buffers.memory);
    }

    #[test]
    fn failed_units_free_memory_and_complete_ones_count() {
        let mut buffers = buffers(2, MIB);
        assert!(buffers.begin(0).is_ok() && buffers.begin(1).is_ok());
        assert!(buffers.begin(2).is_err(), "there are two places");
        assert!(buffers.begin(1).is_err(), "twice");
        let nodes: Vec<Node> = (0..1000).map(|_| node("a")).collect();
        assert!(buffers.add(0, |store| store.nodes(&nodes)).is_ok());
        let one = buffers.memory;
        assert!(buffers.add(1, |store| store.nodes(&nodes)).is_ok());
        buffers.fail(1);
        assert!(buffers.memory <= one, "{} of {one}", buffers.memory);
        assert!(buffers.complete(0, Counts { nodes: 1000, edges: 0, deferred: 0 }).is_ok());
        assert!((32_000..one).contains(&buffers.memory), "{}", buffers.memory);
    }

    #[test]
    fn lines_have_their_own_limit() {
        let mut buffers = buffers(1, MIB);
        assert!(buffers.begin(0).is_ok());
        let line = Node { line: vec![b'x'; MIB as usize / 2].into(), ..node("a") };
        assert!(buffers.add(0, |store| store.nodes(std::slice::from_ref(&line))).is_ok());
        let Err(SessionEnd::Stop(StopReason::Excess, _, detail)) = buffers.add(0, |store| store.nodes(&[line])) else {
            panic!("more than all")
        };
        assert!(detail.contains("lines") && detail.contains("--aws-region"), "{detail}");
    }

    #[test]
    fn gaps_count_towards_limit() {
        let mut buffers = buffers(1, 64);
        let empty = String::new;
        let (account, region, service, operation) = (empty(), empty(), empty(), empty());
        let gap = Gap { account, region, service, operation, code: empty(), message: "m".repeat(4096) };
        let Err(SessionEnd::Stop(StopReason::Excess, _, detail)) = buffers.gap(&gap) else { panic!("more than all") };
        assert!(detail.starts_with("what it sent of all its accounts"), "{detail}");
        assert!(detail.contains("--aws-fork") && !detail.contains("nodes"), "{detail}");
    }
}
