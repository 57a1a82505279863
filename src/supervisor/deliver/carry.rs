//! What is taken over from the core: accounts that failed or are outside the plan, and parts that could not be seen.

use std::{collections::HashSet, time::Instant};

use tokio::task::spawn_blocking;

use super::{PAUSES, last_known};
use crate::{
    ckcore::{Carried, CoreApi, CoreError, Stored, until},
    collectors,
    graph::{Account, CarriedStore, CloudUnits, CompleteUnit, Spool},
    supervisor::report::{CollectorReport, UnitReport},
};

/// The last known state of the accounts that the core has beside those of a plan, if the plan is only a part of the cloud.
/// If it is the whole, they are gone.
pub(super) async fn carry_unplanned(
    api: &CoreApi,
    collector: &CollectorReport,
    spool: &Spool,
    deadline: Instant,
) -> Result<Vec<CompleteUnit>, String> {
    let mut carried = Vec::new();
    for KnownAccount { label, account, .. } in others(api, collector, deadline).await? {
        if collector.is_whole {
            tracing::info!(cloud = collector.name, account = label, "no longer in the cloud: the core forgets it");
            continue;
        }
        let known = carry(api, &account.kind, &account.id, deadline).await;
        let known = known.map_err(|error| format!("account {label} cannot be had from the core: {error}"))?;
        carried.push(keep(&known, account, spool)?);
    }
    Ok(carried)
}

/// An account that the core knows.
pub(super) struct KnownAccount {
    /// The id of its node.
    pub(super) node: String,
    pub(super) label: String,
    account: Account,
}

/// The accounts that the core has below a cloud and that are not among the units of its plan.
pub(super) async fn others(
    api: &CoreApi,
    collector: &CollectorReport,
    deadline: Instant,
) -> Result<Vec<KnownAccount>, String> {
    let known = until(deadline, PAUSES, "query of the accounts of a cloud", || api.accounts(&collector.name)).await;
    let known = known.map_err(|error| format!("the accounts that the core has cannot be told: {error}"))?;
    let planned: HashSet<&str> = collector.units.iter().map(|unit| unit.id.as_str()).collect();
    let text = |node: &Stored, name: &str| node.reported.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let accounts = known.into_iter().filter_map(|node| {
        let id = text(&node, "id")?;
        let label =
            text(&node, "name").filter(|name| *name != id).map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
        let account = Account { kind: node.kind, id, label: label.clone() };
        Some(KnownAccount { node: node.id, label, account })
    });
    Ok(accounts.filter(|account| !planned.contains(account.account.id.as_str())).collect())
}

/// The last known state of the accounts that failed: replacing their cloud without them would delete them in the core.
pub(super) async fn carry_all(
    api: &CoreApi,
    missing: impl Iterator<Item = &UnitReport>,
    spool: &Spool,
    deadline: Instant,
) -> Result<Vec<CompleteUnit>, String> {
    let mut carried = Vec::new();
    for unit in missing {
        let what = format!("the last known state of {} cannot be had from the core", unit.label);
        let known = carry(api, &unit.kind, &unit.id, deadline).await.map_err(|error| format!("{what}: {error}"))?;
        if known.nodes.is_empty() {
            tracing::warn!(account = unit.label, "not collected, and the core does not know it either");
            continue;
        }
        tracing::warn!(account = unit.label, nodes = known.nodes.len(), "not collected: its last known state is kept");
        let account = Account { kind: unit.kind.clone(), id: unit.id.clone(), label: unit.label.clone() };
        carried.push(keep(&known, account, spool).map_err(|error| format!("{what}: {error}"))?);
    }
    Ok(carried)
}

/// The parts of a cloud's accounts that could not be seen, as the core has them.
pub(super) async fn complete_all(
    api: &CoreApi,
    cloud: &mut CloudUnits,
    spool: &Spool,
    deadline: Instant,
    kept: &mut Vec<(String, String, u64)>,
) -> Result<Vec<CompleteUnit>, String> {
    let (mut parts, mut units) = (Vec::new(), Vec::with_capacity(cloud.units.len()));
    for unit in std::mem::take(&mut cloud.units) {
        let (unit, part) = complete(api, &cloud.name, unit, spool, deadline, kept).await?;
        units.push(unit);
        parts.extend(part);
    }
    cloud.units = units;
    Ok(parts)
}

/// Completes an account by what the core has of the parts that could not be seen. Returns it, and nodes beside it.
pub(super) async fn complete(
    api: &CoreApi,
    cloud: &str,
    mut unit: CompleteUnit,
    spool: &Spool,
    deadline: Instant,
    kept: &mut Vec<(String, String, u64)>,
) -> Result<(CompleteUnit, Option<CompleteUnit>), String> {
    let missing = unit.take_missing();
    if missing.is_empty() {
        return Ok((unit, None));
    }
    let account = unit.account().clone();
    let what = format!("the last known state of {} cannot be had from the core", account.label);
    let known = carry(api, &account.kind, &account.id, deadline).await.map_err(|error| format!("{what}: {error}"))?;
    let (collector, spool) = (collectors::find(cloud), spool.clone());
    let completing = spawn_blocking(move || {
        let completed = last_known::complete(&mut unit, &missing, &known, collector, &spool)?;
        Ok::<_, String>((unit, completed))
    });
    let completed = completing.await.map_err(|error| error.to_string()).flatten();
    let (unit, completed) = completed.map_err(|error| format!("{what}: {error}"))?;
    if completed.kept > 0 {
        let nodes = completed.kept;
        tracing::warn!(cloud, account = account.label, nodes, "keeping the last known state of what could not be seen");
        kept.push((cloud.to_owned(), account.id, nodes));
    }
    Ok((unit, completed.part))
}

async fn carry(api: &CoreApi, kind: &str, id: &str, deadline: Instant) -> Result<Carried, CoreError> {
    until(deadline, PAUSES, "query of an account", || api.account_subgraph(kind, id)).await
}

fn keep(known: &Carried, account: Account, spool: &Spool) -> Result<CompleteUnit, String> {
    let id = account.id.clone();
    let mut store = CarriedStore::new(account, spool);
    for node in &known.nodes {
        let resource = if node.is_account { id.as_str() } else { "" };
        store.node(&node.id, &node.kind, resource, &node.line).map_err(|error| error.to_string())?;
    }
    for edge in known.edges.iter().chain(&known.outward) {
        store.edge(&edge.from, &edge.to);
    }
    store.complete().map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
