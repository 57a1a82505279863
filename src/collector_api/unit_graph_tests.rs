//! Edges by reference, whatever the order in which their ends are found.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use worker_proto::FromWorker;

use super::*;
use crate::{collector_api::SentFrames, settings::Settings};

fn node(byte: u8) -> Node {
    Node { id: [byte; 16], kind: "aws_vpc".into(), resource: byte.to_string(), line: b"{}".to_vec().into() }
}

fn key(scope: &str, kind: &str, value: &str) -> Key {
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
    assert_eq!(report, EdgeReport { sent: 0, dangling, loops: 1 });
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
