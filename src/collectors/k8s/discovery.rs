//! Discovery: the resources that an API server has, each of a group and a kind, in the version that the group prefers.

use std::{collections::BTreeSet, time::Duration};

use super::{client::DISCOVERY_SERVICE, cloud::CLUSTER, hooks::snake};
use crate::engine::{CallError, CallErrorKind, Request, Tree, collect::Run};

/// The time for one document of a group whose server may be down.
const LIMIT: Duration = Duration::from_secs(15);

/// The documents of the core group and of all others.
const DOCUMENTS: [&str; 2] = ["/api", "/apis"];

/// The code of a group whose server is down.
const STALE: &str = "StaleGroup";

/// A resource of the API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiResource {
    /// The group; empty for the core group.
    pub(super) group: String,
    /// The version.
    pub(super) version: String,
    /// The name in paths, such as `widgets`.
    pub(super) resource: String,
    /// The kind, such as `Widget`.
    pub(super) kind: String,
    /// Whether its objects are in namespaces.
    pub(super) is_in_namespaces: bool,
}

/// What an API server has.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// The resources that can be listed, each once.
    pub(super) resources: Vec<ApiResource>,
    /// The groups whose resources are not known, with the reason.
    pub(super) silent: Vec<(String, CallError)>,
}

impl ApiResource {
    /// Returns group and version, as in `apiVersion`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Returns the name by which options select it: `widgets.ck.test`.
    pub(super) fn name(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// Returns the name of its kind in the model: `kubernetes_ck_test_widget`.
    pub(super) fn model_kind(&self) -> String {
        format!("{}{}", prefix(&self.group), snake(&self.kind))
    }
}

/// Returns the beginning of the names of a group's kinds in the model.
pub(super) fn prefix(group: &str) -> String {
    let part = |byte: char| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { '_' };
    let group: String = group.chars().map(part).collect();
    if group.is_empty() { "kubernetes_".to_owned() } else { format!("kubernetes_{group}_") }
}

/// Asks an API server for its resources: in two calls if it has the aggregated form, otherwise in one for each version of
/// each group.
///
/// # Errors
/// If the list of groups cannot be read.
pub(super) async fn discover(run: &Run<'_>) -> Result<Discovered, CallError> {
    let mut found = Discovered::default();
    for path in DOCUMENTS {
        let page = run.call(Request::new(DISCOVERY_SERVICE, &format!("get {path}"), CLUSTER)).await?;
        let tree = page.tree()?;
        match tree.get("kind").and_then(Tree::text).unwrap_or_default() {
            "APIGroupDiscoveryList" => found.aggregated(&tree),
            "APIVersions" => found.by_version(run, "", texts(&tree, "versions[]")).await,
            "APIGroupList" => {
                for group in tree.path("groups[]") {
                    let name = group.get("name").and_then(Tree::text).unwrap_or_default();
                    found.by_version(run, name, versions(group)).await;
                }
            }
            other => return Err(CallError::unexpected_response(format!("{path} is a {other}"))),
        }
    }
    let mut seen = BTreeSet::new();
    found.resources.retain(|one| seen.insert((one.group.clone(), one.resource.clone())));
    Ok(found)
}

/// Returns the versions of a group, the preferred one first.
fn versions(group: &Tree<'_>) -> Vec<String> {
    let mut versions = texts(group, "preferredVersion.version");
    let others = texts(group, "versions[].version");
    versions.extend(others.into_iter().filter(|version| !versions.contains(version)).collect::<Vec<_>>());
    versions
}

fn texts(tree: &Tree<'_>, path: &'static str) -> Vec<String> {
    tree.path(path).into_iter().filter_map(Tree::text).map(str::to_owned).collect()
}

fn can_list(resource: &Tree<'_>) -> bool {
    resource.path("verbs[]").into_iter().any(|verb| verb.text() == Some("list"))
}

impl Discovered {
    /// Reads the aggregated form.
    fn aggregated(&mut self, tree: &Tree<'_>) {
        for group in tree.path("items[]") {
            let name = group.at("metadata.name").and_then(Tree::text).unwrap_or_default();
            let mut is_stale = false;
            for version in group.path("versions[]") {
                is_stale |= version.get("freshness").and_then(Tree::text) == Some("Stale");
                let number = version.get("version").and_then(Tree::text).unwrap_or_default();
                for resource in version.path("resources[]").into_iter().filter(|resource| can_list(resource)) {
                    let kind = resource.at("responseKind.kind").and_then(Tree::text);
                    let is_in_namespaces = resource.get("scope").and_then(Tree::text) == Some("Namespaced");
                    self.add((name, number), resource.get("resource"), kind, is_in_namespaces);
                }
            }
            if is_stale {
                let message = format!("the server of the API group {name} does not answer");
                self.silent.push((name.to_owned(), CallError::new(CallErrorKind::Unavailable, STALE, message)));
            }
        }
    }

    /// Reads the documents of a group's versions. A version that cannot be read silences the group.
    async fn by_version(&mut self, run: &Run<'_>, group: &str, versions: Vec<String>) {
        for version in versions {
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let operation = format!("get {path}");
            let answer = run.call(Request::new(DISCOVERY_SERVICE, &operation, CLUSTER).within(LIMIT)).await;
            let read = answer.and_then(|page| {
                let tree = page.tree()?;
                for resource in tree.path("resources[]").into_iter().filter(|resource| can_list(resource)) {
                    let kind = resource.get("kind").and_then(Tree::text);
                    let is_in_namespaces = resource.get("namespaced").and_then(Tree::bool).unwrap_or(false);
                    self.add((group, &version), resource.get("name"), kind, is_in_namespaces);
                }
                Ok(())
            });
            if let Err(error) = read {
                self.silent.push((group.to_owned(), error));
            }
        }
    }

    fn add(
        &mut self,
        (group, version): (&str, &str),
        resource: Option<&Tree<'_>>,
        kind: Option<&str>,
        is_in_namespaces: bool,
    ) {
        // A name with a slash is a part of another resource.
        let name = resource.and_then(Tree::text).filter(|name| !name.contains('/'));
        if let (Some(resource), Some(kind)) = (name, kind) {
            self.resources.push(ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                resource: resource.to_owned(),
                kind: kind.to_owned(),
                is_in_namespaces,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
}
