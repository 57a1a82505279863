//! Tasks of the work queue, and changes of nodes, against the test core.

use std::collections::{BTreeMap, BTreeSet};

use ckworker::ckcore::{CoreApi, CoreEvent, NodeChange, Task, TaskResult};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{
    client::{Client, config},
    core::{HANG_GUARD, TestCore},
    graph::{cloud, deliver},
};

/// How many connections a core that closes after each result gets, and how many while one has more than one task.
const CONNECTIONS: usize = 8;
const MORE_CONNECTIONS: usize = 32;

/// A client that takes tasks of one cloud.
async fn taking(server: &TestCore) -> Client {
    let client = Client::new(server);
    client.core.take_tasks(&["tag"], &["example".to_owned()]);
    server.workers(CONNECTIONS).await;
    client
}

fn done(client: &Client, task: &Task) {
    client.core.answer_task(&task.id, TaskResult::Done(json!({ "id": task.id })));
}

/// Ends the connection in order; no task may be left.
async fn close(mut client: Client) {
    client.core.close(Instant::now() + HANG_GUARD).await;
    while let Ok(event) = client.events.try_recv() {
        assert!(!matches!(event, CoreEvent::Task(_)), "{event:?}");
    }
}

fn add(server: &TestCore, id: &str) {
    let node = json!({ "id": id, "reported": { "kind": "example_instance", "id": id } });
    server.add_task(
        id,
        &[("cloud", "example"), ("account", "1")],
        json!({ "update": { "owner": "bob" }, "node": node }),
    );
}

#[tokio::test]
async fn there_is_no_queue_until_tasks_are_wanted() {
    let server = TestCore::start(None).await;
    let client = Client::new(&server);
    server.connected("worker-collect_cleanup").await;
    client.core.answer_task("unknown", TaskResult::Error("why".into()));
    close(client).await;
    assert_eq!(server.requests("GET /work/queue"), 0);
}

#[tokio::test]
async fn burst_of_tasks_is_done_without_second_delivery() {
    let server = TestCore::start(None).await;
    let mut client = taking(&server).await;
    assert!(server.all_requests().contains(&"GET /work/queue?task=tag&cloud=example".to_owned()));
    let ids: Vec<String> = (0..8).map(|number| format!("task-{number}")).collect();
    ids.iter().for_each(|id| add(&server, id));
    let mut tasks = Vec::new();
    for _ in &ids {
        let task = client.task().await;
        assert_eq!(task.attrs["account"], "1");
        assert_eq!(task.node().unwrap().kind, "example_instance");
        tasks.push(task);
    }
    for task in &tasks {
        done(&client, task);
    }
    for id in &ids {
        let work = server.task_over(id).await;
        assert_eq!((work.outcome, work.given_out), (Some(Ok(json!({ "id": id }))), 1));
    }
    close(client).await;
}

#[tokio::test]
async fn many_more_tasks_than_connections_are_each_done_once() {
    let server = TestCore::start(None).await;
    let mut client = taking(&server).await;
    let ids: Vec<String> = (0..60).map(|number| format!("task-{number:02}")).collect();
    ids.iter().for_each(|id| add(&server, id));
    let mut tasks = BTreeMap::new();
    for _ in &ids {
        let task = client.task().await;
        let id = task.id.clone();
        assert!(tasks.insert(id.clone(), task).is_none(), "{id} came twice");
    }
    server.workers(MORE_CONNECTIONS).await;
    for task in tasks.values() {
        done(&client, task);
    }
    // Each connection carries one result; its other tasks come back on the next.
    for over in [CONNECTIONS, CONNECTIONS + MORE_CONNECTIONS] {
        server.tasks_over(over).await;
        server.workers(MORE_CONNECTIONS).await;
        server.look_at_queue();
    }
    for id in &ids {
        let work = server.task_over(id).await;
        assert_eq!(work.outcome, Some(Ok(json!({ "id": id }))));
        assert!(work.given_out <= 3, "{} times of the four that it may be", work.given_out);
    }
    close(client).await;
}

#[tokio::test]
async fn redelivered_task_is_answered_and_not_repeated() {
    let server = TestCore::start(None).await;
    let mut client = taking(&server).await;
    add(&server, "a");
    let task = client.task().await;
    server.drop_connections();
    server.worker_connections(2 * CONNECTIONS).await;
    server.look_at_queue();
    server.task_given_out("a", 2).await;
    client.core.answer_task(&task.id, TaskResult::Error("no such tag".into()));
    assert_eq!(server.task_over("a").await.outcome, Some(Err("no such tag".into())));
    close(client).await;
}

#[tokio::test]
async fn restarted_core_gets_its_results() {
    let mut server = TestCore::start(None).await;
    let mut client = taking(&server).await;
    add(&server, "a");
    let task = client.task().await;
    server.stop();
    done(&client, &task);
    server.start_again().await;
    server.worker_connections(2 * CONNECTIONS).await;
    server.look_at_queue();
    assert_eq!(server.task_over("a").await.outcome, Some(Ok(json!({ "id": "a" }))));
    close(client).await;
}

#[tokio::test]
async fn closing_waits_for_open_tasks_until_the_deadline() {
    let server = TestCore::start(None).await;
    let mut client = taking(&server).await;
    add(&server, "a");
    add(&server, "b");
    let (first, _never) = (client.task().await, client.task().await);
    done(&client, &first);
    let deadline = Instant::now() + std::time::Duration::from_millis(400);
    timeout(HANG_GUARD, client.core.close(deadline)).await.expect("close ends");
    assert!(server.task_over(&first.id).await.outcome.unwrap().is_ok());
}

#[tokio::test]
async fn nodes_to_clean_are_found_and_changed() {
    let server = TestCore::start(None).await;
    let api = CoreApi::new(config(&server)).unwrap();
    assert_eq!(api.nodes_to_clean(&[], |_| true).await.unwrap().nodes, [], "a core without the graph has none");
    deliver(&api, cloud(&["a1", "a2"])).await.unwrap();
    let change = |section: Value| section.as_object().cloned();
    let wish = NodeChange { id: "a1-t".into(), desired: change(json!({ "clean": true })), ..NodeChange::default() };
    let unknown = NodeChange { id: "nope".into(), ..wish.clone() };
    let flag = NodeChange { id: "a1-t".into(), metadata: change(json!({ "cleaned": false })), ..NodeChange::default() };
    api.patch_nodes(&[wish, unknown, flag]).await.unwrap();

    let cloud_id = server.nodes("ck")["c"].reported["id"].as_str().unwrap().to_owned();
    let graph = api.nodes_to_clean(std::slice::from_ref(&cloud_id), |_| true).await.unwrap();
    let ids: BTreeSet<&str> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["a1", "a1-t", "c", "root"]));
    assert!(graph.edges.contains(&("a1".into(), "a1-t".into())) && graph.edges.len() == 3);
    let wanted = graph.nodes.iter().find(|node| node.id == "a1-t").unwrap();
    assert_eq!(wanted.ancestors["cloud"].id, cloud_id);
    assert_eq!(api.nodes_to_clean(&["other".to_owned()], |_| true).await.unwrap().nodes, []);

    let log = json!({ "cleaned": true, "event_log": [{ "msg": "gone" }] });
    api.patch_nodes(&[NodeChange { id: "a1-t".into(), metadata: change(log), ..NodeChange::default() }]).await.unwrap();
    assert_eq!(server.nodes("ck")["a1-t"].metadata["event_log"][0]["msg"], "gone");
    assert_eq!(api.nodes_to_clean(&[], |_| true).await.unwrap().nodes, []);
}
