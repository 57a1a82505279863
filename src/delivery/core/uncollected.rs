//! Logs at the start of a run what the core will forget because options exclude it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::inventory::{BATCH, Known, summaries};
use crate::{
    ckcore::{CoreApi, Summaries},
    collector_api::Uncollected,
};

/// The timeout of the queries. The result is only logged, but the delivery waits for it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The limit of kinds, and of regions, that the log line names.
const NAMED: usize = 20;

/// The nodes in the core that options exclude.
#[derive(Debug, Default, PartialEq, Eq)]
struct LeftOut {
    accounts: usize,
    kinds: BTreeMap<String, u64>,
    regions: BTreeSet<String>,
}

/// Queries the core, and logs what it will forget of these accounts.
pub(super) async fn announce(api: &CoreApi, cloud: &str, accounts: &[String], uncollected: &Uncollected) {
    let deadline = Instant::now() + TIMEOUT;
    let (mut left_out, mut failure) = (LeftOut::default(), None);
    for batch in accounts.chunks(BATCH) {
        let ids: Vec<&str> = batch.iter().map(String::as_str).collect();
        match summaries(api, cloud, &ids, deadline).await {
            Ok(known) => ids.iter().for_each(|id| left_out.add(id, &known, uncollected)),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    if let Some(error) = failure {
        tracing::warn!(cloud, error, "cannot tell what else the core will forget");
    }
    left_out.log(cloud);
}

impl LeftOut {
    fn add(&mut self, account: &str, known: &Summaries, uncollected: &Uncollected) {
        let known = Known::new(account, known);
        let kinds = known.by_kind().into_iter().filter(|(kind, _)| uncollected.kinds.contains(*kind));
        let regions: Vec<_> = known.regions.values().filter(|region| !uncollected.has_region(&region.id)).collect();
        let in_regions = regions.iter().flat_map(|region| &region.counts);
        let in_regions = in_regions.map(|(kind, count)| (kind.as_str(), *count));
        let in_regions = in_regions.filter(|(kind, _)| !uncollected.kinds.contains(*kind));
        let mut is_affected = false;
        for (kind, count) in kinds.chain(in_regions) {
            is_affected = true;
            *self.kinds.entry(kind.to_owned()).or_default() += count;
        }
        self.regions.extend(regions.iter().map(|region| region.id.clone()));
        self.accounts += usize::from(is_affected);
    }

    fn log(&self, cloud: &str) {
        if self.accounts == 0 {
            return;
        }
        let nodes: u64 = self.kinds.values().sum();
        let kinds: Vec<String> = self.kinds.iter().take(NAMED).map(|(kind, count)| format!("{count} {kind}")).collect();
        let regions: Vec<&str> = self.regions.iter().take(NAMED).map(String::as_str).collect();
        tracing::warn!(
            cloud,
            accounts = self.accounts,
            nodes,
            kinds = kinds.join(", "),
            regions = regions.join(", "),
            "options leave these out: the core forgets them with this run; --keep-uncollected keeps them"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ckcore::Summary, graph::NodeId};

    fn summary(node: u8, id: &str, kind: &str, counts: &[(&str, u64)]) -> Summary {
        Summary {
            node: NodeId([node; 16]).to_string(),
            kind: kind.into(),
            id: id.into(),
            account: "1".into(),
            counts: counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        }
    }

    fn left_out(kinds: &[&str], regions: Option<&[&str]>) -> LeftOut {
        let known = Summaries {
            regions: vec![
                summary(2, "here", "region", &[("volume", 3), ("vpc", 1)]),
                summary(3, "there", "region", &[("volume", 5)]),
            ],
            accounts: vec![summary(1, "1", "account", &[("volume", 8), ("vpc", 1), ("user", 4), ("region", 2)])],
        };
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let uncollected = Uncollected { kinds: own(kinds), regions: regions.map(own) };
        let mut left_out = LeftOut::default();
        left_out.add("1", &known, &uncollected);
        left_out.add("2", &known, &uncollected);
        left_out
    }

    fn counted(kinds: &[(&str, u64)], regions: &[&str]) -> LeftOut {
        LeftOut {
            accounts: usize::from(!kinds.is_empty()),
            kinds: kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        }
    }

    #[test]
    fn kinds_and_regions_left_out_are_counted() {
        assert_eq!(left_out(&["volume", "user"], None), counted(&[("volume", 8), ("user", 4)], &[]));
        assert_eq!(left_out(&["vpc"], Some(&["here"])), counted(&[("volume", 5), ("vpc", 1)], &["there"]));
        assert_eq!(left_out(&["bucket"], Some(&["here", "there"])), counted(&[], &[]));
    }
}
