//! Labels and deletion of objects, as a worker executes them.

use std::{fs, time::Duration};

use ckworker::{
    collector_api::{CollectContext, Collector, ParentNode, Target},
    collectors::k8s::Kubernetes,
    settings::Settings,
};
use serde_json::{Map, Value, json};
use worker_proto::{Credentials, Failure, Operation, Outcome, Verb};

use crate::support::k8s::LocalK8s;

/// The time of an operation that waits for nothing.
const SHORT: Duration = Duration::from_secs(6);

/// A server, and access to it.
struct Scene {
    server: LocalK8s,
    credentials: Credentials,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Scene {
    fn start() -> Self {
        let server = LocalK8s::start(&[]);
        let config: Value = serde_json::from_str(&fs::read_to_string(server.folder().join("config")).unwrap()).unwrap();
        let url = config["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
        let token = fs::read_to_string(server.folder().join("serviceaccount/token")).unwrap();
        let authorities = fs::read_to_string(server.folder().join("ca.crt")).unwrap();
        let access = json!({
            "route": { "server": url, "authorities": authorities, "is_insecure": false },
            "login": { "Token": token },
        });
        let credentials = Credentials { secret: access.to_string(), expires: None };
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        Self { server, credentials, url, token, http }
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// The first object of a list for which something holds.
    async fn find(&self, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let list = self.get(path).await;
        list["items"].as_array().unwrap().iter().find(|item| is_wanted(item)).unwrap().clone()
    }

    async fn operate(&self, target: &Target, verb: Verb) -> Result<Outcome, Failure> {
        let settings = Settings::default();
        let unit = Kubernetes.operator(&settings, target)?;
        let (context, _frames) = CollectContext::recording(settings, Some(self.credentials.clone()));
        let limit_ms = u64::try_from(SHORT.as_millis()).unwrap();
        let subject = serde_json::to_string(target).unwrap();
        Kubernetes.operate(&context, &unit, &Operation { id: 1, verb, subject, limit_ms }).await
    }

    /// The changing calls: method, path and body.
    fn changes(&self) -> Vec<(String, String, Value)> {
        let calls = self.server.calls().into_iter().filter(|call| call["method"] != "GET");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let made = calls.map(|call| {
            (text(&call["method"]), text(&call["path"]), serde_json::from_str(call["body"].as_str().unwrap()).unwrap())
        });
        made.collect()
    }
}

fn target(kind: &str, object: &Value) -> Target {
    let text = |name: &str| object["metadata"][name].as_str().unwrap().to_owned();
    let tags = object["metadata"]["labels"].clone();
    let parent = |id: &str, name: &str| ParentNode { id: id.into(), name: Some(name.into()), reported: Map::new() };
    Target {
        kind: kind.into(),
        id: text("uid"),
        name: text("name"),
        reported: Map::from_iter([("tags".to_owned(), if tags.is_null() { json!({}) } else { tags })]),
        cloud: "k8s".into(),
        account: parent("token", "token"),
        region: object["metadata"]["namespace"].as_str().map(|name| parent("uid-of-it", name)),
    }
}

fn set(key: &str, value: &str) -> Verb {
    Verb::UpdateTag { key: key.into(), value: value.into() }
}

fn path(list: &str, object: &Value) -> String {
    let (group, resource) = list.rsplit_once('/').unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{resource}/{name}"),
        None => format!("{group}/{resource}/{name}"),
    }
}

#[tokio::test]
async fn labels_are_merged_one_by_one_with_uid() {
    let scene = Scene::start();
    for (kind, list) in [
        ("kubernetes_deployment", "/apis/apps/v1/deployments"),
        ("kubernetes_node", "/api/v1/nodes"),
        ("kubernetes_namespace", "/api/v1/namespaces"),
    ] {
        let object = scene.find(list, |_| true).await;
        let (target, path) = (target(kind, &object), path(list, &object));
        let before = scene.changes().len();
        assert_eq!(scene.operate(&target, set("ck/new", "v1")).await, Ok(Outcome::Done), "{kind}");
        let mut expected = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        expected.insert("ck/new".into(), "v1".into());
        assert_eq!(scene.get(&path).await["metadata"]["labels"], Value::Object(expected), "{kind}");
        let body = json!({"metadata": {"labels": {"ck/new": "v1"}, "uid": target.id}});
        assert_eq!(scene.changes()[before..], [("PATCH".to_owned(), path.clone(), body)], "{kind}");
        let remove = |key: &str| Verb::DeleteTag { key: key.into() };
        assert_eq!(scene.operate(&target, remove("ck/new")).await, Ok(Outcome::Done), "{kind}");
        assert_eq!(scene.get(&path).await["metadata"]["labels"].get("ck/new"), None, "{kind}");
        assert_eq!(scene.operate(&target, remove("ck/none")).await, Ok(Outcome::Done), "{kind}");
        assert_eq!(scene.changes().len(), before + 2, "{kind}: what is so already needs no call");
    }
}

#[tokio::test]
async fn invalid_label_is_an_error_with_the_servers_message() {
    let scene = Scene::start();
    let object = scene.find("/apis/apps/v1/deployments", |_| true).await;
    let failure = scene.operate(&target("kubernetes_deployment", &object), set("a", "not valid!")).await.unwrap_err();
    assert!(failure.message.contains("a valid label must be"), "{failure:?}");
}

#[tokio::test]
async fn label_by_which_a_controller_selects_stays() {
    let scene = Scene::start();
    let list = "/api/v1/pods";
    let is_replica = |pod: &Value| pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet";
    let pod =
        scene.find(list, |pod| is_replica(pod) && pod["metadata"]["labels"]["pod-template-hash"].is_string()).await;
    let target = target("kubernetes_pod", &pod);
    let outcome = scene.operate(&target, set("pod-template-hash", "x")).await;
    assert!(matches!(&outcome, Ok(Outcome::Nothing(why)) if why.contains("selects by the label")), "{outcome:?}");
    assert_eq!(scene.changes(), []);
    assert_eq!(scene.operate(&target, set("free", "x")).await, Ok(Outcome::Done));
}

#[tokio::test]
async fn objects_are_deleted_with_uid_in_background() {
    let scene = Scene::start();
    let list = "/apis/apps/v1/deployments";
    let object = scene.find(list, |_| true).await;
    let (target, path) = (target("kubernetes_deployment", &object), path(list, &object));
    assert_eq!(scene.operate(&target, Verb::Delete).await, Ok(Outcome::Done));
    let body = json!({"preconditions": {"uid": target.id}, "propagationPolicy": "Background"});
    assert_eq!(scene.changes(), [("DELETE".to_owned(), path.clone(), body)]);
    assert_eq!(scene.get(&path).await["reason"], "NotFound");
    assert_eq!(scene.operate(&target, Verb::Delete).await, Ok(Outcome::Done), "it is gone already");
    let failure = scene.operate(&target, set("a", "b")).await.unwrap_err();
    assert!(failure.message.contains("NotFound"), "{failure:?}");
}

#[tokio::test]
async fn namesake_and_controlled_object_stay() {
    let scene = Scene::start();
    let list = "/api/v1/pods";
    let is_orphan = |pod: &Value| pod["metadata"]["name"] == "orphan";
    let owned = |kind: &'static str| {
        move |pod: &Value| pod["metadata"]["ownerReferences"][0]["kind"] == kind && !is_orphan(pod)
    };
    for kind in ["ReplicaSet", "DaemonSet", "Job"] {
        let pod = scene.find(list, owned(kind)).await;
        let outcome = scene.operate(&target("kubernetes_pod", &pod), Verb::Delete).await;
        let owner = pod["metadata"]["ownerReferences"][0]["name"].as_str().unwrap();
        let expected = format!("the {kind} {owner}, would create it again");
        assert!(matches!(&outcome, Ok(Outcome::Nothing(why)) if why.contains(&expected)), "{outcome:?}");
    }
    let object = scene.find("/apis/apps/v1/deployments", |_| true).await;
    let mut namesake = target("kubernetes_deployment", &object);
    namesake.id = "another".into();
    for verb in [Verb::Delete, set("a", "b")] {
        let outcome = scene.operate(&namesake, verb).await;
        let is_refused = matches!(&outcome, Ok(Outcome::Nothing(why)) if why.contains("another resource has its name"));
        assert!(is_refused, "{outcome:?}");
    }
    assert_eq!(scene.changes(), []);
    // The replica set that owned this one is gone.
    let orphan = scene.find(list, is_orphan).await;
    assert_eq!(scene.operate(&target("kubernetes_pod", &orphan), Verb::Delete).await, Ok(Outcome::Done));
}

#[tokio::test]
async fn objects_of_kinds_at_run_time_are_changed_by_their_own_path() {
    let scene = Scene::start();
    for (list, kind) in [("/apis/ck.test/v1/widgets", "widget"), ("/apis/ck.test/v1/planets", "planet")] {
        let object = scene.find(list, |_| true).await;
        let mut target = target(&format!("kubernetes_ck_test_{kind}"), &object);
        let failure = scene.operate(&target, Verb::Delete).await.unwrap_err();
        assert!(failure.message.contains("this kind cannot be changed"), "{failure:?}");
        target.reported.insert("api_version".into(), "ck.test/v1".into());
        target.reported.insert("api_resource".into(), format!("{kind}s").into());
        if let Some(namespace) = object["metadata"].get("namespace") {
            target.reported.insert("namespace".into(), namespace.clone());
        }
        assert_eq!(scene.operate(&target, set("a", "b")).await, Ok(Outcome::Done), "{kind}");
        assert_eq!(scene.get(&path(list, &object)).await["metadata"]["labels"]["a"], "b", "{kind}");
        assert_eq!(scene.operate(&target, Verb::Delete).await, Ok(Outcome::Done), "{kind}");
        assert_eq!(scene.get(&path(list, &object)).await["reason"], "NotFound", "{kind}");
    }
}

#[tokio::test]
async fn changes_of_objects_ask_for_metadata_only() {
    let scene = Scene::start();
    for (kind, list) in [
        ("kubernetes_secret", "/api/v1/secrets"),
        ("kubernetes_config_map", "/api/v1/configmaps"),
        ("kubernetes_deployment", "/apis/apps/v1/deployments"),
    ] {
        let object = scene.find(list, |_| true).await;
        let (target, path) = (target(kind, &object), path(list, &object));
        assert_eq!(scene.operate(&target, set("a", "b")).await, Ok(Outcome::Done), "{kind}");
        assert_eq!(scene.get(&path).await["metadata"]["labels"]["a"], "b", "{kind}");
        assert_eq!(scene.operate(&target, Verb::Delete).await, Ok(Outcome::Done), "{kind}");
        // The other calls are those of this test.
        let calls =
            scene.server.calls().into_iter().filter(|call| call["path"] == path && call["agent"] != Value::Null);
        let accepted: Vec<Value> = calls.map(|call| call["accept"].clone()).collect();
        let is_metadata =
            |accept: &&Value| accept.as_str().unwrap().starts_with("application/json;as=PartialObjectMetadata;");
        assert_eq!(accepted.iter().filter(is_metadata).count(), 4, "{kind}: {accepted:?}");
        assert_eq!(accepted.len(), 4, "{kind}: {accepted:?}");
    }
}
