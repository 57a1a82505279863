//! Sudden losses: much of what the core has of an account is missing, although nothing was reported as unseen.
//!
//! The resources may have been deleted. The reason may as well be a wrong response, a swapped account, or a policy that
//! filters. So a loss is logged, and held for one run if an option requests it. Nodes that are missing in two runs in a
//! row are gone.
//!
//! The comparison is with the core's state, so the first run after a start notices a loss as well. Only held losses are
//! remembered; after a restart they are held once more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use worker_proto::Missing;

use super::{
    inventory::{Counts, Known, Part},
    last_known::Held,
};
use crate::{ckcore::Summaries, graph::CompleteUnit};

/// The smallest number of nodes for a comparison.
const LEAST: u64 = 50;
/// The loss above which a warning is logged, in percent.
const NAMED: u64 = 50;
/// The smallest number of accounts for a comparison of plans.
const LEAST_ACCOUNTS: u64 = 4;
/// The limit of accounts whose held losses are remembered. Above it, losses of further accounts are held in every run.
const MAX_ACCOUNTS: usize = 10_000;

type Id = [u8; 16];

/// The losses that the last run held: by cloud and account, the parts and the number of their nodes.
#[derive(Debug, Default)]
pub struct HeldLosses {
    accounts: HashMap<(String, String), BTreeMap<String, u64>>,
}

/// The unexplained losses of an account.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The losses to log.
    pub(super) losses: Vec<Loss>,
    /// The nodes to keep.
    pub(super) held: Vec<Held>,
}

/// A part of an account that shrank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// The kind, `all kinds of REGION`, or `all kinds`.
    pub(super) what: String,
    /// The number of nodes before.
    pub(super) before: u64,
    /// The number of nodes now.
    pub(super) now: u64,
    /// Whether the loss is held.
    pub(super) is_held: bool,
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
        let last = self.accounts.remove(&key).unwrap_or_default();
        let known = Known::new(&unit.account().id, known);
        let before = known.counts();
        if before.values().sum::<u64>() < LEAST {
            return Judgement::default();
        }
        let unseen = Unseen::new(missing, &known, unit);
        let now = seen(unit, &known, &before, &unseen);
        let (mut judgement, mut remembered) = (Judgement::default(), BTreeMap::new());
        let mut parts_held = BTreeSet::new();
        for (what, parts) in known.groups(&before) {
            let sum = |counts: &Counts| parts.iter().filter_map(|part| counts.get(part)).sum::<u64>();
            let (before, now) = (sum(&before), sum(&now));
            let is_confirmed = |most: u64| last.get(&what).is_some_and(|last| percent(*last, now) <= most);
            let is_held = hold.is_some_and(|most| percent(before, now) > most && !is_confirmed(most));
            if before < LEAST || !(is_held || percent(before, now) > NAMED) {
                continue;
            }
            if is_held {
                remembered.insert(what.clone(), now);
                parts_held.extend(parts);
            }
            judgement.losses.push(Loss { what, before, now, is_held });
        }
        judgement.held.extend(parts_held.into_iter().map(|(below, kind)| Held { below, kind }));
        self.remember(key, remembered);
        judgement
    }

    /// Compares a complete plan with the number of accounts that the core has. Returns `None` unless most accounts are
    /// lost, and otherwise whether the loss is held.
    pub(super) fn judge_plan(&mut self, cloud: &str, before: u64, accounts: u64, hold: bool) -> Option<bool> {
        let key = (cloud.to_owned(), String::new());
        let last = self.accounts.remove(&key).unwrap_or_default();
        if before < LEAST_ACCOUNTS || percent(before, accounts) <= NAMED {
            return None;
        }
        let is_confirmed = last.get("accounts").is_some_and(|last| percent(*last, accounts) <= NAMED);
        let is_held = hold && !is_confirmed;
        if is_held {
            self.remember(key, [("accounts".to_owned(), accounts)].into());
        }
        Some(is_held)
    }

    fn remember(&mut self, key: (String, String), held: BTreeMap<String, u64>) {
        if !held.is_empty() && self.accounts.len() < MAX_ACCOUNTS {
            self.accounts.insert(key, held);
        }
    }
}

/// Returns the lost part in percent.
fn percent(before: u64, now: u64) -> u64 {
    (100 * now.min(before)).checked_div(before).map_or(0, |kept| 100 - kept)
}

impl Known<'_> {
    /// Returns the groups of parts that are compared: each kind, each region, and the account.
    fn groups(&self, counts: &Counts) -> Vec<(String, Vec<Part>)> {
        let mut groups: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        for part in counts.keys() {
            groups.entry(part.1.clone()).or_default().push(part.clone());
            if let Some(region) = self.regions.get(&part.0) {
                groups.entry(format!("all kinds of {}", region.id)).or_default().push(part.clone());
            }
            groups.entry("all kinds".to_owned()).or_default().push(part.clone());
        }
        groups.into_iter().collect()
    }
}

/// The parts that could not be seen.
#[derive(Default)]
struct Unseen<'a> {
    parts: HashSet<(Id, &'a str)>,
    /// Kinds that may be missing anywhere.
    kinds: HashSet<&'a str>,
    /// Whether whole regions may be missing.
    regions: bool,
}

impl<'a> Unseen<'a> {
    fn new(missing: &'a [Missing], known: &Known<'_>, unit: &CompleteUnit) -> Self {
        let mut unseen = Self::default();
        let account = unit.account_node().and_then(|number| unit.ids().get(number));
        for one in missing {
            let Missing::Kind { below, kind, with, .. } = one else { continue };
            let kinds = with.iter().chain([kind]).map(String::as_str);
            if known.regions.contains_key(below) {
                unseen.parts.extend(kinds.map(|kind| (*below, kind)));
            } else if Some(below) == account && known.regions.values().any(|region| region.kind == *kind) {
                unseen.regions = true;
            } else {
                unseen.kinds.extend(kinds);
            }
        }
        unseen
    }

    fn contains(&self, (below, kind): &Part, is_there: bool) -> bool {
        self.parts.contains(&(*below, kind)) || self.kinds.contains(kind.as_str()) || self.regions && !is_there
    }
}

/// Returns the number of nodes of each part in a unit. A part that could not be seen has at least its former number.
fn seen(unit: &CompleteUnit, known: &Known<'_>, before: &Counts, unseen: &Unseen<'_>) -> Counts {
    let numbers: HashMap<Id, usize> = unit.ids().iter().enumerate().map(|(number, id)| (*id, number)).collect();
    let mut successors: HashMap<Id, Vec<Id>> = HashMap::new();
    for (from, to) in unit.edge_ids() {
        successors.entry(from).or_default().push(to);
    }
    let mut counts = Counts::new();
    let tops =
        known.regions.keys().copied().chain(unit.account_node().and_then(|number| unit.ids().get(number)).copied());
    for top in tops {
        let part = known.account.filter(|_| !known.regions.contains_key(&top)).map_or(top, |(id, _)| id);
        let (mut open, mut found) = (vec![top], HashSet::from([top]));
        while let Some(id) = open.pop() {
            for id in successors.get(&id).into_iter().flatten() {
                if !known.regions.contains_key(id) && found.insert(*id) {
                    open.push(*id);
                }
            }
        }
        found.remove(&top);
        for number in found.iter().filter_map(|id| numbers.get(id)) {
            *counts.entry((part, unit.kind(*number).to_owned())).or_default() += 1;
        }
    }
    for (part, before) in before {
        if unseen.contains(part, numbers.contains_key(&part.0)) {
            let count = counts.entry(part.clone()).or_default();
            *count = (*count).max(*before);
        }
    }
    counts
}

#[cfg(test)]
#[path = "sudden_tests.rs"]
mod tests;
