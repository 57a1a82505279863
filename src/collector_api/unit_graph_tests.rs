//! Edges by reference, whatever the order in which their ends are found.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use worker_proto::FromWorker;

use super::*;
use crate::{collector_api::SentFrames, settings::Settings};

fn node(byte: u8) -> Node {
    Node { id: [byte; 16], kind: "aws_vpc".into(), resource: byte.to_string(), line: b"{}".to_vec().into() }
}

fn key(scope: &str, kind: &'static str, value: &str) -> Key {
    Key { scope: scope.into(), kind: kind.into(), attribute: "id".into(), value: value.into() }
}

async fn sent(context: CollectContext, mut frames: SentFrames) -> (usize, Vec<(u8, u8)>) {
    context.finish().await.unwrap();
    drop(context);
    let (mut count, mut pairs) = (0, Vec::new());
    while let Some(frame) = frames.next().await {
        match frame {
            FromWorker::Nodes { nodes, .. } => count += nodes.len(),
            FromWorker::Edges { edges, .. } => pairs.extend(edges.iter().map(|(from, to)| (from[0], to[0]))),
            other => assert!(matches!(other, FromWorker::Progress(_)), "{other:?}"),
        }
    }
    (count, pairs)
}

/// Invariant: the order of collection does not change the graph.
#[tokio::test]
async fn edges_are_resolved_in_any_order_and_sent_once() {
    let (context, frames) = CollectContext::recording(Settings::default(), None);
    let graph = UnitGraph::new(context.clone());
    // Declared before any of the ends is known, by reference and by id, and twice.
    graph.edge(End::Ref(key("us-east-1", "aws_vpc", "vpc-1")), End::Ref(key("us-east-1", "aws_ec2_subnet", "s-1")));
    let vpc = graph.add(node(1), vec![key("us-east-1", "aws_vpc", "vpc-1")]).await.unwrap();
    let subnet = graph.add(node(2), vec![key("us-east-1", "aws_ec2_subnet", "s-1")]).await.unwrap();
    graph.edge(End::Node(vpc), End::Node(subnet));
    // A reference that several nodes answer to gives an edge to each of them.
    graph.add(node(3), vec![key("", "aws_ec2_subnet", "any")]).await.unwrap();
    graph.add(node(4), vec![key("", "aws_ec2_subnet", "any")]).await.unwrap();
    graph.edge(End::Node(vpc), End::Ref(key("", "aws_ec2_subnet", "any")));
    let report = graph.finish(&BTreeSet::new()).await.unwrap();
    assert_eq!(report, EdgeReport { sent: 3, ..EdgeReport::default() });
    assert_eq!(sent(context, frames).await, (4, vec![(1, 2), (1, 3), (1, 4)]));
}

#[tokio::test]
async fn edge_without_node_is_counted_and_omitted() {
    let (context, frames) = CollectContext::recording(Settings::default(), None);
    let graph = UnitGraph::new(context.clone());
    let vpc = graph.add(node(1), vec![key("us-east-1", "aws_vpc", "vpc-1")]).await.unwrap();
    // The same id in another region is another key.
    graph.edge(End::Ref(key("us-west-2", "aws_vpc", "vpc-1")), End::Node(vpc));
    graph.edge(End::Node(vpc), End::Node(NodeId([9; 16])));
    graph.edge(End::Node(vpc), End::Ref(key("us-east-1", "aws_vpc", "vpc-1")));
    let report = graph.finish(&BTreeSet::new()).await.unwrap();
    let dangling = [("aws_vpc.id".to_owned(), 1), ("node".to_owned(), 1)].into_iter().collect();
    assert_eq!(report, EdgeReport { dangling, loops: 1, ..EdgeReport::default() });
    assert_eq!(sent(context, frames).await, (1, vec![]));
}

#[tokio::test]
async fn duplicate_node_is_sent_once_and_found_by_all_keys() {
    let (context, frames) = CollectContext::recording(Settings::default(), None);
    let graph = UnitGraph::new(context.clone());
    graph.add(node(1), vec![key("", "a", "1")]).await.unwrap();
    graph.add(node(1), vec![key("", "a", "1"), key("", "b", "1")]).await.unwrap();
    let other = graph.add(node(2), vec![]).await.unwrap();
    graph.edge(End::Ref(key("", "b", "1")), End::Node(other));
    assert_eq!(graph.nodes(), 2);
    assert_eq!(graph.finish(&BTreeSet::new()).await.unwrap().sent, 1);
    assert_eq!(sent(context, frames).await, (2, vec![(1, 2)]));
}

/// Invariant: the order of collection does not change the graph.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_collectors_give_every_edge() {
    let (context, frames) = CollectContext::recording(Settings::default(), None);
    let graph = UnitGraph::new(context.clone());
    let tasks: Vec<_> = (1..=200_u8)
        .map(|byte| {
            let graph = graph.clone();
            tokio::spawn(async move {
                graph.edge(End::Ref(key("", "n", &(byte / 2).to_string())), End::Ref(key("", "n", &byte.to_string())));
                graph.add(node(byte), vec![key("", "n", &byte.to_string())]).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let report = graph.finish(&BTreeSet::new()).await.unwrap();
    let (count, edges) = sent(context, frames).await;
    assert_eq!((count, report.sent), (200, 199));
    assert_eq!(edges.into_iter().collect::<BTreeSet<_>>(), (2..=200).map(|byte| (byte / 2, byte)).collect());
}

/// Nodes of this kind are named by their `id`.
fn named() -> &'static NamedAttributes {
    static NAMED: std::sync::OnceLock<NamedAttributes> = std::sync::OnceLock::new();
    NAMED.get_or_init(|| NamedAttributes::from([("n".to_owned(), BTreeSet::from(["id".to_owned()]))]))
}

async fn frames_of(context: CollectContext, mut frames: SentFrames) -> Vec<FromWorker> {
    context.finish().await.unwrap();
    drop(context);
    let mut all = Vec::new();
    while let Some(frame) = frames.next().await {
        all.push(frame);
    }
    all
}

#[tokio::test]
async fn end_in_cloud_is_found_inside_or_deferred_once() {
    let (context, frames) = CollectContext::recording(Settings::default(), None);
    let graph = UnitGraph::new(context.clone()).naming(named());
    let one = graph.add(node(1), vec![key("", "n", "1"), key("us-east-1", "n", "1"), key("", "m", "1")]).await.unwrap();
    let two = graph.add(node(2), vec![key("", "m", "2")]).await.unwrap();
    let elsewhere = || End::Cloud(key("", "n", "9"));
    graph.edge(End::Cloud(key("", "n", "1")), End::Node(two));
    graph.edge(End::Node(two), elsewhere());
    graph.edge(End::Node(two), elsewhere());
    graph.edge(elsewhere(), End::Node(one));
    graph.edge(End::Node(two), End::Cloud(key("", "n", &"x".repeat(5000))));
    let report = graph.finish(&BTreeSet::new()).await.unwrap();
    let dangling = BTreeMap::from([("n.id".to_owned(), 1)]);
    assert_eq!(report, EdgeReport { sent: 1, deferred: 2, dangling, ..EdgeReport::default() });
    let frames = frames_of(context, frames).await;
    let other = || Selector::Attribute { kind: "n".into(), attribute: "id".into(), value: "9".into() };
    let edges = vec![
        Deferred { from: Selector::Node([2; 16]), to: other() },
        Deferred { from: other(), to: Selector::Node([1; 16]) },
    ];
    assert!(frames.contains(&FromWorker::Deferred { unit: 0, edges }), "{frames:?}");
    let names = vec![Name { key: key("", "n", "1").hash(), node: [1; 16] }];
    assert!(frames.contains(&FromWorker::Names { unit: 0, names }), "only keys without a scope of named kinds");
}

#[tokio::test]
async fn names_and_deferred_edges_go_in_bounded_frames() {
    let (context, mut frames) = CollectContext::recording(Settings::default(), None);
    let received = tokio::spawn(async move {
        let (mut names, mut edges, mut largest) = (0, 0, 0);
        while let Some(frame) = frames.next().await {
            largest = largest.max(worker_proto::encode_from_worker(&frame).unwrap().len());
            match frame {
                FromWorker::Names { names: some, .. } => names += some.len(),
                FromWorker::Deferred { edges: some, .. } => edges += some.len(),
                _ => {}
            }
        }
        (names, edges, largest)
    });
    let graph = UnitGraph::new(context.clone()).naming(named());
    for number in 0..10_000 {
        let (id, far) = (number.to_string(), format!("{number}{}", "y".repeat(200)));
        let one = graph.add(node(1), vec![key("", "n", &id)]).await.unwrap();
        graph.edge(End::Node(one), End::Cloud(key("", "n", &far)));
    }
    graph.finish(&BTreeSet::new()).await.unwrap();
    let counts = context.finish().await.unwrap();
    drop(context);
    let (names, edges, largest) = received.await.unwrap();
    assert_eq!((names, edges), (10_000, 10_000));
    assert_eq!((counts.names, counts.deferred), (10_000, 10_000));
    assert!(largest < 2 * worker_proto::BATCH_BYTES, "{largest}");
}
