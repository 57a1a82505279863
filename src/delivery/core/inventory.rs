//! The number of nodes that the core has in the accounts of a cloud. The core is asked for a batch of accounts when the
//! first of them is needed, so that neither the response nor the memory grows with the cloud.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use tokio::time::timeout_at;
use worker_proto::Missing;

use super::PAUSES;
use crate::{
    ckcore::{CoreApi, Summaries, Summary, retry},
    graph::node_key,
};

/// The number of accounts in a query.
pub(super) const BATCH: usize = 100;

type Id = [u8; 16];

/// The core's summaries of the next accounts.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    cloud: String,
    waiting: VecDeque<String>,
    batch: Vec<String>,
    known: Summaries,
    failure: Option<String>,
}

impl Inventory {
    /// Creates an inventory of a cloud's accounts, in the order in which they will be needed.
    pub(super) fn new(cloud: &str, accounts: impl Iterator<Item = String>) -> Self {
        Self { cloud: cloud.to_owned(), waiting: accounts.collect(), ..Self::default() }
    }

    /// Returns the summaries of an account, and maybe of others.
    ///
    /// # Errors
    /// If the core does not respond until the deadline, or a former query failed.
    pub(super) async fn of(&mut self, api: &CoreApi, account: &str, deadline: Instant) -> Result<&Summaries, String> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if !self.batch.iter().any(|id| id == account) {
            self.take_batch(account);
            self.known = self.ask(api, deadline).await.inspect_err(|error| {
                tracing::warn!(cloud = self.cloud, error, "cannot compare accounts with what the core has of them");
                self.failure = Some(error.clone());
            })?;
        }
        Ok(&self.known)
    }

    async fn ask(&self, api: &CoreApi, deadline: Instant) -> Result<Summaries, String> {
        let accounts: Vec<&str> = self.batch.iter().map(String::as_str).collect();
        summaries(api, &self.cloud, &accounts, deadline).await
    }

    /// Makes the next accounts the batch, from the given account on.
    fn take_batch(&mut self, account: &str) {
        let skipped = self.waiting.iter().position(|id| id == account);
        match skipped {
            Some(skipped) => {
                self.waiting.drain(..skipped);
                self.batch = self.waiting.drain(..self.waiting.len().min(BATCH)).collect();
            }
            None => self.batch = vec![account.to_owned()],
        }
    }
}

/// Returns the core's summaries of these accounts.
///
/// # Errors
/// If the core does not respond until the deadline.
pub(super) async fn summaries(
    api: &CoreApi,
    cloud: &str,
    accounts: &[&str],
    deadline: Instant,
) -> Result<Summaries, String> {
    const WHAT: &str = "query of what the core has of accounts";
    let answered = timeout_at(deadline.into(), retry(deadline, PAUSES, WHAT, || api.summaries(cloud, accounts))).await;
    match answered {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{WHAT} failed: no response in time")),
    }
}

/// The core's summaries of one account.
pub(super) struct Known<'a> {
    pub(super) regions: BTreeMap<Id, &'a Summary>,
    pub(super) account: Option<(Id, &'a Summary)>,
}

impl<'a> Known<'a> {
    pub(super) fn new(account: &str, known: &'a Summaries) -> Self {
        let id = |summary: &Summary| node_key(&summary.node).0;
        let regions = known.regions.iter().filter(|region| region.account == account);
        let node = known.accounts.iter().find(|summary| summary.id == account);
        Self {
            regions: regions.map(|region| (id(region), region)).collect(),
            account: node.map(|node| (id(node), node)),
        }
    }

    /// Returns the number of nodes of each kind in the account, without regions. The core counts each node once.
    pub(super) fn by_kind(&self) -> BTreeMap<&'a str, u64> {
        let mut counts = BTreeMap::new();
        let summaries: Vec<&'a Summary> = match self.account {
            Some((_, account)) => vec![account],
            None => self.regions.values().copied().collect(),
        };
        for (kind, count) in summaries.into_iter().flat_map(|summary| &summary.counts) {
            if !self.is_region(kind) {
                *counts.entry(kind.as_str()).or_default() += count;
            }
        }
        counts
    }

    /// Whether the account may have nodes of a record of missing kinds.
    pub(super) fn may_have(&self, missing: &Missing) -> bool {
        // Other kinds of the record are taken over only with nodes of this one.
        let Missing::Kind { kind, .. } = missing else { return true };
        self.is_region(kind) || self.by_kind().get(kind.as_str()).is_some_and(|count| *count > 0)
    }

    /// Whether this is the kind of regions.
    pub(super) fn is_region(&self, kind: &str) -> bool {
        self.regions.values().any(|region| region.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_taken_in_batches_in_their_order() {
        let mut inventory = Inventory::new("aws", (0..250).map(|number| number.to_string()));
        inventory.take_batch("0");
        assert_eq!((inventory.batch.len(), inventory.batch[99].as_str()), (BATCH, "99"));
        inventory.take_batch("120");
        assert_eq!((inventory.batch.len(), inventory.batch[0].as_str()), (BATCH, "120"));
        inventory.take_batch("220");
        assert_eq!(inventory.batch.len(), 30);
        inventory.take_batch("unknown");
        assert_eq!(inventory.batch, ["unknown"]);
    }
}
