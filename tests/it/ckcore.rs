//! The connection to a core and the upload, against the test core.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use ckworker::{
    ckcore::{Action, Answer, Core, CoreApi, CoreConfig, CoreEvent, Duty, Psk, Timing, connect},
    upload::{self, Body, Chunks, UploadError},
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use crate::support::core::{HANG_GUARD, TestCore};

const SUBSCRIBER: &str = "worker-collect_cleanup";
const REGISTER: &str = "POST /subscriber/worker-collect_cleanup/";
const HANDLE: &str = "GET /subscriber/worker-collect_cleanup/handle";

/// A client of the test core, and what it said.
struct Client {
    core: Core,
    events: mpsc::Receiver<CoreEvent>,
}

impl Client {
    fn new(server: &TestCore) -> Self {
        Self::with(config(server), 16)
    }

    fn with(config: CoreConfig, queue: usize) -> Self {
        let (sender, events) = mpsc::channel(queue);
        Self { core: connect(config, sender).unwrap(), events }
    }

    async fn event(&mut self) -> CoreEvent {
        timeout(HANG_GUARD, self.events.recv()).await.expect("an event").unwrap()
    }

    async fn action(&mut self) -> Action {
        loop {
            if let CoreEvent::Action(action) = self.event().await {
                return action;
            }
        }
    }

    async fn disconnected(&mut self) -> String {
        loop {
            if let CoreEvent::Disconnected { reason } = self.event().await {
                return reason;
            }
        }
    }

    async fn done(&self, action: &Action) {
        self.core.answer(&action.key, Answer::Done).await;
    }

    async fn close(self) {
        self.core.close(Instant::now() + HANG_GUARD).await;
    }
}

fn config(server: &TestCore) -> CoreConfig {
    let mut config = CoreConfig::new(&server.uri(), &server.ws_uri()).unwrap();
    config.timing = Timing {
        backoff_first: Duration::from_millis(5),
        backoff_limit: Duration::from_millis(50),
        ..Timing::default()
    };
    config
}

fn done() -> (String, String, String) {
    ("collect".into(), "action_done".into(), String::new())
}

#[tokio::test]
async fn an_action_is_received_and_answered_twice_in_a_row() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    assert_eq!(client.event().await, CoreEvent::Connected);
    for _ in 0..2 {
        let task = server.start_workflow("collect").unwrap();
        let action = client.action().await;
        assert_eq!((action.duty, &action.key.task), (Duty::Collect, &task));
        client.done(&action).await;
        server.finished(&task).await;
        assert_eq!(server.answers(&task), [done()]);
    }
    let register = "collect?timeout=10800&wait_for_completion=True";
    assert_eq!(server.all_requests()[0], format!("{REGISTER}{register}"));
    assert_eq!(server.frames().len(), 2);
    client.close().await;
}

#[tokio::test]
async fn both_actions_of_a_workflow_are_answered_and_an_error_has_its_text() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect_and_cleanup").unwrap();
    let action = client.action().await;
    client.done(&action).await;
    let action = client.action().await;
    assert_eq!(action.duty, Duty::Cleanup);
    client.core.answer(&action.key, Answer::Error("not yet".into())).await;
    server.finished(&task).await;
    let error = ("cleanup".to_owned(), "action_error".to_owned(), "not yet".to_owned());
    assert_eq!(server.answers(&task), [done(), error]);
    client.close().await;
}

#[tokio::test]
async fn a_core_that_restarts_is_found_again() {
    let mut server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    for _ in 0..2 {
        server.connected(SUBSCRIBER).await;
        let task = server.start_workflow("collect").unwrap();
        let action = client.action().await;
        client.done(&action).await;
        server.finished(&task).await;
        server.restart().await;
    }
    client.disconnected().await;
    client.close().await;
}

#[tokio::test]
async fn a_core_that_is_not_there_yet_is_waited_for() {
    let mut server = TestCore::start(None).await;
    server.stop();
    let mut client = Client::new(&server);
    let reason = client.disconnected().await;
    assert!(reason.contains("registration"), "{reason}");
    server.start_again().await;
    assert_eq!(client.event().await, CoreEvent::Connected);
    client.close().await;
}

#[tokio::test]
async fn a_redelivered_action_is_not_started_twice() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    server.drop_connections();
    server.delivered(&task, 2).await;
    // The second delivery is on its way; the pong says that it was read.
    server.ping(SUBSCRIBER).await;
    client.done(&action).await;
    server.finished(&task).await;
    assert_eq!(server.answers(&task), [done()]);
    client.close().await;
    assert_eq!(server.frames().len(), 1, "one answer for both deliveries");
}

#[tokio::test]
async fn an_answer_given_while_disconnected_is_delivered_later() {
    let mut server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    server.stop();
    client.disconnected().await;
    client.done(&action).await;
    server.start_again().await;
    server.finished(&task).await;
    client.close().await;
    assert_eq!(server.frames().len(), 1);
}

#[tokio::test]
async fn the_kept_answer_is_given_again_without_new_work() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    client.core.answer(&action.key, Answer::Error("why".into())).await;
    server.finished(&task).await;
    server.forget_answers(&task, "collect");
    server.drop_connections();
    server.finished(&task).await;
    assert_eq!(server.answers(&task), [("collect".into(), "action_error".into(), "why".into())]);
    client.close().await;
    assert_eq!(server.deliveries(&task), 2);
}

#[tokio::test]
async fn two_actions_at_a_time_are_answered_over_two_connections() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let tasks = ["collect", "collect_and_cleanup"].map(|name| server.start_workflow(name).unwrap());
    let actions = [client.action().await, client.action().await];
    for action in &actions {
        client.done(action).await;
    }
    let cleanup = client.action().await;
    assert_eq!((cleanup.duty, &cleanup.key.task), (Duty::Cleanup, &tasks[1]));
    server.finished(&tasks[0]).await;
    assert_eq!(server.answers(&tasks[0]), [done()]);
    assert_eq!(server.answers(&tasks[1]), [done()]);
    client.close().await;
}

#[tokio::test]
async fn refusals_of_the_handshake_are_retried() {
    let server = TestCore::start(None).await;
    server.refuse(HANDLE, 2, 429, "Only one connection per subscriber is allowed!");
    server.refuse(HANDLE, 1, 404, "No subscriber with this id");
    server.cut(REGISTER, 1);
    let mut client = Client::new(&server);
    let mut reasons = Vec::new();
    loop {
        match client.event().await {
            CoreEvent::Disconnected { reason } => reasons.push(reason),
            CoreEvent::Connected => break,
            CoreEvent::Action(action) => panic!("{action:?}"),
        }
    }
    assert_eq!(server.requests(HANDLE), 4);
    assert_eq!(server.requests(REGISTER), 1 + 4 * 2, "registered before each attempt");
    client.close().await;
}

#[tokio::test]
async fn a_refused_key_is_said_and_tried_again() {
    let server = TestCore::start(Some("right")).await;
    let mut config = config(&server);
    config.psk = Psk::new("wrong");
    let mut client = Client::with(config, 16);
    let reason = client.disconnected().await;
    assert!(reason.contains("--psk") && reason.contains("401"), "{reason}");
    server.requested(REGISTER, 2).await;
    drop(client);
}

#[tokio::test]
async fn everything_works_with_a_key() {
    let server = TestCore::start(Some("geheim ✓")).await;
    let mut config = config(&server);
    config.psk = Psk::new("geheim ✓");
    let mut client = Client::with(config, 16);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    deliver(&client.core.api(), &cloud(&["a1"])).await.unwrap();
    client.done(&action).await;
    server.finished(&task).await;
    client.close().await;
    assert_eq!(server.subscriptions(SUBSCRIBER), Some(vec![]));
}

#[tokio::test]
async fn closing_delivers_what_is_left_and_removes_the_subscriptions() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let tasks = ["collect", "collect_and_cleanup"].map(|name| server.start_workflow(name).unwrap());
    for _ in &tasks {
        let action = client.action().await;
        client.core.answer(&action.key, Answer::Error("the worker is ending".into())).await;
    }
    client.close().await;
    for task in &tasks {
        assert_eq!(server.answer(task).await.2, "the worker is ending");
    }
    assert_eq!(server.subscriptions(SUBSCRIBER), Some(vec![]));
}

#[tokio::test]
async fn closing_is_bounded_when_the_core_is_gone() {
    let mut server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    server.start_workflow("collect").unwrap();
    let action = client.action().await;
    server.stop();
    client.done(&action).await;
    let deadline = Instant::now() + Duration::from_millis(300);
    timeout(HANG_GUARD, client.core.close(deadline)).await.expect("close ends");
}

#[tokio::test]
async fn pings_are_answered_while_nobody_takes_events() {
    let server = TestCore::start(None).await;
    // The queue holds one event, and nobody reads it.
    let mut client = Client::with(config(&server), 1);
    server.connected(SUBSCRIBER).await;
    for workflow in ["collect", "collect_and_cleanup"] {
        server.start_workflow(workflow).unwrap();
    }
    for _ in 0..3 {
        server.ping(SUBSCRIBER).await;
    }
    assert_eq!(client.action().await.duty, Duty::Collect);
    assert_eq!(client.action().await.duty, Duty::Collect);
    client.close().await;
}

#[tokio::test]
async fn a_silent_core_is_left() {
    let server = TestCore::start(None).await;
    let mut config = config(&server);
    // The first ping finds that nothing was heard for no time at all.
    (config.timing.ping, config.timing.silence) = (Duration::from_millis(20), Duration::ZERO);
    let mut client = Client::with(config, 16);
    let reason = client.disconnected().await;
    assert!(reason.contains("silent"), "{reason}");
    server.connections_made(2).await;
    drop(client);
}

#[tokio::test]
async fn unusable_frames_change_nothing() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    server.connections_made(1).await;
    for text in ["", "no json", "[1]", "{\"kind\":\"action_abort\",\"message_type\":\"collect\",\"data\":{}}"] {
        server.send_text(SUBSCRIBER, text);
    }
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    assert_eq!(action.key.task, task);
    client.done(&action).await;
    server.finished(&task).await;
    client.close().await;
    assert_eq!(server.frames().len(), 1);
}

/// A body in memory. `fail_after` pieces it ends with an error.
struct Lines {
    lines: Vec<String>,
    edges: u64,
    fail_after: Option<usize>,
}

impl Body for Lines {
    fn nodes(&self) -> u64 {
        self.lines.len() as u64 - self.edges
    }

    fn edges(&self) -> u64 {
        self.edges
    }

    fn chunks(&self) -> Chunks<'_> {
        let whole = self.lines.iter().map(|line| Ok(Bytes::from(format!("{line}\n"))));
        match self.fail_after {
            None => Box::new(whole),
            Some(count) => Box::new(whole.take(count).chain([Err(io::Error::other("the disk is gone"))])),
        }
    }
}

/// A cloud with these accounts, each with a resource below it.
fn cloud(accounts: &[&str]) -> Lines {
    let node = |id: &str, kind: &str, more: Value| {
        let mut line =
            json!({"id": id, "reported": {"kind": kind, "id": id, "name": id}, "metadata": {"cleaned": false}});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let edge = |from: &str, to: &str| json!({"from": from, "to": to}).to_string();
    let mut lines = vec![node("r", "graph_root", json!({})), node("c", "cloud", json!({"replace": true}))];
    lines.extend(
        accounts.iter().flat_map(|a| [node(a, "test_account", json!({})), node(&format!("{a}-t"), "thing", json!({}))]),
    );
    let edges: Vec<_> = [edge("r", "c")]
        .into_iter()
        .chain(accounts.iter().flat_map(|a| [edge("c", a), edge(a, &format!("{a}-t"))]))
        .collect();
    let count = edges.len() as u64;
    lines.extend(edges);
    Lines { lines, edges: count, fail_after: None }
}

fn model() -> Vec<u8> {
    let property = |name: &str, required: bool| json!({"name": name, "kind": "string", "required": required});
    let kind = |fqn: &str, bases: &[&str]| json!({"fqn": fqn, "bases": bases, "properties": []});
    let resource =
        json!({"fqn": "resource", "bases": [], "properties": [property("id", true), property("name", false)]});
    let root = json!({"fqn": "graph_root", "bases": ["resource"], "properties": []});
    json!([
        resource,
        root,
        kind("cloud", &["resource"]),
        kind("account", &["resource"]),
        kind("test_account", &["account"]),
        kind("thing", &["resource"])
    ])
    .to_string()
    .into_bytes()
}

async fn deliver(api: &CoreApi, body: &Lines) -> Result<ckworker::ckcore::MergeReport, UploadError> {
    let body = Lines { lines: body.lines.clone(), edges: body.edges, fail_after: body.fail_after };
    let (_keep, cancel) = watch::channel(false);
    let deadline = std::time::Instant::now() + HANG_GUARD;
    timeout(HANG_GUARD, upload::upload(api, Arc::new(body), model(), deadline, cancel)).await.expect("upload ends")
}

async fn server_and_api() -> (TestCore, CoreApi) {
    let server = TestCore::start(None).await;
    let api = CoreApi::new(config(&server)).unwrap();
    (server, api)
}

#[tokio::test]
async fn a_graph_is_delivered_and_replaced() {
    let (server, api) = server_and_api().await;
    let report = deliver(&api, &cloud(&["a1", "a2"])).await.unwrap();
    assert_eq!((report.nodes_created, report.nodes_updated, report.edges_created), (5, 1, 5));
    let report = deliver(&api, &cloud(&["a1", "a3"])).await.unwrap();
    assert_eq!((report.nodes_created, report.nodes_deleted), (2, 2));
    let ids: Vec<_> = server.nodes("ck").into_keys().collect();
    assert_eq!(ids, ["a1", "a1-t", "a3", "a3-t", "c", "root"]);
    let requests = server.all_requests();
    assert_eq!(&requests[..3], ["POST /graph/ck", "PATCH /model", "POST /graph/ck/merge"]);
}

#[tokio::test]
async fn refusals_that_may_pass_are_tried_again() {
    let (server, api) = server_and_api().await;
    let conflict = "Error: ImportAborted\nMessage: ConflictingChangeInProgress('Conflicting change in progress: c!')";
    server.refuse("POST /graph/ck/merge", 1, 400, conflict);
    server.refuse("PATCH /model", 1, 503, "");
    deliver(&api, &cloud(&["a1"])).await.unwrap();
    assert_eq!((server.requests("POST /graph/ck/merge"), server.requests("PATCH /model")), (2, 2));
    assert_eq!(server.nodes("ck").len(), 4);
}

#[tokio::test]
async fn other_refusals_are_final_and_carry_the_words_of_the_core() {
    let (server, api) = server_and_api().await;
    let mut body = cloud(&["a1"]);
    body.lines[3] = body.lines[3].replace("\"thing\"", "\"nope\"");
    let error = deliver(&api, &body).await.unwrap_err();
    assert!(matches!(&error, UploadError::Refused(error) if error.status == Some(400)), "{error:?}");
    assert!(error.to_string().contains("No kind definition found for nope"), "{error}");
    body.lines[3] = json!({"id": "x", "reported": {"kind": "thing", "id": "x".repeat(131_072)}}).to_string();
    let error = deliver(&api, &body).await.unwrap_err().to_string();
    assert!(error.contains("131072 bytes"), "{error}");
    assert_eq!(server.requests("POST /graph/ck/merge"), 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_merges_nothing() {
    let (server, api) = server_and_api().await;
    let mut body = cloud(&["a1"]);
    body.fail_after = Some(3);
    let error = deliver(&api, &body).await.unwrap_err();
    assert!(matches!(&error, UploadError::Body(reason) if reason == "the disk is gone"), "{error:?}");
    assert_eq!(server.nodes("ck").len(), 1, "the root alone");
}

#[tokio::test]
async fn an_upload_ends_at_its_deadline_and_when_it_is_cancelled() {
    let (server, api) = server_and_api().await;
    server.refuse("POST /graph/ck/merge", 1000, 503, "not now");
    let (cancel, cancelled) = watch::channel(false);
    let deadline = std::time::Instant::now() + Duration::from_millis(300);
    let error = upload::upload(&api, Arc::new(cloud(&["a1"])), model(), deadline, cancelled.clone()).await.unwrap_err();
    assert!(matches!(error, UploadError::Deadline { .. }) && error.to_string().contains("not now"), "{error}");
    let gate = server.hold("POST /graph/ck");
    let deadline = std::time::Instant::now() + HANG_GUARD;
    let upload = upload::upload(&api, Arc::new(cloud(&["a1"])), model(), deadline, cancelled);
    let cancel_when_held = async {
        server.requested("POST /graph/ck", 3).await;
        cancel.send_replace(true);
    };
    let (result, ()) = tokio::join!(upload, cancel_when_held);
    assert!(matches!(result, Err(UploadError::Cancelled)));
    gate.open();
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let (server, api) = server_and_api().await;
    let names: Vec<_> = (0..3000).map(|index| format!("account-{index}-{}", "x".repeat(200))).collect();
    let body = cloud(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let report = deliver(&api, &body).await.unwrap();
    assert_eq!((report.nodes_created, report.edges_created), (6001, 6001));
    assert_eq!(server.nodes("ck").len(), 6002);
}

#[tokio::test]
async fn a_failed_account_is_carried_over() {
    let (server, api) = server_and_api().await;
    assert!(api.account_subgraph("test_account", "a2").await.unwrap().nodes.is_empty(), "no graph yet");
    deliver(&api, &cloud(&["a1", "a2"])).await.unwrap();
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
    let report = deliver(&api, &body).await.unwrap();
    assert_eq!(report.nodes_deleted, 0);
    let after = server.nodes("ck");
    for (id, node) in &before {
        assert_eq!((&after[id].reported, &after[id].metadata), (&node.reported, &node.metadata), "{id}");
    }
    assert!(api.account_subgraph("test_account", "unknown").await.unwrap().nodes.is_empty());
    assert!(api.account_subgraph("no_such_kind", "a2").await.unwrap().nodes.is_empty());
}
