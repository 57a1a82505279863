//! Discovery: the resources that an API server has, each of a group and a kind, in the version that the group prefers of
//! those that have it.

use std::{collections::BTreeSet, time::Duration};

use super::{client::DISCOVERY_SERVICE, cloud::CLUSTER, hooks::snake};
use crate::engine::{Api, CallError, CallErrorKind, Request, Tree};

/// The time for one document of a group whose server may be down.
const LIMIT: Duration = Duration::from_secs(15);

/// The documents of the core group and of all others.
const DOCUMENTS: [&str; 2] = ["/api", "/apis"];

/// The member of a version's document that has its resources.
const RESOURCES: &str = "resources";

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
    /// All versions of the resources that can be listed: group, resource and version.
    pub(super) versions: BTreeSet<(String, String, String)>,
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
/// If the list of groups cannot be read. A document without its list is not an API server's.
pub(super) async fn discover(api: &dyn Api) -> Result<Discovered, CallError> {
    let mut found = Discovered::default();
    for path in DOCUMENTS {
        let operation = format!("get {path}");
        let page = api.call(Request::new(DISCOVERY_SERVICE, &operation, CLUSTER)).await?;
        let read = found.document(api, path, &page.tree()?).await;
        // One that a call within has failed with names that call.
        let unnamed = |error: CallError| {
            if error.operation.is_empty() { error.of(DISCOVERY_SERVICE, &operation, CLUSTER) } else { error }
        };
        read.map_err(unnamed)?;
    }
    let key = |one: &ApiResource| (one.group.clone(), one.resource.clone(), one.version.clone());
    found.versions = found.resources.iter().map(key).collect();
    let mut seen = BTreeSet::new();
    found.resources.retain(|one| seen.insert((one.group.clone(), one.resource.clone())));
    Ok(found)
}

/// Checks that a document has a list. Without it, everything would seem to be gone. A version without resources is null
/// where a server in Go has made no list.
fn require(tree: &Tree<'_>, member: &str) -> Result<(), CallError> {
    let found = tree.entries().iter().find(|(name, _)| name == member).map(|(_, value)| value);
    match found {
        Some(Tree::List(_)) => Ok(()),
        Some(Tree::Null) if member == RESOURCES => Ok(()),
        _ => {
            let kind = tree.get("kind").and_then(Tree::text).unwrap_or("document");
            Err(CallError::unexpected_response(format!("a {kind} without its {member}")))
        }
    }
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
    /// Reads the document of the core group, or that of all others.
    async fn document(&mut self, api: &dyn Api, path: &str, tree: &Tree<'_>) -> Result<(), CallError> {
        match tree.get("kind").and_then(Tree::text).unwrap_or_default() {
            "APIGroupDiscoveryList" => {
                require(tree, "items")?;
                self.aggregated(tree);
            }
            "APIVersions" => {
                require(tree, "versions")?;
                self.by_version(api, "", texts(tree, "versions[]")).await;
            }
            "APIGroupList" => {
                require(tree, "groups")?;
                for group in tree.path("groups[]") {
                    let name = group.get("name").and_then(Tree::text).unwrap_or_default();
                    self.by_version(api, name, versions(group)).await;
                }
            }
            other => return Err(CallError::unexpected_response(format!("{path} is a {other}"))),
        }
        Ok(())
    }

    /// Reads the aggregated form. A version without resources has none: the server leaves an empty list out.
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
    async fn by_version(&mut self, api: &dyn Api, group: &str, versions: Vec<String>) {
        for version in versions {
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let operation = format!("get {path}");
            let answer = api.call(Request::new(DISCOVERY_SERVICE, &operation, CLUSTER).within(LIMIT)).await;
            let read = answer.and_then(|page| {
                let tree = page.tree()?;
                require(&tree, RESOURCES)?;
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
#[path = "discovery_tests.rs"]
mod tests;
