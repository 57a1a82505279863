//! Documents of discovery: what they name, and what they lack.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    collector_api::BoxFuture,
    engine::{Body, Next, Response},
};

/// The documents of a server by path.
struct Documents(BTreeMap<String, Value>);

struct Document(Value);

impl Body for Document {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        Ok(Tree::from(self.0.clone()))
    }

    fn next(&self) -> Result<Next, CallError> {
        Ok(Next::End)
    }
}

impl Api for Documents {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        let document = request.operation.strip_prefix("get ").and_then(|path| self.0.get(path)).cloned();
        Box::pin(async move {
            let missing = || CallError::new(CallErrorKind::Unavailable, "ServiceUnavailable", "down");
            document.map(|document| Response::new(Document(document))).ok_or_else(missing)
        })
    }
}

/// Discovers a server whose plain documents are these, except for some.
async fn discovered(other: &[(&str, Value)]) -> Result<Discovered, CallError> {
    let listed = |name: &str, kind: &str| json!({"name": name, "kind": kind, "namespaced": true, "verbs": ["list"]});
    let mut documents: BTreeMap<String, Value> = [
        ("/api", json!({"kind": "APIVersions", "versions": ["v1"]})),
        ("/api/v1", json!({"kind": "APIResourceList", "resources": [listed("pods", "Pod")]})),
        (
            "/apis",
            json!({"kind": "APIGroupList", "groups": [{"name": "ck.test",
            "preferredVersion": {"version": "v2"}, "versions": [{"version": "v1"}, {"version": "v2"}]}]}),
        ),
        (
            "/apis/ck.test/v1",
            json!({"kind": "APIResourceList", "resources": [
            listed("moons", "Moon"), listed("widgets", "Widget")]}),
        ),
        ("/apis/ck.test/v2", json!({"kind": "APIResourceList", "resources": [listed("widgets", "Widget")]})),
    ]
    .map(|(path, document)| (path.to_owned(), document))
    .into();
    documents.extend(other.iter().map(|(path, document)| ((*path).to_owned(), document.clone())));
    documents.retain(|_, document| *document != json!("down"));
    discover(&Documents(documents)).await
}

#[tokio::test]
async fn kind_in_other_version_than_the_preferred_is_found() {
    let found = discovered(&[]).await.unwrap();
    let expected = [
        resource("", "v1", "pods", "Pod"),
        resource("ck.test", "v2", "widgets", "Widget"),
        resource("ck.test", "v1", "moons", "Moon"),
    ];
    assert_eq!((found.resources.as_slice(), found.silent.len()), (&expected[..], 0));
    let version = |version: &str| ("ck.test".to_owned(), "widgets".to_owned(), version.to_owned());
    assert!(found.versions.contains(&version("v1")) && found.versions.contains(&version("v2")));
}

#[tokio::test]
async fn document_without_its_list_is_an_error() {
    for (path, document) in [
        ("/apis", json!({"kind": "APIGroupList"})),
        ("/apis", json!({"kind": "APIGroupList", "groups": null})),
        ("/apis", json!({"kind": "APIGroupList", "groups": {}})),
        ("/apis", json!({"kind": "APIGroupDiscoveryList", "metadata": {}})),
        ("/apis", json!({"kind": "APIGroupDiscoveryList", "items": "none"})),
        ("/apis", json!({"kind": "Status"})),
        ("/apis", json!({})),
        ("/apis", json!("down")),
        ("/api", json!({"kind": "APIVersions"})),
    ] {
        let Err(error) = discovered(&[(path, document.clone())]).await else { panic!("{path} {document}") };
        let is_named = *error.service == *DISCOVERY_SERVICE && *error.operation == format!("get {path}");
        assert!(is_named || document == json!("down"), "{path} {document}: {error:?}");
    }
}

#[tokio::test]
async fn version_without_its_resources_silences_the_group() {
    let path = "/apis/ck.test/v2";
    for (document, is_silent) in [
        (json!({"kind": "APIResourceList", "resources": []}), false),
        (json!({"kind": "APIResourceList", "resources": null}), false),
        (json!({"kind": "APIResourceList"}), true),
        (json!({"kind": "APIResourceList", "resources": {}}), true),
        (json!({"kind": "Status", "status": "Success"}), true),
        (json!("down"), true),
    ] {
        let found = discovered(&[(path, document.clone())]).await.unwrap();
        let silent: Vec<&str> = found.silent.iter().map(|(group, _)| group.as_str()).collect();
        assert_eq!(silent, if is_silent { &["ck.test"][..] } else { &[] }, "{document}");
        assert!(found.resources.contains(&resource("ck.test", "v1", "widgets", "Widget")), "{document}");
    }
}

fn resource(group: &str, version: &str, resource: &str, kind: &str) -> ApiResource {
    let (group, version) = (group.to_owned(), version.to_owned());
    ApiResource { group, version, resource: resource.into(), kind: kind.into(), is_in_namespaces: true }
}

#[test]
fn aggregated_document_has_versions_and_silent_groups() {
    let listed = |name: &str, kind: &str, verbs: &[&str]| json!({"resource": name, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": verbs});
    let document = json!({"items": [
        {"metadata": {}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
            listed("pods", "Pod", &["get", "list"]), listed("bindings", "Binding", &["create"])]}]},
        {"metadata": {"name": "ck.test"}, "versions": [
            {"version": "v1", "resources": [listed("widgets", "Widget", &["list"])]},
            {"version": "v1beta1", "resources": [listed("widgets", "Widget", &["list"])]}]},
        {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]}]});
    let mut found = Discovered::default();
    found.aggregated(&Tree::from(document));
    let expected = [
        resource("", "v1", "pods", "Pod"),
        resource("ck.test", "v1", "widgets", "Widget"),
        resource("ck.test", "v1beta1", "widgets", "Widget"),
    ];
    assert_eq!(found.resources, expected);
    assert_eq!(found.silent.iter().map(|(group, _)| group.as_str()).collect::<Vec<_>>(), ["metrics.k8s.io"]);
}

#[test]
fn names_have_group_and_kind() {
    let service = resource("serving.test", "v1", "services", "Service");
    assert_eq!(service.model_kind(), "kubernetes_serving_test_service");
    assert_eq!((service.name(), service.api_version()), ("services.serving.test".into(), "serving.test/v1".into()));
    let event = resource("", "v1", "events", "Event");
    assert_eq!(
        (event.model_kind(), event.name(), event.api_version()),
        ("kubernetes_event".into(), "events".into(), "v1".into())
    );
    assert_eq!(prefix("cert-manager.io"), "kubernetes_cert_manager_io_");
}

#[test]
fn preferred_version_is_first() {
    let group = json!({"preferredVersion": {"version": "v2"}, "versions": [{"version": "v1"}, {"version": "v2"}]});
    assert_eq!(versions(&Tree::from(group)), ["v2", "v1"]);
}
