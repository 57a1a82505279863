//! The graph of one account, as the newer core expects it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, sync::Arc};

use worker_proto::{EdgeList, Node};

use super::*;
use crate::graph::{Account, CarriedStore, UnitStore};

const KIND: &str = "example_account";

fn node(number: u8, kind: &str, resource: &str) -> Node {
    let id = NodeId([number; 16]);
    let line =
        json!({"id": id.to_string(), "reported": {"kind": kind, "id": resource}, "metadata": {"cleaned": false}});
    Node { id: id.0, kind: kind.into(), resource: resource.into(), line: line.to_string().into_bytes().into() }
}

/// Returns an account's unit with two more nodes; edges and deferred edges as given.
fn unit(edges: &[(u8, u8)], deferred: Vec<Deferred>) -> CompleteUnit {
    let account = Account { kind: KIND.into(), id: "one".into(), label: "One".into() };
    let mut store = UnitStore::new(account, &Spool::new(1 << 20));
    let instance = |number| node(number, "example_instance", &format!("i{number}"));
    store.nodes(&[instance(2), node(1, KIND, "one"), instance(3)]).unwrap();
    let mut list = EdgeList::default();
    edges.iter().for_each(|(from, to)| list.push([*from; 16], [*to; 16]));
    store.edges(&list);
    store.deferred(deferred);
    let counts = store.counts();
    store.complete(counts).unwrap()
}

fn lines(unit: CompleteUnit, ignore_deferred: bool) -> Vec<Value> {
    let (mut graph, outward) = MergedGraph::of_account("example", vec![unit], ignore_deferred).unwrap();
    let mut lines = OutwardLines::new(&Spool::new(0));
    lines.append(&outward).unwrap();
    assert_eq!(lines.is_empty(), outward.is_empty());
    graph.add_outward(lines);
    let graph = Arc::new(graph);
    let mut text = Vec::new();
    graph.write_to(&mut text).unwrap();
    text.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn only_the_account_is_replaced() {
    let lines = lines(unit(&[(1, 2), (2, 3)], vec![]), false);
    let nodes: BTreeMap<&str, &Value> = lines
        .iter()
        .filter(|line| line.get("id").is_some())
        .map(|line| (line["reported"]["kind"].as_str().unwrap(), line))
        .collect();
    assert_eq!(nodes.len(), 4);
    for (kind, node) in nodes {
        assert_eq!(node.get("replace"), None, "{node}");
        let marked = kind == KIND;
        assert_eq!(node["metadata"].get("replace"), marked.then_some(&json!(true)), "{node}");
        assert_eq!(node["metadata"].get("exported_at").is_some(), marked, "{node}");
        assert!(node["metadata"]["cleaned"] == json!(false));
    }
    assert_eq!(lines.iter().filter(|line| line.get("from").is_some()).count(), 4);
    assert_eq!(lines.len(), 5 + 4);
}

#[test]
fn edges_to_other_accounts_are_left_to_the_core() {
    let resource = |kind: &str, id: &str| Selector::Resource { kind: kind.into(), id: id.into() };
    let deferred = || {
        vec![
            Deferred { from: Selector::Node([2; 16]), to: resource("example_instance", "i3") },
            Deferred { from: Selector::Node([2; 16]), to: resource("example_instance", "far \"away\"") },
        ]
    };
    let found = lines(unit(&[(1, 2), (1, 3)], deferred()), false);
    let outward: Vec<_> = found.iter().filter(|line| line.get("from_selector").is_some()).collect();
    let expected = json!({"from_selector": {"node_id": NodeId([2; 16]).to_string()}, "edge_type": "default",
        "to_selector": {"search_criteria": "is(example_instance) and reported.id == \"far \\\"away\\\"\""}});
    assert_eq!(outward, [&expected]);
    let (two, three) = (NodeId([2; 16]).to_string(), NodeId([3; 16]).to_string());
    assert!(found.contains(&json!({"from": two, "to": three})), "the inner one is an ordinary edge");
    assert!(lines(unit(&[], deferred()), true).iter().all(|line| line.get("from_selector").is_none()));
}

#[test]
fn named_node_of_other_account_is_searched_by_the_core() {
    let to = Selector::Attribute { kind: "example_instance".into(), attribute: "link".into(), value: "a\"b".into() };
    let found = lines(unit(&[(1, 2), (1, 3)], vec![Deferred { from: Selector::Node([2; 16]), to }]), false);
    let outward: Vec<_> = found.iter().filter_map(|line| line.get("to_selector")).collect();
    let expected = json!({ "search_criteria": "is(example_instance) and reported.link == \"a\\\"b\"" });
    assert_eq!(outward, [&expected]);
}

#[test]
fn edge_of_carried_node_has_the_id_that_the_core_knows() {
    let account = || Account { kind: KIND.into(), id: "one".into(), label: "One".into() };
    let line = |id: &str, kind: &str| json!({"id": id, "reported": {"kind": kind, "id": id}}).to_string().into_bytes();
    let known = NodeId([9; 16]).to_string();
    for (from, to) in [("x", known.as_str()), (&known, "x"), ("x", "y"), (&known, &known)] {
        let mut part = CarriedStore::new(account(), &Spool::new(1 << 20));
        part.node("x", "example_instance", "x", &line("x", "example_instance")).unwrap();
        part.deferred(from, to);
        let units = vec![unit(&[], vec![]), part.part().unwrap()];
        let alone = units[1].outward_lines();
        let (_, outward) = MergedGraph::of_account("example", units, false).unwrap();
        let edge: Value = serde_json::from_slice(&outward).unwrap();
        let expected = json!({ "from_selector": { "node_id": from }, "to_selector": { "node_id": to },
            "edge_type": "default" });
        assert_eq!((edge, alone), (expected, outward));
    }
}

#[test]
fn cycle_in_account_is_rejected_with_its_nodes() {
    let error = MergedGraph::of_account("example", vec![unit(&[(2, 3), (3, 2)], vec![])], false).unwrap_err();
    assert!(error.to_string().contains("example_instance i2"), "{error}");
}
