//! What was done to resources and has still to be told to the core. Pure.
//!
//! The core is told a part at a time. A part that it refuses is halved until it is known which nodes it minds; those are
//! given up, and the others are told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

use crate::ckcore::NodeChange;

/// Entries of earlier cleanups that are kept in a node's log, and how long they may be together in bytes of JSON. An old
/// core takes lines of 128 KiB.
const EARLIER: (usize, usize) = (100, 32 * 1024);
/// Refusals in a row after which parts are no longer halved: the core minds everything.
const REFUSALS: usize = 32;

/// The event logs of the nodes that were touched, and which of them the core does not know yet.
#[derive(Default)]
pub(super) struct Journal {
    nodes: BTreeMap<String, Entry>,
    /// The logs that nodes have from earlier cleanups.
    earlier: HashMap<String, Vec<Value>>,
    dirty: BTreeSet<String>,
    /// What the core is being told.
    underway: Vec<String>,
    /// What it is told next, each on its own.
    parts: Vec<Vec<String>>,
    /// How often it has refused since it last took something.
    refusals: usize,
    /// What it refused to hear of.
    given_up: BTreeSet<String>,
}

#[derive(Default)]
struct Entry {
    log: Vec<Value>,
    cleaned: bool,
}

impl Journal {
    /// A journal for nodes with these logs from earlier cleanups.
    pub(super) fn new(earlier: HashMap<String, Vec<Value>>) -> Self {
        Self { earlier, ..Self::default() }
    }

    /// Notes something about a node.
    pub(super) fn log(&mut self, node: &str, message: &str, exception: Option<&str>) {
        let entry = json!({ "timestamp": now(), "msg": message, "exception": exception });
        self.entry(node).log.push(entry);
    }

    /// Notes that a node's resource is gone.
    pub(super) fn cleaned(&mut self, node: &str) {
        self.entry(node).cleaned = true;
    }

    fn entry(&mut self, node: &str) -> &mut Entry {
        self.dirty.insert(node.to_owned());
        let earlier = &mut self.earlier;
        self.nodes.entry(node.to_owned()).or_insert_with(|| {
            let log = earlier.remove(node).map(newest).unwrap_or_default();
            Entry { log, cleaned: false }
        })
    }

    /// How many nodes the core does not know the newest of.
    pub(super) fn open(&self) -> usize {
        self.dirty.len() + self.underway.len() + self.parts.iter().map(Vec::len).sum::<usize>()
    }

    /// How many nodes the core refused to hear of.
    pub(super) fn given_up(&self) -> usize {
        self.given_up.len()
    }

    /// Whether something waits that need not wait for more: a whole part.
    pub(super) fn is_due(&self, most: usize) -> bool {
        !self.parts.is_empty() || self.dirty.len() >= most
    }

    /// What the core is to be told next, at most so many nodes; `told`, `not_now` or `refused` says how that went. Each
    /// change holds the whole log of its node: the core replaces lists.
    pub(super) fn next(&mut self, most: usize) -> Vec<NodeChange> {
        self.underway = match self.parts.pop() {
            Some(part) => part,
            None => std::iter::from_fn(|| self.dirty.pop_first()).take(most).collect(),
        };
        let changes = self.underway.iter().filter_map(|id| {
            let entry = self.nodes.get(id)?;
            let mut metadata = Map::from_iter([("event_log".to_owned(), Value::from(entry.log.clone()))]);
            if entry.cleaned {
                metadata.insert("cleaned".into(), true.into());
            }
            Some(NodeChange { id: id.clone(), metadata: Some(metadata), ..NodeChange::default() })
        });
        changes.collect()
    }

    /// The core has it.
    pub(super) fn told(&mut self) {
        for id in self.underway.drain(..) {
            self.given_up.remove(&id);
        }
        self.refusals = 0;
    }

    /// The core could not be told now.
    pub(super) fn not_now(&mut self) {
        self.parts.push(std::mem::take(&mut self.underway));
    }

    /// The core will never take it as it is. Returns the nodes that are given up.
    pub(super) fn refused(&mut self) -> Vec<String> {
        self.refusals += 1;
        let mut part = std::mem::take(&mut self.underway);
        if part.len() > 1 && self.refusals < REFUSALS {
            self.parts.push(part.split_off(part.len() / 2));
            self.parts.push(part);
            return Vec::new();
        }
        self.given_up.extend(part.iter().cloned());
        part
    }
}

/// The newest entries of a log, as many as are kept.
fn newest(log: Vec<Value>) -> Vec<Value> {
    let mut bytes = 0;
    let fits = |entry: &&Value| {
        bytes += entry.to_string().len();
        bytes <= EARLIER.1
    };
    let kept = log.iter().rev().take(EARLIER.0).take_while(fits).count();
    let mut log = log;
    log.split_off(log.len() - kept)
}

/// Now, as the original writes it.
fn now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn journal(nodes: usize) -> Journal {
        let mut journal = Journal::default();
        (0..nodes).for_each(|node| journal.log(&format!("{node:03}"), "gone", None));
        journal
    }

    /// Tells everything to a core that refuses every part with one of these nodes; how often it is told something, and
    /// what is given up.
    fn tell(journal: &mut Journal, minds: impl Fn(&str) -> bool) -> (usize, Vec<String>) {
        let (mut times, mut given_up) = (0, Vec::new());
        while journal.open() > 0 {
            times += 1;
            if journal.next(100).iter().any(|change| minds(&change.id)) {
                given_up.extend(journal.refused());
            } else {
                journal.told();
            }
        }
        (times, given_up)
    }

    #[test]
    fn what_the_core_minds_is_found_and_costs_the_others_nothing() {
        let mut journal = journal(250);
        let (times, given_up) = tell(&mut journal, |id| ["007", "008", "120"].contains(&id));
        assert_eq!((given_up, journal.given_up()), (vec!["007".into(), "008".into(), "120".into()], 3));
        assert!(times < 50, "{times}");
    }

    #[test]
    fn a_core_that_minds_everything_is_not_asked_about_each_node() {
        let mut journal = journal(1000);
        let (times, given_up) = tell(&mut journal, |_| true);
        assert_eq!(given_up.len(), 1000);
        assert!(times < 60, "{times}");
        // The next thing that it takes counts again.
        journal.log("a", "gone", None);
        assert_eq!(tell(&mut journal, |_| false), (1, Vec::new()));
    }

    #[test]
    fn what_happens_while_the_core_is_told_is_told_too() {
        let mut journal = journal(1);
        assert_eq!(journal.next(100).len(), 1);
        journal.cleaned("000");
        journal.told();
        assert_eq!(journal.open(), 1);
        assert_eq!(journal.next(100)[0].metadata.as_ref().unwrap()["cleaned"], json!(true));
        journal.not_now();
        assert_eq!((journal.open(), journal.is_due(100)), (1, true));
    }

    #[test]
    fn earlier_cleanups_stay_in_the_log() {
        let old = |text: &str| json!({ "timestamp": "2021-01-01", "msg": text, "exception": null });
        let long = old(&"x".repeat(EARLIER.1));
        let many = (0..2 * EARLIER.0).map(|number| old(&number.to_string())).collect();
        let logs = [("a", vec![old("first")]), ("long", vec![long, old("short")]), ("many", many)];
        let mut journal = Journal::new(logs.into_iter().map(|(id, log)| (id.to_owned(), log)).collect());
        ["a", "long", "many"].into_iter().for_each(|id| journal.log(id, "again", None));
        let texts = |change: &NodeChange| -> Vec<String> {
            let log = change.metadata.as_ref().unwrap()["event_log"].as_array().unwrap();
            log.iter().map(|entry| entry["msg"].as_str().unwrap().to_owned()).collect()
        };
        let changes = journal.next(100);
        assert_eq!(texts(&changes[0]), ["first", "again"]);
        assert_eq!(texts(&changes[1]), ["short", "again"], "what is too long is forgotten");
        let many = texts(&changes[2]);
        assert_eq!((many.len(), many[0].as_str()), (EARLIER.0 + 1, "100"));
    }
}
