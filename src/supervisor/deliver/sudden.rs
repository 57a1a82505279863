//! A sudden loss: much of an account is gone from one run to the next, although nothing was reported as unseen.
//!
//! Somebody may have deleted it. It may as well be a wrong answer, an account that was swapped, or a policy that filters.
//! So it is named, and held for one run if that is asked for: what is missing in two runs in a row is gone.
//!
//! The counts are those of the runs of this process. The first run after a start has nothing to compare with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use worker_proto::{Missing, Why};

use crate::graph::CompleteUnit;

/// A part with fewer nodes is too small to be judged.
const LEAST: u64 = 50;
/// The loss that is named, in percent.
const NAMED: u64 = 50;
/// A plan with fewer accounts is too small to be judged.
const LEAST_ACCOUNTS: usize = 4;
/// The most accounts that are remembered.
const ACCOUNTS: usize = 100_000;

type Id = [u8; 16];

/// Nodes by the node that they hang below, such as that of a region, and by kind.
type Counts = BTreeMap<(Id, String), u64>;

/// What earlier runs had.
#[derive(Debug, Default)]
pub struct History {
    accounts: HashMap<(String, String), Account>,
    /// The accounts of each cloud's plan, as accepted and as in the last run.
    plans: HashMap<String, (usize, usize)>,
}

#[derive(Debug, Default)]
struct Account {
    /// What the core has.
    accepted: Counts,
    /// What the last run found.
    last: Counts,
}

/// A part of an account that shrank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// The kind, or `all kinds`.
    pub(super) kind: String,
    /// The nodes before.
    pub(super) before: u64,
    /// The nodes now.
    pub(super) now: u64,
    /// Whether it is held.
    pub(super) is_held: bool,
}

impl History {
    /// Compares an account with the run before. `missing` is what could not be seen; losses of more than `hold` percent are
    /// added to it, unless the run before lacked them as well.
    pub(super) fn judge(
        &mut self,
        cloud: &str,
        unit: &CompleteUnit,
        missing: &mut Vec<Missing>,
        hold: Option<u64>,
    ) -> Vec<Loss> {
        let key = key(cloud, unit);
        let now = counts(unit);
        let Some(account) = self.accounts.get_mut(&key) else {
            if self.accounts.len() < ACCOUNTS {
                self.accounts.insert(key, Account { accepted: now.clone(), last: now });
            }
            return Vec::new();
        };
        let seen = with_unseen(&now, &account.accepted, missing);
        let last = with_unseen(&account.last, &account.accepted, missing);
        let mut losses = Vec::new();
        let mut held = BTreeSet::new();
        for (kind, parts) in parts(&account.accepted) {
            let sum = |counts: &Counts| parts.iter().map(|part| counts.get(part).copied().unwrap_or(0)).sum::<u64>();
            let (before, now, last) = (sum(&account.accepted), sum(&seen), sum(&last));
            let lost = |now: u64| 100 - 100 * now.min(before) / before.max(1);
            let is_held = hold.is_some_and(|most| lost(now) > most && lost(last) <= most);
            if before >= LEAST && (lost(now) > NAMED || is_held) {
                losses.push(Loss { kind, before, now, is_held });
                held.extend(parts.into_iter().filter(|_| is_held));
            }
        }
        let kinds: BTreeSet<String> = account.accepted.keys().map(|(_, kind)| kind.clone()).collect();
        missing.extend(held.iter().map(|(below, kind)| Missing::Kind {
            below: *below,
            scope: String::new(),
            kind: kind.clone(),
            with: kinds.iter().cloned().collect(),
            why: Why::Unseen,
        }));
        account.last.clone_from(&seen);
        let before = std::mem::replace(&mut account.accepted, seen);
        for part in held {
            let count = before.get(&part).copied().unwrap_or(0);
            account.accepted.insert(part, count);
        }
        losses
    }

    /// Whether no earlier run has collected an account.
    pub(super) fn is_first(&self, cloud: &str, unit: &CompleteUnit) -> bool {
        !self.accounts.contains_key(&key(cloud, unit))
    }

    /// Compares the size of a whole plan with the one before. Returns the size before if most of its accounts are lost, and
    /// whether that is to be held.
    pub(super) fn judge_plan(&mut self, cloud: &str, accounts: usize, hold: bool) -> Option<(usize, bool)> {
        let (accepted, last) = *self.plans.entry(cloud.to_owned()).or_insert((accounts, accounts));
        let is_lost = |now: usize| accepted >= LEAST_ACCOUNTS && now * 2 < accepted;
        let is_held = hold && is_lost(accounts) && !is_lost(last);
        self.plans.insert(cloud.to_owned(), (if is_held { accepted } else { accounts }, accounts));
        is_lost(accounts).then_some((accepted, is_held))
    }
}

fn key(cloud: &str, unit: &CompleteUnit) -> (String, String) {
    (cloud.to_owned(), unit.account().id.clone())
}

/// The nodes directly below the children of the account's node.
fn counts(unit: &CompleteUnit) -> Counts {
    let mut counts = Counts::new();
    let Some(account) = unit.account_node().map(|number| unit.ids()[number]) else { return counts };
    let regions: BTreeSet<Id> = unit.edge_ids().filter(|(from, _)| *from == account).map(|(_, to)| to).collect();
    let numbers: HashMap<Id, usize> = unit.ids().iter().enumerate().map(|(number, id)| (*id, number)).collect();
    for (from, to) in unit.edge_ids().filter(|(from, _)| regions.contains(from)) {
        if let Some(number) = numbers.get(&to) {
            *counts.entry((from, unit.kind(*number).to_owned())).or_default() += 1;
        }
    }
    counts
}

/// The counts with those of before for all that could not be seen.
fn with_unseen(now: &Counts, before: &Counts, missing: &[Missing]) -> Counts {
    let mut counts = now.clone();
    for one in missing {
        let Missing::Kind { below, kind, .. } = one else { continue };
        let part = (*below, kind.clone());
        if let Some(before) = before.get(&part) {
            let count = counts.entry(part).or_default();
            *count = (*count).max(*before);
        }
    }
    counts
}

/// The groups of parts that are judged: each kind, each region, and the account.
fn parts(counts: &Counts) -> Vec<(String, Vec<(Id, String)>)> {
    let mut by_kind: BTreeMap<&String, Vec<_>> = BTreeMap::new();
    let mut by_region: BTreeMap<&Id, Vec<_>> = BTreeMap::new();
    for part in counts.keys() {
        by_kind.entry(&part.1).or_default().push(part.clone());
        by_region.entry(&part.0).or_default().push(part.clone());
    }
    let kinds = by_kind.into_iter().map(|(kind, parts)| (kind.clone(), parts));
    let regions = by_region.into_values().map(|parts| ("all kinds of a region".to_owned(), parts));
    let all = [("all kinds".to_owned(), counts.keys().cloned().collect())];
    kinds.chain(regions).chain(all).collect()
}

#[cfg(test)]
mod tests {
    use worker_proto::{Counts as Sent, EdgeList, Node};

    use super::*;
    use crate::graph::{self, Spool, UnitStore};

    /// An account with two regions and so many nodes of two kinds in each.
    fn unit(volumes: [u8; 2], vpcs: [u8; 2]) -> CompleteUnit {
        let account = graph::Account { kind: "account".into(), id: "1".into(), label: "1".into() };
        let mut store = UnitStore::new(account, &Spool::new(1 << 20));
        let (mut nodes, mut edges) = (Vec::new(), EdgeList::default());
        let mut add = |id: [u8; 16], above: Option<[u8; 16]>, kind: &str| {
            nodes.push(Node { id, kind: kind.into(), resource: "1".into(), line: b"{}".to_vec().into() });
            above.into_iter().for_each(|above| edges.push(above, id));
        };
        add([0; 16], None, "account");
        for region in 0..2_u8 {
            add([region + 1; 16], Some([0; 16]), "region");
            for (kind, count) in [("volume", volumes[usize::from(region)]), ("vpc", vpcs[usize::from(region)])] {
                for number in 0..count {
                    let mut id = [10 + region; 16];
                    (id[0], id[1]) = (number, u8::from(kind == "vpc"));
                    add(id, Some([region + 1; 16]), kind);
                }
            }
        }
        assert!(store.nodes(&nodes).is_ok());
        store.edges(&edges);
        let counts = Sent { nodes: nodes.len() as u64, edges: edges.len() as u64, deferred: 0 };
        store.complete(counts).unwrap_or_else(|error| unreachable!("{error}"))
    }

    fn judge(history: &mut History, unit: &CompleteUnit, hold: Option<u64>) -> (Vec<String>, usize) {
        let mut missing = Vec::new();
        let losses = history.judge("aws", unit, &mut missing, hold);
        (losses.into_iter().map(|loss| format!("{} {} {}", loss.kind, loss.before, loss.now)).collect(), missing.len())
    }

    #[test]
    fn loss_of_more_than_half_is_named_once_it_is_large_enough() {
        let mut history = History::default();
        assert_eq!(judge(&mut history, &unit([60, 60], [10, 10]), None), (vec![], 0), "nothing to compare with");
        assert_eq!(
            judge(&mut history, &unit([40, 40], [0, 0]), None).0,
            Vec::<String>::new(),
            "20 are too few to judge"
        );
        assert_eq!(judge(&mut history, &unit([30, 0], [0, 0]), None).0, ["volume 80 30", "all kinds 80 30"]);
        assert_eq!(judge(&mut history, &unit([30, 0], [0, 0]), None).0, Vec::<String>::new(), "named once");
    }

    #[test]
    fn held_loss_is_believed_when_the_next_run_confirms_it() {
        let mut history = History::default();
        judge(&mut history, &unit([60, 60], [10, 10]), Some(20));
        let (losses, held) = judge(&mut history, &unit([60, 20], [10, 10]), Some(20));
        assert_eq!(
            (losses.len(), held),
            (3, 4),
            "the kind in both regions, and all kinds of the region and the account"
        );
        let (losses, held) = judge(&mut history, &unit([60, 20], [10, 10]), Some(20));
        assert_eq!((losses.len(), held), (1, 0), "confirmed: only the region lost more than half");
        assert_eq!(judge(&mut history, &unit([60, 60], [10, 10]), Some(20)), (vec![], 0), "it came back");
        let (_, held) = judge(&mut history, &unit([0, 60], [10, 10]), Some(20));
        assert!(held > 0);
        assert_eq!(judge(&mut history, &unit([60, 60], [10, 10]), Some(20)), (vec![], 0), "it was never gone");
    }

    #[test]
    fn loss_after_a_run_that_could_not_see_is_held() {
        let mut history = History::default();
        judge(&mut history, &unit([60, 60], [0, 0]), Some(20));
        let kind = |below: u8| Missing::Kind {
            below: [below; 16],
            scope: String::new(),
            kind: "volume".into(),
            with: vec![],
            why: Why::Unseen,
        };
        let mut unseen = vec![kind(1), kind(2)];
        assert_eq!(history.judge("aws", &unit([0, 0], [0, 0]), &mut unseen, Some(20)), []);
        let (_, held) = judge(&mut history, &unit([0, 0], [0, 0]), Some(20));
        assert!(held > 0, "one run has missed it so far");
        let (_, held) = judge(&mut history, &unit([0, 0], [0, 0]), Some(20));
        assert_eq!(held, 0, "confirmed");
    }

    #[test]
    fn what_could_not_be_seen_is_no_sudden_loss() {
        let mut history = History::default();
        judge(&mut history, &unit([60, 60], [0, 0]), None);
        let kind = |below: u8| Missing::Kind {
            below: [below; 16],
            scope: String::new(),
            kind: "volume".into(),
            with: vec![],
            why: Why::Unseen,
        };
        let mut missing = vec![kind(1), kind(2)];
        assert_eq!(history.judge("aws", &unit([0, 0], [0, 0]), &mut missing, Some(1)), []);
        assert_eq!(missing.len(), 2);
    }

    #[test]
    fn plan_that_lost_most_of_its_accounts_is_named_and_held_once() {
        let mut history = History::default();
        assert_eq!(history.judge_plan("aws", 10, true), None);
        assert_eq!(history.judge_plan("aws", 5, true), None, "half is not most");
        assert_eq!(history.judge_plan("aws", 2, true), Some((5, true)));
        assert_eq!(history.judge_plan("aws", 2, true), Some((5, false)), "confirmed");
        assert_eq!(history.judge_plan("aws", 2, true), None);
    }
}
