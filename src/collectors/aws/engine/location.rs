//! A region, or the pseudo region of global resources.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    super::{
        client::{CallError, CallErrorKind, Request, Response, code},
        definitions::{Definition, Scope, Service},
    },
    CLOUD, Run, at_most,
    breaker::{Breakers, SkippedCalls},
    details::DetailsCache,
    internal,
    kind::KindCollection,
    quotas::{self, Quotas},
    target_groups::TargetGroups,
};
use crate::{
    collector_api::{BoxFuture, End},
    graph::{NodeId, Resource, Scope as Ancestors, UNDEFINED},
};

/// The collectors of a region that run at the same time. More would only be throttled sooner.
const COLLECTORS_AT_ONCE: usize = 4;

/// The failed calls after which a region without any response is given up.
const UNRESPONSIVE_CALLS: u32 = 4;

/// The name of the region itself in metrics.
const REGION: &str = "region";

/// The name of the pseudo region, and of its scope in references.
pub(crate) const GLOBAL: &str = "global";

/// A region or the pseudo region.
pub(crate) struct Location {
    /// The region that is called, and the ID of the region node.
    pub(crate) region: String,
    /// The region's name, or `global`.
    pub(crate) label: String,
    /// The scope of the kinds that are listed here.
    pub(crate) scope: Scope,
    /// The region's node, once it was sent.
    pub(crate) node: NodeId,
    /// Why the location has ended, such as a disabled region.
    ended: OnceLock<CallError>,
    /// The kinds that were skipped after the end.
    skipped_kinds: Mutex<Vec<&'static str>>,
    /// The breakers of the operations.
    breakers: Breakers,
    /// Whether any call has succeeded here.
    succeeded: AtomicBool,
    /// The number of calls without a response.
    unresponsive: AtomicU32,
    /// The number of reported failures, and the first of them.
    failures: AtomicU32,
    first_failure: OnceLock<CallError>,
    /// The service quotas, once they were requested.
    pub(crate) quotas: Quotas,
    /// The reserved instances by type, once they were listed; `None` if the list failed.
    pub(crate) reservations: OnceCell<Option<HashMap<String, i64>>>,
    /// The details of kinds, once they were requested.
    pub(crate) details: DetailsCache,
    /// The target groups, once they were listed.
    pub(crate) groups: OnceCell<TargetGroups>,
    shared: Mutex<HashMap<(String, String), SharedListing>>,
}

/// The pages of a listing that several collectors need, or why it failed.
type SharedListing = Arc<OnceCell<Result<Arc<Vec<Response>>, CallError>>>;

impl Location {
    /// Returns the pseudo region, whose calls go to `region`.
    pub(crate) fn global(region: &str) -> Self {
        Self::new(region, GLOBAL, Scope::Global)
    }

    /// Returns a region.
    pub(crate) fn region(region: &str) -> Self {
        Self::new(region, region, Scope::Region)
    }

    fn new(region: &str, label: &str, scope: Scope) -> Self {
        let (region, label) = (region.to_owned(), label.to_owned());
        Self {
            region,
            label,
            scope,
            node: NodeId([0; 16]),
            ended: OnceLock::new(),
            skipped_kinds: Mutex::default(),
            breakers: Breakers::default(),
            succeeded: AtomicBool::new(false),
            unresponsive: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            first_failure: OnceLock::new(),
            quotas: Quotas::default(),
            reservations: OnceCell::new(),
            details: DetailsCache::default(),
            groups: OnceCell::new(),
            shared: Mutex::default(),
        }
    }

    /// Sends the region's node as a child of the account.
    pub(crate) async fn send_node(&mut self, run: &Run<'_>, account: NodeId) -> Result<(), Failure> {
        let mut resource = Resource::new(run.kind("aws_region")?, self.region.as_str());
        resource.name(self.label.as_str());
        let node = resource.finish(&self.ancestors(run)).map_err(internal)?;
        self.node = run.graph.add(node, Vec::new()).await?;
        run.graph.edge(End::Node(account), End::Node(self.node));
        Ok(())
    }

    /// Returns the ancestors of the resources here.
    pub(crate) fn ancestors<'a>(&'a self, run: &'a Run<'_>) -> Ancestors<'a> {
        Ancestors { cloud: CLOUD, account: &run.payload.account, region: &self.region, zone: UNDEFINED }
    }

    /// Collects all selected kinds here.
    pub(crate) async fn collect(&self, run: &Run<'_>) -> Result<(), Failure> {
        tracing::info!(account = run.payload.account, region = self.label, "collecting AWS region");
        let futures =
            self.collectors(run).into_iter().map(|(collector, kinds)| -> BoxFuture<'_, Result<(), Failure>> {
                Box::pin(self.run(run, collector, kinds))
            });
        at_most(COLLECTORS_AT_ONCE, futures.collect()).await?;
        self.report_skipped(run).await
    }

    /// Returns the selected collectors with their kinds here, in the order of the definitions.
    fn collectors(&self, run: &Run<'_>) -> Vec<(&'static str, Vec<(&'static Service, &'static Definition)>)> {
        let mut collectors: Vec<(&'static str, Vec<_>)> = Vec::new();
        for (service, definition) in run.definitions.iter() {
            let Some(collector) = definition.collector() else { continue };
            if definition.scope != self.scope || definition.parent.is_some() || !run.is_wanted(collector) {
                continue;
            }
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
        collector: &'static str,
        kinds: Vec<(&'static Service, &'static Definition)>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let quotas = run.definitions.quotas();
        for quota in quotas.filter(|quota| quota.scope == self.scope && quota.collector.get_ref() == collector) {
            if self.has_ended() {
                run.unseen_kind(self, quota.kind.get_ref(), Vec::new(), self.node);
                continue;
            }
            quotas::send_node(run, self, quota).await?;
        }
        for (service, definition) in kinds {
            if self.has_ended() {
                let kind: &str = definition.kind.get_ref();
                self.skipped_kinds.lock().unwrap_or_else(PoisonError::into_inner).push(kind);
                run.unseen(self, service, definition, self.node);
                continue;
            }
            KindCollection::new(run, self, service, definition)?.list(None).await?;
        }
        run.context.duration(&format!("plugin_aws_collect_{collector}"), started.elapsed()).await
    }

    /// Returns the pages of a listing without parameters. It is made once, also if it fails after its retries.
    pub(crate) async fn shared(
        &self,
        run: &Run<'_>,
        service: &str,
        operation: &str,
    ) -> Result<Arc<Vec<Response>>, CallError> {
        let cell = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shared.entry((service.to_owned(), operation.to_owned())).or_default())
        };
        let responses = cell.get_or_init(|| async {
            let mut pages = run.client.pages(Request::new(service, operation, &self.region));
            let mut responses = Vec::new();
            while let Some(page) = pages.next().await {
                let response = page?;
                if !pages.is_empty() {
                    responses.push(response);
                }
                self.record_success(service, operation);
            }
            Ok(Arc::new(responses))
        });
        responses.await.clone()
    }

    /// Returns whether any call has succeeded here.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Returns the number of reported failures.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns the first reported failure.
    pub(crate) fn first_failure(&self) -> Option<CallError> {
        self.first_failure.get().cloned()
    }

    /// Returns whether the location has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Returns whether a call may be made: not if the breaker of its operation is open.
    pub(crate) fn allows(&self, service: &str, operation: &str, collector: &'static str) -> bool {
        self.breakers.allows(service, operation, collector)
    }

    /// Records a success of the location and the operation.
    pub(crate) fn record_success(&self, service: &str, operation: &str) {
        self.succeeded.store(true, Ordering::Relaxed);
        self.breakers.record_success(service, operation);
    }

    /// Reports a failed call. Rejected credentials end the region, with this one gap. A region without any response
    /// ends after a few failures, as each call waits for all its attempts.
    pub(crate) async fn report_failure(
        &self,
        run: &Run<'_>,
        collector: &str,
        error: &CallError,
    ) -> Result<(), Failure> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.first_failure.get_or_init(|| error.clone());
        if error.rejects_credentials() && self.ended.set(error.clone()).is_err() {
            return Ok(());
        }
        self.breakers.record_failure(error);
        if error.kind == CallErrorKind::Unavailable && !self.succeeded.load(Ordering::Relaxed) {
            let unresponsive = self.unresponsive.fetch_add(1, Ordering::Relaxed) + 1;
            if unresponsive >= UNRESPONSIVE_CALLS {
                // The first reason is kept.
                let _ = self.ended.set(error.clone());
            }
        }
        run.report_failure(&self.label, collector, error).await
    }

    /// Reports what was skipped: kinds after the end of the region, and calls after a breaker opened.
    async fn report_skipped(&self, run: &Run<'_>) -> Result<(), Failure> {
        for SkippedCalls { service, operation, collector, message } in self.breakers.skipped() {
            run.report_failure(&self.label, collector, &skipped(&service, &operation, &self.region, message)).await?;
        }
        let Some(ended) = self.ended.get() else { return Ok(()) };
        let kinds = self.skipped_kinds.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        // A disabled region rejects all calls and has no resources.
        let is_not_enabled = ended.rejects_credentials() && !self.succeeded.load(Ordering::Relaxed);
        if is_not_enabled || kinds.is_empty() {
            return Ok(());
        }
        let message = format!("the region was given up; skipped kinds: {kinds}");
        run.report_failure(&self.label, REGION, &skipped(&ended.service, &ended.operation, &self.region, message)).await
    }
}

/// Returns the error that stands for calls that were not made.
fn skipped(service: &str, operation: &str, region: &str, message: String) -> CallError {
    CallError::new(CallErrorKind::Unavailable, code::SKIPPED, message).of(service, operation, region)
}
