//! Pages, links and operations, with a local Google API server.

use std::{sync::Arc, time::Duration};

use ckworker::{
    collectors::gcp::client::{Client, Page, timeouts},
    engine::{Api, Body, CallError, CallErrorKind, Path, Request, Timeouts, Tree, code},
};
use serde_json::{Value, json};

use crate::support::gcp::{LocalGcp, Tokens, client};

/// Timeouts with short pauses.
pub(super) fn hasty() -> Timeouts {
    Timeouts { pause: Duration::from_millis(10), retry: Duration::from_millis(600), ..timeouts(None) }
}

/// A server with one project and a client of it.
pub(super) struct Setup {
    pub(super) server: LocalGcp,
    pub(super) tokens: Arc<Tokens>,
    pub(super) client: Client,
}

impl Setup {
    pub(super) async fn start(options: &[&str]) -> Self {
        let server = LocalGcp::start(&[&["--projects", "1"], options].concat());
        let tokens = Tokens::of(&server);
        let client = server.client(&tokens, hasty()).await;
        Self { server, tokens, client }
    }

    pub(super) async fn call(&self, service: &str, operation: &str, input: Value) -> Result<Page, CallError> {
        self.client.call(request(service, operation, input)).await
    }

    /// All values at a path in the pages of a method.
    async fn listed(&self, service: &str, operation: &str, path: &str) -> Vec<Value> {
        let mut pages = self.client.pages(request(service, operation, json!({})));
        let (path, mut found) = (Path::parse(path).unwrap(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            let tree = serde_json::to_value(page.tree().unwrap()).unwrap();
            found.extend(at(&tree, &path));
        }
        found
    }

    /// The number of resources of a collection.
    async fn count(&self, collection: &str) -> usize {
        let stats = self.server.control("stats").await;
        let projects = stats["projects"].as_object().unwrap();
        let count: u64 = projects.values().map(|project| project[collection].as_u64().unwrap()).sum();
        usize::try_from(count).unwrap()
    }

    /// The link of the first resource of a list.
    pub(super) async fn first(&self, service: &str, operation: &str, path: &str) -> String {
        self.listed(service, operation, &format!("{path}.selfLink")).await[0].as_str().unwrap().to_owned()
    }

    /// The link of a disk in a zone that nothing uses.
    pub(super) async fn free_disk(&self) -> String {
        let disks = self.listed("compute", "disks.aggregatedList", "items[*].disks[]").await;
        let free = disks.iter().find(|disk| disk.get("users").is_none() && disk.get("zone").is_some()).unwrap();
        free["selfLink"].as_str().unwrap().to_owned()
    }
}

pub(super) fn request<'a>(service: &'a str, operation: &'a str, input: Value) -> Request<'a> {
    Request::new(service, operation, "global").input(input.as_object().unwrap().clone())
}

/// The values at a path of the members and lists that the tests have.
fn at(value: &Value, path: &Path) -> Vec<Value> {
    use ckworker::engine::path::Step;
    let mut found = vec![value.clone()];
    for step in &path.steps {
        found = found
            .into_iter()
            .flat_map(|value| match (step, value) {
                (Step::Member(name), Value::Object(mut members)) => members.remove(&**name).into_iter().collect(),
                (Step::Each, Value::Array(items)) => items,
                (Step::Values, Value::Object(members)) => members.into_iter().map(|(_, value)| value).collect(),
                _ => Vec::new(),
            })
            .collect::<Vec<_>>();
    }
    found
}

#[tokio::test]
async fn pages_of_lists_are_followed() {
    let setup = Setup::start(&["--page-size", "3"]).await;
    let networks = setup.listed("compute", "networks.list", "items[]").await;
    assert_eq!(networks.len(), setup.count("networks").await);
    let instances = setup.listed("compute", "instances.aggregatedList", "items[*].instances[]").await;
    assert_eq!(instances.len(), setup.count("instances").await, "of all scopes, although most are empty on each page");
    let calls = setup.server.calls("compute.instances.aggregatedList").await;
    assert_eq!(calls, u64::try_from(instances.len().div_ceil(3)).unwrap());
    for (service, operation, path) in [
        ("storage", "buckets.list", "items[]"),
        ("sqladmin", "instances.list", "items[]"),
        ("cloudbilling", "services.list", "services[]"),
        ("cloudresourcemanager", "projects.list", "projects[]"),
    ] {
        assert!(!setup.listed(service, operation, path).await.is_empty(), "{service}");
    }
}

#[tokio::test]
async fn largest_page_is_asked_for() {
    let setup = Setup::start(&[]).await;
    for (service, operation, limit) in [
        ("compute", "instances.aggregatedList", "maxResults"),
        ("compute", "networks.list", "maxResults"),
        ("storage", "buckets.list", "maxResults"),
        ("sqladmin", "instances.list", "maxResults"),
        ("cloudbilling", "services.list", "pageSize"),
    ] {
        let mut request = request(service, operation, json!({}));
        setup.client.limit_page(&mut request);
        let size = request.input[limit].as_u64().unwrap();
        assert!(size == 500 || size == 1000, "{service} {operation}: {size}");
        let is_partial = request.input.get("returnPartialSuccess") == Some(&json!(true));
        assert_eq!(
            is_partial,
            operation == "instances.aggregatedList" || service == "storage",
            "{service} {operation}"
        );
        let page = setup.client.call(request).await.unwrap();
        assert!(matches!(page.tree().unwrap(), Tree::Map(_)), "{service} {operation}");
    }
    let link = setup.first("compute", "instanceGroups.aggregatedList", "items[*].instanceGroups[]").await;
    let mut members = request("compute", "listInstances", json!({"link": link}));
    setup.client.limit_page(&mut members);
    assert_eq!(members.input["maxResults"], 500);
    setup.client.call(members).await.unwrap();
}

#[tokio::test]
async fn resource_is_read_labelled_and_deleted_by_link() {
    let setup = Setup::start(&[]).await;
    let link = setup.free_disk().await;
    let page = setup.call("compute", "get", json!({"link": link})).await.unwrap();
    let tree = page.tree().unwrap();
    let text = |name: &str| tree.get(name).and_then(Tree::text).map(str::to_owned);
    assert_eq!(text("selfLink").as_deref(), Some(link.as_str()));
    let input = json!({"link": link, "labels": {"a": "b"}, "labelFingerprint": text("labelFingerprint")});
    let done = setup.call("compute", "setLabels", input.clone()).await.unwrap();
    assert_eq!(done.tree().unwrap().get("status").and_then(Tree::text), Some("DONE"), "it was awaited");
    assert_eq!(setup.server.item(&link).await["labels"], json!({"a": "b"}));
    let outdated = setup.call("compute", "setLabels", input).await.unwrap_err();
    assert_eq!((outdated.code.as_str(), outdated.kind), ("conditionNotMet", CallErrorKind::Unexpected));
    setup.call("compute", "delete", json!({"link": link})).await.unwrap();
    assert!(setup.server.item(&link).await.is_null());
    assert_eq!(setup.server.calls("compute.zoneOperations.wait").await, 2);
    let gone = setup.call("compute", "delete", json!({"link": link})).await.unwrap_err();
    assert!(gone.means_deleted() && gone.kind == CallErrorKind::NotFound, "{gone:?}");
    assert_eq!((&*gone.operation, &*gone.region), ("delete", "global"));
}

#[tokio::test]
async fn resources_of_all_scopes_are_labelled() {
    let setup = Setup::start(&[]).await;
    for (operation, path, wait) in [
        ("snapshots.list", "items[]", "globalOperations"),
        ("forwardingRules.aggregatedList", "items[*].forwardingRules[]", ""),
        ("vpnTunnels.aggregatedList", "items[*].vpnTunnels[]", "regionOperations"),
        ("instances.aggregatedList", "items[*].instances[]", "zoneOperations"),
    ] {
        let link = setup.first("compute", operation, path).await;
        let item = setup.server.item(&link).await;
        let input = json!({"link": link, "labels": {"a": "b"}, "labelFingerprint": item["labelFingerprint"]});
        setup.call("compute", "setLabels", input).await.unwrap();
        assert_eq!(setup.server.item(&link).await["labels"], json!({"a": "b"}), "{link}");
        if !wait.is_empty() {
            assert!(setup.server.calls(&format!("compute.{wait}.wait")).await > 0, "{wait}");
        }
    }
}

#[tokio::test]
async fn operation_of_database_is_awaited_by_looks() {
    let setup = Setup::start(&["--operation-polls", "2"]).await;
    let link = setup.first("sqladmin", "instances.list", "items[]").await;
    let input = json!({"link": link, "settings": {"userLabels": {"a": "b"}}});
    let done = setup.call("sqladmin", "patch", input).await.unwrap();
    assert_eq!(done.tree().unwrap().get("status").and_then(Tree::text), Some("DONE"));
    assert_eq!(setup.server.calls("sqladmin.operations.get").await, 3);
    assert_eq!(setup.server.item(&link).await["settings"]["userLabels"]["a"], "b");
}

#[tokio::test]
async fn failed_operation_is_the_error_of_its_call() {
    let setup = Setup::start(&[]).await;
    let link = setup.free_disk().await;
    setup.server.fault("fault=operation&op=delete&times=1").await;
    let error = setup.call("compute", "delete", json!({"link": link})).await.unwrap_err();
    assert_eq!(error.code, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE");
    assert!(error.means_in_use() && error.message.contains("the operation failed"), "{error:?}");
    assert_eq!(setup.server.item(&link).await["selfLink"], link, "nothing has changed");
    setup.server.fault("fault=operation&op=delete&code=QUOTA_EXCEEDED&times=1").await;
    let error = setup.call("compute", "delete", json!({"link": link})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.is_retryable()), ("QUOTA_EXCEEDED", false));
    assert_eq!(setup.server.calls("compute.disks.delete").await, 2, "neither was repeated");
}

#[tokio::test]
async fn lost_connection_while_waiting_does_not_repeat_the_change() {
    let setup = Setup::start(&[]).await;
    let link = setup.free_disk().await;
    setup.server.fault("fault=reset&op=compute.zoneOperations.wait&times=2").await;
    setup.call("compute", "delete", json!({"link": link})).await.unwrap();
    assert_eq!(setup.server.calls("compute.disks.delete").await, 1);
    assert_eq!(setup.server.calls("compute.zoneOperations.wait").await, 3);
}

#[tokio::test]
async fn unknown_end_of_operation_says_nothing_about_resource() {
    let setup = Setup::start(&[]).await;
    let link = setup.free_disk().await;
    setup.server.fault("fault=notfound&op=compute.zoneOperations.wait").await;
    let error = setup.call("compute", "delete", json!({"link": link})).await.unwrap_err();
    assert!(!error.means_deleted() && error.message.contains("cannot see how the operation"), "{error:?}");
    assert_eq!(setup.server.calls("compute.disks.delete").await, 1);
}

#[tokio::test]
async fn operation_beyond_the_limit_is_reported() {
    let setup = Setup::start(&[]).await;
    let link = setup.free_disk().await;
    setup.server.fault("fault=hang&op=compute.zoneOperations.wait").await;
    let delete = request("compute", "delete", json!({"link": link})).within(Duration::from_secs(2));
    let error = setup.client.call(delete).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.kind), (code::TIMEOUT, CallErrorKind::Unavailable));
    assert!(error.message.contains("is not done after") && error.message.contains("operation-"), "{error}");
    assert_eq!(setup.server.calls("compute.disks.delete").await, 1);
}

#[tokio::test]
async fn buckets_are_emptied_and_deleted() {
    let setup = Setup::start(&[]).await;
    let mut emptied = 0;
    for bucket in setup.listed("storage", "buckets.list", "items[].name").await {
        let mut request = request("storage", "objects.list", json!({"bucket": bucket}));
        request.input.insert("versions".into(), true.into());
        let page = setup.client.call(request).await.unwrap();
        let link = format!("https://www.googleapis.com/storage/v1/b/{}", bucket.as_str().unwrap());
        let objects: Vec<String> = page
            .tree()
            .unwrap()
            .path("items[].name")
            .into_iter()
            .filter_map(|name| name.text().map(str::to_owned))
            .collect();
        if !objects.is_empty() {
            let error = setup.call("storage", "delete", json!({"link": link})).await.unwrap_err();
            assert!(error.means_in_use() && error.code == "conflict", "{error:?}");
            emptied += 1;
        }
        for object in objects {
            let nothing = setup.call("storage", "objects.delete", json!({"bucket": bucket, "object": object})).await;
            assert_eq!(nothing.unwrap().tree().unwrap(), Tree::Null);
        }
        setup.call("storage", "patch", json!({"link": link, "labels": {"a": "b"}})).await.unwrap();
        setup.call("storage", "delete", json!({"link": link})).await.unwrap();
    }
    assert!(emptied > 0, "some bucket has objects");
    assert_eq!(setup.count("buckets").await, 0);
}

#[tokio::test]
async fn resource_in_use_is_not_deleted() {
    let setup = Setup::start(&[]).await;
    let link = setup.first("compute", "networks.list", "items[]").await;
    let error = setup.call("compute", "delete", json!({"link": link})).await.unwrap_err();
    assert!(error.means_in_use() && error.code == "resourceInUseByAnotherResource", "{error:?}");
}

#[tokio::test]
async fn refused_link_is_not_sent() {
    let setup = Setup::start(&[]).await;
    let link = setup.free_disk().await;
    let before = setup.server.control("stats").await["calls"].clone();
    let other = link.replace(&format!("projects/{}", link.split('/').nth(6).unwrap()), "projects/another-1");
    for refused in [other.as_str(), "https://evil.example/compute/v1/a", &format!("{link}?a=b"), &format!("{link}/x")] {
        let error = setup.call("compute", "delete", json!({"link": refused})).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Configuration, code::CONFIGURATION), "{refused}");
    }
    assert_eq!(setup.server.control("stats").await["calls"], before);
    assert_eq!(setup.server.item(&link).await["selfLink"], link);
}

#[tokio::test]
async fn project_with_domain_keeps_its_colon() {
    let setup = Setup::start(&[]).await;
    let project = ckworker::collectors::gcp::client::Project { id: "example.com:app".into(), number: None };
    let client = client(setup.server.url(), Some(project), Arc::clone(&setup.tokens) as _, hasty());
    let error = client.call(request("compute", "networks.list", json!({}))).await.unwrap_err();
    assert_eq!(
        (error.kind, &*error.message),
        (CallErrorKind::NotFound, "The resource 'projects/example.com:app' was not found")
    );
    let error = client.call(request("storage", "buckets.list", json!({}))).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Denied);
}
