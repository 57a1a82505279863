//! Cleanup: deletes what is marked for it, in an order that respects what depends on what.
//!
//! `plan` decides, and is pure; `run` has it done, and `reporter` tells the core
//! as it goes; `event_log` holds what the core does not know yet.

mod event_log;
mod plan;
#[cfg(test)]
mod plan_tests;
mod reporter;
mod run;

use crate::{
    collector_api::{Collector, Target},
    settings::Settings,
};

pub(super) use reporter::FINAL_REPORT_TIMEOUT;
pub(super) use run::Cleanup;
pub use run::Setting;

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
