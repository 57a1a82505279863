//! The example collector: an invented account with two regions, for a first look and for tests.
//!
//! It contacts nothing and needs no credentials. `--example-region` restricts it to some of its regions, by id; the
//! original read that option and did not use it.

mod resources;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use worker_proto::{Failure, FailureKind, Operation, Outcome, Plan, Unit, Verb};

use crate::{
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, Target},
    graph::{KindFile, KindSpec, Schema, SchemaError},
    settings::{OptionKind, OptionSpec, Settings},
};

/// The one account.
const ACCOUNT: &str = "Example Account";

/// The option that restricts the regions.
const REGION_OPTION: &str = "example-region";

/// The example collector.
pub struct Example;

/// The kinds of its nodes.
const KINDS: KindFile = KindFile { plugin: "example", json: include_str!("kinds.json") };

/// Returns the base kinds and the example's own, parsed at the first call.
fn schema() -> Result<&'static Schema, SchemaError> {
    static SCHEMA: OnceLock<Result<Schema, SchemaError>> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::read(&[KINDS])).as_ref().map_err(Clone::clone)
}

impl Collector for Example {
    fn name(&self) -> &'static str {
        "example"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[OptionSpec {
            name: REGION_OPTION,
            short: None,
            kind: OptionKind::List { default: &[] },
            help: "Example regions to collect: us-west, us-east (default: all)",
            secret: false,
            empty: false,
            variable: None,
        }]
    }

    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        KINDS.parse()
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        let known = resources::REGIONS.map(|region| region.id);
        match settings.list(REGION_OPTION).iter().find(|region| !known.contains(&region.as_str())) {
            Some(unknown) => Err(format!("--{REGION_OPTION} {unknown}: there are only {}", known.join(" and "))),
            None => Ok(()),
        }
    }

    fn concurrency(&self, _settings: &Settings) -> Concurrency {
        Concurrency { fork: false, pool: 1 }
    }

    fn broker(&self, _settings: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        let parts = u32::try_from(resources::selected(context.settings()).count()).unwrap_or(0);
        let unit = Unit {
            id: ACCOUNT.to_owned(),
            label: ACCOUNT.to_owned(),
            kind: "example_account".to_owned(),
            parts,
            payload: String::new(),
        };
        Box::pin(async { Ok(Plan { units: vec![unit], gaps: Vec::new(), is_whole: true }) })
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, _unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(resources::collect(context))
    }

    fn operator(&self, _settings: &Settings, subject: &Target) -> Result<Unit, Failure> {
        let is_resource = schema()?.kind(&subject.kind).is_some_and(|kind| kind.is_a("example_resource"));
        if !is_resource {
            let message = format!("{} cannot be changed: only resources of the account can", subject.label());
            return Err(Failure { kind: FailureKind::Configuration, message });
        }
        Ok(Unit {
            id: ACCOUNT.to_owned(),
            label: ACCOUNT.to_owned(),
            kind: "example_account".to_owned(),
            parts: 0,
            payload: String::new(),
        })
    }

    fn operate<'a>(
        &'a self,
        _context: &'a CollectContext,
        _unit: &'a Unit,
        operation: &'a Operation,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(async {
            Ok(match &operation.verb {
                Verb::PreDelete => Outcome::Nothing("nothing keeps it from being deleted".into()),
                Verb::UpdateTag { .. } | Verb::DeleteTag { .. } | Verb::Delete => Outcome::Done,
            })
        })
    }
}
