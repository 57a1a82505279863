//! One cleanup, from the query to the core to its answer.
//!
//! All resources are prepared, then deleted stage by stage. Results are reported to the core in small batches while the
//! cleanup runs, so that it knows them after a crash; a deletion that was not reported is repeated and finds nothing.
//!
//! A cleanup that has to end begins nothing more, but waits a while for what was begun: the next one may only begin
//! when no worker changes the same resources any more, and the core should know the results.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::sleep_until;
use worker_proto::{Failure, FailureKind, Outcome, Verb};

use super::{
    PAUSES,
    plan::{Item, Plan, needs_fields, plan},
    reporter::Reporter,
};
use crate::{
    ckcore::{CoreApi, CoreError, InfoLevel, ProgressPart, ProgressTree, StoredGraph, retry},
    collector_api::BoxFuture,
    supervisor::actions::{ActionContext, ActionResult, OperationRequest, Request, TargetCollectors},
};

/// The most that one deletion may take, its waiting included.
const DELETE_LIMIT: Duration = Duration::from_secs(3600);
/// The most that the preparation of one deletion may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(300);
/// How long it waits for what was begun once it has to end. What is open then is given up together with its worker.
const DRAIN: Duration = Duration::from_secs(30);
/// The part of a cleanup's time that is reserved for reports to the core.
const RESERVE: Duration = Duration::from_secs(20);

/// How cleanups are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Whether anything may be deleted (`--cleanup`).
    pub(super) enabled: bool,
    /// Whether what would be deleted is only logged (`--cleanup-dry-run`).
    pub(super) dry_run: bool,
    /// How many resources are deleted at the same time (`--cleanup-pool-size`).
    pub(super) pool: usize,
}

/// One cleanup, before it has a plan.
pub(super) struct Cleaner {
    setting: Setting,
    context: ActionContext,
}

/// The outcome of a cleanup.
#[derive(Default)]
struct Tally {
    deleted: usize,
    failed: usize,
    refused: usize,
}

impl Cleaner {
    pub(super) fn new(context: ActionContext) -> Self {
        Self { setting: Setting::new(context.settings()), context }
    }

    /// Cleans up.
    pub(super) async fn run(self, request: &Request) -> ActionResult {
        if !self.setting.enabled {
            let text = "nothing was cleaned up: ckworker runs without --cleanup";
            let action = request.key().map_or_else(String::new, ToString::to_string);
            tracing::error!(peer = "work", action, "{text}");
            self.context.info(InfoLevel::Error, text);
            return Ok(Value::Null);
        }
        let began = Instant::now();
        let result = self.clean().await;
        self.context.metrics().duration("cleanup", began.elapsed().as_secs_f64());
        result.map(|()| Value::Null)
    }

    async fn clean(&self) -> Result<(), String> {
        let api = self.context.core();
        let found = tokio::select! {
            found = self.query(&api) => found,
            () = self.context.cancelled() => return Err("stopped before anything was cleaned up".to_owned()),
        };
        let graph = found.map_err(|error| format!("cannot query the resources to clean up: {error}"))?;
        let mut plan = planned(graph, Arc::clone(self.context.targets())).await;
        if self.setting.dry_run {
            dry_run(&plan);
            return Ok(());
        }
        let reporter = Reporter::new(api, self.context.cancellation().clone(), std::mem::take(&mut plan.logs));
        let mut run = CleanupRun::new(self, reporter, &plan);
        run.refuse(&plan);
        run.all(&plan).await;
        run.end().await
    }

    /// Queries the resources to clean up; transient failures are retried.
    async fn query(&self, api: &CoreApi) -> Result<StoredGraph, CoreError> {
        let clouds: Vec<String> = self.context.targets().keys().map(|cloud| (*cloud).to_owned()).collect();
        retry(self.context.deadline(), PAUSES, "query of the nodes to clean up", || {
            api.nodes_to_clean(&clouds, needs_fields)
        })
        .await
    }
}

/// Planning takes a while for a large graph, and others wait for this thread.
async fn planned(graph: StoredGraph, targets: Arc<TargetCollectors>) -> Plan {
    tokio::task::spawn_blocking(move || plan(&graph, &targets)).await.unwrap_or_default()
}

fn dry_run(plan: &Plan) {
    for item in plan.items() {
        let target = &item.target;
        let region = target.region.as_ref().map_or("-", |region| &region.id);
        tracing::info!(account = target.account.id, region, resource = target.label(), "would be deleted (dry run)");
    }
    for refusal in &plan.refused {
        tracing::info!(resource = refusal.label, reason = refusal.reason, "would not be deleted (dry run)");
    }
}

/// A cleanup under way.
struct CleanupRun<'a> {
    cleanup: &'a Cleaner,
    /// When everything but telling the core has to be over.
    deadline: Instant,
    reporter: Reporter,
    tally: Tally,
    total: usize,
    /// Set when the cleanup has to end: until when it waits for operations in progress.
    stopping: Option<Instant>,
    /// By node: what preparations detached from resources that are not deleted yet.
    detached: BTreeMap<String, Vec<String>>,
}

impl<'a> CleanupRun<'a> {
    fn new(cleanup: &'a Cleaner, reporter: Reporter, plan: &Plan) -> Self {
        let deadline = cleanup.context.deadline();
        Self {
            cleanup,
            deadline: deadline.checked_sub(RESERVE).unwrap_or(deadline),
            reporter,
            tally: Tally::default(),
            total: plan.items().count(),
            stopping: None,
            detached: BTreeMap::new(),
        }
    }

    fn refuse(&mut self, plan: &Plan) {
        for refusal in &plan.refused {
            tracing::warn!(
                resource = refusal.label,
                reason = refusal.reason,
                "resource is marked for cleanup and was rejected"
            );
            self.reporter.event_log.log(&refusal.node, &format!("Not cleaned up: {}", refusal.reason), None);
            self.tally.refused += 1;
        }
    }

    async fn all(&mut self, plan: &Plan) {
        tracing::info!(resources = self.total, stages = plan.stages.len(), "cleaning up");
        self.stage(plan.items().collect(), &Verb::PreDelete).await;
        for stage in &plan.stages {
            if self.stopping.is_some() {
                return;
            }
            self.stage(stage.iter().collect(), &Verb::Delete).await;
        }
    }

    /// Carries out the operations of one stage, a bounded number at a time, and returns when all have ended.
    async fn stage(&mut self, items: Vec<&Item>, verb: &Verb) {
        let cleanup = self.cleanup;
        let deadline = self.deadline;
        let mut operations: Vec<BoxFuture<'_, _>> = Vec::with_capacity(items.len());
        for item in items {
            operations.push(Box::pin(async move {
                let began = Instant::now();
                let outcome = operate(cleanup, item, verb, deadline).await;
                (item, outcome, began.elapsed())
            }));
        }
        let mut results = stream::iter(operations).buffer_unordered(cleanup.setting.pool.max(1));
        loop {
            let stopping = self.stopping;
            tokio::select! {
                result = results.next() => match result {
                    Some((item, outcome, took)) => self.ended(item, verb, outcome, took),
                    None => break,
                },
                _ = self.reporter.turn() => self.progress(),
                () = cleanup.context.cancelled(), if stopping.is_none() => {
                    self.stopping = Some(Instant::now() + DRAIN);
                }
                () = sleep_until(stopping.unwrap_or(deadline).into()), if stopping.is_some() => break,
            }
        }
    }

    fn ended(&mut self, item: &Item, verb: &Verb, outcome: Outcome, took: Duration) {
        let (stage, what) = match verb {
            Verb::PreDelete => ("pre_", "run pre clean up"),
            _ => ("", "clean up"),
        };
        let is_delete = *verb == Verb::Delete;
        let is_stopping = self.cleanup.context.is_cancelled();
        if !is_delete && matches!(outcome, Outcome::Nothing(_)) || is_stopping && is_cancelled(&outcome) {
            return;
        }
        let resource = item.target.label();
        self.reporter.event_log.log(&item.node, &format!("Trying to {what}"), None);
        match outcome {
            Outcome::Done | Outcome::Changed(_) if is_delete => {
                tracing::info!(resource, account = item.target.account.id, "deleted");
                self.reporter.event_log.log(&item.node, "Successfully cleaned up", None);
                self.reporter.event_log.cleaned(&item.node);
                self.detached.remove(&item.node);
                self.tally.deleted += 1;
                self.cleanup.context.metrics().duration("resource_cleanup", took.as_secs_f64());
            }
            Outcome::Done | Outcome::Changed(_) => {
                self.reporter.event_log.log(&item.node, "Successfully ran pre clean up", None)
            }
            Outcome::Detached(removed) => {
                self.reporter.event_log.log(&item.node, "Successfully ran pre clean up", None);
                self.reporter.event_log.log(
                    &item.node,
                    &format!("Removed for the deletion: {}", listed(&removed)),
                    None,
                );
                self.detached.insert(item.node.clone(), removed);
            }
            Outcome::Nothing(why) => {
                tracing::warn!(resource, why, "not deleted");
                self.reporter.event_log.log(&item.node, &format!("Failed to clean up: {why}"), None);
                self.tally.failed += 1;
            }
            Outcome::Failed(failure) => {
                tracing::error!(resource, error = failure.message, "cannot {what} a resource");
                let text = if is_delete { "clean up" } else { "pre clean up" };
                let message = format!("An error occurred during {text}");
                self.reporter.event_log.log(&item.node, &message, Some(&failure.message));
                self.tally.failed += usize::from(is_delete);
                self.count(item, stage);
            }
        }
    }

    fn count(&self, item: &Item, stage: &'static str) {
        let target = &item.target;
        let account = target.account.name.as_deref().unwrap_or(&target.account.id);
        let region = target.region.as_ref().map_or("undefined", |region| &region.id);
        let labels =
            [("cloud", target.cloud.as_str()), ("account", account), ("region", region), ("kind", &target.kind)];
        self.cleanup.context.metrics().resource_exception(stage, labels);
    }

    fn progress(&self) {
        let done = self.tally.deleted + self.tally.failed;
        let part = ProgressPart {
            path: Vec::new(),
            name: "resources".into(),
            current: done as u64,
            total: self.total.max(1) as u64,
        };
        let tree = ProgressTree { name: "cleanup".into(), parts: vec![part] };
        self.cleanup.context.progress(&tree);
    }

    /// Reports the remaining results to the core within the deadline, and returns the answer to the action.
    async fn end(mut self) -> Result<(), String> {
        self.progress();
        for (node, removed) in std::mem::take(&mut self.detached) {
            let text = format!("Not deleted, and without what was removed for it: {}", listed(&removed));
            tracing::warn!(
                node,
                removed = listed(&removed),
                "resource was not deleted, but parts of it were removed for the deletion"
            );
            self.reporter.event_log.log(&node, &text, None);
        }
        self.reporter.finish(self.deadline + RESERVE).await;
        let Tally { deleted, failed, refused } = self.tally;
        let mut text = format!("{deleted} resources deleted, {failed} failed, {refused} refused");
        tracing::info!(deleted, failed, refused, "cleaned up");
        if self.stopping.is_some() || self.cleanup.context.is_cancelled() {
            let left = self.total.saturating_sub(deleted + failed);
            return Err(format!("stopped during the cleanup: {text}, {left} left for the next one"));
        }
        let untold = self.reporter.event_log.open() + self.reporter.event_log.discarded();
        if untold > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "; the core could not be told about {untold} of them");
            return Err(text);
        }
        let level = if failed > 0 { InfoLevel::Error } else { InfoLevel::Info };
        self.cleanup.context.info(level, &text);
        Ok(())
    }
}

/// Joins the descriptions of what was detached.
fn listed(removed: &[String]) -> String {
    removed.join("; ")
}

fn is_cancelled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Cancelled)
}

/// Carries out an operation on a resource, unless the cleanup has to stop before a worker began it.
async fn operate(cleanup: &Cleaner, item: &Item, verb: &Verb, deadline: Instant) -> Outcome {
    let failed = |kind, message| Outcome::Failed(Failure { kind, message });
    if cleanup.context.is_cancelled() {
        return failed(FailureKind::Cancelled, "the cleanup has to end".into());
    }
    let target = match serde_json::to_string(&item.target) {
        Ok(target) => target,
        Err(error) => return failed(FailureKind::Internal, error.to_string()),
    };
    let limit = if *verb == Verb::Delete { DELETE_LIMIT } else { PREPARE_LIMIT };
    let (unit, verb) = (item.unit.clone(), verb.clone());
    let request = OperationRequest { collector: item.collector, unit, verb, target, limit, deadline };
    cleanup.context.operate(request).await
}
