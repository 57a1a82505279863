//! The registry of collectors, and the kinds of all clouds. A collector is a directory here; `kinds` has the kinds of
//! clouds without one.

pub mod aws;
pub mod example;
pub mod gcp;
pub mod k8s;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::OnceLock};

use serde_json::{Map, Value};

use self::{aws::Aws, example::Example, gcp::Gcp, k8s::Kubernetes};
use crate::{
    collector_api::{Collector, NodeOrigin},
    graph::{KindFile, KindSpec, Schema, SchemaError},
};

/// Collectors of the Python worker that ckworker does not have.
pub const UNAVAILABLE: &[&str] = &["slack", "onelogin", "github", "onprem", "vsphere", "remote"];

/// The kinds of clouds without a collector. The core gets them nevertheless, as it does from the Python worker.
const OTHER_KINDS: [KindFile; 5] = [
    KindFile { plugin: "github", json: include_str!("kinds/github.json") },
    KindFile { plugin: "onelogin", json: include_str!("kinds/onelogin.json") },
    KindFile { plugin: "onprem", json: include_str!("kinds/onprem.json") },
    KindFile { plugin: "slack", json: include_str!("kinds/slack.json") },
    KindFile { plugin: "vsphere", json: include_str!("kinds/vsphere.json") },
];

/// The collectors and the kinds of their nodes, as a delivery needs them.
#[derive(Clone, Copy)]
pub struct Registry {
    /// Returns the collector of a name.
    pub find: fn(&str) -> Option<&'static dyn Collector>,
    /// Returns the kinds of all clouds.
    pub schema: fn() -> Result<&'static Schema, SchemaError>,
    /// Returns the kinds of all clouds and some that are known only at run time.
    pub schema_with: fn(&BTreeSet<String>) -> Result<Schema, SchemaError>,
}

/// The collectors of the program.
pub const REGISTRY: Registry = Registry { find, schema, schema_with };

/// Returns all collectors, in the order in which they are listed to users.
#[must_use]
pub fn all() -> &'static [&'static dyn Collector] {
    &[&Aws, &Gcp, &Kubernetes, &Example]
}

/// Returns the collector of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Collector> {
    all().iter().copied().find(|collector| collector.name() == name)
}

/// Returns the kinds of all clouds, parsed at the first call.
///
/// # Errors
/// If the kinds of a cloud have a mistake.
pub fn schema() -> Result<&'static Schema, SchemaError> {
    static SCHEMA: OnceLock<Result<Schema, SchemaError>> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of(kinds()?)).as_ref().map_err(Clone::clone)
}

fn kinds() -> Result<Vec<KindSpec>, SchemaError> {
    let own = all().iter().map(|collector| collector.kinds());
    let kinds = own.chain(OTHER_KINDS.iter().map(KindFile::parse)).collect::<Result<Vec<_>, _>>()?;
    Ok(kinds.into_iter().flatten().collect())
}

/// Returns the kinds of all clouds and some that are known only at run time, each as JSON. Of two with the same name the
/// first one counts, and those of all clouds before them.
///
/// # Errors
/// If a kind is malformed, or the kinds of a cloud have a mistake.
pub fn schema_with(added: &BTreeSet<String>) -> Result<Schema, SchemaError> {
    let mut kinds = kinds()?;
    let mut names: BTreeSet<String> = kinds.iter().map(|kind| kind.fqn.clone()).collect();
    for json in added {
        let kind = KindSpec::parse(json)?;
        if names.insert(kind.fqn.clone()) {
            kinds.push(kind);
        }
    }
    Schema::of(kinds)
}

/// Returns where a node belongs, as far as its fields tell: the answer of the first collector that has one.
#[must_use]
pub fn locate(reported: &Map<String, Value>) -> Option<NodeOrigin<'_>> {
    all().iter().find_map(|collector| collector.locate(reported))
}
