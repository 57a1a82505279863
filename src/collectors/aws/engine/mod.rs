//! The engine: collects one account by the definitions.
//!
//! The account's own calls come first and verify the credentials. Then the pseudo region and the regions are collected
//! concurrently. In each, a bounded number of collectors runs, and every page of a listing becomes nodes at once. A
//! failed call skips its kind in its region and is reported as a gap.

mod account;
mod batch;
mod breaker;
mod build;
mod details;
pub(crate) mod eval;
pub(crate) mod fill;
mod kind;
mod location;
mod metrics;
mod price_list;
mod prices;
mod quotas;
mod target_groups;
mod types;
pub(crate) mod unseen;

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::{StreamExt, TryStreamExt, stream};
use time::OffsetDateTime;
use worker_proto::{Failure, FailureKind, Gap, Unit};

use self::{location::Location, prices::Prices, unseen::Unseen};
use super::{
    broker::Payload,
    client::{CallError, Client},
    definitions::Definitions,
    options::Options,
    provider,
    selection::global_region,
};
use crate::{
    collector_api::{BoxFuture, CollectContext, UnitGraph},
    graph::{Kind, NodeId, Schema},
};

/// The collector's name: the ID of its cloud, and the name of its kinds in the schema.
const CLOUD: &str = "aws";

/// One account's collection.
pub(crate) struct Run<'c> {
    context: &'c CollectContext,
    options: Options,
    client: Client,
    graph: UnitGraph,
    schema: &'static Schema,
    definitions: &'static Definitions,
    payload: Payload,
    /// `alias (id)`, the account's name in metrics.
    display: String,
    /// The time to which all fallbacks refer.
    now: OffsetDateTime,
    prices: Prices,
    /// The gaps reported so far: the same failure for a thousand users is one gap.
    reported: Mutex<HashSet<GapKey>>,
    unseen: Mutex<Unseen>,
}

/// The identity of a gap: region, service, operation and code. Two services may have an operation of the same name.
type GapKey = [String; 4];

/// Collects one account. All failures but these are gaps.
///
/// # Errors
/// `Credentials` if the account's credentials are rejected at the start, `Unavailable` if its name or its regions
/// cannot be determined, `Cancelled` if the session is ending, `Internal` for a bug.
pub(crate) async fn collect(context: &CollectContext, unit: &Unit) -> Result<(), Failure> {
    let payload = Payload::read(unit)?;
    let client = provider::client(context).await?;
    Run::new(context, payload, client)?.collect().await
}

impl<'c> Run<'c> {
    fn new(context: &'c CollectContext, payload: Payload, client: Client) -> Result<Self, Failure> {
        Ok(Self {
            context,
            options: Options::of(context.settings()),
            client,
            graph: UnitGraph::new(context.clone()),
            schema: super::schema().map_err(internal)?,
            definitions: Definitions::get().map_err(internal)?,
            display: payload.account.clone(),
            payload,
            now: OffsetDateTime::now_utc(),
            prices: Prices::default(),
            reported: Mutex::default(),
            unseen: Mutex::default(),
        })
    }

    async fn collect(mut self) -> Result<(), Failure> {
        let account = self.account().await?;
        let locations = self.locations(account).await?;
        self.record_uncollected(account, &locations);
        let parts = u32::try_from(locations.len()).unwrap_or(u32::MAX);
        let (run, done) = (&self, &AtomicU32::new(0));
        let futures = locations.iter().map(|location| -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(async move {
                location.collect(run).await?;
                run.context.progress(done.fetch_add(1, Ordering::Relaxed) + 1, parts);
                Ok(())
            })
        });
        at_most(self.options.region_pool, futures.collect()).await?;
        self.check_any_success(&locations)?;
        let unseen = self.send_unseen().await?;
        let report = self.graph.finish(&unseen).await?;
        tracing::info!(account = self.payload.account, edges = report.sent, "collected AWS account");
        Ok(())
    }

    /// Returns the pseudo region and the regions, with their nodes sent.
    async fn locations(&self, account: NodeId) -> Result<Vec<Location>, Failure> {
        let global = Location::global(global_region(&self.payload.partition));
        let mut locations = vec![global];
        locations.extend(self.regions(account).await?.iter().map(|region| Location::region(region)));
        for location in &mut locations {
            location.send_node(self, account).await?;
        }
        Ok(locations)
    }

    /// # Errors
    /// If no call for resources has succeeded: such an account was not collected.
    fn check_any_success(&self, locations: &[Location]) -> Result<(), Failure> {
        let failures: u32 = locations.iter().map(Location::failures).sum();
        if failures == 0 || locations.iter().any(Location::has_succeeded) {
            return Ok(());
        }
        let refusal = locations.iter().find_map(Location::first_failure);
        let what = format!("AWS account {}: none of its calls succeeded", self.payload.account);
        Err(refusal.map_or_else(|| internal(&what), |error| call_failure(&what, &error)))
    }

    fn lock_unseen(&self) -> MutexGuard<'_, Unseen> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_wanted(&self, collector: &str) -> bool {
        self.options.is_wanted(collector)
    }

    fn kind(&self, name: &str) -> Result<&'static Kind, Failure> {
        self.schema.kind(name).ok_or_else(|| internal(format!("there is no kind {name}")))
    }

    /// Reports a failed call. Each failure is counted, but the same failure in the same region is one gap.
    async fn report_failure(&self, label: &str, collector: &str, error: &CallError) -> Result<(), Failure> {
        let labels = [("account", self.display.as_str()), ("region", label), ("collector", collector)];
        self.context.count("plugin_aws_unhandled_collector_exceptions", &labels, 1).await?;
        let key = [label, &error.service, &error.operation, &error.code].map(str::to_owned);
        if !self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return Ok(());
        }
        let account = self.payload.account.as_str();
        tracing::debug!(account, region = label, collector, %error, "skipped a part of an AWS account");
        let gap = Gap {
            account: account.to_owned(),
            region: label.to_owned(),
            service: error.service.to_string(),
            operation: error.operation.to_string(),
            code: error.code.to_string(),
            message: error.message.to_string(),
        };
        self.context.gap(gap).await
    }
}

/// Runs futures, at most `limit` at a time; the first failure ends all.
async fn at_most(limit: usize, futures: Vec<BoxFuture<'_, Result<(), Failure>>>) -> Result<(), Failure> {
    gather(limit, futures).await.map(drop)
}

/// Runs futures, at most `limit` at a time, and returns their results in order of completion; the first failure ends
/// all.
async fn gather<T>(limit: usize, futures: Vec<BoxFuture<'_, Result<T, Failure>>>) -> Result<Vec<T>, Failure> {
    stream::iter(futures).buffer_unordered(limit.max(1)).try_collect().await
}

fn internal(reason: impl std::fmt::Display) -> Failure {
    Failure { kind: FailureKind::Internal, message: format!("AWS collector: {reason}") }
}

/// Returns the failure of a unit or an operation that cannot continue without the call.
pub(crate) fn call_failure(what: &str, error: &CallError) -> Failure {
    Failure { kind: error.kind.failure(), message: format!("{what}: {error}") }
}
