//! The GCP collector: the projects that its credentials see, one unit each.
//!
//! `options` and `selection` decide what is collected. `source` and `key` find credentials, `credential` gets their
//! tokens, with `metadata` for those of a machine; `broker` hands them out, and `token` is their source in a worker.
//! `plan` makes the units. `definitions` describe the kinds, with `hooks` for what they cannot express; the engine
//! collects and changes the kinds through `client`. `cloud`, `account` and `operation` tell the engine what it needs to
//! know. `facts` has remedies for error codes, metrics and log levels for the rest of the program.

mod account;
mod broker;
pub mod client;
mod cloud;
mod credential;
mod definitions;
mod facts;
mod hooks;
mod key;
mod metadata;
mod operation;
mod options;
mod plan;
mod selection;
mod source;
mod token;

use std::sync::Arc;

use options::Options;
use serde_json::{Map, Value};
use source::Variables;
use tracing::level_filters::LevelFilter;
use worker_proto::{Failure, Operation, Outcome, Plan, Unit};

use crate::{
    collector_api::{
        BoxFuture, Broker, CollectContext, Collector, Concurrency, EdgeOwner, NamedAttributes, NodeOrigin, Target,
        Uncollected,
    },
    engine::{change, collect::uncollected_kinds, definition::Definition},
    graph::{KindSpec, SchemaError},
    settings::{OptionSpec, Settings},
    telemetry::Announced,
};

/// The GCP collector.
pub struct Gcp;

impl Collector for Gcp {
    fn name(&self) -> &'static str {
        "gcp"
    }

    fn options(&self) -> &'static [OptionSpec] {
        options::OPTIONS
    }

    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        definitions::kinds()
    }

    fn metrics(&self) -> Vec<Announced> {
        facts::metrics()
    }

    fn library_levels(&self) -> &'static [(&'static str, LevelFilter)] {
        facts::LIBRARY_LEVELS
    }

    fn advice(&self, code: &str) -> Option<&'static str> {
        facts::advice(code)
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        options::check(&Options::of(settings))
    }

    fn concurrency(&self, settings: &Settings) -> Concurrency {
        let options = Options::of(settings);
        Concurrency { fork: options.fork, pool: options.project_pool }
    }

    fn uncollected(&self, settings: &Settings) -> Uncollected {
        let Ok(cloud) = cloud::cloud() else { return Uncollected::default() };
        Uncollected { kinds: uncollected_kinds(cloud, &Options::of(settings).selection()), regions: None }
    }

    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>> {
        Some(Arc::new(broker::GcpBroker::new(&Options::of(settings), &Variables::of_process())))
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(plan::plan(context))
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(account::collect(context, unit))
    }

    fn operator(&self, _settings: &Settings, target: &Target) -> Result<Unit, Failure> {
        operation::unit(target)
    }

    fn named(&self) -> Option<&'static NamedAttributes> {
        Some(cloud::cloud().ok()?.definitions.named())
    }

    fn edge_owner(&self, from: &str, to: &str) -> Option<EdgeOwner> {
        cloud::cloud().ok()?.definitions.edge_owner(from, to)
    }

    fn delete_before(&self, kind: &str) -> &'static [String] {
        definition(kind).map_or(&[], |definition| &definition.delete_before)
    }

    fn cascades_to(&self, kind: &str) -> &'static [String] {
        definition(kind).map_or(&[], |definition| &definition.cascades_to)
    }

    fn undeletable(&self, target: &Target) -> Option<&'static str> {
        change::undeletable(cloud::cloud().ok()?, target)
    }

    fn locate<'n>(&self, reported: &'n Map<String, Value>) -> Option<NodeOrigin<'n>> {
        facts::locate(reported)
    }

    fn operate<'a>(
        &'a self,
        context: &'a CollectContext,
        unit: &'a Unit,
        operation: &'a Operation,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(operation::run(context, unit, operation))
    }
}

fn definition(kind: &str) -> Option<&'static Definition> {
    cloud::cloud().ok()?.find(kind).map(|(_, definition)| definition)
}
