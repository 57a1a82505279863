//! The vSphere collector: the virtual machines of a vCenter server, which is one unit.
//!
//! `options` says which server. `broker` logs in and out, and gives workers sessions. `client` speaks SOAP. `definitions`
//! describe the kinds, with `hooks` for what a machine may lack; the engine collects and changes them. `cloud`,
//! `account` and `operation` tell the engine what it needs to know.

mod account;
mod broker;
mod client;
mod cloud;
mod definitions;
mod hooks;
mod operation;
mod options;

use std::sync::Arc;

use worker_proto::{Failure, FailureKind, Operation, Outcome, Plan, Unit};

use self::{broker::VsphereBroker, options::Options};
use crate::{
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, Target},
    engine::change,
    graph::{KindSpec, SchemaError},
    settings::{OptionSpec, Settings},
};

/// The vSphere collector.
pub struct Vsphere;

impl Collector for Vsphere {
    fn name(&self) -> &'static str {
        "vsphere"
    }

    fn options(&self) -> &'static [OptionSpec] {
        options::OPTIONS
    }

    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        definitions::kinds()
    }

    fn advice(&self, code: &str) -> Option<&'static str> {
        (code == client::fault::NO_PERMISSION)
            .then_some("grant the user the role Read-only on the root of the inventory, with propagation to children")
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        Options::of(settings).check()
    }

    fn concurrency(&self, _settings: &Settings) -> Concurrency {
        Concurrency { fork: false, pool: 1 }
    }

    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>> {
        Some(Arc::new(VsphereBroker::new(settings)))
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(async {
            // The broker knows whether there is a server.
            context.credentials().get().await?;
            let host = Options::of(context.settings()).host.ok_or_else(|| Failure {
                kind: FailureKind::Configuration,
                message: "there is no vCenter server; name it with --vsphere-host".to_owned(),
            })?;
            let unit = Unit {
                id: host.clone(),
                label: host,
                kind: cloud::ACCOUNT_KIND.to_owned(),
                parts: 1,
                payload: String::new(),
            };
            Ok(Plan { units: vec![unit], gaps: Vec::new(), is_whole: true })
        })
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(account::collect(context, unit))
    }

    fn operator(&self, settings: &Settings, target: &Target) -> Result<Unit, Failure> {
        operation::unit(settings, target)
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
