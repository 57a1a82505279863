//! Cleanup: deletes what is marked for it, in an order that respects what depends on what.
//!
//! `plan` decides, and is pure; `run` has it done, and `teller` tells the core
//! as it goes; `journal` holds what the core does not know yet.

mod journal;
mod plan;
#[cfg(test)]
mod plan_tests;
mod run;
mod teller;

use crate::{
    collector_api::{Collector, Target},
    settings::Settings,
};

pub(super) use run::Cleanup;
pub use run::Setting;
pub(super) use teller::LAST_WORDS;

/// A collector that may be asked to operate.
#[derive(Clone)]
pub(super) struct Operable {
    pub(super) collector: &'static dyn Collector,
    pub(super) settings: Settings,
}

impl Operable {
    /// The unit that an operation on this subject needs.
    pub(super) fn unit(&self, subject: &Target) -> Result<worker_proto::Unit, worker_proto::Failure> {
        self.collector.operator(&self.settings, subject)
    }
}
