//! The definitions of Kubernetes' kinds: for each group and version a TOML file of what is in namespaces, and one of what
//! is not. The format is the engine's.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use crate::{
    engine::Definitions,
    graph::{KindFile, KindSpec, Schema, SchemaError},
};

/// The kinds that have no schema beside their definition.
const KINDS: KindFile = KindFile { plugin: "k8s", json: include_str!("../kinds.json") };

/// The definition files: name and text.
const FILES: &[(&str, &str)] = &[
    ("core_cluster.toml", include_str!("core_cluster.toml")),
    ("apps.toml", include_str!("apps.toml")),
    ("core.toml", include_str!("core.toml")),
    ("objects.toml", include_str!("objects.toml")),
    ("batch.toml", include_str!("batch.toml")),
    ("autoscaling.toml", include_str!("autoscaling.toml")),
    ("networking.toml", include_str!("networking.toml")),
    ("networking_cluster.toml", include_str!("networking_cluster.toml")),
    ("policy.toml", include_str!("policy.toml")),
    ("rbac.toml", include_str!("rbac.toml")),
    ("rbac_cluster.toml", include_str!("rbac_cluster.toml")),
    ("storage.toml", include_str!("storage.toml")),
    ("storage_cluster.toml", include_str!("storage_cluster.toml")),
    ("discovery.toml", include_str!("discovery.toml")),
    ("admission_cluster.toml", include_str!("admission_cluster.toml")),
    ("scheduling_cluster.toml", include_str!("scheduling_cluster.toml")),
    ("node_cluster.toml", include_str!("node_cluster.toml")),
    ("flowcontrol_cluster.toml", include_str!("flowcontrol_cluster.toml")),
];

/// Returns the definitions, read at the first call.
///
/// # Errors
/// The file and line of a mistake.
pub(crate) fn definitions() -> Result<&'static Definitions, SchemaError> {
    static DEFINITIONS: OnceLock<Result<Definitions, String>> = OnceLock::new();
    let malformed = |reason: &String| SchemaError::Malformed { plugin: "k8s".to_owned(), reason: reason.clone() };
    DEFINITIONS.get_or_init(|| Definitions::read(FILES)).as_ref().map_err(malformed)
}

/// Returns the kinds of Kubernetes: those of `kinds.json`, and those with a schema beside their definition.
///
/// # Errors
/// The file of a mistake, with the line in a definition.
pub(crate) fn kinds() -> Result<Vec<KindSpec>, SchemaError> {
    let mut kinds = KINDS.parse()?;
    kinds.extend(definitions()?.kinds("kubernetes"));
    Ok(kinds)
}

/// Returns the base kinds and those of Kubernetes, read at the first call.
///
/// # Errors
/// As [`kinds`].
pub(crate) fn schema() -> Result<&'static Schema, SchemaError> {
    static SCHEMA: OnceLock<Result<Schema, SchemaError>> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of(kinds()?)).as_ref().map_err(Clone::clone)
}
