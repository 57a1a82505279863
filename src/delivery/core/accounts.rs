//! Delivery to a core that replaces accounts: one merge for each account that was collected.
//!
//! An account that failed is not sent, and stays in the core as it was. A graph is complete and checked before its
//! request begins, because such a core counts the requests of a task and waits for all of them.
//!
//! The edges between accounts are sent with a cloud's last account, when it is known which accounts were not sent: the
//! core's edges of these are sent again. If these cannot be read, no edge between accounts is sent, and the core keeps
//! those that it has.

use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    CloudUnits, CollectorReport, CoreApi, Delivered, Delivery, DeliveryError, MERGING, MODEL_DUMP, Merged, MergedGraph,
    Metrics, PAUSES, PathBuf, RunReport, blocking,
    carry_over::{KnownAccount, Past},
    dump_file, failed, group, nothing, retry, upload,
};
use crate::graph::{CompleteUnit, OutwardLines, lean_model_json};

/// The divisor of the time left that gives the timeout for reading the edges of accounts that are not sent.
const UNSENT_PART: u32 = 2;

/// The timeout for all deletions of departed accounts; the next run continues with the rest.
const DEPARTED_TIMEOUT: Duration = Duration::from_secs(60);

/// One delivery, account by account.
struct Accounts<'a> {
    api: &'a CoreApi,
    past: Past<'a>,
    deadline: Instant,
    task: Option<&'a str>,
    ignore_deferred: bool,
    dump: Option<&'a Path>,
    metrics: &'a Arc<Metrics>,
    delivered: Delivered,
    /// The number of delivered accounts.
    arrived: usize,
}

/// Delivers each account, and returns what arrived. If the core rejects an account, the others are delivered all the
/// same.
pub(super) async fn to_core(
    api: &CoreApi,
    delivery: Delivery,
    ignore_deferred: bool,
    dump: Option<PathBuf>,
    metrics: &Arc<Metrics>,
    past: Past<'_>,
) -> Result<Delivered, DeliveryError> {
    let Delivery { report, units, deadline, task, .. } = delivery;
    log_failed(&report);
    let model = super::model(past.registry, &units, lean_model_json)?;
    let clouds = group(report.collectors.iter(), units);
    if clouds.iter().all(|cloud| cloud.units.is_empty()) {
        return Err(nothing());
    }
    if let Some(folder) = &dump {
        dump_file(folder, MODEL_DUMP, &|out| out.write_all(&model));
    }
    upload::prepare(api, model, deadline).await.map_err(|error| failed(error.to_string()))?;
    let (task, dump, delivered) = (task.as_deref(), dump.as_deref(), Delivered::default());
    let mut accounts = Accounts { api, past, deadline, task, ignore_deferred, dump, metrics, delivered, arrived: 0 };
    for cloud in clouds {
        let collector = report.collectors.iter().find(|collector| collector.name == cloud.name);
        accounts.cloud(cloud, collector).await;
    }
    let Accounts { mut delivered, arrived, past, .. } = accounts;
    if delivered.left_out.is_empty() {
        forget_departed(&past, &report).await;
    }
    (delivered.kept, delivered.gaps) = (past.kept, past.gaps);
    if arrived == 0 {
        let reasons: Vec<String> =
            delivered.left_out.iter().map(|(cloud, reason)| format!("{cloud}: {reason}")).collect();
        return Err(failed(reasons.join("; ")));
    }
    // The root.
    delivered.nodes += 1;
    Ok(delivered)
}

/// An account with its graph.
struct Prepared {
    id: String,
    label: String,
    graph: MergedGraph,
    /// The edges to and from nodes of other accounts.
    outward: Vec<u8>,
}

/// The accounts of a cloud that were sent.
struct Sent {
    cloud: String,
    accounts: HashSet<String>,
    /// The edges that they declare to and from nodes of other accounts, or the reason why these cannot be sent.
    outward: Result<OutwardLines, String>,
    /// The accounts that were not delivered, with the reason.
    refused: Vec<String>,
}

impl Accounts<'_> {
    async fn cloud(&mut self, cloud: CloudUnits, collector: Option<&CollectorReport>) {
        self.past.begin(&cloud);
        let CloudUnits { name, units } = cloud;
        let outward = Ok(OutwardLines::new(&self.past.spool));
        let mut sent = Sent { cloud: name, accounts: HashSet::new(), outward, refused: Vec::new() };
        // An account waits until the next one is prepared, so that the last one can be sent.
        let mut waiting: Option<Prepared> = None;
        for unit in units {
            let label = unit.account().label.clone();
            match self.prepare(&sent.cloud, unit).await {
                Ok(next) => {
                    if let Some(account) = waiting.replace(next) {
                        self.send(account, &mut sent).await;
                    }
                }
                Err(error) => sent.refuse(&label, &error),
            }
        }
        if let Some(mut last) = waiting {
            match self.outward(&mut last, collector, &mut sent).await {
                Ok(lines) => last.graph.add_outward(lines),
                Err(reason) => {
                    tracing::error!(cloud = sent.cloud, reason, "the edges between accounts could not be delivered");
                    sent.refused.push(format!("edges between accounts: {reason}"));
                }
            }
            self.send(last, &mut sent).await;
        }
        // The cloud.
        self.delivered.nodes += 1;
        if !sent.refused.is_empty() {
            let reasons = sent.refused.join("; ");
            let reason = format!("could not be delivered, and stays in the core as it is: {reasons}");
            self.delivered.left_out.push((sent.cloud, reason));
        }
    }

    /// Completes an account and merges its graph.
    async fn prepare(&mut self, cloud: &str, unit: CompleteUnit) -> Result<Prepared, DeliveryError> {
        let account = unit.account().clone();
        let (unit, part) = self.past.complete(cloud, unit).await.map_err(failed)?;
        let units: Vec<CompleteUnit> = [Some(unit), part].into_iter().flatten().collect();
        let (cloud, metrics, ignore_deferred) = (cloud.to_owned(), Arc::clone(self.metrics), self.ignore_deferred);
        blocking(move || {
            let graph = metrics.timed(MERGING, || MergedGraph::of_account(&cloud, units, ignore_deferred));
            let (graph, outward) = graph.map_err(|error| failed(error.to_string()))?;
            Ok(Prepared { id: account.id, label: account.label, graph, outward })
        })
        .await
    }

    /// Returns the edges between accounts: those of the accounts that were sent, of the last one, and of those that are
    /// not sent.
    async fn outward(
        &mut self,
        last: &mut Prepared,
        collector: Option<&CollectorReport>,
        sent: &mut Sent,
    ) -> Result<OutwardLines, String> {
        sent.add_outward(&std::mem::take(&mut last.outward));
        let mut lines = std::mem::replace(&mut sent.outward, Ok(OutwardLines::new(&self.past.spool)))?;
        // Without a task or without edges the core removes none.
        if let Some(collector) = collector.filter(|_| self.task.is_some() && !lines.is_empty()) {
            let is_sent = |account: &str| account == last.id || sent.accounts.contains(account);
            // The last account has to be sent afterwards.
            let limit = self.deadline.saturating_duration_since(Instant::now()) / UNSENT_PART;
            let added = timeout(limit, self.past.add_unsent(collector, is_sent, &mut lines)).await;
            added.map_err(|_| format!("not read from the core within {} s", limit.as_secs()))??;
        }
        Ok(lines)
    }

    async fn send(&mut self, account: Prepared, sent: &mut Sent) {
        let Prepared { id, label, graph, outward } = account;
        match self.merge(&sent.cloud, &id, Arc::new(graph)).await {
            Ok(()) => {
                sent.add_outward(&outward);
                sent.accounts.insert(id);
                self.arrived += 1;
            }
            Err(error) => sent.refuse(&label, &error),
        }
    }

    async fn merge(&mut self, cloud: &str, account: &str, graph: Arc<MergedGraph>) -> Result<(), DeliveryError> {
        if let Some(folder) = self.dump {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let name = format!("graph.{cloud}.{}.dump.json", account.chars().map(plain).collect::<String>());
            let (folder, graph) = (folder.to_owned(), Arc::clone(&graph));
            blocking(move || {
                dump_file(&folder, &name, &|mut out| graph.write_to(&mut out));
                Ok(())
            })
            .await?;
        }
        let body = Merged::new(&graph, self.metrics);
        let stored = upload::merge_one(self.api, Arc::new(body), self.task, self.deadline).await;
        let stored = stored.map_err(|error| failed(error.to_string()))?;
        match self.task {
            Some(_) => tracing::info!("the core has the graph of an account, and merges it now"),
            None => tracing::info!(?stored, "the core has merged the graph of an account"),
        }
        self.past.arrived(cloud, account);
        // Root and cloud are in each of them.
        self.delivered.nodes += graph.nodes().saturating_sub(2) as u64;
        self.delivered.edges += graph.edges().saturating_sub(1) as u64;
        Ok(())
    }
}

impl Sent {
    fn refuse(&mut self, label: &str, error: &DeliveryError) {
        let (cloud, message) = (&self.cloud, &error.message);
        tracing::error!(cloud, account = label, error.message = message, "an account could not be delivered");
        self.refused.push(format!("{label}: {message}"));
    }

    fn add_outward(&mut self, lines: &[u8]) {
        if let Ok(outward) = &mut self.outward
            && let Err(error) = outward.append(lines)
        {
            self.outward = Err(format!("cannot keep the edges between accounts: {error}"));
        }
    }
}

/// Deletes the accounts that are no longer in a cloud, because no merge contains them. The next run retries failed
/// deletions.
async fn forget_departed(past: &Past<'_>, report: &RunReport) {
    for collector in report.collectors.iter().filter(|collector| collector.failure.is_none()) {
        if collector.is_whole {
            forget_others(past, collector).await;
        }
    }
}

async fn forget_others(past: &Past<'_>, collector: &CollectorReport) {
    let cloud = collector.name.as_str();
    let departed = match past.others(collector).await {
        Ok(departed) => departed,
        Err(error) => return tracing::warn!(cloud, error, "cannot look for accounts that left the cloud"),
    };
    let is_whole = past.is_whole(collector, &departed);
    past.arrived(cloud, "");
    if !is_whole {
        return;
    }
    let deadline = past.deadline.min(Instant::now() + DEPARTED_TIMEOUT);
    for KnownAccount { node, label, .. } in departed.accounts {
        match retry(deadline, PAUSES, "deletion of an account", || past.api.delete_account(&node)).await {
            Ok(()) => {
                tracing::info!(
                    cloud,
                    account = label,
                    "no longer in the cloud or suspended: the core has forgotten it"
                );
            }
            Err(error) => {
                return tracing::warn!(cloud, account = label, %error, "cannot delete an account that left the cloud");
            }
        }
    }
}

fn log_failed(report: &RunReport) {
    let units = report.collectors.iter().flat_map(|collector| &collector.units);
    for unit in units.filter(|unit| !unit.counts()) {
        tracing::warn!(account = unit.label, "not collected: it stays in the core as it is");
    }
}
