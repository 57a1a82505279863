//! A region, or the pseudo region of what an account has only once.

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
        super::BoxFuture,
        client::{CallError, CallErrorKind, Reply, Request, code},
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

/// How many collectors of a region run at the same time. More would only meet the API's limits sooner.
const COLLECTORS_AT_ONCE: usize = 4;

/// A region that has answered none of so many calls is not asked any further.
const UNANSWERED_CALLS: u32 = 4;

/// What a region as a whole is called in metrics.
const REGION: &str = "region";

/// The name of the pseudo region, and of its scope in references.
pub(crate) const GLOBAL: &str = "global";

/// A region or the pseudo region.
pub(crate) struct Location {
    /// The region that is called, and the id of the region node.
    pub(crate) region: String,
    /// The region's name, or `global`.
    pub(crate) label: String,
    /// What is listed here.
    pub(crate) scope: Scope,
    /// The region's node, once it was sent.
    pub(crate) node: NodeId,
    /// Why it is of no use to go on here, as in a region that is not enabled.
    ended: OnceLock<CallError>,
    /// The kinds that were not asked for after that.
    unasked: Mutex<Vec<&'static str>>,
    /// The operations that are of no use here.
    breakers: Breakers,
    /// Whether any listing was answered here.
    answered: AtomicBool,
    /// How many calls had no answer.
    unanswered: AtomicU32,
    /// How many losses were reported, and the first of them.
    losses: AtomicU32,
    first_loss: OnceLock<CallError>,
    /// The service quotas that were asked for here.
    pub(crate) quotas: Quotas,
    /// The reserved instances by type, once they were asked for; `None` if they could not be listed.
    pub(crate) reservations: OnceCell<Option<HashMap<String, i64>>>,
    /// The details of kinds, once they were asked for.
    pub(crate) details: DetailsCache,
    /// The target groups, once they were asked for.
    pub(crate) groups: OnceCell<TargetGroups>,
    shared: Mutex<HashMap<(String, String), SharedListing>>,
}

/// The pages of a listing that more than one collector needs, or why there are none.
type SharedListing = Arc<OnceCell<Result<Arc<Vec<Reply>>, CallError>>>;

impl Location {
    /// The pseudo region, served by `region`.
    pub(crate) fn global(region: &str) -> Self {
        Self::new(region, GLOBAL, Scope::Global)
    }

    /// A region.
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
            unasked: Mutex::default(),
            breakers: Breakers::default(),
            answered: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
            losses: AtomicU32::new(0),
            first_loss: OnceLock::new(),
            quotas: Quotas::default(),
            reservations: OnceCell::new(),
            details: DetailsCache::default(),
            groups: OnceCell::new(),
            shared: Mutex::default(),
        }
    }

    /// Sends the region's node and hangs it below the account.
    pub(crate) async fn announce(&mut self, run: &Run<'_>, account: NodeId) -> Result<(), Failure> {
        let mut resource = Resource::new(run.kind("aws_region")?, self.region.as_str());
        resource.name(self.label.as_str());
        let node = resource.finish(&self.ancestors(run)).map_err(internal)?;
        self.node = run.graph.add(node, Vec::new()).await?;
        run.graph.edge(End::Node(account), End::Node(self.node));
        Ok(())
    }

    /// The ancestors of what is collected here.
    pub(crate) fn ancestors<'a>(&'a self, run: &'a Run<'_>) -> Ancestors<'a> {
        Ancestors { cloud: CLOUD, account: &run.payload.account, region: &self.region, zone: UNDEFINED }
    }

    /// Collects all that is wanted here.
    pub(crate) async fn collect(&self, run: &Run<'_>) -> Result<(), Failure> {
        tracing::info!(account = run.payload.account, region = self.label, "collecting AWS");
        let futures =
            self.collectors(run).into_iter().map(|(collector, kinds)| -> BoxFuture<'_, Result<(), Failure>> {
                Box::pin(self.run(run, collector, kinds))
            });
        at_most(COLLECTORS_AT_ONCE, futures.collect()).await?;
        self.report_unasked(run).await
    }

    /// The collectors that have something here, each with its kinds in the order of definition.
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
            if self.is_refused() {
                run.unseen_kind(self, quota.kind.get_ref(), Vec::new(), self.node);
                continue;
            }
            quotas::announce(run, self, quota).await?;
        }
        for (service, definition) in kinds {
            if self.is_refused() {
                let kind: &str = definition.kind.get_ref();
                self.unasked.lock().unwrap_or_else(PoisonError::into_inner).push(kind);
                run.unseen(self, service, definition, self.node);
                continue;
            }
            KindCollection::new(run, self, service, definition)?.list(None).await?;
        }
        run.context.duration(&format!("plugin_aws_collect_{collector}"), started.elapsed()).await
    }

    /// The pages of a listing without parameters. It is asked for once, also if that fails: it has been tried often then.
    pub(crate) async fn shared(
        &self,
        run: &Run<'_>,
        service: &str,
        operation: &str,
    ) -> Result<Arc<Vec<Reply>>, CallError> {
        let cell = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shared.entry((service.to_owned(), operation.to_owned())).or_default())
        };
        let replies = cell.get_or_init(|| async {
            let mut pages = run.client.pages(Request::new(service, operation, &self.region));
            let mut replies = Vec::new();
            while let Some(page) = pages.next().await {
                let reply = page?;
                if !pages.is_empty() {
                    replies.push(reply);
                }
                self.answered(service, operation);
            }
            Ok(Arc::new(replies))
        });
        replies.await.clone()
    }

    /// Whether any call was answered here.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many losses were reported here so far.
    pub(crate) fn losses(&self) -> u32 {
        self.losses.load(Ordering::Relaxed)
    }

    /// The first of them.
    pub(crate) fn first_loss(&self) -> Option<CallError> {
        self.first_loss.get().cloned()
    }

    /// Whether nothing here can be collected any more.
    pub(crate) fn is_refused(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Whether a call is worth making here: not if the calls of its operation hang or are refused one after the other.
    pub(crate) fn allows(&self, service: &str, operation: &str, collector: &'static str) -> bool {
        self.breakers.allows(service, operation, collector)
    }

    /// Remembers that the region answers, and the operation.
    pub(crate) fn answered(&self, service: &str, operation: &str) {
        self.answered.store(true, Ordering::Relaxed);
        self.breakers.answered(service, operation);
    }

    /// Reports a failed call; refused credentials end the region with this one gap, and a region that has answered
    /// nothing so far ends after a few, as each waits for all its attempts.
    pub(crate) async fn lost(&self, run: &Run<'_>, collector: &str, error: &CallError) -> Result<(), Failure> {
        self.losses.fetch_add(1, Ordering::Relaxed);
        self.first_loss.get_or_init(|| error.clone());
        if error.rejects_credentials() && self.ended.set(error.clone()).is_err() {
            return Ok(());
        }
        self.breakers.failed(error);
        if error.kind == CallErrorKind::Unavailable && !self.answered.load(Ordering::Relaxed) {
            let unanswered = self.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
            if unanswered >= UNANSWERED_CALLS {
                // Only the first reason counts.
                let _ = self.ended.set(error.clone());
            }
        }
        run.lost(&self.label, collector, error).await
    }

    /// Reports what was not asked for: the kinds after the end of the region, and the calls of operations that were of no
    /// use.
    async fn report_unasked(&self, run: &Run<'_>) -> Result<(), Failure> {
        for SkippedCalls { service, operation, collector, message } in self.breakers.skipped() {
            run.lost(&self.label, collector, &skipped(&service, &operation, &self.region, message)).await?;
        }
        let Some(ended) = self.ended.get() else { return Ok(()) };
        let kinds = self.unasked.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        // A region that is not enabled refuses everybody and has nothing.
        let is_not_enabled = ended.rejects_credentials() && !self.answered.load(Ordering::Relaxed);
        if is_not_enabled || kinds.is_empty() {
            return Ok(());
        }
        let message = format!("nothing more was asked for here, which leaves out {kinds}");
        run.lost(&self.label, REGION, &skipped(&ended.service, &ended.operation, &self.region, message)).await
    }
}

/// Returns the error that stands for calls that were not made.
fn skipped(service: &str, operation: &str, region: &str, message: String) -> CallError {
    CallError::new(CallErrorKind::Unavailable, code::SKIPPED, message).of(service, operation, region)
}
