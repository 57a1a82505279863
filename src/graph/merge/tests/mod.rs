//! Merging hand-made and random units, read back from the export.

#![expect(clippy::unwrap_used, reason = "tests")]

mod deferred;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;
use serde_json::Value;
use worker_proto::{Counts, EdgeList, Node};

use super::*;
use crate::graph::{CarriedStore, Incomplete, NodeId, Spool, StoreError, UnitStore};

const VPC: &str = "aws_vpc";

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}

fn node(number: u8, kind: &str, resource: &str) -> Node {
    let line = format!(r#"{{"id":"{}","reported":{{"kind":"{kind}","id":"{resource}"}}}}"#, NodeId(id(number)));
    Node { id: id(number), kind: kind.into(), resource: resource.into(), line: line.into_bytes().into() }
}

fn account(name: &str) -> Account {
    Account { kind: "aws_account".into(), id: name.into(), label: name.into() }
}

/// Returns a unit with an account node of this number and a VPC for each of the other numbers.
fn store(spool: &Spool, number: u8, vpcs: &[u8], edges: &[(u8, u8)]) -> UnitStore {
    let mut store = UnitStore::new(account(&number.to_string()), spool);
    let nodes = vpcs.iter().map(|vpc| node(*vpc, VPC, &vpc.to_string()));
    let top = node(number, "aws_account", &number.to_string());
    store.nodes(&std::iter::once(top).chain(nodes).collect::<Vec<_>>()).unwrap();
    let mut list = EdgeList::default();
    edges.iter().for_each(|(from, to)| list.push(id(*from), id(*to)));
    store.edges(&list);
    store
}

fn unit(number: u8, vpcs: &[u8], edges: &[(u8, u8)]) -> CompleteUnit {
    complete(store(&Spool::new(1 << 20), number, vpcs, edges))
}

fn complete(store: UnitStore) -> CompleteUnit {
    let counts = store.counts();
    store.complete(counts).unwrap()
}

fn cloud(name: &str, units: Vec<CompleteUnit>) -> CloudUnits {
    CloudUnits { name: name.into(), units }
}

/// The content of an export: nodes by ID with their line, and edges; nothing twice, nodes first.
#[derive(Debug)]
struct Read {
    nodes: BTreeMap<String, Value>,
    edges: BTreeSet<(String, String)>,
}

impl Read {
    fn of(graph: impl Into<Arc<MergedGraph>>) -> Self {
        let graph = graph.into();
        let mut text = Vec::new();
        graph.write_to(&mut text).unwrap();
        let mut read = Self { nodes: BTreeMap::new(), edges: BTreeSet::new() };
        for line in String::from_utf8(text).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            if line.get("from").is_some() {
                assert!(read.edges.insert((text("from"), text("to"))), "{line} is there twice");
            } else {
                assert!(read.edges.is_empty(), "{line} comes after an edge");
                assert!(read.nodes.insert(text("id"), line.clone()).is_none(), "{line} is there twice");
            }
        }
        assert_eq!((read.nodes.len(), read.edges.len()), (graph.nodes(), graph.edges()));
        read
    }

    /// Whether there is an edge between these resource IDs.
    fn has_edge(&self, from: &str, to: &str) -> bool {
        let name = |id: &String| self.nodes[id]["reported"]["id"].as_str().unwrap().to_owned();
        self.edges.iter().any(|(source, target)| name(source) == from && name(target) == to)
    }

    /// Whether there is a node with this resource ID.
    fn has_resource(&self, id: &str) -> bool {
        self.nodes.values().any(|node| node["reported"]["id"] == id)
    }

    fn roots(&self) -> Vec<&str> {
        let targets: BTreeSet<_> = self.edges.iter().map(|(_, to)| to).collect();
        let roots = self.nodes.iter().filter(|(id, _)| !targets.contains(id));
        roots.map(|(_, node)| node["reported"]["id"].as_str().unwrap()).collect()
    }

    fn has_dangling_edge(&self) -> bool {
        self.edges.iter().any(|(from, to)| !self.nodes.contains_key(from) || !self.nodes.contains_key(to))
    }
}

#[test]
fn units_hang_below_their_cloud_and_the_root() {
    let clouds = vec![cloud("aws", vec![unit(1, &[2], &[(1, 2)]), unit(3, &[], &[])]), cloud("example", vec![])];
    let graph = MergedGraph::build(clouds, false).unwrap();
    assert_eq!(graph.report().accounts[0].kinds, BTreeMap::from([("aws_account".into(), 1), (VPC.into(), 1)]));
    let read = Read::of(graph);
    for (from, to) in [("root", "aws"), ("root", "example"), ("aws", "1"), ("aws", "3"), ("1", "2")] {
        assert!(read.has_edge(from, to), "{from} → {to}");
    }
    assert_eq!((read.nodes.len(), read.edges.len()), (6, 5));
    let replaced = read.nodes.values().filter(|node| node["replace"] == true).map(|node| &node["reported"]["kind"]);
    assert_eq!(replaced.collect::<Vec<_>>(), ["cloud", "cloud"]);
}

/// Invariant: nodes of a unit count only after `UnitDone` with matching counts.
#[test]
fn unit_counts_only_with_matching_counts_and_account() {
    let spool = Spool::new(1 << 20);
    let store_of = || store(&spool, 1, &[2], &[(1, 2)]);
    let received = Counts { nodes: 2, edges: 1, deferred: 0, names: 0 };
    assert!(store_of().complete(received).is_ok());
    for announced in
        [Counts { nodes: 3, ..received }, Counts { edges: 0, ..received }, Counts { deferred: 1, ..received }]
    {
        let expected = Incomplete::Counts { account: "1".into(), announced, received };
        assert_eq!(store_of().complete(announced).unwrap_err(), expected);
    }
    let mut headless = UnitStore::new(account("1"), &spool);
    headless.nodes(&[node(2, VPC, "1")]).unwrap();
    let counts = headless.counts();
    let expected = Incomplete::NoAccount { account: "1".into(), kind: "aws_account".into() };
    assert_eq!(headless.complete(counts).unwrap_err(), expected);
    assert_eq!(spool.used(), 0, "what does not count leaves nothing behind");
}

#[test]
fn line_with_line_feed_is_rejected() {
    let mut store = UnitStore::new(account("1"), &Spool::new(0));
    let mut broken = node(1, VPC, "vpc-1");
    broken.line.push(b'\n');
    assert!(matches!(store.nodes(&[broken]), Err(StoreError::LineFeed { .. })));
}

#[test]
fn unwritable_spool_names_account_and_directory() {
    let folder = tempfile::tempdir().unwrap().path().join("gone");
    let mut store = UnitStore::new(account("1"), &Spool::in_folder(10, &folder));
    let text = store.nodes(&[node(1, "aws_account", "1")]).unwrap_err().to_string();
    let start = format!("cannot keep the nodes of account 1 in the temporary folder {}: ", folder.display());
    assert!(text.starts_with(&start), "{text}");
    assert!(text.ends_with("free some space there or name another folder in TMPDIR"), "{text}");
}

/// Invariant: a delivered graph has one root, no cycle, no dangling edge and no duplicate.
#[test]
fn duplicates_dangling_edges_and_orphans_are_mended_and_counted() {
    // 2 is in both units, 9 in none, 5 has no predecessor.
    let units = vec![unit(1, &[2], &[(1, 2), (2, 9)]), unit(3, &[2, 4, 5], &[(3, 2), (3, 4), (3, 4)])];
    let graph = MergedGraph::build(vec![cloud("aws", units)], false).unwrap();
    let report = graph.report();
    assert_eq!((report.duplicates, report.dangling, report.orphans), (1, 1, 1));
    assert_eq!(report.accounts[1].kinds[VPC], 2);
    let read = Read::of(graph);
    assert_eq!(read.nodes.len(), 7);
    for (from, to) in [("1", "2"), ("3", "2"), ("3", "4"), ("3", "5")] {
        assert!(read.has_edge(from, to), "{from} → {to}");
    }
    assert_eq!(read.edges.len(), 7);
}

/// Invariant: a delivered graph has one root, no cycle, no dangling edge and no duplicate.
#[test]
fn collector_with_cycle_is_omitted_and_others_merge() {
    let cyclic = unit(1, &[2, 3, 4], &[(1, 2), (2, 3), (3, 4), (4, 2)]);
    let clouds = vec![cloud("aws", vec![cyclic]), cloud("example", vec![unit(5, &[], &[])])];
    let graph = MergedGraph::build(clouds, false).unwrap();
    let reason = "a cycle: aws_vpc 3 → aws_vpc 4 → aws_vpc 2 → aws_vpc 3";
    assert_eq!(graph.report().left_out, [LeftOut { cloud: "aws".into(), reason: reason.into() }]);
    let read = Read::of(graph);
    assert_eq!((read.nodes.len(), read.has_edge("example", "5")), (3, true));
}

#[test]
fn carried_accounts_keep_ids_that_are_no_node_ids() {
    let spool = Spool::new(64);
    let mut carried = CarriedStore::new(account("old"), &spool);
    let line = |id: &str, kind: &str, resource: &str| {
        serde_json::json!({"id": id, "reported": {"kind": kind, "id": resource}}).to_string().into_bytes()
    };
    for (id, kind, resource) in
        [("an:old(id)", "aws_account", "old"), ("x", VPC, "vpc-x"), (&NodeId(id(2)).to_string(), VPC, "2")]
    {
        carried.node(id, kind, resource, &line(id, kind, resource)).unwrap();
    }
    carried.edge("an:old(id)", "x");
    carried.edge("x", &NodeId(id(2)).to_string());
    carried.edge("root", "an:old(id)");
    let carried = carried.complete().unwrap().unwrap();
    // The carried unit comes first, yet the collected node 2 counts.
    let graph = MergedGraph::build(vec![cloud("aws", vec![carried, unit(1, &[2], &[(1, 2)])])], false).unwrap();
    assert_eq!((graph.report().duplicates, graph.report().dangling), (1, 1));
    assert_eq!(graph.report().accounts.iter().map(|account| account.is_carried).collect::<Vec<_>>(), [false, true]);
    let read = Read::of(graph);
    for (from, to) in [("aws", "old"), ("old", "vpc-x"), ("vpc-x", "2"), ("1", "2")] {
        assert!(read.has_edge(from, to), "{from} → {to}");
    }
    assert!(read.nodes.contains_key("an:old(id)"));
}

#[test]
fn chunks_are_bounded_and_every_export_is_complete() {
    let spool = Spool::new(300_000);
    let mut store = UnitStore::new(account("1"), &spool);
    let mut nodes = vec![node(1, "aws_account", "1")];
    nodes.extend((0..4000_u32).map(|number| {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let line = format!(
            r#"{{"id":"{}","reported":{{"kind":"{VPC}","id":"{number}","x":"{}"}}}}"#,
            NodeId(bytes),
            "y".repeat(200)
        );
        Node { id: bytes, kind: VPC.into(), resource: number.to_string(), line: line.into_bytes().into() }
    }));
    nodes.chunks(100).for_each(|batch| store.nodes(batch).unwrap());
    let graph = Arc::new(MergedGraph::build(vec![cloud("aws", vec![complete(store)])], false).unwrap());
    assert_eq!(graph.report().orphans, 4000);
    let read = || graph.export().map(Result::unwrap).collect::<Vec<_>>();
    let chunks = read();
    assert!(chunks.len() >= 3 && chunks.iter().all(|chunk| chunk.len() <= crate::graph::CHUNK), "{}", chunks.len());
    let all = chunks.concat();
    let (nodes, edges) = all.split_at(usize::try_from(graph.node_bytes()).unwrap());
    assert!(nodes.ends_with(b"}\n") && edges.starts_with(b"{\"from\""));
    assert_eq!(chunks, read());
    assert_eq!(Read::of(graph).nodes.len(), 4003);
}

/// The numbers of a unit's VPCs, and its edges; so few that an error names every node of a cycle.
type RandomUnit = (Vec<u8>, Vec<(u8, u8)>);

/// Generates units of random nodes, some of them in several units, with edges from smaller to larger numbers only.
fn random_units() -> impl Strategy<Value = Vec<RandomUnit>> {
    let vpcs = proptest::collection::vec(10_u8..30, 0..20);
    let edges = proptest::collection::vec((10_u8..30, 10_u8..30), 0..40);
    proptest::collection::vec((vpcs, edges), 1..5)
}

fn build(units: &[RandomUnit], limit: u64) -> MergedGraph {
    let spool = Spool::new(limit);
    let units = (1..).zip(units).map(|(number, (vpcs, edges))| complete(store(&spool, number, vpcs, edges)));
    MergedGraph::build(vec![cloud("aws", units.collect())], false).unwrap()
}

proptest! {
    #[test]
    fn acyclic_units_make_a_graph_that_a_core_accepts(units in random_units(), limit in 0_u64..4000) {
        let upwards = units.into_iter().map(|(vpcs, edges)| {
            let edges = edges.into_iter().filter(|(from, to)| from != to);
            (vpcs, edges.map(|(from, to)| (from.min(to), from.max(to))).collect())
        });
        let units: Vec<_> = upwards.collect();
        let graph = build(&units, limit);
        prop_assert!(graph.report().left_out.is_empty());
        let read = Read::of(graph);
        let distinct: BTreeSet<_> = units.iter().flat_map(|(vpcs, _)| vpcs).collect();
        prop_assert_eq!(read.nodes.len(), 2 + units.len() + distinct.len());
        prop_assert_eq!(read.roots(), ["root"]);
        prop_assert!(!read.has_dangling_edge());
        for (from, to) in units.iter().flat_map(|(_, edges)| edges) {
            let both = distinct.contains(from) && distinct.contains(to);
            prop_assert_eq!(read.has_edge(&from.to_string(), &to.to_string()), both);
        }
    }

    #[test]
    fn any_cycle_is_found_and_named(units in random_units(), ring in proptest::collection::btree_set(10_u8..30, 1..6)) {
        let ring: Vec<u8> = ring.into_iter().collect();
        let mut units = units;
        units[0].0.extend(&ring);
        units[0].1.extend(ring.iter().copied().zip(ring.iter().copied().cycle().skip(1)));
        let edges: BTreeSet<(u8, u8)> = units.iter().flat_map(|(_, edges)| edges).copied().collect();
        let graph = build(&units, 1 << 20);
        prop_assert_eq!(graph.nodes(), 1, "only the root is left");
        let reason = graph.report().left_out[0].reason.strip_prefix("a cycle: ").unwrap();
        let named: Vec<u8> = reason.split(" → ").map(|name| name.strip_prefix("aws_vpc ").unwrap().parse().unwrap()).collect();
        prop_assert!(named.len() >= 2 && named.first() == named.last());
        prop_assert!(named.windows(2).all(|pair| edges.contains(&(pair[0], pair[1]))));
    }
}
