//! Sudden losses: much of what the core has of an account is missing, although nothing was reported as unseen.
//!
//! The resources may have been deleted. The reason may as well be a wrong response, a swapped account, or a policy that
//! filters. So a loss is logged, and held for one run if an option requests it. Nodes that are missing in two runs in a
//! row are gone.
//!
//! The comparison is with the core's state, so the first run after a start notices a loss as well. Only held losses are
//! remembered; after a restart they are held once more.
//!
//! A core counts a node below the first of its regions that it finds, such as an instance below the region of its role.
//! So kinds are compared in the whole account, and a region loses at most what the account lost of each kind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use worker_proto::Missing;

use super::{inventory::Known, last_known::Held};
use crate::{ckcore::Summaries, collectors, graph::CompleteUnit};

/// The smallest number of nodes that is judged.
const LEAST: u64 = 50;
/// The loss that is named, in percent.
const NAMED: u64 = 50;
/// The smallest number of accounts in a plan that is judged.
const LEAST_ACCOUNTS: u64 = 4;
/// The most accounts whose held losses are remembered. Those of further accounts stay held for as long as there are so
/// many.
const MAX_ACCOUNTS: usize = 10_000;

/// What all accounts of a plan are called beside groups of nodes.
const ACCOUNTS: &str = "accounts";

type Id = [u8; 16];

/// The lost nodes of a group, by kind.
type Lost = BTreeMap<String, u64>;

/// The groups of an account whose losses are held, by the name of the group.
type Groups = BTreeMap<String, Lost>;

/// The losses that the last delivered run held, by cloud and account.
#[derive(Debug, Default)]
pub struct HeldLosses {
    accounts: HashMap<(String, String), Groups>,
    /// The losses that the current delivery holds. They count as soon as it has arrived.
    pending: HashMap<(String, String), Groups>,
}

/// The losses of an account.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The losses that are logged.
    pub(super) losses: Vec<Loss>,
    /// The nodes that are kept.
    pub(super) held: Vec<Held>,
}

/// A group of nodes that shrank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// The kind, `all kinds of REGION`, or `all kinds`.
    pub(super) what: String,
    /// The number of nodes in the core.
    pub(super) before: u64,
    /// The number of nodes in the collection.
    pub(super) now: u64,
    /// Whether the loss is held.
    pub(super) is_held: bool,
}

/// A group of nodes that is compared: a kind, a region, or the account.
struct Group {
    what: String,
    before: u64,
    lost: Lost,
    /// The nodes below which lost nodes are kept.
    below: Vec<Id>,
}

impl HeldLosses {
    /// Compares an account with the core's state. `missing` has the parts that could not be seen. Losses of more than
    /// `hold` percent are held, unless the last run held them as well.
    pub(super) fn judge(
        &mut self,
        cloud: &str,
        unit: &CompleteUnit,
        known: &Summaries,
        missing: &[Missing],
        hold: Option<u64>,
    ) -> Judgement {
        let key = (cloud.to_owned(), unit.account().id.clone());
        let known = Known::new(&unit.account().id, known);
        let (mut judgement, mut pending, mut held) = (Judgement::default(), Groups::new(), BTreeSet::new());
        for group in groups(unit, &known, missing) {
            let lost: u64 = group.lost.values().sum();
            let now = group.before - lost.min(group.before);
            let last = self.accounts.get(&key).and_then(|groups| groups.get(&group.what));
            let is_held = hold.is_some_and(|most| {
                percent(group.before, now) > most && !last.is_some_and(|last| group.is_confirmed(last, most))
            });
            if group.before < LEAST || !(is_held || percent(group.before, now) > NAMED) {
                continue;
            }
            if is_held {
                held.extend(group.lost.keys().flat_map(|kind| group.below.iter().map(move |id| (*id, kind.clone()))));
                pending.insert(group.what.clone(), group.lost.clone());
            }
            judgement.losses.push(Loss { what: group.what, before: group.before, now, is_held });
        }
        judgement.held.extend(held.into_iter().map(|(below, kind)| Held { below, kind }));
        self.pending.insert(key, pending);
        judgement
    }

    /// Compares a complete plan with the number of accounts that the core has. Returns `None` unless most accounts are
    /// lost, and otherwise whether the loss is held.
    pub(super) fn judge_plan(&mut self, cloud: &str, before: u64, accounts: u64, hold: bool) -> Option<bool> {
        let key = (cloud.to_owned(), String::new());
        let is_lost = before >= LEAST_ACCOUNTS && percent(before, accounts) > NAMED;
        let lost = Lost::from([(ACCOUNTS.to_owned(), before - accounts.min(before))]);
        let last = self.accounts.get(&key).and_then(|groups| groups.get(ACCOUNTS)?.get(ACCOUNTS)).copied();
        let is_confirmed = last.is_some_and(|last| percent(before, accounts + last) <= NAMED);
        let is_held = is_lost && hold && !is_confirmed;
        let groups = if is_held { Groups::from([(ACCOUNTS.to_owned(), lost)]) } else { Groups::new() };
        self.pending.insert(key, groups);
        is_lost.then_some(is_held)
    }

    /// Forgets what a delivery that did not arrive held.
    pub(super) fn begin(&mut self) {
        self.pending.clear();
    }

    /// Remembers what the delivery of an account held; an empty name is that of the plan.
    pub(super) fn arrived(&mut self, cloud: &str, account: &str) {
        let key = (cloud.to_owned(), account.to_owned());
        if let Some(groups) = self.pending.remove(&key) {
            self.accounts.remove(&key);
            if !groups.is_empty() && self.accounts.len() < MAX_ACCOUNTS {
                self.accounts.insert(key, groups);
            }
        }
    }

    /// Remembers what the delivery of all accounts held.
    pub(super) fn all_arrived(&mut self) {
        let keys: Vec<(String, String)> = self.pending.keys().cloned().collect();
        keys.iter().for_each(|(cloud, account)| self.arrived(cloud, account));
    }
}

/// Returns the lost part in percent.
fn percent(before: u64, now: u64) -> u64 {
    (100 * now.min(before)).checked_div(before).map_or(0, |kept| 100 - kept)
}

impl Group {
    fn new(what: String, below: Vec<Id>) -> Self {
        Self { what, before: 0, lost: Lost::new(), below }
    }

    fn add(&mut self, kind: &str, before: u64, lost: u64) {
        self.before += before;
        if lost > 0 {
            self.lost.insert(kind.to_owned(), lost);
        }
    }

    /// Whether the last run had lost the same, but for `most` percent of the group.
    fn is_confirmed(&self, last: &Lost, most: u64) -> bool {
        let new = self.lost.iter().map(|(kind, lost)| lost.saturating_sub(last.get(kind).copied().unwrap_or(0)));
        percent(self.before, self.before - new.sum::<u64>().min(self.before)) <= most
    }
}

/// Returns the groups of an account that can be compared: each kind, each region, and the account.
fn groups(unit: &CompleteUnit, known: &Known<'_>, missing: &[Missing]) -> Vec<Group> {
    let unseen: HashSet<&str> = missing.iter().flat_map(|missing| unseen_kinds(missing, known)).collect();
    let ids: HashSet<&Id> = unit.ids().iter().collect();
    let is_whole = known.regions.keys().all(|region| ids.contains(region));
    if !is_whole && unseen.iter().any(|kind| known.is_region(kind)) {
        // The resources of regions that were not collected are missing in each kind.
        return Vec::new();
    }
    let tops: Vec<Id> = known.regions.keys().copied().chain(known.account.map(|(id, _)| id)).collect();
    let now = unit.nodes_by_kind();
    let mut lost: BTreeMap<&str, u64> = BTreeMap::new();
    let mut all = Group::new("all kinds".to_owned(), tops.clone());
    let mut groups = Vec::new();
    for (kind, before) in known.by_kind().into_iter().filter(|(kind, _)| !unseen.contains(kind)) {
        let missing = before.saturating_sub(now.get(kind).copied().unwrap_or(0));
        lost.insert(kind, missing);
        all.add(kind, before, missing);
        let mut group = Group::new(kind.to_owned(), tops.clone());
        group.add(kind, before, missing);
        groups.push(group);
    }
    if lost.values().all(|lost| *lost == 0) {
        return Vec::new();
    }
    groups.extend(regions(unit, known, &lost));
    groups.push(all);
    groups
}

/// Returns the kinds of which some may not have been seen. Where regions are missing, that says nothing of the regions
/// that are there.
fn unseen_kinds<'m>(missing: &'m Missing, known: &Known<'_>) -> Vec<&'m str> {
    match missing {
        Missing::Kind { kind, .. } if known.is_region(kind) || is_location(kind) => vec![kind],
        Missing::KindInAll { kind, .. } => vec![kind],
        Missing::Kind { kind, with, .. } => with.iter().chain([kind]).map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether nodes of a kind are regions or zones.
fn is_location(kind: &str) -> bool {
    let known = collectors::schema().ok().and_then(|schema| schema.kind(kind));
    known.is_some_and(|kind| kind.is_a("region") || kind.is_a("zone"))
}

/// Returns the regions. `lost` has the lost nodes of the account by kind.
fn regions(unit: &CompleteUnit, known: &Known<'_>, lost: &BTreeMap<&str, u64>) -> Vec<Group> {
    let numbers: HashMap<Id, usize> = unit.ids().iter().enumerate().map(|(number, id)| (*id, number)).collect();
    let mut successors: HashMap<Id, Vec<Id>> = HashMap::new();
    for (from, to) in unit.edge_ids() {
        successors.entry(from).or_default().push(to);
    }
    let mut groups = Vec::new();
    for (id, region) in &known.regions {
        let (mut open, mut found) = (vec![*id], HashSet::from([*id]));
        let mut now: HashMap<&str, u64> = HashMap::new();
        while let Some(id) = open.pop() {
            for id in successors.get(&id).into_iter().flatten().filter(|id| !known.regions.contains_key(*id)) {
                if found.insert(*id) {
                    open.push(*id);
                    numbers.get(id).into_iter().for_each(|number| *now.entry(unit.kind(*number)).or_default() += 1);
                }
            }
        }
        let mut group = Group::new(format!("all kinds of {}", region.id), vec![*id]);
        for (kind, before) in &region.counts {
            if let Some(most) = lost.get(kind.as_str()) {
                let missing = before.saturating_sub(now.get(kind.as_str()).copied().unwrap_or(0));
                group.add(kind, *before, missing.min(*most));
            }
        }
        groups.push(group);
    }
    groups
}

#[cfg(test)]
#[path = "sudden_tests.rs"]
mod tests;
