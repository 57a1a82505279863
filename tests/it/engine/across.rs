//! References across accounts: resolved when all accounts are merged, whatever their order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use ckworker::{
    delivery::{NdjsonSink, OutputFile},
    graph::name_hash,
};
use worker_proto::Selector;

use super::{cores::Core, server::Peering, supervised::run, *};

/// The two accounts have a peering each, which leads through both of them. One leads nowhere.
const PEERINGS: [Peering; 3] = [
    ("acc-1", "p1", "acc-2/net-1", &["acc-1/net-2", "acc-2/net-3"]),
    ("acc-2", "p2", "acc-1/net-1", &["acc-1/net-3"]),
    ("acc-2", "p3", "acc-9/net-1", &[]),
];

/// The edges of these peerings.
const EDGES: [&str; 5] =
    ["acc-1/net-1 > p2", "acc-2/net-1 > p1", "p1 > acc-1/net-2", "p1 > acc-2/net-3", "p2 > acc-1/net-3"];

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The edges between networks and peerings.
pub(super) fn peerings<'a>(
    nodes: &BTreeMap<String, Value>,
    edges: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeSet<String> {
    let is_peering = |node: &Value| node["kind"] == "nimbus_peering";
    let label = |node: &Value| match node["address"].as_str() {
        Some(address) => address.to_owned(),
        None => node["id"].as_str().unwrap().to_owned(),
    };
    let ends = edges.map(|(from, to)| (&nodes[from], &nodes[to]));
    let ends = ends.filter(|(from, to)| is_peering(from) || (is_peering(to) && from["kind"] == "nimbus_network"));
    ends.map(|(from, to)| format!("{} > {}", label(from), label(to))).collect()
}

#[tokio::test]
async fn reference_across_accounts_is_deferred_unless_found_inside() {
    let server = Server::start().await;
    server.peer(&PEERINGS);
    let collected = collect_all(&server).await;
    assert!(collected.edges().contains("peering p1 > network net-2"), "inside the account");
    let deferred = collected.deferred.iter().map(|edge| {
        let end = |end: &Selector| match end {
            Selector::Node(id) => collected.label(id),
            Selector::Attribute { kind, attribute, value } => format!("{kind}.{attribute} {value}"),
            Selector::Resource { .. } => panic!("{end:?}"),
        };
        format!("{} > {}", end(&edge.from), end(&edge.to))
    });
    let expected =
        ["nimbus_network.address acc-2/net-1 > peering p1", "peering p1 > nimbus_network.address acc-2/net-3"];
    assert_eq!(deferred.collect::<BTreeSet<_>>(), set(&expected));
    let names: BTreeMap<_, _> = collected.names.iter().map(|name| (name.key, collected.label(&name.node))).collect();
    let expected = (0..7).map(|number| {
        let name = name_hash("nimbus_network", "address", &format!("acc-1/net-{number}"));
        (name, format!("network net-{number}"))
    });
    assert_eq!(names, expected.collect(), "no other kinds and attributes have names");
    assert_eq!((collected.gaps(), collected.missing.len()), (vec![], 0));
}

#[tokio::test]
async fn accounts_are_connected_whatever_their_order() {
    let server = Server::start().await;
    server.peer(&PEERINGS);
    let folder = tempfile::tempdir().unwrap();
    for pool in [1, 2] {
        let path = folder.path().join("graph.ndjson");
        let output = Mutex::new(Some(OutputFile::create(&path).unwrap()));
        let ended = run(&server, Arc::new(NdjsonSink { output, ignore_deferred: false, dump: None }), pool).await;
        assert!(ended.delivery.is_ok() && ended.report.unwrap().is_complete());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let nodes = lines.iter().filter(|line| line["id"].is_string());
        let nodes = nodes.map(|line| (line["id"].as_str().unwrap().to_owned(), line["reported"].clone())).collect();
        let edges = lines.iter().filter_map(|line| Some((line["from"].as_str()?, line["to"].as_str()?)));
        assert_eq!(peerings(&nodes, edges), set(&EDGES), "pool of {pool}");
    }
}

#[tokio::test]
async fn edges_to_account_that_failed_stay_and_follow_the_others() {
    for failed in ["acc-1", "acc-2"] {
        let (server, core) = (Server::start().await, Core::start().await);
        server.peer(&PEERINGS);
        assert!(core.collect(&server).await.is_complete);
        assert_eq!(core.peerings(), set(&EDGES));
        server.reject(failed);
        assert!(!core.collect(&server).await.is_complete);
        assert_eq!(core.peerings(), set(&EDGES), "{failed} is carried over");
        // The account that is seen has another peering now, and so has the one that is not.
        server.peer(&[("acc-1", "p1", "acc-2/net-5", &[]), ("acc-2", "p2", "acc-1/net-5", &[])]);
        core.collect(&server).await;
        let expected = match failed {
            "acc-1" => ["acc-2/net-1 > p1", "p1 > acc-1/net-2", "p1 > acc-2/net-3", "acc-1/net-5 > p2"].as_slice(),
            _ => &["acc-1/net-1 > p2", "p2 > acc-1/net-3", "acc-2/net-5 > p1"],
        };
        assert_eq!(core.peerings(), set(expected), "{failed}");
        server.recover();
        assert!(core.collect(&server).await.is_complete);
        assert_eq!(core.peerings(), set(&["acc-2/net-5 > p1", "acc-1/net-5 > p2"]));
    }
}

#[tokio::test]
async fn edges_of_unseen_kinds_stay_across_accounts() {
    for hidden in ["networks", "peerings"] {
        let (server, core) = (Server::start().await, Core::start().await);
        server.peer(&PEERINGS);
        assert!(core.collect(&server).await.is_complete);
        server.fail(hidden, (403, None, None));
        assert!(!core.collect(&server).await.is_complete);
        assert_eq!(core.peerings(), set(&EDGES), "{hidden}");
        server.recover();
        server.peer(&PEERINGS[..1]);
        assert!(core.collect(&server).await.is_complete);
        assert_eq!(core.peerings(), set(&["acc-2/net-1 > p1", "p1 > acc-1/net-2", "p1 > acc-2/net-3"]), "{hidden}");
    }
}
