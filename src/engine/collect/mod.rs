//! Collects one account by the definitions.
//!
//! The account's own calls come first and verify the credentials. Then all locations are collected concurrently. In
//! each, a bounded number of collectors runs, and every page of a listing becomes nodes at once. A failed call skips
//! its kind in its location and is reported as a gap.

mod account;
mod batch;
mod build;
mod described;
mod details;
mod in_all;
mod item_calls;
mod kind;
mod location;
mod locations;
mod parameters;
mod partial;
mod traced;
mod unseen;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::{StreamExt, TryStreamExt, stream};
use time::OffsetDateTime;
use worker_proto::{Failure, FailureKind, Gap, Why};

pub(crate) use self::locations::Locations;
pub use self::{
    location::{Location, LocationSpec},
    unseen::{UnknownParts, uncollected_kinds},
};
use self::{traced::Traced, unseen::Unseen};
use super::{
    api::{Api, Request, Response},
    cloud::Cloud,
    error::{CallError, call_failure},
    eval::{Item, Named},
    hook::HookContext,
    pages::Pages,
    slots::Slots,
    tree::Tree,
};
use crate::{
    collector_api::{BoxFuture, CollectContext, UnitGraph},
    graph::{Kind, NodeId},
};

/// What is collected of an account, by the user's options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The names of the selected collectors; all if empty.
    pub collect: Vec<String>,
    /// The names of the excluded collectors.
    pub exclude: Vec<String>,
    /// The names of the collectors that are not part of all.
    pub only_if_named: Vec<String>,
    /// Whether only some of the account's locations were selected.
    pub has_some_locations: bool,
    /// The locations that are collected at the same time, at least 1.
    pub locations_at_once: usize,
    /// Whether the core keeps what is not selected.
    pub keep_uncollected: bool,
}

impl Selection {
    /// Returns whether the collector with this name is selected.
    #[must_use]
    pub fn is_wanted(&self, name: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|known| known == name);
        let is_selected = if self.collect.is_empty() { !has(&self.only_if_named) } else { has(&self.collect) };
        is_selected && !self.is_excluded(name)
    }

    /// Returns whether this name is excluded.
    #[must_use]
    pub fn is_excluded(&self, name: &str) -> bool {
        self.exclude.iter().any(|excluded| excluded == name)
    }
}

/// The account to collect.
pub trait Account: Send + Sync {
    /// Returns the account's ID.
    fn id(&self) -> &str;

    /// Returns the item from which the account's node is made, with the calls of its definition.
    fn item(&self) -> Tree<'static>;

    /// Returns whether the item has the account's ID alone, as its details could not be read. What the item would tell is
    /// unknown then.
    fn is_known_by_id(&self) -> bool {
        false
    }

    /// Returns values that paths find by name in every item, such as the user's options.
    fn constants(&self) -> Vec<(&'static str, Tree<'static>)> {
        Vec::new()
    }

    /// Returns the location of the account's own calls.
    fn own_location(&self) -> LocationSpec;

    /// Returns whether the user's options select a location of a level with this ID. What a list has of others is left
    /// out.
    fn selects(&self, _scope: &str, _id: &str) -> bool {
        true
    }

    /// Returns whether all locations have the same login, so that the account fails if one of them rejects it.
    fn has_one_login(&self) -> bool {
        false
    }

    /// Returns whether paths of the definitions that lead to nothing in all items are named, as in definitions of users.
    fn traces_paths(&self) -> bool {
        false
    }

    /// Returns the kinds that are known only at run time, as the beginning of their names with a final `*`.
    fn other_kinds(&self) -> Option<&'static str> {
        None
    }

    /// Collects what no definition lists, after all locations: edges that need all of them, and kinds that are known only
    /// at run time. The context is that of the account's own location.
    fn collect_others<'a>(&'a self, _context: HookContext<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    /// Returns the locations to collect, each after the one that contains it.
    fn locations<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>>;
}

/// One account's collection.
pub struct Run<'c> {
    /// The cloud.
    pub cloud: &'static Cloud,
    /// The options.
    pub selection: Selection,
    /// The account's graph.
    pub graph: UnitGraph,
    /// The time to which all fallbacks refer.
    pub now: OffsetDateTime,
    /// What hooks keep for the account.
    pub slots: Slots,
    /// The interface of the unit.
    pub context: &'c CollectContext,
    account: &'c dyn Account,
    /// See [`Account::constants`].
    constants: Vec<(&'static str, Tree<'static>)>,
    api: Arc<dyn Api>,
    /// `name (id)`, the account's name in metrics.
    display: String,
    /// The gaps reported so far: the same failure for a thousand users is one gap.
    reported: Mutex<HashSet<GapKey>>,
    unseen: Mutex<Unseen>,
    /// Why the account may have more locations than the collected ones.
    unseen_locations: Mutex<Option<Why>>,
    /// Whether that was known before anything was collected.
    has_unlisted_locations: bool,
    /// See [`Account::traces_paths`].
    traced: Option<Traced>,
}

/// The identity of a gap: location, service, operation and code. Two services may have an operation of the same name.
type GapKey = [String; 4];

impl<'c> Run<'c> {
    /// Returns the collection of an account.
    #[must_use]
    pub fn new(
        context: &'c CollectContext,
        cloud: &'static Cloud,
        account: &'c dyn Account,
        api: Arc<dyn Api>,
        selection: Selection,
    ) -> Self {
        Self {
            cloud,
            selection,
            graph: UnitGraph::new(context.clone()).naming(cloud.definitions.named()),
            now: OffsetDateTime::now_utc(),
            slots: Slots::default(),
            context,
            account,
            constants: account.constants(),
            api,
            display: account.id().to_owned(),
            reported: Mutex::default(),
            unseen: Mutex::default(),
            unseen_locations: Mutex::default(),
            has_unlisted_locations: false,
            traced: account.traces_paths().then(Traced::default),
        }
    }

    /// Collects the account. All failures but these are gaps.
    ///
    /// # Errors
    /// `Credentials` if the account's credentials are rejected at the start, or its only login later, `Unavailable` if its
    /// name or its locations cannot be determined, `Cancelled` if the session is ending, `Internal` for a bug.
    pub async fn collect(mut self) -> Result<(), Failure> {
        let account = self.send_account().await?;
        let locations = self.locations(account).await?;
        self.has_unlisted_locations = self.unseen_locations.get_mut().is_ok_and(|why| why.is_some());
        self.record_uncollected(&locations);
        let parts = u32::try_from(locations.iter().len()).unwrap_or(u32::MAX);
        let (run, done, all) = (&self, &AtomicU32::new(0), &locations);
        let futures = locations.iter().map(|location| -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(async move {
                location.collect(run, all).await?;
                run.context.progress(done.fetch_add(1, Ordering::Relaxed) + 1, parts);
                Ok(())
            })
        });
        at_most(self.selection.locations_at_once, futures.collect()).await?;
        if let Some(location) = locations.iter().next() {
            let (run, locations, input) = (&self, &locations, &toml::Table::new());
            self.account.collect_others(HookContext { run, location, locations, input }).await?;
        }
        self.check_any_success(&locations)?;
        self.check_login(&locations)?;
        self.record_unseen_locations(account, &locations);
        let mut unseen = self.send_unseen().await?;
        unseen.extend(self.send_in_all().await?);
        self.traced.iter().for_each(|traced| traced.report(self.cloud.name, self.account.id()));
        let report = self.graph.finish(&unseen.iter().map(|kind| &**kind).collect()).await?;
        let (cloud, account) = (self.cloud.name, self.account.id());
        tracing::info!(cloud, account, edges = report.sent, "collected account");
        Ok(())
    }

    /// Returns the account's ID.
    #[must_use]
    pub fn account_id(&self) -> &str {
        self.account.id()
    }

    /// Returns an item of which nothing is known yet but the constants.
    pub(super) fn item<'t>(&'t self, tree: &'t Tree<'t>) -> Item<'t> {
        Item { tree, named: self.constants().collect(), failed: Vec::new() }
    }

    /// Iterates over the constants of all items.
    pub(super) fn constants(&self) -> impl Iterator<Item = Named<'_>> {
        self.constants.iter().map(|(name, value)| Named::whole(name, value))
    }

    /// Returns whether the user's options select a location of a level with this ID.
    pub(super) fn selects(&self, scope: &str, id: &str) -> bool {
        self.account.selects(scope, id)
    }

    /// Returns the API with the account's credentials.
    #[must_use]
    pub fn api(&self) -> &dyn Api {
        &*self.api
    }

    /// Makes a call.
    ///
    /// # Errors
    /// The service's error, or the reason for its absence.
    pub async fn call(&self, request: Request<'_>) -> Result<Response, CallError> {
        self.api.call(request).await
    }

    /// Returns the pages of a call; nothing is sent before the first [`Pages::next`].
    #[must_use]
    pub fn pages(&self, request: Request<'_>) -> Pages<'_> {
        Pages::new(&*self.api, request)
    }

    /// Returns the locations, with their nodes sent.
    async fn locations(&self, account: NodeId) -> Result<Locations, Failure> {
        let mut locations = Locations::default();
        for spec in self.account.locations(self).await? {
            // A page of a list may repeat what an earlier one has.
            if locations.find(spec.scope, &spec.id).is_some_and(|known| known.is_of(&spec)) {
                continue;
            }
            let mut location = Location::new(self, spec, &locations)?;
            location.send_node(self, &locations, account).await?;
            locations.push(location).map_err(|why| self.internal(why))?;
        }
        Ok(locations)
    }

    /// # Errors
    /// If no call for resources has succeeded: such an account was not collected.
    fn check_any_success(&self, locations: &Locations) -> Result<(), Failure> {
        let failures: u32 = locations.iter().map(Location::failures).sum();
        if failures == 0 || locations.iter().any(Location::has_succeeded) {
            return Ok(());
        }
        let refusal = locations.iter().find_map(Location::first_failure);
        let what = self.message("none of its calls succeeded");
        Err(refusal.map_or_else(|| self.internal(&what), |error| call_failure(&what, &error)))
    }

    /// # Errors
    /// If the account's only login was rejected: what came after that was not seen.
    fn check_login(&self, locations: &Locations) -> Result<(), Failure> {
        let rejected = locations.iter().find_map(Location::rejection).filter(|_| self.account.has_one_login());
        let failed =
            |error| call_failure(&self.message("its credentials were rejected and could not be renewed"), error);
        rejected.map_or(Ok(()), |error| Err(failed(error)))
    }

    /// Returns a message about the account.
    #[must_use]
    pub fn message(&self, what: &str) -> String {
        format!("{} account {}: {what}", self.cloud.title, self.account.id())
    }

    fn lock_unseen(&self) -> MutexGuard<'_, Unseen> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the collector with this name is selected.
    #[must_use]
    pub fn is_wanted(&self, collector: &str) -> bool {
        self.selection.is_wanted(collector)
    }

    /// Returns a kind.
    ///
    /// # Errors
    /// `Internal` if the schema does not have it.
    pub fn kind(&self, name: &str) -> Result<&'static Kind, Failure> {
        self.cloud.schema.kind(name).ok_or_else(|| self.internal(format!("there is no kind {name}")))
    }

    /// Returns the failure of a bug.
    #[must_use]
    pub fn internal(&self, reason: impl std::fmt::Display) -> Failure {
        Failure { kind: FailureKind::Internal, message: format!("{} collector: {reason}", self.cloud.title) }
    }

    /// Reports a failed call. Each failure is counted, but the same failure in the same region is one gap.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn report_failure(&self, label: &str, collector: &str, error: &CallError) -> Result<(), Failure> {
        let labels = [("account", self.display.as_str()), ("region", label), ("collector", collector)];
        let counter = format!("plugin_{}_unhandled_collector_exceptions", self.cloud.name);
        self.context.count(&counter, &labels, 1).await?;
        let key = [label, &error.service, &error.operation, &error.code].map(str::to_owned);
        if !self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return Ok(());
        }
        let (cloud, account) = (self.cloud.name, self.account.id());
        tracing::debug!(cloud, account, region = label, collector, %error, "skipped a part of an account");
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
pub(crate) async fn at_most(limit: usize, futures: Vec<BoxFuture<'_, Result<(), Failure>>>) -> Result<(), Failure> {
    gather(limit, futures).await.map(drop)
}

/// Runs futures, at most `limit` at a time, and returns their results in order of completion; the first failure ends
/// all.
pub(crate) async fn gather<T>(
    limit: usize,
    futures: Vec<BoxFuture<'_, Result<T, Failure>>>,
) -> Result<Vec<T>, Failure> {
    stream::iter(futures).buffer_unordered(limit.max(1)).try_collect().await
}
