//! Buffers against floods.

#![expect(clippy::panic, reason = "tests")]

use worker_proto::{Deferred, EdgeList, Name, Node, Selector};

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
    let names = room(MIB, |store| {
        store.names(vec![Name { key: [1; 16], node: [2; 16] }]);
        Ok(())
    });
    assert!((MIB / 70..=MIB / 32).contains(&names), "{names} names");
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
    assert!(buffers.complete(0, Counts { nodes: 1000, edges: 0, deferred: 0, names: 0 }).is_ok());
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
