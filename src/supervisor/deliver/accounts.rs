//! Delivery to a core that replaces accounts: one merge for each account that was collected.
//!
//! An account that failed is not sent, and stays in the core as it was. A graph is complete and checked before its
//! request begins: such a core counts the requests of a task and waits for all of them.

use std::{path::Path, sync::Arc};

use super::{
    CloudUnits, CoreApi, Delivered, DeliveryError, DeliveryOrder, MERGING, MODEL_DUMP, Merged, MergedGraph, Metrics,
    PathBuf, RunReport, blocking, complete, dump_file, failed, group, nothing, upload,
};
use crate::graph::{CompleteUnit, lean_model_json};

/// Delivers each account, and answers what arrived. An account that is refused does not keep the others back.
pub(super) async fn to_core(
    api: &CoreApi,
    order: DeliveryOrder,
    ignore_deferred: bool,
    dump: Option<PathBuf>,
    metrics: &Arc<Metrics>,
) -> Result<Delivered, DeliveryError> {
    let DeliveryOrder { report, units, spool, deadline, task } = order;
    log_failed(&report);
    let clouds = group(report.collectors.iter(), units);
    if clouds.iter().all(|cloud| cloud.units.is_empty()) {
        return Err(nothing());
    }
    let model = lean_model_json().map_err(|error| failed(error.to_string()))?;
    if let Some(folder) = &dump {
        dump_file(folder, MODEL_DUMP, &|out| out.write_all(&model));
    }
    upload::prepare(api, model, deadline).await.map_err(|error| failed(error.to_string()))?;
    let mut delivered = Delivered::default();
    let mut arrived = 0;
    for CloudUnits { name, units } in clouds {
        let mut refused = Vec::new();
        for unit in units {
            let label = unit.account().label.clone();
            let sent = async {
                let (unit, part) =
                    complete(api, &name, unit, &spool, deadline, &mut delivered.kept).await.map_err(failed)?;
                let units = [Some(unit), part].into_iter().flatten().collect();
                let body = graph(&name, units, ignore_deferred, dump.as_deref(), metrics).await?;
                send(api, body, task.as_deref(), deadline, &mut delivered).await
            };
            let sent = sent.await;
            match sent {
                Ok(()) => arrived += 1,
                Err(error) => {
                    tracing::error!(cloud = name, account = label, %error.message, "an account could not be delivered");
                    refused.push(format!("{label}: {}", error.message));
                }
            }
        }
        // The cloud.
        delivered.nodes += 1;
        if !refused.is_empty() {
            delivered.left_out.push((
                name,
                format!("could not be delivered, and stays in the core as it is: {}", refused.join("; ")),
            ));
        }
    }
    if arrived == 0 {
        let reasons: Vec<String> =
            delivered.left_out.iter().map(|(cloud, reason)| format!("{cloud}: {reason}")).collect();
        return Err(failed(reasons.join("; ")));
    }
    // The root.
    delivered.nodes += 1;
    Ok(delivered)
}

fn log_failed(report: &RunReport) {
    let units = report.collectors.iter().flat_map(|collector| &collector.units);
    for unit in units.filter(|unit| !unit.counts()) {
        tracing::warn!(account = unit.label, "not collected: it stays in the core as it is");
    }
}

async fn graph(
    cloud: &str,
    units: Vec<CompleteUnit>,
    ignore_deferred: bool,
    dump: Option<&Path>,
    metrics: &Arc<Metrics>,
) -> Result<Merged, DeliveryError> {
    let (cloud, dump, metrics) = (cloud.to_owned(), dump.map(Path::to_owned), Arc::clone(metrics));
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

async fn send(
    api: &CoreApi,
    body: Merged,
    task: Option<&str>,
    deadline: std::time::Instant,
    delivered: &mut Delivered,
) -> Result<(), DeliveryError> {
    let graph = Arc::clone(&body.graph);
    let stored =
        upload::merge_one(api, Arc::new(body), task, deadline).await.map_err(|error| failed(error.to_string()))?;
    match task {
        Some(_) => tracing::info!("the core has the graph of an account, and merges it now"),
        None => tracing::info!(?stored, "the core has merged the graph of an account"),
    }
    // Root and cloud are in each of them.
    delivered.nodes += graph.nodes().saturating_sub(2) as u64;
    delivered.edges += graph.edges().saturating_sub(1) as u64;
    Ok(())
}
