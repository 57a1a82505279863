//! Cleanup: deletes what is marked for it, in an order that respects what depends on what.
//!
//! `plan` decides, with the order of kinds in `order`, and is pure; `run` has it done, and `reporter` tells the core as
//! it goes; `event_log` holds what the core does not know yet.

mod event_log;
mod order;
mod plan;
mod reporter;
mod run;
#[cfg(test)]
mod testing;

use std::time::Duration;

use self::run::{Cleaner, Setting};
use crate::{
    ckcore::{SubscriberId, Subscription},
    collector_api::BoxFuture,
    settings::{OptionGroup, OptionSpec, Settings},
    supervisor::actions::{Action, ActionContext, ActionLimits, ActionResult, Request},
};

/// The largest pool: a larger, mistyped number would exhaust the machine.
const MAX_POOL: u64 = 10_000;

static OPTIONS: OptionGroup = OptionGroup {
    name: "cleanup",
    heading: "Cleanup",
    options: &[
        OptionSpec::flag("cleanup", "Delete the resources that are marked for cleanup"),
        OptionSpec::integer(
            "cleanup-pool-size",
            10,
            (1, MAX_POOL),
            "Number of resources that are deleted at the same time",
        ),
        OptionSpec::flag("cleanup-dry-run", "Log the deletions of a cleanup without making them"),
    ],
    check: |_| Ok(()),
};

/// The action `cleanup` of the core. Without `--cleanup` it only says that nothing is deleted.
pub(super) struct Cleanup;

impl Action for Cleanup {
    fn name(&self) -> &'static str {
        OPTIONS.name
    }

    fn options(&self) -> &'static OptionGroup {
        &OPTIONS
    }

    fn subscriptions(&self) -> &'static [Subscription] {
        &[Subscription { subscriber: SubscriberId::Worker, action: "cleanup" }]
    }

    /// No resource is deleted twice at the same time.
    fn excludes(&self) -> &'static [&'static str] {
        &["cleanup"]
    }

    fn limits(&self) -> ActionLimits {
        ActionLimits { running: 1, waiting: 15, timeout: None, remedy: "raise --timeout" }
    }

    fn run(&self, request: Request, context: ActionContext) -> BoxFuture<'static, ActionResult> {
        Box::pin(async move { Cleaner::new(context).run(&request).await })
    }
}

impl Setting {
    fn new(settings: &Settings) -> Self {
        let pool = settings.integer("cleanup-pool-size").and_then(|pool| usize::try_from(pool).ok());
        Self {
            enabled: settings.flag("cleanup"),
            dry_run: settings.flag("cleanup-dry-run"),
            pool: pool.unwrap_or(1).max(1),
        }
    }
}

/// The first and the longest delay between retries of a request to the core.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
