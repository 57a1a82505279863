//! The AWS collector: the accounts of an organization, one unit each.
//!
//! `options`, `role` and `selection` decide what is collected. `sdk_settings` reads the settings of AWS's own tools.
//! `broker` and `identity` hold and verify credentials, with `official` and `official_config` for the official crates.
//! `plan` makes the units, and `regions` lists the enabled regions. `definitions` describe the kinds, with `hooks` for
//! what they cannot express, and `services` names the services with their files; the engine collects and changes the
//! kinds through `client`. `cloud`, `account` and `operation` tell the engine what it needs to know. `facts` has
//! remedies for error codes, metrics and log levels for the rest of the program.

mod account;
mod broker;
pub mod client;
mod cloud;
mod definitions;
mod facts;
mod hooks;
mod http;
mod identity;
mod official;
mod official_config;
mod operation;
mod options;
mod plan;
mod provider;
mod regions;
mod role;
mod sdk_settings;
mod selection;
mod services;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use options::Options;
use sdk_settings::Variables;
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;
use worker_proto::{Failure, Operation, Outcome, Plan, Unit};

use crate::{
    collector_api::{
        BoxFuture, Broker, CollectContext, Collector, Concurrency, EdgeOwner, NodeOrigin, Target, Uncollected,
    },
    engine::{change, collect::uncollected_kinds, definition::Definition},
    graph::{KindSpec, SchemaError},
    settings::{OptionSpec, Settings},
    telemetry::Announced,
};

/// The AWS collector.
pub struct Aws;

impl Collector for Aws {
    fn name(&self) -> &'static str {
        "aws"
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

    fn locate<'n>(&self, reported: &'n Map<String, Value>) -> Option<NodeOrigin<'n>> {
        facts::locate(reported)
    }

    fn advice(&self, code: &str) -> Option<&'static str> {
        facts::advice(code)
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        let options = Options::of(settings);
        options::check(&options)?;
        sdk_settings::read(&Variables::of_process(), options.access_key_id.is_some()).map(|_| ())
    }

    fn concurrency(&self, settings: &Settings) -> Concurrency {
        let options = Options::of(settings);
        Concurrency { fork: options.fork, pool: options.account_pool }
    }

    fn uncollected(&self, settings: &Settings) -> Uncollected {
        let Ok(cloud) = cloud::cloud() else { return Uncollected::default() };
        let Options { regions, .. } = &Options::of(settings);
        let regions =
            (!regions.is_empty()).then(|| regions.iter().cloned().chain([cloud::GLOBAL.to_owned()]).collect());
        Uncollected { kinds: uncollected_kinds(cloud, &Options::of(settings).selection()), regions }
    }

    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>> {
        Some(Arc::new(broker::AwsBroker::new(&Options::of(settings))))
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(plan::plan(context))
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(account::collect(context, unit))
    }

    fn operator(&self, settings: &Settings, target: &Target) -> Result<Unit, Failure> {
        operation::unit(&Options::of(settings), target)
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
