//! Deferred edges of a merge: their ends by resource and by name, and the cycles that they close.

use worker_proto::{Deferred, Name, Selector};

use super::*;

fn by_resource(kind: &str, resource: &str) -> Selector {
    Selector::Resource { kind: kind.into(), id: resource.into() }
}

fn with_deferred() -> Vec<CloudUnits> {
    let spool = Spool::new(1 << 20);
    let mut second = store(&spool, 3, &[4], &[(3, 4)]);
    second.deferred(vec![
        Deferred { from: by_resource(VPC, "2"), to: Selector::Node(id(4)) },
        Deferred { from: by_resource(VPC, "gone"), to: Selector::Node(id(4)) },
        Deferred { from: by_resource("aws_account", "2"), to: Selector::Node(id(4)) },
    ]);
    // The selected unit is merged after the unit with the selector.
    vec![cloud("aws", vec![complete(second), unit(1, &[2], &[(1, 2)])])]
}

/// Invariant: the order of collection does not change the graph.
#[test]
fn deferred_edges_meet_their_ends_whatever_the_order() {
    let graph = MergedGraph::build(with_deferred(), false).unwrap();
    assert_eq!((graph.report().deferred, graph.report().deferred_unresolved), (1, 2));
    assert!(Read::of(graph).has_edge("2", "4"));
    let ignored = MergedGraph::build(with_deferred(), true).unwrap();
    assert_eq!((ignored.report().deferred, ignored.report().deferred_unresolved), (0, 0));
    assert!(!Read::of(ignored).has_edge("2", "4"));
}

#[test]
fn deferred_edges_between_clouds_never_omit_a_cloud() {
    let spool = Spool::new(1 << 20);
    let edge = |from, to| vec![Deferred { from: by_resource(VPC, from), to: by_resource(VPC, to) }];
    let (mut first, mut second) = (store(&spool, 1, &[2], &[(1, 2)]), store(&spool, 3, &[4], &[(3, 4)]));
    first.deferred(edge("2", "4"));
    second.deferred(edge("4", "2"));
    let clouds = vec![cloud("aws", vec![complete(first)]), cloud("gcp", vec![complete(second)])];
    let graph = MergedGraph::build(clouds, false).unwrap();
    assert_eq!((graph.report().left_out.len(), graph.report().deferred_unresolved, graph.nodes()), (0, 2, 7));
}

/// Returns a unit that names its VPC, and has an edge from it to the VPC with another name.
fn naming(number: u8, vpc: u8, name: &str, to: &str) -> CompleteUnit {
    let mut store = store(&Spool::new(1 << 20), number, &[vpc], &[(number, vpc)]);
    store.names(vec![Name { key: crate::graph::name_hash(VPC, "arn", name), node: id(vpc) }]);
    let to = Selector::Attribute { kind: VPC.into(), attribute: "arn".into(), value: to.into() };
    store.deferred(vec![Deferred { from: Selector::Node(id(vpc)), to }]);
    complete(store)
}

/// Invariant: the order of collection does not change the graph.
#[test]
fn names_lead_to_nodes_of_any_account_of_cloud() {
    let units = || vec![naming(1, 2, "a", "b"), naming(3, 4, "b", "nowhere")];
    let reversed = units().into_iter().rev().collect();
    for units in [units(), reversed] {
        let graph = MergedGraph::build(vec![cloud("aws", units)], false).unwrap();
        assert_eq!((graph.report().deferred, graph.report().unknown_names), (1, 1));
        let read = Read::of(graph);
        assert!(read.has_edge("2", "4") && !read.has_edge("4", "2"));
    }
    let clouds = vec![cloud("aws", vec![naming(1, 2, "a", "b")]), cloud("other", vec![naming(3, 4, "b", "a")])];
    assert_eq!(MergedGraph::build(clouds, false).unwrap().report().deferred, 0, "clouds have names of their own");
}

#[test]
fn name_of_several_nodes_leads_nowhere() {
    let units = vec![naming(1, 2, "a", "b"), naming(3, 4, "b", "x"), naming(5, 6, "b", "x")];
    let graph = MergedGraph::build(vec![cloud("aws", units)], false).unwrap();
    assert_eq!((graph.report().deferred, graph.report().unknown_names), (0, 3));
}

/// Returns a carried part of an account with a VPC of this name.
fn carried(owner: u8, vpc: u8, name: &str) -> CompleteUnit {
    let mut part = CarriedStore::new(account(&owner.to_string()), &Spool::new(1 << 20));
    let node = NodeId(id(vpc)).to_string();
    let line = format!(r#"{{"id":"{node}","reported":{{"kind":"{VPC}","id":"{vpc}"}}}}"#);
    part.node(&node, VPC, &vpc.to_string(), line.as_bytes()).unwrap();
    part.name(&node, VPC, "arn", name);
    part.part().unwrap()
}

/// Invariant: the order of collection does not change the graph.
#[test]
fn collected_node_of_a_name_precedes_carried_ones() {
    let pointing = || naming(1, 2, "a", "b");
    let [collected, other] = [|| naming(3, 4, "b", "nowhere"), || naming(5, 6, "b", "nowhere")];
    let [stale, older] = [|| carried(3, 7, "b"), || carried(3, 8, "b")];
    let cases = [
        (vec![pointing(), collected(), stale()], Some("4")),
        (vec![stale(), collected(), pointing()], Some("4")),
        (vec![stale(), older(), collected(), pointing()], Some("4")),
        (vec![collected(), pointing(), stale(), older()], Some("4")),
        (vec![stale(), pointing()], Some("7")),
        // Neither the carried ones nor the collected ones tell which is meant.
        (vec![stale(), pointing(), older()], None),
        (vec![collected(), stale(), other(), pointing()], None),
    ];
    for (number, (units, expected)) in cases.into_iter().enumerate() {
        let graph = MergedGraph::build(vec![cloud("aws", units)], false).unwrap();
        assert_eq!(graph.report().deferred, u64::from(expected.is_some()), "case {number}");
        let read = Read::of(graph);
        for node in ["4", "6", "7", "8"].into_iter().filter(|node| read.has_resource(node)) {
            assert_eq!(read.has_edge("2", node), Some(node) == expected, "case {number}: {node}");
        }
    }
}

#[test]
fn cycle_of_accounts_loses_its_deferred_edges_and_nothing_else() {
    // The edge from 6 leads to the cycle, and is not part of it.
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let all = || [naming(1, 2, "a", "b"), naming(3, 4, "b", "a"), naming(5, 6, "c", "a")];
        let units = order.map(|number| all().into_iter().nth(number).unwrap()).into();
        let graph = MergedGraph::build(vec![cloud("aws", units)], false).unwrap();
        let report = graph.report();
        assert_eq!((report.left_out.len(), report.deferred, report.deferred_unresolved), (0, 1, 2), "{order:?}");
        let read = Read::of(graph);
        assert!(read.has_edge("6", "2") && !read.has_edge("2", "4") && !read.has_edge("4", "2"), "{order:?}");
    }
}

#[test]
fn cycle_of_a_cloud_keeps_deferred_edges_of_others() {
    let cyclic = unit(7, &[8, 9], &[(7, 8), (8, 9), (9, 8)]);
    let clouds = vec![
        cloud("aws", vec![naming(1, 2, "a", "b"), naming(3, 4, "b", "nowhere")]),
        cloud("gcp", vec![cyclic, naming(5, 6, "a", "nowhere")]),
    ];
    let graph = MergedGraph::build(clouds, false).unwrap();
    assert_eq!((graph.report().left_out.len(), graph.report().deferred), (1, 1));
    assert!(Read::of(graph).has_edge("2", "4"));
}

#[test]
fn many_cycles_lose_deferred_edges_and_no_cloud() {
    let pairs = (0..20_u8).flat_map(|pair| {
        let [own, other] = [format!("a{pair}"), format!("b{pair}")];
        let [first, second] = [4 * pair + 10, 4 * pair + 12];
        [naming(first, first + 1, &own, &other), naming(second, second + 1, &other, &own)]
    });
    let graph = MergedGraph::build(vec![cloud("aws", pairs.collect())], false).unwrap();
    let report = graph.report();
    assert_eq!((report.left_out.len(), report.deferred, report.deferred_unresolved), (0, 0, 40));
}
