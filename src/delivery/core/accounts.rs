//! Delivery to a core that replaces accounts: one merge for each account that was collected.
//!
//! An account that failed is not sent, and stays in the core as it was. A graph is complete and checked before its
//! request begins, because such a core counts the requests of a task and waits for all of them.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    CloudUnits, CollectorReport, CoreApi, Delivered, Delivery, DeliveryError, MERGING, MODEL_DUMP, Merged, MergedGraph,
    Metrics, PAUSES, PathBuf, RunReport, blocking,
    carry_over::{KnownAccount, Past},
    dump_file, failed, group, nothing, retry, upload,
};
use crate::graph::{CompleteUnit, lean_model_json};

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
    let clouds = group(report.collectors.iter(), units);
    if clouds.iter().all(|cloud| cloud.units.is_empty()) {
        return Err(nothing());
    }
    let model = (past.registry.schema)().and_then(lean_model_json).map_err(|error| failed(error.to_string()))?;
    if let Some(folder) = &dump {
        dump_file(folder, MODEL_DUMP, &|out| out.write_all(&model));
    }
    upload::prepare(api, model, deadline).await.map_err(|error| failed(error.to_string()))?;
    let (task, dump, delivered) = (task.as_deref(), dump.as_deref(), Delivered::default());
    let mut accounts = Accounts { api, past, deadline, task, ignore_deferred, dump, metrics, delivered, arrived: 0 };
    for cloud in clouds {
        accounts.cloud(cloud).await;
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

impl Accounts<'_> {
    async fn cloud(&mut self, cloud: CloudUnits) {
        self.past.begin(&cloud);
        let CloudUnits { name, units } = cloud;
        let mut refused = Vec::new();
        for unit in units {
            let label = unit.account().label.clone();
            match self.account(&name, unit).await {
                Ok(()) => self.arrived += 1,
                Err(error) => {
                    tracing::error!(cloud = name, account = label, %error.message, "an account could not be delivered");
                    refused.push(format!("{label}: {}", error.message));
                }
            }
        }
        // The cloud.
        self.delivered.nodes += 1;
        if !refused.is_empty() {
            let reasons = refused.join("; ");
            let reason = format!("could not be delivered, and stays in the core as it is: {reasons}");
            self.delivered.left_out.push((name, reason));
        }
    }

    async fn account(&mut self, cloud: &str, unit: CompleteUnit) -> Result<(), DeliveryError> {
        let account = unit.account().id.clone();
        let (unit, part) = self.past.complete(cloud, unit).await.map_err(failed)?;
        let body = self.graph(cloud, [Some(unit), part].into_iter().flatten().collect()).await?;
        let graph = Arc::clone(&body.graph);
        let stored = upload::merge_one(self.api, Arc::new(body), self.task, self.deadline).await;
        let stored = stored.map_err(|error| failed(error.to_string()))?;
        match self.task {
            Some(_) => tracing::info!("the core has the graph of an account, and merges it now"),
            None => tracing::info!(?stored, "the core has merged the graph of an account"),
        }
        self.past.arrived(cloud, &account);
        // Root and cloud are in each of them.
        self.delivered.nodes += graph.nodes().saturating_sub(2) as u64;
        self.delivered.edges += graph.edges().saturating_sub(1) as u64;
        Ok(())
    }

    async fn graph(&self, cloud: &str, units: Vec<CompleteUnit>) -> Result<Merged, DeliveryError> {
        let (cloud, dump, metrics) = (cloud.to_owned(), self.dump.map(Path::to_owned), Arc::clone(self.metrics));
        let ignore_deferred = self.ignore_deferred;
        blocking(move || {
            let account = units.first().map_or_else(String::new, |unit| unit.account().id.clone());
            let graph = metrics.timed(MERGING, || MergedGraph::of_account(&cloud, units, ignore_deferred));
            let graph = Arc::new(graph.map_err(|error| failed(error.to_string()))?);
            if let Some(folder) = dump {
                let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
                let account: String = account.chars().map(plain).collect();
                let name = format!("graph.{cloud}.{account}.dump.json");
                dump_file(&folder, &name, &|mut out| graph.write_to(&mut out));
            }
            Ok(Merged { graph, metrics })
        })
        .await
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
