//! Labels: the recorded cases of the Python worker, and what it could not do.

use ckworker::collector_api::Target;
use futures_util::future::join_all;
use serde_json::{Value, json};
use worker_proto::{FailureKind, Outcome, Verb};

use super::scene::{
    Call, SHORT, Scene, fingerprint, is_unchangeable, labels, operate_at, recorded, remove, set, target,
};
use crate::support::canned::{CannedServer, reply};

const CASES: &str = include_str!("../../golden/gcp/tags.json");

/// The kinds of Compute Engine that have labels.
const LABELLED: [&str; 8] = [
    "gcp_instance",
    "gcp_disk",
    "gcp_snapshot",
    "gcp_vpn_gateway",
    "gcp_forwarding_rule",
    "gcp_target_vpn_gateway",
    "gcp_vpn_tunnel",
    "gcp_security_policy",
];

/// The calls that change something.
fn changes(calls: Vec<Call>) -> Vec<Call> {
    calls.into_iter().filter(|call| call.method != "GET").collect()
}

/// The changing calls of a recorded case: path and body.
fn recorded_changes(case: &Value) -> Vec<(String, Value)> {
    let calls = case["calls"].as_array().into_iter().flatten().filter(|call| call["method"] != "GET");
    let body = |call: &Value| serde_json::from_str(call["body"].as_str().unwrap_or("null")).unwrap();
    calls.map(|call| (call["path"].as_str().unwrap().to_owned(), body(call))).collect()
}

fn paths_and_bodies(calls: Vec<Call>) -> Vec<(String, Value)> {
    calls.into_iter().map(|call| (call.path, call.body)).collect()
}

fn node(cases: &serde_json::Map<String, Value>, case: &str) -> Target {
    target(&cases[case]["node"])
}

/// A label of the node.
fn first_label(target: &Target) -> Option<String> {
    target.reported["tags"].as_object().unwrap().keys().next().cloned()
}

#[tokio::test]
async fn recorded_labels_of_compute_are_changed_by_the_same_calls() {
    let (scene, cases) = (Scene::start().await, recorded(CASES));
    let mut seen = 0;
    for (name, case) in cases.iter().filter(|(_, case)| LABELLED.contains(&case["node"]["kind"].as_str().unwrap())) {
        let target = target(&case["node"]);
        let outcome = scene.operate(&target, set("ck-new", "v1")).await;
        let item = scene.item(&target).await;
        assert_eq!(outcome, Ok(fingerprint(&item)), "{name}");
        let mut expected = target.reported["tags"].clone();
        expected["ck-new"] = "v1".into();
        assert_eq!(labels(&item), expected, "{name}");
        let made = paths_and_bodies(changes(scene.calls().await));
        let recorded = recorded_changes(&case["update"]);
        assert!(recorded.is_empty() || made == recorded, "{name}: {made:?} and not {recorded:?}");
        assert_eq!(made.len(), 1, "{name}");
        scene.reset().await;
        if let Some(key) = first_label(&target) {
            let outcome = scene.operate(&target, remove(&key)).await;
            let item = scene.item(&target).await;
            assert_eq!(outcome, Ok(fingerprint(&item)), "{name}");
            assert_eq!(labels(&item).get(&key), None, "{name}");
            let recorded = recorded_changes(&case["delete"]);
            let made = paths_and_bodies(changes(scene.calls().await));
            assert!(recorded.is_empty() || made == recorded, "{name}: {made:?} and not {recorded:?}");
            scene.reset().await;
        }
        assert_eq!(scene.operate(&target, remove("nosuch")).await, Ok(Outcome::Done), "{name}");
        assert_eq!(scene.calls().await, [], "{name}");
        seen += 1;
    }
    assert!(seen >= LABELLED.len(), "{seen}");
}

#[tokio::test]
async fn labels_of_buckets_and_databases_are_changed_one_by_one() {
    let (scene, cases) = (Scene::start().await, recorded(CASES));
    for case in ["gcp_bucket", "gcp_database region", "gcp_database zone"] {
        let target = scene.target(&cases[case]["node"]).await;
        let is_bucket = target.kind == "gcp_bucket";
        let patch = |key: &str, value: Value| {
            let changed = json!({ key: value });
            let body =
                if is_bucket { json!({ "labels": changed }) } else { json!({ "settings": { "userLabels": changed } }) };
            let path = recorded_changes(&cases[case]["update"])[0].0.clone();
            vec![(path, body)]
        };
        assert_eq!(scene.operate(&target, set("ck-new", "v1")).await, Ok(Outcome::Done), "{case}");
        assert_eq!(paths_and_bodies(changes(scene.calls().await)), patch("ck-new", "v1".into()), "{case}");
        assert_eq!(labels(&scene.item(&target).await)["ck-new"], "v1", "{case}");
        let key = first_label(&target).unwrap();
        assert_eq!(scene.operate(&target, remove(&key)).await, Ok(Outcome::Done), "{case}");
        assert_eq!(paths_and_bodies(changes(scene.calls().await)), patch(&key, Value::Null), "{case}");
        let item = labels(&scene.item(&target).await);
        assert_eq!((item.get(&key), &item["ck-new"]), (None, &json!("v1")), "{case}");
        assert_eq!(scene.operate(&target, remove("nosuch")).await, Ok(Outcome::Done), "{case}");
        assert_eq!(scene.calls().await, [], "{case}");
    }
}

#[tokio::test]
async fn kinds_without_labels_are_refused_without_a_call() {
    let (scene, cases) = (Scene::start().await, recorded(CASES));
    let mut seen = 0;
    for (name, case) in cases {
        let target = target(&case["node"]);
        let has_labels = LABELLED.contains(&target.kind.as_str());
        if has_labels || ["gcp_bucket", "gcp_database"].contains(&target.kind.as_str()) {
            continue;
        }
        for verb in [set("ck-new", "v1"), remove("nosuch")] {
            match scene.operate(&target, verb).await {
                Ok(Outcome::Nothing(reason)) => assert!(reason.contains("have no labels"), "{name}: {reason}"),
                Err(failure) if is_unchangeable(&target.kind) => {
                    assert!(failure.message.contains("this kind cannot be changed"), "{name}: {failure:?}");
                }
                other => unreachable!("{name}: {other:?}"),
            }
        }
        seen += 1;
    }
    assert_eq!((seen, scene.calls().await), (42, vec![]));
}

#[tokio::test]
async fn labels_changed_at_the_same_time_are_all_kept() {
    let (scene, cases) = (Scene::start().await, recorded(CASES));
    let disk = node(&cases, "gcp_disk zone");
    // All begin with the same fingerprint, and the one in the node is of labels that were there before.
    let keys = ["a", "b", "c", "d"];
    let all = join_all(keys.map(|key| scene.operate(&disk, set(key, "1")))).await;
    assert!(all.iter().all(|outcome| matches!(outcome, Ok(Outcome::Changed(_)))), "{all:?}");
    let found = labels(&scene.item(&disk).await);
    assert!(keys.iter().all(|key| found[*key] == "1"), "{found}");
    // A stale node does not bring a removed label back.
    let key = first_label(&disk).unwrap();
    scene.operate(&disk, remove(&key)).await.unwrap();
    scene.operate(&disk, set("e", "1")).await.unwrap();
    let found = labels(&scene.item(&disk).await);
    assert_eq!((found.get(&key), &found["e"]), (None, &json!("1")));
    // What is as it should be needs no change.
    scene.calls().await;
    let again = scene.operate(&disk, set("e", "1")).await;
    assert_eq!((again, changes(scene.calls().await)), (Ok(fingerprint(&scene.item(&disk).await)), vec![]));
}

#[tokio::test]
async fn labels_of_a_namesake_stay() {
    let (scene, cases) = (Scene::start().await, recorded(CASES));
    for (case, field, value) in [
        ("gcp_instance zone", "id", "1"),
        ("gcp_bucket", "ctime", "2020-01-01T00:00:00Z"),
        ("gcp_database zone", "ctime", "2020-01-01T00:00:00Z"),
    ] {
        let mut target = node(&cases, case);
        target.reported.insert(field.into(), value.into());
        if field == "id" {
            target.id = value.into();
        }
        let outcome = scene.operate(&target, set("ck-new", "v1")).await;
        let Ok(Outcome::Nothing(reason)) = outcome else { unreachable!("{case}: {outcome:?}") };
        assert!(reason.contains("another resource has its name now"), "{case}: {reason}");
        assert_eq!(changes(scene.calls().await), [], "{case}");
    }
}

#[tokio::test]
async fn label_that_google_rejects_fails_with_its_message() {
    let (scene, cases) = (Scene::start().await, recorded(CASES));
    let failure = scene.operate(&node(&cases, "gcp_disk zone"), set("Owner", "me")).await.unwrap_err();
    assert!(failure.message.contains("Invalid value for field 'resource.labels'"), "{failure:?}");
    // The operation fails after it was begun.
    scene.server.fault("fault=operation&op=setLabels&code=INTERNAL_ERROR").await;
    let failure = scene.operate(&node(&cases, "gcp_disk zone"), set("owner", "me")).await.unwrap_err();
    assert!(failure.message.contains("INTERNAL_ERROR: the operation failed"), "{failure:?}");
    assert_eq!(labels(&scene.item(&node(&cases, "gcp_disk zone")).await).get("owner"), None);
}

#[tokio::test]
async fn address_of_another_resource_is_refused_without_a_call() {
    let (scene, cases) = (Scene::start().await, recorded(CASES));
    let disk = node(&cases, "gcp_disk zone");
    let link = disk.reported["link"].as_str().unwrap();
    let with = |link: &str| {
        let mut target = disk.clone();
        target.reported.insert("link".into(), link.into());
        target
    };
    for (link, reason) in [
        (String::new(), "the core has no link of it"),
        (
            link.replace("ck-host-861239", "other"),
            "its link is of project other, but the core has it in ck-host-861239",
        ),
        (link.replace("www.googleapis.com/compute", "www.googleapis.com/storage"), "does not begin with the path"),
        (link.replace("www.googleapis.com", "example.com"), "is of another host"),
        (link.replace("/disks/", "/nothing/"), "is of no collection"),
    ] {
        for verb in [set("a", "1"), Verb::Delete] {
            let failure = scene.operate(&with(&link), verb).await.unwrap_err();
            assert!(failure.message.contains(reason), "{link}: {failure:?}");
            assert_eq!(failure.kind, FailureKind::Configuration, "{link}");
        }
    }
    assert_eq!(scene.calls().await, []);
}

#[tokio::test]
async fn label_of_database_waits_for_another_operation() {
    let cases = recorded(CASES);
    let mut database = node(&cases, "gcp_database zone");
    database.reported.insert("ctime".into(), "2021-01-01T00:00:00Z".into());
    let item = reply(200, &json!({"kind": "sql#instance", "createTime": "2021-01-01T00:00:00.000Z"}));
    let done = reply(200, &json!({"kind": "sql#operation", "status": "DONE", "name": "op"}));
    for status in [403, 409] {
        let errors = json!([{"reason": "operationInProgress"}]);
        let busy = reply(status, &json!({"error": {"code": status, "message": "busy", "errors": errors}}));
        let server = CannedServer::start(vec![item.clone(), busy, item.clone(), done.clone()]).await;
        let token = json!({"token": "t"}).to_string();
        let outcome = operate_at(server.url(), &token, &database, set("a", "1"), SHORT).await;
        assert_eq!(outcome, Ok(Outcome::Done), "{status}");
        let methods: Vec<String> =
            server.arrived().iter().map(|call| call.line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(methods, ["GET", "PATCH", "GET", "PATCH"], "{status}");
    }
}
