//! What the engine knows about Kubernetes: its levels, definitions, kinds and hooks.

use std::sync::OnceLock;

use worker_proto::{Failure, FailureKind};

use super::{
    definitions::{definitions, schema},
    hooks,
};
use crate::{
    engine::{Cloud, Level, LevelNode, LocationPart},
    graph::SchemaError,
};

/// The kind of a cluster's node, which is an account.
pub(crate) const CLUSTER_KIND: &str = "kubernetes_cluster";

/// The kind of a namespace's node, which is a region.
pub(crate) const NAMESPACE_KIND: &str = "kubernetes_namespace";

/// The kind from which those are derived that only discovery knows.
pub(crate) const OBJECT_KIND: &str = "kubernetes_object";

/// All kinds that only a cluster knows.
const AT_RUN_TIME: &str = "kubernetes_*";

/// The kinds of definitions of custom resources at run time: each takes all its objects along.
pub(crate) const RESOURCE_DEFINITIONS: &str = "kubernetes_apiextensions_k8s_io_custom_resource_definition";

/// The scope of the cluster itself, in which all kinds are listed, with resources of all namespaces.
pub(crate) const CLUSTER: &str = "cluster";

/// The scope of namespaces.
pub(crate) const NAMESPACE: &str = "namespace";

/// Returns Kubernetes for the engine, built at the first call.
///
/// # Errors
/// The file and line of a mistake in the definitions; tests ensure that there is none.
pub(crate) fn cloud() -> Result<&'static Cloud, Failure> {
    static CLOUD: OnceLock<Result<Cloud, SchemaError>> = OnceLock::new();
    let cloud = CLOUD.get_or_init(|| {
        Ok(Cloud {
            name: "k8s",
            title: "Kubernetes",
            account: CLUSTER_KIND,
            levels: &[
                Level { scope: CLUSTER, within: None, node: None },
                Level {
                    scope: NAMESPACE,
                    within: None,
                    node: Some(LevelNode { kind: NAMESPACE_KIND, part: LocationPart::Region }),
                },
            ],
            definitions: definitions()?,
            schema: schema()?,
            hooks: hooks::ALL,
            change_hooks: hooks::CHANGES,
        })
    });
    cloud.as_ref().map_err(|mistake| Failure {
        kind: FailureKind::Internal,
        message: format!("Kubernetes collector: {mistake}; please report this bug"),
    })
}

/// Returns the kinds that are in namespaces.
pub(crate) fn kinds_in_namespaces() -> &'static [String] {
    static KINDS: OnceLock<Vec<String>> = OnceLock::new();
    KINDS.get_or_init(|| {
        let definitions = cloud().map(|cloud| cloud.definitions.iter()).into_iter().flatten();
        let inside = definitions.map(|(_, definition)| definition).filter(|kind| !kind.location.is_empty());
        inside.map(|definition| definition.kind.get_ref().clone()).chain([AT_RUN_TIME.to_owned()]).collect()
    })
}
