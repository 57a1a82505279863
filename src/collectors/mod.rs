//! The registry of collectors, and the kinds of all clouds. A collector is a directory here; `kinds` has the kinds of
//! clouds without one.

pub mod aws;
pub mod example;
pub mod gcp;
pub mod github;
pub mod k8s;
mod names;
pub mod onelogin;
pub mod onprem;
pub mod slack;
#[cfg(test)]
mod tests;
pub mod vsphere;

use std::{collections::BTreeSet, sync::OnceLock};

pub use names::is_of;

use serde_json::{Map, Value};
use worker_proto::Job;

use self::{aws::Aws, example::Example, gcp::Gcp, k8s::Kubernetes, onprem::Onprem, vsphere::Vsphere};
use crate::{
    collector_api::{Collector, NodeOrigin},
    graph::{KindSpec, Schema, SchemaError},
    rest::RestCollector,
    settings::{Setting, Settings},
};

/// Collectors of the Python worker that ckworker refuses, and why.
pub const REFUSED: &[(&str, &str)] = &[("remote", "it executes what it downloads")];

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

/// The collectors that are a part of the program, in the order in which they are listed to users.
static OWN: [&dyn Collector; 9] =
    [&Aws, &Gcp, &Kubernetes, &github::GITHUB, &slack::SLACK, &onelogin::ONELOGIN, &Onprem, &Vsphere, &Example];

/// All collectors: the program's own, then those of the user's definitions.
static ALL: OnceLock<Vec<&'static dyn Collector>> = OnceLock::new();

/// Returns all collectors, in the order in which they are listed to users.
#[must_use]
pub fn all() -> &'static [&'static dyn Collector] {
    ALL.get_or_init(|| OWN.to_vec())
}

/// Adds the collectors of a user's definition files, given by name and text. It is called at the start, once.
///
/// # Errors
/// The mistakes, with file and line, or a name that another collector has.
pub fn register(files: &[(String, String)]) -> Result<(), String> {
    let mut all = OWN.to_vec();
    for collector in RestCollector::of_user(files)? {
        let name = collector.name();
        if all.iter().any(|known| known.name() == name) || REFUSED.iter().any(|(refused, _)| *refused == name) {
            let file = collector.files().first().map(|(file, _)| *file).unwrap_or_default();
            return Err(format!("{file}: there is a collector {name} already; give this one another name"));
        }
        all.push(Box::leak(Box::new(collector)));
    }
    let is_late = ALL.set(all).is_err();
    if is_late {
        return Err("definitions were given after the start; please report this bug".to_owned());
    }
    // Their kinds and those of all others are one model.
    if files.is_empty() { Ok(()) } else { schema().map(|_| ()).map_err(|error| error.to_string()) }
}

/// Returns the collector of a job, with the definitions that are among its settings.
#[must_use]
pub fn of_job(job: &Job) -> Option<&'static dyn Collector> {
    if let Some(collector) = find(&job.collector) {
        return Some(collector);
    }
    let settings: Settings = serde_json::from_str(&job.settings).ok()?;
    let files = definition_files(&settings);
    let collectors = RestCollector::of_user(&files).inspect_err(|mistake| tracing::error!("{mistake}")).ok()?;
    let collector = collectors.into_iter().find(|collector| collector.name() == job.collector)?;
    Some(Box::leak(Box::new(collector)))
}

/// The setting with the definitions of a collector, for its workers.
const DEFINITIONS: &str = "definitions";

/// Adds the definitions of a collector to the settings of its workers.
pub fn add_definitions(collector: &dyn Collector, settings: &mut Settings) {
    let files = collector.definitions();
    if !files.is_empty() {
        let texts = files.iter().flat_map(|(name, text)| [(*name).to_owned(), (*text).to_owned()]);
        settings.set(DEFINITIONS, Setting::List(texts.collect()));
    }
}

fn definition_files(settings: &Settings) -> Vec<(String, String)> {
    let (pairs, _) = settings.list(DEFINITIONS).as_chunks::<2>();
    pairs.iter().map(|[name, text]| (name.clone(), text.clone())).collect()
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
    let kinds = all().iter().map(|collector| collector.kinds()).collect::<Result<Vec<_>, _>>()?;
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
