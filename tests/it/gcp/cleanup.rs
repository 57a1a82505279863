//! Deletions: the recorded cases of the Python worker, and what it could not do.

use std::time::Duration;

use serde_json::{Value, json};
use worker_proto::{Outcome, Verb};

use super::scene::{Call, Scene, is_unchangeable, recorded, target};

const CASES: &str = include_str!("../../golden/gcp/cleanup.json");

fn cases() -> serde_json::Map<String, Value> {
    recorded(CASES)["one at a time"].as_object().unwrap().clone()
}

fn deletions(calls: Vec<Call>) -> Vec<(String, u64)> {
    calls.into_iter().filter(|call| call.method == "DELETE").map(|call| (call.path, call.status)).collect()
}

/// The recorded deletions: path and status.
fn recorded_deletions(case: &Value) -> Vec<(String, u64)> {
    let calls = case["calls"].as_array().unwrap().iter().filter(|call| call["method"] == "DELETE");
    calls.map(|call| (call["path"].as_str().unwrap().to_owned(), call["status"].as_u64().unwrap())).collect()
}

/// The message of Google's that a recorded exception quotes.
fn message(case: &Value) -> Option<String> {
    let log = case["patch_nodes"][0]["metadata"]["event_log"].as_array()?;
    let exception = log.last()?["exception"].as_str()?;
    Some(exception.split_once("returned \"")?.1.split_once("\". Details")?.0.to_owned())
}

#[tokio::test]
async fn recorded_deletions_are_made_by_link() {
    let scene = Scene::start().await;
    let mut seen = [0; 4];
    for (name, case) in cases() {
        let target = scene.target(&case["node"]).await;
        // Too short for a pause: a resource in use fails at once.
        let outcome = scene.operate_within(&target, Verb::Delete, Duration::from_secs(5)).await;
        let made = deletions(scene.calls().await);
        let recorded = recorded_deletions(&case);
        if is_unchangeable(&target.kind) {
            let failure = outcome.unwrap_err();
            assert!(failure.message.contains("this kind cannot be changed"), "{name}: {failure:?}");
            assert_eq!((made, recorded), (vec![], vec![]), "{name}");
            seen[0] += 1;
        } else if name == "gcp_instance_group region" {
            assert!(
                matches!(&outcome, Ok(Outcome::Nothing(reason)) if reason.contains("regional group manager")),
                "{outcome:?}"
            );
            assert_eq!(made, [], "{name}");
        } else {
            // The Python worker fails before the call for global and regional resources of many kinds.
            let path = format!("/{}", target.reported["link"].as_str().unwrap().splitn(4, '/').nth(3).unwrap());
            let status = made[0].1;
            assert_eq!((made.len(), &made[0].0), (1, &path), "{name}");
            assert!(recorded.is_empty() || made == recorded, "{name}: {made:?} and not {recorded:?}");
            match (&outcome, message(&case)) {
                (Ok(Outcome::Done), _) => {
                    assert!(status < 300, "{name}: {made:?}");
                    assert_eq!(scene.item(&target).await, Value::Null, "{name}");
                    seen[1] += 1;
                }
                (Err(failure), Some(message)) => {
                    assert!(failure.message.contains(&message), "{name}: {failure:?} and not {message}");
                    seen[2] += 1;
                }
                (Err(failure), None) => {
                    assert!(
                        recorded.is_empty() && failure.message.contains("already being used by"),
                        "{name}: {failure:?}"
                    );
                    seen[3] += 1;
                }
                (other, _) => unreachable!("{name}: {other:?}"),
            }
        }
        scene.reset().await;
    }
    assert!(seen.iter().all(|count| *count > 3), "{seen:?}");
}

#[tokio::test]
async fn bucket_is_emptied_of_all_generations_and_deleted() {
    let scene = Scene::start().await;
    let node = &cases()["gcp_bucket"]["node"];
    let with = |name: &str| {
        let mut node = node.clone();
        let link = node["link"].as_str().unwrap().replace("ck-host-861239-logs", name);
        node["link"] = link.into();
        node["id"] = name.into();
        node["name"] = name.into();
        target(&node)
    };
    let mut bucket = with("ck-host-861239-assets");
    let created = scene.item(&bucket).await["timeCreated"].clone();
    bucket.reported.insert("ctime".into(), created);
    scene.calls().await;
    let minute = Duration::from_secs(60);
    assert_eq!(scene.operate_within(&bucket, Verb::Delete, minute).await, Ok(Outcome::Done));
    let calls = scene.calls().await;
    let list = calls.iter().find(|call| call.method == "GET" && call.path.ends_with("/o")).unwrap();
    assert!(list.query.contains("versions=true"), "{list:?}");
    let objects = calls.iter().filter(|call| call.method == "DELETE" && call.path.contains("/o/"));
    assert!(objects.clone().all(|call| call.query.contains("generation=16340000000000")), "{calls:?}");
    let made = deletions(calls);
    assert_eq!((made.first().unwrap().1, made.last().unwrap().1), (409, 204), "{made:?}");
    assert!(made.iter().filter(|(path, _)| path.contains("/o/dir%2Fo-")).count() > 1, "{made:?}");
    assert_eq!(scene.item(&bucket).await, Value::Null);
    // It is gone, and so it is done.
    assert_eq!(scene.operate(&bucket, Verb::Delete).await, Ok(Outcome::Done));
}

#[tokio::test]
async fn object_that_cannot_be_deleted_is_named() {
    let scene = Scene::start().await;
    let mut node = cases()["gcp_bucket"]["node"].clone();
    for field in ["link", "id", "name"] {
        node[field] = node[field].as_str().unwrap().replace("ck-host-861239-logs", "ck-host-861239-assets").into();
    }
    node["ctime"] = scene.item(&target(&node)).await["timeCreated"].clone();
    scene.server.fault("fault=denied&op=storage.objects.delete&match=o-1&times=1000").await;
    let failure = scene.operate(&target(&node), Verb::Delete).await.unwrap_err();
    assert!(failure.message.contains("dir/o-1.txt: forbidden"), "{failure:?}");
    assert!(!scene.item(&target(&node)).await.is_null());
}

#[tokio::test]
async fn failed_operation_of_deletion_is_a_failure() {
    let scene = Scene::start().await;
    let snapshot = target(&cases()["gcp_snapshot"]["node"]);
    scene.server.fault("fault=operation&op=delete&code=QUOTA_EXCEEDED").await;
    let failure = scene.operate(&snapshot, Verb::Delete).await.unwrap_err();
    assert!(failure.message.contains("QUOTA_EXCEEDED: the operation failed"), "{failure:?}");
    assert!(!scene.item(&snapshot).await.is_null());
}

#[tokio::test]
async fn namesake_and_local_route_stay() {
    let scene = Scene::start().await;
    let mut snapshot = target(&cases()["gcp_snapshot"]["node"]);
    snapshot.id = "1".into();
    let outcome = scene.operate(&snapshot, Verb::Delete).await;
    assert!(
        matches!(&outcome, Ok(Outcome::Nothing(why)) if why.contains("another resource has its name now")),
        "{outcome:?}"
    );
    let routes = scene.routes().await;
    let local = routes.iter().find(|route| route.get("nextHopNetwork").is_some()).unwrap();
    let node = json!({ "kind": "gcp_route", "id": local["id"], "name": local["name"], "link": local["selfLink"] });
    scene.calls().await;
    let outcome = scene.operate(&target(&node), Verb::Delete).await;
    assert!(matches!(&outcome, Ok(Outcome::Nothing(why)) if why.contains("local route")), "{outcome:?}");
    assert_eq!(deletions(scene.calls().await), []);
}
