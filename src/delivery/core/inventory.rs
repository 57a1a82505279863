//! The number of nodes that the core has in the accounts of a cloud. The core is asked for a batch of accounts when the
//! first of them is needed, so that neither the response nor the memory grows with the cloud.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use super::PAUSES;
use crate::{
    ckcore::{CoreApi, Summaries, Summary, retry},
    graph::node_key,
};

/// The number of accounts in a query.
pub(super) const BATCH: usize = 100;

type Id = [u8; 16];

/// A part of an account: a kind below a region, or below the account itself.
pub(super) type Part = (Id, String);

/// Nodes by part.
pub(super) type Counts = BTreeMap<Part, u64>;

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
    let ask = || api.summaries(cloud, accounts);
    retry(deadline, PAUSES, "query of what the core has of accounts", ask).await.map_err(|error| error.to_string())
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

    /// Returns the number of nodes of each part: below a region, and below the account outside regions. Regions are not
    /// counted.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for (id, region) in &self.regions {
            counts.extend(region.counts.iter().map(|(kind, count)| ((*id, kind.clone()), *count)));
        }
        let Some((id, account)) = self.account else { return counts };
        for (kind, count) in &account.counts {
            let inside: u64 = self.regions.values().filter_map(|region| region.counts.get(kind)).sum();
            let is_region = self.regions.values().any(|region| region.kind == *kind);
            if *count > inside && !is_region {
                counts.insert((id, kind.clone()), count - inside);
            }
        }
        counts
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
