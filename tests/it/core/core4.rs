//! Everything that differs in the newer generation, against the real core 4.1.

use std::time::Duration;

use ckworker::ckcore::{
    Action, ActionKey, Answer, Core, CoreConfig, CoreEvent, Granularity, InfoLevel, ProgressPart, ProgressTree, Psk,
    SubscriberId, TaskResult, Timing, connect,
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::support::{
    client::SUBSCRIPTIONS,
    core4::{HANG_GUARD, LocalCore},
    program::{Running, command},
};

const SUBSCRIBER: &str = "fix.worker-collector";

struct Client {
    core: Core,
    events: mpsc::Receiver<CoreEvent>,
}

impl Client {
    fn new(uri: &str, change: impl FnOnce(&mut CoreConfig)) -> Self {
        let mut config = CoreConfig::new(uri, &uri.replacen("http", "ws", 1)).unwrap();
        config.timing = Timing { backoff_first: Duration::from_millis(20), ..Timing::default() };
        change(&mut config);
        let (sender, events) = mpsc::channel(16);
        Self { core: connect(config, &SUBSCRIPTIONS, sender).unwrap(), events }
    }

    async fn next<T>(&mut self, mut pick: impl FnMut(CoreEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = pick(self.events.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        timeout(HANG_GUARD, search).await.expect("an event")
    }

    async fn connected(&mut self) {
        self.next(|event| (event == CoreEvent::Connected).then_some(())).await;
    }

    async fn disconnected(&mut self) -> String {
        let reason = |event| match event {
            CoreEvent::Disconnected { reason } => Some(reason),
            _ => None,
        };
        self.next(reason).await
    }

    async fn action(&mut self) -> Action {
        let action = |event| match event {
            CoreEvent::Action(action) => Some(action),
            _ => None,
        };
        self.next(action).await
    }

    async fn close(self) {
        self.core.close(Instant::now() + HANG_GUARD).await;
    }
}

fn of_kind<'n>(nodes: &'n [Value], kind: &str) -> Vec<&'n Value> {
    nodes.iter().filter(|node| node["reported"]["kind"] == kind).collect()
}

#[tokio::test]
async fn collection_arrives_and_tags_can_be_changed() {
    let core = LocalCore::start(&[]);
    let mut events = core.events().await;
    let daemon = Running::start(&mut command(&[
        "--collector",
        "example",
        "--ckcore-uri",
        &core.uri,
        "--web-port",
        "0",
        "--web-host",
        "127.0.0.1",
    ]));
    events.wait("message-listener-connected", SUBSCRIBER).await;
    let task = core.workflow("collect_and_cleanup").await;
    events.wait("task_end", &task).await;

    let nodes = core.nodes().await;
    let account = of_kind(&nodes, "example_account");
    assert_eq!((account.len(), &account[0]["metadata"]["replace"]), (1, &json!(true)));
    assert!(account[0]["metadata"]["exported_at"].is_string());
    assert_eq!(of_kind(&nodes, "cloud")[0]["metadata"].get("replace"), None);
    assert_eq!(of_kind(&nodes, "example_instance").len(), 2);

    let tags = |nodes: &[Value]| -> Vec<Value> {
        of_kind(nodes, "example_instance").iter().map(|node| node["reported"]["tags"]["stage"].clone()).collect()
    };
    core.command("search is(example_instance) | tag update stage test").await;
    assert_eq!(tags(&core.nodes().await), [json!("test"), json!("test")]);
    core.command("search is(example_instance) | tag delete stage").await;
    assert_eq!(tags(&core.nodes().await), [Value::Null, Value::Null]);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code, 0);
}

#[tokio::test]
async fn core_receives_progress_of_action() {
    let core = LocalCore::start(&[]);
    let mut client = Client::new(&core.uri, |_| {});
    client.connected().await;
    let mut events = core.events().await;
    core.workflow("collect").await;
    let action = client.action().await;
    let part = |name: &str| ProgressPart { path: vec!["aws".into()], name: name.into(), current: 2, total: 5 };
    let progress = ProgressTree { name: "collect".into(), parts: vec![part("account 1"), part("account 2")] };
    client.core.progress(&action.key, &progress);
    let told = events.wait("progress", "account 2").await;
    let parts = told["data"]["message"]["parts"].as_array().unwrap();
    assert!(parts.iter().any(|part| (&part["current"], &part["total"]) == (&json!(2), &json!(5))), "{told}");
    client.core.info(&action.key, InfoLevel::Error, "account 3 is missing");
    events.wait("error", "account 3 is missing").await;
    client.core.answer(&action.key, Answer::Done);
    client.close().await;
}

#[tokio::test]
async fn lost_connection_neither_loses_nor_repeats_actions() {
    let core = LocalCore::start(&[]);
    let mut client = Client::new(&core.uri, |_| {});
    client.connected().await;
    assert_eq!(client.core.api().granularity().await.unwrap(), Granularity::Account);
    let task = core.workflow("collect").await;
    let action = client.action().await;
    assert_eq!((action.name, &action.key.task), ("collect", &task));
    core.push("disconnect", &Value::Null).await;
    client.disconnected().await;
    client.connected().await;
    let mut events = core.events().await;
    client.core.answer(&action.key, Answer::Done);
    events.wait("task_end", &task).await;
    while let Ok(event) = client.events.try_recv() {
        assert!(!matches!(event, CoreEvent::Action(_)), "{event:?}");
    }
    client.close().await;
}

#[tokio::test]
async fn cancelled_action_is_reported() {
    let core = LocalCore::start(&[]);
    let mut client = Client::new(&core.uri, |_| {});
    client.connected().await;
    let task = core.workflow("collect").await;
    let action = client.action().await;
    core.push(&format!("stop/{task}"), &Value::Null).await;
    let abort = |event| match event {
        CoreEvent::Abort(key) => Some(key),
        _ => None,
    };
    assert_eq!(client.next(abort).await, ActionKey { subscriber: SubscriberId::Worker, task, step: "collect".into() });
    client.core.answer(&action.key, Answer::Error("called off".into()));
    client.close().await;
}

#[tokio::test]
async fn tasks_are_taken_and_answered_on_one_connection() {
    let core = LocalCore::start(&[]);
    let mut client = Client::new(&core.uri, |_| {});
    client.connected().await;
    client.core.take_tasks(&["tag"], &[]);
    for (number, result) in [(1, TaskResult::Done(json!({ "id": "x" }))), (2, TaskResult::Error("no".into()))] {
        let data = json!({ "update": { "a": number.to_string() }, "node": null });
        let wish = json!({ "name": "tag", "attrs": { "cloud": "aws" }, "data": data });
        let work = core.push("work", &wish);
        let answer = async {
            let task = |event| match event {
                CoreEvent::Task(task) => Some(task),
                _ => None,
            };
            let task = client.next(task).await;
            assert_eq!((task.attrs["cloud"].as_str(), &task.data), ("aws", wish["data"].as_object().unwrap()));
            client.core.answer_task(&task.id, result.clone());
        };
        let (seen, ()) = tokio::join!(work, answer);
        match result {
            TaskResult::Done(node) => assert_eq!(seen["result"], node),
            TaskResult::Error(text) => assert!(seen["error"].as_str().unwrap().contains(&text), "{seen}"),
        }
    }
    client.close().await;
}

#[tokio::test]
async fn pre_shared_key_proves_the_authority_of_the_core() {
    let core = LocalCore::start(&["--tls", "--psk", "geheim ✓"]);
    let mut client = Client::new(&core.secure, |config| config.psk = Psk::new("geheim ✓"));
    client.connected().await;
    let api = client.core.api();
    let far = std::time::Instant::now() + HANG_GUARD;
    ckworker::delivery::prepare(
        &api,
        ckworker::graph::lean_model_json(ckworker::collectors::schema().unwrap()).unwrap(),
        far,
    )
    .await
    .unwrap();
    let task = core.workflow("collect").await;
    let action = client.action().await;
    assert_eq!(action.key.task, task);
    client.core.answer(&action.key, Answer::Done);
    client.close().await;

    let mut wrong = Client::new(&core.secure, |config| config.psk = Psk::new("falsch"));
    let reason = wrong.disconnected().await;
    assert!(reason.contains("the pre-shared key is not the core's"), "{reason}");
    let mut unknown = Client::new(&core.secure, |_| {});
    let reason = unknown.disconnected().await;
    assert!(reason.contains("UnknownIssuer") && reason.contains("--ca-cert"), "{reason}");
    let mut plain = Client::new(&core.uri, |config| config.psk = Psk::new("falsch"));
    let reason = plain.disconnected().await;
    assert!(reason.contains("401") && reason.contains("--psk"), "{reason}");
}

#[tokio::test]
async fn authority_can_be_given_as_file() {
    let core = LocalCore::start(&["--tls"]);
    let mut unproved = Client::new(&core.secure, |config| config.psk = Psk::new("key"));
    let reason = unproved.disconnected().await;
    assert!(reason.contains("without a pre-shared key"), "{reason}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let pem = reqwest::get(format!("{}/ca/cert", core.uri)).await.unwrap().text().await.unwrap();
    std::fs::write(&file, pem).unwrap();
    let mut trusting = Client::new(&core.secure, |config| config.tls.ca_cert = Some(file));
    trusting.connected().await;
    trusting.close().await;
    let mut blind = Client::new(&core.secure, |config| config.tls.verify = false);
    blind.connected().await;
    blind.close().await;
}
