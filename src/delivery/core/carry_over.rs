//! Carry-over from the core: accounts that failed or are outside the plan, and parts that could not be seen.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;
use worker_proto::{Gap, Missing, Why};

use super::{
    PAUSES,
    across::{self, KnownAcross},
    inventory::{Inventory, Known},
    last_known::{self, Core, NotInUse},
    names::Names,
    sudden::{HeldLosses, Judgement},
};
use crate::{
    ckcore::{CoreApi, CoreError, LastKnownAccount, StoredNode, retry},
    collectors::Registry,
    engine::code,
    graph::{Account, CarriedStore, CloudUnits, CompleteUnit, Spool, node_key},
    report::{CollectorReport, UnitReport},
    telemetry::Metrics,
};

/// The divisor of the time left: the query of one account with its retries takes at most this part.
const ACCOUNT_PART: u32 = 5;

/// The longest that a delivery waits for a comparison that is only logged.
const COMPARISON_TIMEOUT: Duration = Duration::from_secs(30);

/// The state of one delivery's carry-over.
pub(super) struct Past<'a> {
    pub(super) api: &'a CoreApi,
    pub(super) registry: Registry,
    pub(super) spool: Spool,
    pub(super) deadline: Instant,
    pub(super) metrics: &'a Metrics,
    pub(super) losses: &'a Mutex<HeldLosses>,
    /// The summaries of the delivered accounts in the core.
    pub(super) inventory: Inventory,
    /// The loss above which nodes are held for a run, in percent.
    pub(super) hold: Option<u64>,
    /// The numbers of nodes that were kept as the core had them because they could not be seen, by collector and
    /// account.
    pub(super) kept: Vec<(String, String, u64)>,
    /// The gaps that only the comparison with the core shows, by collector.
    pub(super) gaps: Vec<(String, Gap)>,
    /// The core's edges between accounts, if they were needed.
    pub(super) across: KnownAcross,
}

/// The accounts that the core has below a cloud.
pub(super) struct Others {
    /// The accounts that the plan does not have.
    pub(super) accounts: Vec<KnownAccount>,
    /// The number of these accounts that the plan has.
    planned: usize,
}

/// An account that the core knows.
pub(super) struct KnownAccount {
    /// The ID of the account's node.
    pub(super) node: String,
    pub(super) label: String,
    pub(super) account: Account,
}

impl Past<'_> {
    /// Returns the last known state of the accounts that the core has and the plan lacks, if the plan is only a part of
    /// the cloud. If the plan is complete, the core forgets these accounts.
    pub(super) async fn carry_unplanned(&mut self, collector: &CollectorReport) -> Result<Vec<CompleteUnit>, String> {
        let others = self.others(collector).await?;
        let is_whole = self.is_whole(collector, &others);
        let mut carried = Vec::new();
        for KnownAccount { label, account, .. } in others.accounts {
            if is_whole {
                tracing::info!(
                    cloud = collector.name,
                    account = label,
                    "no longer in the cloud or suspended: the core forgets it"
                );
                continue;
            }
            let known = self.carry(&account.kind, &account.id).await;
            let known = known.map_err(|error| format!("cannot read account {label} from the core: {error}"))?;
            if !known.nodes.is_empty() {
                carried.push(self.keep(&known, account, &collector.name).await?);
            }
        }
        Ok(carried)
    }

    /// Whether the core may forget the accounts that the plan lacks. Warns if the plan lost most of its accounts; if
    /// losses are held, the first such plan does not count as complete.
    pub(super) fn is_whole(&self, collector: &CollectorReport, others: &Others) -> bool {
        if !collector.is_whole {
            return false;
        }
        let (cloud, before) = (collector.name.as_str(), others.planned + others.accounts.len());
        let accounts = collector.units.len();
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let hold = self.hold.is_some();
        let Some(is_held) = losses.judge_plan(cloud, before as u64, others.planned as u64, hold) else { return true };
        self.metrics.sudden_losses(cloud, 1);
        tracing::warn!(cloud, before, accounts, held = is_held, "the plan lost most of its accounts");
        !is_held
    }

    /// Returns the accounts that the core has below a cloud and that are not among the units of its plan.
    pub(super) async fn others(&self, collector: &CollectorReport) -> Result<Others, String> {
        let accounts = || self.api.accounts(&collector.name);
        let known = retry(self.deadline, PAUSES, "query of the accounts of a cloud", accounts).await;
        let known = known.map_err(|error| format!("cannot list the core's accounts: {error}"))?;
        let planned: HashSet<&str> = collector.units.iter().map(|unit| unit.id.as_str()).collect();
        let known = known.into_iter().filter_map(KnownAccount::of);
        let (planned, accounts): (Vec<_>, Vec<_>) =
            known.partition(|known| planned.contains(known.account.id.as_str()));
        Ok(Others { accounts, planned: planned.len() })
    }

    /// Returns the last known state of the accounts that failed, because replacing their cloud without them would
    /// delete them in the core.
    pub(super) async fn carry_failed(
        &mut self,
        missing: impl Iterator<Item = &UnitReport>,
        cloud: &str,
    ) -> Result<Vec<CompleteUnit>, String> {
        let mut carried = Vec::new();
        for unit in missing {
            let what = format!("cannot read the last known state of {} from the core", unit.label);
            let known = self.carry(&unit.kind, &unit.id).await.map_err(|error| format!("{what}: {error}"))?;
            if known.nodes.is_empty() {
                tracing::warn!(account = unit.label, "not collected, and the core does not know it either");
                continue;
            }
            let nodes = known.nodes.len();
            tracing::warn!(account = unit.label, nodes, "not collected: its last known state is kept");
            let account = Account { kind: unit.kind.clone(), id: unit.id.clone(), label: unit.label.clone() };
            carried.push(self.keep(&known, account, cloud).await.map_err(|error| format!("{what}: {error}"))?);
        }
        Ok(carried)
    }

    /// Completes all accounts of a cloud by the parts that could not be seen. Returns the nodes that were taken over.
    pub(super) async fn complete_all(&mut self, cloud: &mut CloudUnits) -> Result<Vec<CompleteUnit>, String> {
        self.begin(cloud);
        let (mut parts, mut units) = (Vec::new(), Vec::with_capacity(cloud.units.len()));
        for unit in std::mem::take(&mut cloud.units) {
            let (unit, part) = self.complete(&cloud.name, unit).await?;
            units.push(unit);
            parts.extend(part);
        }
        cloud.units = units;
        Ok(parts)
    }

    /// Completes an account by the parts that could not be seen. Returns the account, and the nodes that were taken
    /// over.
    pub(super) async fn complete(
        &mut self,
        cloud: &str,
        mut unit: CompleteUnit,
    ) -> Result<(CompleteUnit, Option<CompleteUnit>), String> {
        let account = unit.account().clone();
        let mut missing = unit.take_missing();
        let held = self.judge(cloud, &unit, &missing).await?.held;
        // An option excludes these nodes, and the core forgets them.
        missing.retain(|missing| !matches!(missing, Missing::Kind { why: Why::LeftOut, .. }));
        if !self.knows_unused(&account, &missing).await {
            missing.retain(|missing| !matches!(missing, Missing::Kind { why: Why::NotInUse { .. }, .. }));
        }
        if missing.is_empty() && held.is_empty() {
            return Ok((unit, None));
        }
        let what = format!("cannot read the last known state of {} from the core", account.label);
        let known = self.carry(&account.kind, &account.id).await.map_err(|error| format!("{what}: {error}"))?;
        let across = self.across(cloud).await.map_err(|error| format!("{what}: {error}"))?;
        let (collector, spool) = ((self.registry.find)(cloud), self.spool.clone());
        let completing = spawn_blocking(move || {
            let completed = last_known::complete(
                &mut unit,
                &missing,
                &held,
                Core { known: &known, across: &across },
                collector,
                &spool,
            )?;
            Ok::<_, String>((unit, completed))
        });
        let completed = completing.await.map_err(|error| error.to_string()).flatten();
        let (unit, completed) = completed.map_err(|error| format!("{what}: {error}"))?;
        if completed.kept > 0 {
            let nodes = completed.kept;
            tracing::warn!(
                cloud,
                account = account.label,
                nodes,
                "keeping the last known state of what could not be seen"
            );
            self.kept.push((cloud.to_owned(), account.id.clone(), nodes));
        }
        for service in completed.not_in_use {
            self.report_not_in_use(cloud, &account, service);
        }
        Ok((unit, completed.part))
    }

    /// Returns whether the core may know nodes of services that are not in use in an account.
    async fn knows_unused(&mut self, account: &Account, missing: &[Missing]) -> bool {
        let unused = || missing.iter().filter(|one| matches!(one, Missing::Kind { why: Why::NotInUse { .. }, .. }));
        if unused().next().is_none() {
            return false;
        }
        let deadline = self.part_of_time();
        match self.inventory.of(self.api, &account.id, deadline).await {
            Ok(known) => {
                let known = Known::new(&account.id, known);
                unused().any(|one| known.may_have(one))
            }
            // The account's last known state tells.
            Err(_) => true,
        }
    }

    /// Reports that a service is not in use any more although the core has nodes of it.
    fn report_not_in_use(&mut self, cloud: &str, account: &Account, NotInUse { service, operation, nodes }: NotInUse) {
        let message = format!(
            "{service} is not enabled in {}, and the core keeps its {nodes} resources; enable the service for one \
             collection, or exclude its kinds from the collection",
            account.label
        );
        let gap = Gap {
            account: account.id.clone(),
            region: String::new(),
            service,
            operation,
            code: code::NOT_IN_USE.to_owned(),
            message,
        };
        self.metrics.gap(cloud, &gap);
        let Gap { account, service, operation, code, message, .. } = &gap;
        tracing::warn!(collector = cloud, account, service, operation, code, "{message}");
        self.gaps.push((cloud.to_owned(), gap));
    }

    /// Remembers what the delivery of an account held; an empty name is that of the plan.
    pub(super) fn arrived(&self, cloud: &str, account: &str) {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).arrived(cloud, account);
    }

    /// Starts with the accounts of a cloud, in their order.
    pub(super) fn begin(&mut self, cloud: &CloudUnits) {
        self.inventory = Inventory::new(&cloud.name, cloud.units.iter().map(|unit| unit.account().id.clone()));
    }

    /// Warns of an account's unexplained losses, and returns what to hold.
    async fn judge(&mut self, cloud: &str, unit: &CompleteUnit, missing: &[Missing]) -> Result<Judgement, String> {
        let account = unit.account();
        let deadline = match self.hold {
            Some(_) => self.part_of_time(),
            // Only a warning depends on it.
            None => self.part_of_time().min(Instant::now() + COMPARISON_TIMEOUT),
        };
        let known = match self.inventory.of(self.api, &account.id, deadline).await {
            Ok(known) => known,
            Err(error) if self.hold.is_some() => {
                return Err(format!("cannot compare account {} with the core: {error}", account.label));
            }
            Err(_) => return Ok(Judgement::default()),
        };
        let judgement = {
            let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
            losses.judge(cloud, unit, known, missing, self.hold)
        };
        self.metrics.sudden_losses(cloud, judgement.losses.len() as u64);
        for loss in &judgement.losses {
            let (kind, before, now, held) = (&loss.what, loss.before, loss.now, loss.is_held);
            tracing::warn!(
                cloud,
                account = account.label,
                kind,
                before,
                now,
                held,
                "sudden loss: nodes are missing that the core has"
            );
        }
        Ok(judgement)
    }

    /// Returns the deadline of one account's query. It takes only a part of the time left, so that a failing query
    /// leaves time for the other accounts.
    pub(super) fn part_of_time(&self) -> Instant {
        let now = Instant::now();
        now + self.deadline.saturating_duration_since(now) / ACCOUNT_PART
    }

    /// Returns the last known state of an account as a unit, with the edges that its nodes declare to and from nodes of
    /// other accounts.
    pub(super) async fn keep(
        &mut self,
        known: &LastKnownAccount,
        account: Account,
        cloud: &str,
    ) -> Result<CompleteUnit, String> {
        let across = self.across(cloud).await?;
        let (id, collector) = (account.id.clone(), (self.registry.find)(cloud));
        let names = Names::of(collector);
        let mut store = CarriedStore::new(account, &self.spool);
        for node in &known.nodes {
            let resource = if node.is_account { id.as_str() } else { "" };
            store.node(&node.id, &node.kind, resource, &node.line).map_err(|error| error.to_string())?;
            names.add(node, &mut store)?;
            let key = node_key(&node.id).0;
            let predecessors = across.predecessors(collector, key, &node.kind);
            predecessors.for_each(|(from, _)| store.deferred(&across.text(from), &node.id));
        }
        for edge in &known.edges {
            store.edge(&edge.from, &edge.to);
        }
        across::outward(known, collector).for_each(|(from, to, _)| store.deferred(from, to));
        store.complete().map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Reads an account's last known state from the core.
    pub(super) async fn carry(&self, kind: &str, id: &str) -> Result<LastKnownAccount, CoreError> {
        retry(self.part_of_time(), PAUSES, "query of an account", || self.api.account_subgraph(kind, id)).await
    }
}

impl KnownAccount {
    fn of(node: StoredNode) -> Option<Self> {
        let text = |name: &str| node.reported.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let id = text("id")?;
        let name = text("name").filter(|name| *name != id);
        let label = name.map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
        let account = Account { kind: node.kind, id, label: label.clone() };
        Some(Self { node: node.id, label, account })
    }
}
