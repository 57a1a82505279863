//! The aws collector.

pub mod client;

use std::sync::Arc;

use worker_proto::{Failure, Plan, Unit};

use super::{BoxFuture, Broker, CollectContext, Collector, Concurrency};
use crate::settings::{OptionSpec, Settings};

/// The aws collector.
pub struct Aws;

impl Collector for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn check(&self, _settings: &Settings) -> Result<(), String> {
        Ok(())
    }

    fn concurrency(&self, _settings: &Settings) -> Concurrency {
        Concurrency { fork: false, pool: 1 }
    }

    fn broker(&self, _settings: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, _context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(async { Ok(Plan::default()) })
    }

    fn collect<'a>(&'a self, _context: &'a CollectContext, _unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}
