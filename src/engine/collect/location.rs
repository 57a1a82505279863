//! A location of an account, such as a region: its node, and the collection of the kinds that are listed in it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use tokio::sync::OnceCell;
use worker_proto::{Failure, Why};

use super::{
    super::{
        api::{Request, Response},
        breaker::{Breakers, SkippedCalls},
        cloud::Level,
        definition::{Definition, Service},
        error::CallError,
        eval::Named,
        slots::Slots,
        tree::Tree,
    },
    Run, at_most,
    details::DetailsCache,
    kind::{KindCollection, ParentItem},
    locations::Locations,
};
use crate::{
    collector_api::{BoxFuture, End},
    graph::{NodeId, Resource, Scope as Ancestors, UNDEFINED},
};

/// The collectors of a location that run at the same time. More would only be throttled sooner.
const COLLECTORS_AT_ONCE: usize = 4;

/// The name of the location itself in metrics.
const LABEL: &str = "region";

/// A location, as the cloud gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct LocationSpec {
    /// The scope of its level, and so of the kinds that are listed here.
    pub scope: &'static str,
    /// The ID by which items and calls name it, and that of its node, unless the node's kind has a definition.
    pub id: String,
    /// The name of its scope in references, of its gaps, and of its node, unless the node's kind has a definition:
    /// unique in the account.
    pub label: String,
    /// The label of the location that contains it; the account if `None`.
    pub within: Option<String>,
    /// The item from which its node is made, if the node's kind has a definition.
    pub item: Tree<'static>,
}

/// A location of an account.
pub struct Location {
    /// The region or other location that is called.
    pub region: String,
    /// The name, unique in the account.
    pub label: String,
    /// The node, once it was sent; the one above if the level has no nodes.
    pub node: NodeId,
    /// What hooks keep for the location.
    pub slots: Slots,
    level: &'static Level,
    /// The item of the node.
    item: Tree<'static>,
    /// The labels of the locations that contain it with their scopes, the nearest first.
    within: Vec<(&'static str, String)>,
    /// The IDs of the region and the zone, for the IDs of resources.
    ids: [String; 2],
    /// Why the location has ended, such as a disabled region.
    ended: OnceLock<CallError>,
    /// The kinds that were skipped after the end.
    skipped_kinds: Mutex<Vec<&'static str>>,
    /// The breakers of the operations and services.
    breakers: Breakers,
    /// Whether any call has succeeded here.
    succeeded: AtomicBool,
    /// The number of reported failures, and the first of them.
    failures: AtomicU32,
    first_failure: OnceLock<CallError>,
    /// The details of kinds, once they were requested.
    pub(super) details: DetailsCache,
    shared: Mutex<HashMap<(String, String), SharedListing>>,
}

/// The pages of a listing that several collectors need, or why it failed.
type SharedListing = Arc<OnceCell<Result<Arc<Vec<Response>>, CallError>>>;

impl Location {
    /// Returns a location. `before` are the locations before it, among them the one that contains it.
    ///
    /// # Errors
    /// `Internal` if the cloud has no such level, or the location that contains it is not among those before it.
    pub(super) fn new(run: &Run<'_>, spec: LocationSpec, before: &Locations) -> Result<Self, Failure> {
        let LocationSpec { scope, id, label, within, item } = spec;
        let level = run.cloud.level(scope).ok_or_else(|| run.internal(format!("there is no level {scope}")))?;
        let unknown = |within: &str| run.internal(format!("the location {label} is in an unknown one, {within}"));
        let find = |within: &str| before.iter().find(|location| location.label == within);
        let parent = within.map(|within| find(&within).ok_or_else(|| unknown(&within))).transpose()?;
        let mut ids = parent.map_or_else(|| [UNDEFINED.to_owned(), UNDEFINED.to_owned()], |parent| parent.ids.clone());
        if let Some(node) = level.node {
            ids[node.part as usize] = id.clone();
        }
        let within = parent.into_iter().flat_map(|parent| {
            std::iter::once((parent.level.scope, parent.label.clone())).chain(parent.within.iter().cloned())
        });
        Ok(Self {
            region: id,
            label,
            node: parent.map_or(NodeId([0; 16]), |parent| parent.node),
            slots: Slots::default(),
            level,
            item,
            within: within.collect(),
            ids,
            ended: OnceLock::new(),
            skipped_kinds: Mutex::default(),
            breakers: Breakers::default(),
            succeeded: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            first_failure: OnceLock::new(),
            details: DetailsCache::default(),
            shared: Mutex::default(),
        })
    }

    /// Sends the location's node as a child of the location that contains it, or of the account. `before` are the
    /// locations before it.
    pub(super) async fn send_node(
        &mut self,
        run: &Run<'_>,
        before: &Locations,
        account: NodeId,
    ) -> Result<(), Failure> {
        let parent = if self.within.is_empty() { account } else { self.node };
        let Some(node) = self.level.node else {
            self.node = parent;
            return Ok(());
        };
        let resource = self.resource(run, before, node.kind).await?;
        self.ids[node.part as usize] = resource.id().to_owned();
        let keys = run.keys(&resource, self);
        let node = resource.finish(&self.ancestors(run)).map_err(|error| run.internal(error))?;
        self.node = run.graph.add(node, keys).await?;
        run.graph.edge(End::Node(parent), End::Node(self.node));
        Ok(())
    }

    /// Returns the location's resource: from its item if the kind has a definition, else of ID and label alone.
    async fn resource(&self, run: &Run<'_>, before: &Locations, kind: &str) -> Result<Resource<'static>, Failure> {
        let Some((service, definition)) = run.cloud.find(kind) else {
            let mut resource = Resource::new(run.kind(kind)?, self.region.as_str());
            resource.name(self.label.as_str());
            return Ok(resource);
        };
        let collection = KindCollection::new(run, self, before, service, definition)?;
        let item = run.item(&self.item);
        let resource = collection.resource(&item, None).await?;
        resource.ok_or_else(|| run.internal(format!("the location {} has no ID", self.label)))
    }

    /// Lists the children of the node, if its kind has a definition.
    async fn list_children(&self, run: &Run<'_>, all: &Locations) -> Result<(), Failure> {
        let Some((service, definition)) = self.level.node.and_then(|node| run.cloud.find(node.kind)) else {
            return Ok(());
        };
        let collection = KindCollection::new(run, self, all, service, definition)?;
        let parent = ParentItem { item: &collection.plain(&self.item), node: self.node };
        collection.list_children(parent).await
    }

    /// Returns the item of the location's node, by the name that paths have for it.
    pub(super) fn named(&self) -> Named<'_> {
        Named::whole("location", &self.item)
    }

    /// Returns the scope of the kinds that are listed here.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        self.level.scope
    }

    /// Returns the label of the location of a level that contains this one.
    #[must_use]
    pub fn containing(&self, scope: &str) -> Option<&str> {
        self.within.iter().find(|(level, _)| *level == scope).map(|(_, label)| label.as_str())
    }

    /// Returns whether a location of this level and ID has the same name and is in the same location.
    pub(super) fn is_of(&self, spec: &LocationSpec) -> bool {
        self.label == spec.label && self.within.first().map(|(_, label)| label) == spec.within.as_ref()
    }

    /// Returns the ancestors of the resources here.
    #[must_use]
    pub fn ancestors<'a>(&'a self, run: &'a Run<'_>) -> Ancestors<'a> {
        let [region, zone] = &self.ids;
        Ancestors { cloud: run.cloud.name, account: run.account_id(), region, zone }
    }

    /// Collects all selected kinds here.
    pub(super) async fn collect(&self, run: &Run<'_>, all: &Locations) -> Result<(), Failure> {
        self.list_children(run, all).await?;
        let collectors = self.collectors(run);
        if !collectors.is_empty() {
            let (cloud, account) = (run.cloud.name, run.account_id());
            tracing::info!(cloud, account, region = self.label, "collecting location");
        }
        let futures = collectors.into_iter().map(|(collector, kinds)| -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(self.run(run, all, collector, kinds))
        });
        at_most(COLLECTORS_AT_ONCE, futures.collect()).await?;
        self.report_skipped(run).await
    }

    /// Returns the selected collectors with their kinds here, in the order of the definitions.
    fn collectors(&self, run: &Run<'_>) -> Vec<(&'static str, Vec<(&'static Service, &'static Definition)>)> {
        let mut collectors: Vec<(&'static str, Vec<_>)> = Vec::new();
        for (service, definition) in run.cloud.definitions.iter() {
            let is_here = definition.scope.get_ref() == self.level.scope && definition.parent.is_none();
            let named = definition.collector().filter(|collector| is_here && run.is_wanted(collector));
            let Some(collector) = named else { continue };
            match collectors.iter_mut().find(|(known, _)| *known == collector) {
                Some((_, kinds)) => kinds.push((service, definition)),
                None => collectors.push((collector, vec![(service, definition)])),
            }
        }
        collectors
    }

    async fn run(
        &self,
        run: &Run<'_>,
        all: &Locations,
        collector: &'static str,
        kinds: Vec<(&'static Service, &'static Definition)>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        for (service, definition) in kinds {
            if self.has_ended() || self.has_ended_service(&service.service) {
                self.skip_kind(&service.service, definition);
                run.unseen(self, all, service, definition, self.node);
                continue;
            }
            KindCollection::new(run, self, all, service, definition)?.list(None).await?;
        }
        run.context.duration(&format!("plugin_{}_collect_{collector}", run.cloud.name), started.elapsed()).await
    }

    /// Returns the pages of a listing without parameters. It is made once, also if it fails after its retries.
    ///
    /// # Errors
    /// The error of the call.
    pub async fn shared(&self, run: &Run<'_>, service: &str, operation: &str) -> Result<Arc<Vec<Response>>, CallError> {
        let cell = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shared.entry((service.to_owned(), operation.to_owned())).or_default())
        };
        let responses = cell.get_or_init(|| async {
            let mut pages = run.pages(Request::new(service, operation, &self.region));
            let mut responses = Vec::new();
            while let Some(page) = pages.next().await {
                let response = page?;
                if !pages.is_empty() || !response.partial()?.is_empty() {
                    responses.push(response);
                }
                self.record_success(service, operation);
            }
            Ok(Arc::new(responses))
        });
        responses.await.clone()
    }

    /// Returns whether any call has succeeded here.
    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Returns the number of reported failures.
    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns the first reported failure.
    pub(super) fn first_failure(&self) -> Option<CallError> {
        self.first_failure.get().cloned()
    }

    /// Returns the error with which the location has rejected the credentials.
    pub(super) fn rejection(&self) -> Option<&CallError> {
        self.ended.get().filter(|error| error.rejects_credentials())
    }

    /// Returns whether the location has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Returns whether no further call of a service is made here: it was given up, or it is not in use.
    #[must_use]
    pub fn has_ended_service(&self, service: &str) -> bool {
        self.breakers.has_ended(service)
    }

    /// Returns whether a service is not in use in the account, by its own answer, which no successful call contradicts.
    #[must_use]
    pub fn is_not_in_use(&self, service: &str) -> bool {
        self.breakers.is_not_in_use(service)
    }

    /// Returns why what a service would have listed here is missing.
    #[must_use]
    pub fn why(&self, service: &str) -> Why {
        self.breakers.why(service)
    }

    /// Records that a kind was not listed because the location or its service has ended.
    pub(super) fn skip_kind(&self, service: &str, definition: &'static Definition) {
        let kind = definition.kind.get_ref().as_str();
        match self.has_ended() {
            _ if definition.list.is_none() => {}
            true => self.skipped_kinds.lock().unwrap_or_else(PoisonError::into_inner).push(kind),
            false => self.breakers.skip_kind(service, kind),
        }
    }

    /// Returns whether a call may be made: not if the service has ended, or the breaker of its operation is open.
    #[must_use]
    pub fn allows(&self, service: &str, operation: &str, collector: &'static str) -> bool {
        self.breakers.allows(service, operation, collector)
    }

    /// Records a success of the location and the operation.
    pub fn record_success(&self, service: &str, operation: &str) {
        self.succeeded.store(true, Ordering::Relaxed);
        self.breakers.record_success(service, operation);
    }

    /// Reports a failed call. Rejected credentials end the location, with this one gap. A location or a service without
    /// any response ends after a few failures, as each call waits for all its attempts. A service whose calls all fail
    /// for the account ends with this one gap, and one that is not in use without a gap, unless a call has succeeded.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn report_failure(&self, run: &Run<'_>, collector: &str, error: &CallError) -> Result<(), Failure> {
        if error.facts.is_not_in_use && !self.breakers.has_succeeded(&error.service) {
            // It is a response, and no failure.
            self.succeeded.store(true, Ordering::Relaxed);
            if self.breakers.record_failure(error) {
                let (account, region) = (run.account_id(), &self.label);
                tracing::info!(cloud = run.cloud.name, account, region, %error, "the service is not in use");
            }
            return Ok(());
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.first_failure.get_or_init(|| error.clone());
        if error.rejects_credentials() && self.ended.set(error.clone()).is_err() {
            return Ok(());
        }
        if !self.breakers.record_failure(error) {
            return Ok(());
        }
        if !self.succeeded.load(Ordering::Relaxed) && self.breakers.is_unresponsive() {
            // The first reason is kept.
            let _ = self.ended.set(error.clone());
        }
        run.report_failure(&self.label, collector, error).await
    }

    /// Reports what was skipped: kinds after the end of the location or of a service, and calls after a breaker opened.
    async fn report_skipped(&self, run: &Run<'_>) -> Result<(), Failure> {
        for error in self.breakers.contradicted() {
            run.report_failure(&self.label, LABEL, &error).await?;
        }
        for (error, message) in self.breakers.given_up() {
            let error = CallError::skipped(&error.service, &error.operation, &self.region, message);
            run.report_failure(&self.label, LABEL, &error).await?;
        }
        for SkippedCalls { service, operation, collector, message } in self.breakers.skipped() {
            let error = CallError::skipped(&service, &operation, &self.region, message);
            run.report_failure(&self.label, collector, &error).await?;
        }
        let Some(ended) = self.ended.get() else { return Ok(()) };
        let kinds = self.skipped_kinds.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        // A location that is not enabled rejects all calls and has no resources.
        let is_not_enabled = ended.rejects_credentials() && !self.has_succeeded();
        if is_not_enabled || kinds.is_empty() {
            return Ok(());
        }
        let why = format!("the location was given up; skipped kinds: {kinds}");
        let error = CallError::skipped(&ended.service, &ended.operation, &self.region, why);
        run.report_failure(&self.label, LABEL, &error).await
    }
}
