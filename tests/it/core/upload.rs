//! The delivery of graphs and the carry-over of accounts, against the test core.

use std::{sync::Arc, time::Duration};

use ckworker::{
    ckcore::CoreApi,
    delivery::{UploadError, upload},
};
use serde_json::json;

use crate::support::{
    client::config,
    core::{HANG_GUARD, TestCore},
    graph::{cloud, deliver, model},
};

async fn server_and_api() -> (TestCore, CoreApi) {
    let server = TestCore::start(None).await;
    let api = CoreApi::new(config(&server)).unwrap();
    (server, api)
}

#[tokio::test]
async fn graph_is_delivered_and_replaced() {
    let (server, api) = server_and_api().await;
    let report = deliver(&api, cloud(&["a1", "a2"])).await.unwrap();
    assert_eq!((report.nodes_created, report.nodes_updated, report.edges_created), (5, 1, 5));
    assert_eq!(server.announced(), Some(("6".into(), "5".into())));
    let report = deliver(&api, cloud(&["a1", "a3"])).await.unwrap();
    assert_eq!((report.nodes_created, report.nodes_deleted), (2, 2));
    let ids: Vec<_> = server.nodes("ck").into_keys().collect();
    assert_eq!(ids, ["a1", "a1-t", "a3", "a3-t", "c", "root"]);
    let requests = server.all_requests();
    assert_eq!(&requests[1..4], ["POST /graph/ck", "PATCH /model", "POST /graph/ck/merge"]);
}

#[tokio::test]
async fn transient_refusals_are_retried() {
    let (server, api) = server_and_api().await;
    let conflict = "Error: ImportAborted\nMessage: ConflictingChangeInProgress('Conflicting change in progress: c!')";
    server.refuse("POST /graph/ck/merge", 1, 400, conflict);
    server.refuse("PATCH /model", 1, 503, "");
    deliver(&api, cloud(&["a1"])).await.unwrap();
    assert_eq!((server.requests("POST /graph/ck/merge"), server.requests("PATCH /model")), (2, 2));
    assert_eq!(server.nodes("ck").len(), 4);
}

#[tokio::test]
async fn busy_core_or_one_without_key_gets_the_graph_later() {
    let (server, api) = server_and_api().await;
    for begin in ["POST /graph/ck", "PATCH /model", "POST /graph/ck/merge"] {
        server.refuse(begin, 1, 429, "Too many requests");
        server.refuse(begin, 1, 401, "401: Unauthorized");
    }
    deliver(&api, cloud(&["a1"])).await.unwrap();
    // The graph's own path begins that of the merge: three and three in all.
    assert_eq!((server.requests("POST /graph/ck"), server.requests("PATCH /model")), (6, 3));
    assert_eq!(server.nodes("ck").len(), 4);
}

#[tokio::test]
async fn other_refusals_are_final_and_carry_the_words_of_the_core() {
    let (server, api) = server_and_api().await;
    let mut body = cloud(&["a1"]);
    body.lines[3] = body.lines[3].replace("\"thing\"", "\"nope\"");
    let error = deliver(&api, body.clone()).await.unwrap_err();
    assert!(matches!(&error, UploadError::Refused(error) if error.status == Some(400)), "{error:?}");
    assert!(error.to_string().contains("No kind definition found for nope"), "{error}");
    body.lines[3] = json!({"id": "x", "reported": {"kind": "thing", "id": "x".repeat(131_072)}}).to_string();
    let error = deliver(&api, body).await.unwrap_err().to_string();
    assert!(error.contains("131072 bytes"), "{error}");
    assert_eq!(server.requests("POST /graph/ck/merge"), 2);
}

#[tokio::test]
async fn truncated_body_merges_nothing() {
    let (server, api) = server_and_api().await;
    let mut body = cloud(&["a1"]);
    body.fail_after = Some(3);
    let error = deliver(&api, body).await.unwrap_err();
    assert!(matches!(&error, UploadError::Body(reason) if reason == "the disk is gone"), "{error:?}");
    assert_eq!(server.nodes("ck").len(), 1, "the root alone");
}

#[tokio::test]
async fn upload_ends_at_its_deadline_or_when_dropped() {
    let (server, api) = server_and_api().await;
    server.refuse("POST /graph/ck/merge", 1000, 503, "not now");
    let deadline = std::time::Instant::now() + Duration::from_secs(2);
    let error = upload(&api, Arc::new(cloud(&["a1"])), model(), deadline).await.unwrap_err();
    assert!(matches!(error, UploadError::Deadline { .. }) && error.to_string().contains("not now"), "{error}");
    let gate = server.hold("POST /graph/ck");
    let deadline = std::time::Instant::now() + HANG_GUARD;
    tokio::select! {
        result = upload(&api, Arc::new(cloud(&["a1"])), model(), deadline) => panic!("the core holds it: {result:?}"),
        () = server.requested("POST /graph/ck", 3) => {}
    }
    gate.open();
    assert!(server.nodes("ck").len() <= 1, "nothing was merged");
}

#[tokio::test]
async fn large_body_arrives_whole() {
    let (server, api) = server_and_api().await;
    let names: Vec<_> = (0..3000).map(|index| format!("account-{index}-{}", "x".repeat(200))).collect();
    let body = cloud(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let report = deliver(&api, body).await.unwrap();
    assert_eq!((report.nodes_created, report.edges_created), (6001, 6001));
    assert_eq!(server.nodes("ck").len(), 6002);
}

/// Invariant: the core keeps an account that failed.
#[tokio::test]
async fn failed_account_is_carried_over() {
    let (server, api) = server_and_api().await;
    assert!(api.account_subgraph("test_account", "a2").await.unwrap().nodes.is_empty(), "no graph yet");
    deliver(&api, cloud(&["a1", "a2"])).await.unwrap();
    let before = server.nodes("ck");
    let carried = api.account_subgraph("test_account", "a2").await.unwrap();
    assert_eq!(
        carried.nodes.iter().map(|node| (node.id.as_str(), node.is_account)).collect::<Vec<_>>(),
        [("a2", true), ("a2-t", false)]
    );
    let mut body = cloud(&["a1"]);
    body.lines.extend(carried.nodes.iter().map(|node| String::from_utf8(node.line.clone()).unwrap()));
    body.lines.extend(carried.edges.iter().map(|edge| String::from_utf8(edge.line()).unwrap()));
    body.lines.push(json!({"from": "c", "to": "a2"}).to_string());
    body.edges += 2;
    let report = deliver(&api, body).await.unwrap();
    assert_eq!(report.nodes_deleted, 0);
    let after = server.nodes("ck");
    for (id, node) in &before {
        assert_eq!((&after[id].reported, &after[id].metadata), (&node.reported, &node.metadata), "{id}");
    }
    assert!(api.account_subgraph("test_account", "unknown").await.unwrap().nodes.is_empty());
    assert!(api.account_subgraph("no_such_kind", "a2").await.unwrap().nodes.is_empty());
}
