//! Completion by the last known state: what is taken over, and what is not.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use worker_proto::{Counts, EdgeList, Node, Why};

use super::*;
use crate::{
    ckcore::LastKnownEdge,
    collector_api::EdgeOwner,
    graph::{Account, Key, UnitStore},
};

const ACCOUNT: u8 = 1;
const REGION: u8 = 2;

fn id(number: u8) -> String {
    NodeId([number; 16]).to_string()
}

fn line(number: u8, kind: &str, more: Value) -> Vec<u8> {
    let mut reported = json!({ "kind": kind, "id": format!("r-{number}"), "name": format!("n-{number}") });
    reported.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "id": id(number), "reported": reported, "metadata": {} }).to_string().into_bytes()
}

fn node(number: u8, kind: &str, more: Value) -> Node {
    let line = line(number, kind, more).into();
    Node { id: [number; 16], kind: kind.into(), resource: format!("r-{number}"), line }
}

/// Returns a unit with an account, a region and these nodes below it.
fn unit(nodes: &[Node], edges: &[(u8, u8)]) -> CompleteUnit {
    let account = Account { kind: "account".into(), id: format!("r-{ACCOUNT}"), label: "a".into() };
    let mut store = UnitStore::new(account, &Spool::new(1 << 20));
    let above = [node(ACCOUNT, "account", json!({})), node(REGION, "region", json!({}))];
    store.nodes(&[&above, nodes].concat()).unwrap();
    let mut list = EdgeList::default();
    list.push([ACCOUNT; 16], [REGION; 16]);
    nodes.iter().for_each(|node| list.push([REGION; 16], node.id));
    edges.iter().for_each(|(from, to)| list.push([*from; 16], [*to; 16]));
    store.edges(&list);
    let counts = Counts { nodes: nodes.len() as u64 + 2, edges: list.len() as u64, deferred: 0, names: 0 };
    store.complete(counts).unwrap()
}

/// Returns a core without edges between accounts.
fn core(known: &LastKnownAccount) -> Core<'_> {
    static ACROSS: std::sync::LazyLock<Across> = std::sync::LazyLock::new(Across::default);
    Core { known, across: &ACROSS }
}

fn carried(nodes: &[(u8, &str, Value)], edges: &[(u8, u8)]) -> LastKnownAccount {
    let above = [(ACCOUNT, "account", json!({})), (REGION, "region", json!({}))];
    let nodes = above.iter().chain(nodes).map(|(number, kind, more)| LastKnownNode {
        id: id(*number),
        kind: (*kind).to_owned(),
        is_account: *number == ACCOUNT,
        line: line(*number, kind, more.clone()),
    });
    let edges = [(ACCOUNT, REGION)].iter().chain(edges);
    let edges = edges.map(|(from, to)| LastKnownEdge { from: id(*from), to: id(*to), edge_type: None }).collect();
    LastKnownAccount { nodes: nodes.collect(), edges, ..LastKnownAccount::default() }
}

/// Returns the IDs and edges of a part that was taken over.
fn shape(part: Option<&CompleteUnit>) -> (Vec<u8>, Vec<(u8, u8)>) {
    let Some(part) = part else { return Default::default() };
    let ids = part.ids().iter().map(|id| id[0]).collect();
    let mut edges: Vec<_> = part.edge_ids().map(|(from, to)| (from[0], to[0])).collect();
    edges.sort_unstable();
    (ids, edges)
}

fn kind(below: u8, kind: &str, with: &[&str]) -> Missing {
    let with = with.iter().map(|kind| (*kind).to_owned()).collect();
    Missing::Kind { below: [below; 16], scope: "here".into(), kind: kind.into(), with, why: Why::Unseen }
}

fn held(unit: &mut CompleteUnit, missing: &[Missing], below: u8, kind: &str, known: &LastKnownAccount) -> Completed {
    let held = [Held { below: [below; 16], kind: kind.into() }];
    complete(unit, missing, &held, core(known), None, &Spool::new(1 << 20)).unwrap()
}

fn completed(unit: &mut CompleteUnit, missing: &[Missing], known: &LastKnownAccount) -> Completed {
    complete(unit, missing, &[], core(known), None, &Spool::new(1 << 20)).unwrap()
}

/// Invariant: the core keeps what was not seen, and nothing else.
#[test]
fn kinds_that_were_not_seen_are_kept_below_their_node() {
    // The cluster 10 with its node group 11 was not listed again; 12 is gone, 13 is in another region.
    let known = carried(
        &[
            (10, "cluster", json!({})),
            (11, "group", json!({})),
            (12, "volume", json!({})),
            (3, "region", json!({})),
            (13, "cluster", json!({})),
        ],
        &[(REGION, 10), (10, 11), (REGION, 12), (ACCOUNT, 3), (3, 13), (12, 11)],
    );
    let mut unit = unit(&[node(20, "cluster", json!({}))], &[]);
    let done = completed(&mut unit, &[kind(REGION, "cluster", &["group"])], &known);
    assert_eq!(shape(done.part.as_ref()), (vec![10, 11], vec![(REGION, 10), (10, 11)]));
    assert_eq!(done.kept, 2);
}

#[test]
fn kinds_left_out_by_an_option_are_kept_if_asked_for() {
    let known = carried(
        &[(10, "cluster", json!({})), (11, "group", json!({})), (12, "volume", json!({}))],
        &[(REGION, 10), (10, 11), (REGION, 12)],
    );
    let left_out = |why| {
        let Missing::Kind { below, scope, kind, with, .. } = kind(REGION, "cluster", &["group"]) else {
            unreachable!()
        };
        [Missing::Kind { below, scope, kind, with, why }]
    };
    let done = completed(&mut unit(&[], &[]), &left_out(Why::Kept), &known);
    assert_eq!((shape(done.part.as_ref()).0, done.kept), (vec![10, 11], 0), "nothing is unseen");
    let done = completed(&mut unit(&[], &[]), &left_out(Why::LeftOut), &known);
    assert!(done.part.is_none() && done.kept == 0, "{done:?}");
}

#[test]
fn kind_unseen_in_all_places_is_kept_below_collected_ones() {
    // 10 is in the collected region, 11 in one that is gone, 12 directly below the account, 13 below another kind of place.
    let known = carried(
        &[
            (10, "widget", json!({})),
            (3, "region", json!({})),
            (11, "widget", json!({})),
            (12, "widget", json!({})),
            (4, "machine", json!({})),
            (13, "widget", json!({})),
            (14, "volume", json!({})),
            (20, "widget", json!({})),
        ],
        &[(REGION, 10), (ACCOUNT, 3), (3, 11), (ACCOUNT, 12), (ACCOUNT, 4), (4, 13), (REGION, 14), (REGION, 20)],
    );
    for (why, kept) in [(Why::Unseen, 2), (Why::Kept, 0)] {
        let mut unit = unit(&[node(20, "widget", json!({}))], &[]);
        let (below, places, kind) = ([ACCOUNT; 16], "region".into(), "widget".into());
        let done = completed(&mut unit, &[Missing::KindInAll { below, places, kind, why }], &known);
        assert_eq!(shape(done.part.as_ref()), (vec![10, 12], vec![(ACCOUNT, 12), (REGION, 10)]));
        assert_eq!(done.kept, kept);
    }
}

#[test]
fn collected_node_is_not_replaced_by_its_last_known_state() {
    let known = carried(&[(10, "vpc", json!({ "old": true }))], &[(REGION, 10)]);
    let mut unit = unit(&[node(10, "vpc", json!({ "old": false }))], &[]);
    let done = completed(&mut unit, &[kind(REGION, "vpc", &[])], &known);
    assert!(done.part.is_none() && done.kept == 0, "{done:?}");
    assert!(String::from_utf8(unit.line(2).unwrap()).unwrap().contains("\"old\":false"));
}

/// Invariant: the core keeps what was not seen, and nothing else.
#[test]
fn properties_and_edges_of_failed_calls_are_kept() {
    let known = carried(
        &[
            (10, "user", json!({ "keys": 3, "tags": {"a": "b"}, "other": 1 })),
            (11, "group", json!({})),
            (12, "vpc", json!({})),
        ],
        &[(REGION, 10), (REGION, 11), (REGION, 12), (10, 11), (10, 12)],
    );
    let new =
        [node(10, "user", json!({ "keys": 0, "other": 2 })), node(11, "group", json!({})), node(12, "vpc", json!({}))];
    let mut unit = unit(&new, &[]);
    let edges = vec![MissingEdge { outgoing: true, kind: "group".into() }];
    let properties = vec!["keys".to_owned(), "tags".to_owned(), "never".to_owned()];
    let done = completed(&mut unit, &[Missing::Parts { nodes: vec![[10; 16]], properties, edges }], &known);
    let line: Value = serde_json::from_slice(&unit.line(2).unwrap()).unwrap();
    let reported = &line["reported"];
    assert_eq!((&reported["keys"], &reported["tags"], &reported["other"]), (&json!(3), &json!({"a": "b"}), &json!(2)));
    assert_eq!(reported.get("never"), None);
    assert_eq!(shape(done.part.as_ref()), (vec![], vec![(10, 11)]), "the other edge was answered: it is gone");
    assert_eq!(done.kept, 1);
}

#[test]
fn account_without_name_keeps_its_node_in_the_core() {
    let mut known = carried(&[], &[]);
    known.nodes[0].id = id(99);
    known.nodes[0].line =
        json!({ "id": id(99), "reported": {"kind": "account", "id": "r-1", "name": "alias"} }).to_string().into_bytes();
    let mut unit = unit(&[], &[]);
    let parts = Missing::Parts { nodes: vec![[ACCOUNT; 16]], properties: vec!["name".into()], edges: Vec::new() };
    completed(&mut unit, &[parts], &known);
    let line: Value = serde_json::from_slice(&unit.line(0).unwrap()).unwrap();
    assert_eq!((&line["id"], &line["reported"]["name"]), (&json!(id(99)), &json!("alias")));
    assert!(unit.edge_ids().any(|edge| edge == ([99; 16], [REGION; 16])), "its edges go with it");
}

#[test]
fn references_to_unseen_nodes_are_resolved_among_them() {
    let known = carried(
        &[(10, "vpc", json!({ "arn": "arn-10" })), (11, "vpc", json!({ "arn": "arn-11" }))],
        &[(REGION, 10), (REGION, 11)],
    );
    let mut unit = unit(&[node(20, "subnet", json!({}))], &[]);
    let key = |scope: &str, value: &str| {
        Key { scope: scope.into(), kind: "vpc".into(), attribute: "arn".into(), value: value.into() }.hash()
    };
    let edges = Missing::Edges {
        edge: MissingEdge { outgoing: false, kind: "vpc".into() },
        attribute: "arn".into(),
        ends: vec![([20; 16], key("here", "arn-11")), ([20; 16], key("elsewhere", "arn-10"))],
    };
    let done = completed(&mut unit, &[kind(REGION, "vpc", &[]), edges], &known);
    assert_eq!(shape(done.part.as_ref()), (vec![10, 11], vec![(REGION, 10), (REGION, 11), (11, 20)]));
}

/// A collector whose volumes declare their edges to instances.
struct Owners;

impl Collector for Owners {
    fn name(&self) -> &'static str {
        "owners"
    }

    fn options(&self) -> &'static [crate::settings::OptionSpec] {
        &[]
    }

    fn check(&self, _: &crate::settings::Settings) -> Result<(), String> {
        Ok(())
    }

    fn concurrency(&self, _: &crate::settings::Settings) -> crate::collector_api::Concurrency {
        crate::collector_api::Concurrency { fork: false, pool: 1 }
    }

    fn broker(&self, _: &crate::settings::Settings) -> Option<std::sync::Arc<dyn crate::collector_api::Broker>> {
        None
    }

    fn plan<'a>(
        &'a self,
        _: &'a crate::collector_api::CollectContext,
    ) -> crate::collector_api::BoxFuture<'a, Result<worker_proto::Plan, worker_proto::Failure>> {
        Box::pin(async { Ok(worker_proto::Plan::default()) })
    }

    fn collect<'a>(
        &'a self,
        _: &'a crate::collector_api::CollectContext,
        _: &'a worker_proto::Unit,
    ) -> crate::collector_api::BoxFuture<'a, Result<(), worker_proto::Failure>> {
        Box::pin(async { Ok(()) })
    }

    fn edge_owner(&self, from: &str, to: &str) -> Option<EdgeOwner> {
        (from == "instance" && to == "volume").then_some(EdgeOwner::To)
    }
}

#[test]
fn edge_declared_by_collected_node_is_not_taken_over() {
    // The volume 11 was collected and no longer names the instance 10, which was not seen; 12 was not seen either.
    let known = carried(
        &[(10, "instance", json!({})), (11, "volume", json!({})), (12, "volume", json!({}))],
        &[(REGION, 10), (REGION, 11), (REGION, 12), (10, 11), (10, 12)],
    );
    let mut unit = unit(&[node(11, "volume", json!({}))], &[]);
    let missing = [kind(REGION, "instance", &[]), kind(REGION, "volume", &[])];
    let done = complete(&mut unit, &missing, &[], core(&known), Some(&Owners), &Spool::new(1 << 20)).unwrap();
    assert_eq!(shape(done.part.as_ref()), (vec![10, 12], vec![(REGION, 10), (REGION, 12), (10, 12)]));
}

#[test]
fn edges_to_kept_nodes_are_found_in_location_and_anywhere() {
    let known = carried(&[(10, "disk", json!({ "link": "x/d" }))], &[(REGION, 10)]);
    for (scope, is_found) in [("here", true), ("", true), ("elsewhere", false)] {
        let [scope, disk, link, value] = [scope, "disk", "link", "x/d"].map(str::to_owned);
        let key = Key { scope, kind: disk.clone().into(), attribute: link.clone().into(), value };
        let edge = MissingEdge { outgoing: true, kind: disk };
        let ends = vec![([20; 16], key.hash())];
        let missing = [kind(REGION, "disk", &[]), Missing::Edges { edge, attribute: link, ends }];
        let done = completed(&mut unit(&[node(20, "server", json!({}))], &[]), &missing, &known);
        let edges = shape(done.part.as_ref()).1;
        assert_eq!(edges.contains(&(20, 10)), is_found, "{:?}: {edges:?}", key.scope);
    }
}

#[test]
fn held_nodes_are_kept_beside_namesakes_of_other_regions() {
    // Two alarms of the same name: 10 in the region that lost it, 20 in another.
    let named = json!({ "id": "same" });
    let known = carried(&[(3, "region", json!({})), (10, "alarm", named.clone())], &[(ACCOUNT, 3), (3, 10)]);
    let other = Node { resource: "same".into(), ..node(20, "alarm", named) };
    let mut unit = unit(&[other, node(3, "region", json!({}))], &[]);
    let done = held(&mut unit, &[], 3, "alarm", &known);
    assert_eq!(shape(done.part.as_ref()), (vec![10], vec![(3, 10)]));
    assert_eq!(done.kept, 1);
}

#[test]
fn held_nodes_keep_edges_that_collected_nodes_declared() {
    let known = carried(&[(10, "vpc", json!({})), (11, "subnet", json!({}))], &[(REGION, 10), (REGION, 11), (10, 11)]);
    let mut unit = unit(&[node(11, "subnet", json!({}))], &[]);
    let held = [Held { below: [REGION; 16], kind: "vpc".into() }];
    let done = complete(&mut unit, &[], &held, core(&known), Some(&Owners), &Spool::new(1 << 20)).unwrap();
    assert_eq!(shape(done.part.as_ref()), (vec![10], vec![(REGION, 10), (10, 11)]));
}

#[test]
fn held_kind_keeps_the_scope_of_nodes_that_were_not_seen() {
    let known = carried(&[(10, "vpc", json!({}))], &[(REGION, 10)]);
    let mut unit = unit(&[node(20, "subnet", json!({}))], &[]);
    let key = Key { scope: "here".into(), kind: "vpc".into(), attribute: "id".into(), value: "r-10".into() }.hash();
    let edges = Missing::Edges {
        edge: MissingEdge { outgoing: false, kind: "vpc".into() },
        attribute: "id".into(),
        ends: vec![([20; 16], key)],
    };
    let done = held(&mut unit, &[kind(REGION, "vpc", &[]), edges], REGION, "vpc", &known);
    assert_eq!(shape(done.part.as_ref()), (vec![10], vec![(REGION, 10), (10, 20)]));
}

#[test]
fn regions_not_seen_are_kept_below_an_account_with_another_name() {
    // The account's node is 9 in the core, and 1 in the collection.
    let node_of = |number: u8, kind: &str, is_account: bool| LastKnownNode {
        id: id(number),
        kind: kind.to_owned(),
        is_account,
        line: line(number, kind, json!({})),
    };
    let edge = |from: u8, to: u8| LastKnownEdge { from: id(from), to: id(to), edge_type: None };
    let known = LastKnownAccount {
        nodes: vec![node_of(9, "account", true), node_of(3, "region", false), node_of(10, "volume", false)],
        edges: vec![edge(9, 3), edge(3, 10)],
        ..LastKnownAccount::default()
    };
    let done = completed(&mut unit(&[], &[]), &[kind(ACCOUNT, "region", &["volume"])], &known);
    assert_eq!(shape(done.part.as_ref()), (vec![3, 10], vec![(ACCOUNT, 3), (3, 10)]));
}

#[test]
fn nodes_of_unused_service_are_kept_and_counted_by_service() {
    let known = carried(&[(10, "volume", json!({})), (11, "vpc", json!({}))], &[(REGION, 10), (REGION, 11)]);
    let unused = |kind: &str, service: &str| {
        let why = Why::NotInUse { service: service.into(), operation: "list".into() };
        Missing::Kind { below: [REGION; 16], scope: "here".into(), kind: kind.into(), with: Vec::new(), why }
    };
    let of = |service: &str| NotInUse { service: service.into(), operation: "list".into(), nodes: 1 };
    let done =
        completed(&mut unit(&[], &[]), &[unused("volume", "a"), unused("vpc", "b"), unused("disk", "c")], &known);
    assert_eq!((done.kept, done.not_in_use), (2, vec![of("a"), of("b")]));
    // What could not be seen is no matter of the service.
    let done = completed(&mut unit(&[], &[]), &[kind(REGION, "volume", &[]), unused("volume", "a")], &known);
    assert_eq!((done.kept, done.not_in_use), (1, vec![]));
}
