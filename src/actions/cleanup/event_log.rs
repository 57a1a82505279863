//! Event logs of the nodes of a cleanup, and which of them the core has not received yet. Pure.
//!
//! The core receives them in batches. A batch that it rejects is halved until the rejected nodes are isolated; those
//! are discarded, and the others are delivered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

use crate::ckcore::NodeChange;

/// Entries of earlier cleanups that are kept in a node's log, and how long they may be together in bytes of JSON. An
/// old core takes lines of 128 KiB.
const EARLIER: (usize, usize) = (100, 32 * 1024);
/// Refusals in a row after which parts are no longer halved: the core rejects everything.
const MAX_REJECTIONS: usize = 32;

/// The event logs of the nodes that were touched, and which of them the core does not know yet.
#[derive(Default)]
pub(super) struct EventLog {
    nodes: BTreeMap<String, Entry>,
    /// The logs that nodes have from earlier cleanups.
    earlier: HashMap<String, Vec<Value>>,
    dirty: BTreeSet<String>,
    /// Nodes of the request in flight.
    in_flight: Vec<String>,
    /// Batches to send next, each in a request of its own.
    batches: Vec<Vec<String>>,
    /// How often it has refused since it last took something.
    rejections: usize,
    /// Nodes that the core rejected.
    discarded: BTreeSet<String>,
}

#[derive(Default)]
struct Entry {
    log: Vec<Value>,
    cleaned: bool,
}

impl EventLog {
    /// A event_log for nodes with these logs from earlier cleanups.
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

    /// Returns how many nodes have entries that the core has not received.
    pub(super) fn open(&self) -> usize {
        self.dirty.len() + self.in_flight.len() + self.batches.iter().map(Vec::len).sum::<usize>()
    }

    /// Returns how many nodes the core rejected.
    pub(super) fn discarded(&self) -> usize {
        self.discarded.len()
    }

    /// Whether something waits that need not wait for more: a whole part.
    pub(super) fn is_due(&self, most: usize) -> bool {
        !self.batches.is_empty() || self.dirty.len() >= most
    }

    /// Returns the next batch, at most `most` nodes; `accepted`, `retry_later` or `rejected` records its result. Each
    /// change holds the whole log of its node, because the core replaces lists.
    pub(super) fn next(&mut self, most: usize) -> Vec<NodeChange> {
        self.in_flight = match self.batches.pop() {
            Some(part) => part,
            None => std::iter::from_fn(|| self.dirty.pop_first()).take(most).collect(),
        };
        let changes = self.in_flight.iter().filter_map(|id| {
            let entry = self.nodes.get(id)?;
            let mut metadata = Map::from_iter([("event_log".to_owned(), Value::from(entry.log.clone()))]);
            if entry.cleaned {
                metadata.insert("cleaned".into(), true.into());
            }
            Some(NodeChange { id: id.clone(), metadata: Some(metadata), ..NodeChange::default() })
        });
        changes.collect()
    }

    /// The core accepted the batch.
    pub(super) fn accepted(&mut self) {
        for id in self.in_flight.drain(..) {
            self.discarded.remove(&id);
        }
        self.rejections = 0;
    }

    /// The request failed and is to be repeated.
    pub(super) fn retry_later(&mut self) {
        self.batches.push(std::mem::take(&mut self.in_flight));
    }

    /// The core rejected the batch for good. Returns the nodes that are discarded.
    pub(super) fn rejected(&mut self) -> Vec<String> {
        self.rejections += 1;
        let mut part = std::mem::take(&mut self.in_flight);
        if part.len() > 1 && self.rejections < MAX_REJECTIONS {
            self.batches.push(part.split_off(part.len() / 2));
            self.batches.push(part);
            return Vec::new();
        }
        self.discarded.extend(part.iter().cloned());
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

    fn event_log(nodes: usize) -> EventLog {
        let mut event_log = EventLog::default();
        (0..nodes).for_each(|node| event_log.log(&format!("{node:03}"), "gone", None));
        event_log
    }

    /// Sends everything to a core that rejects every batch with one of these nodes; returns the number of requests and
    /// what is given up.
    fn tell(event_log: &mut EventLog, rejects: impl Fn(&str) -> bool) -> (usize, Vec<String>) {
        let (mut times, mut discarded) = (0, Vec::new());
        while event_log.open() > 0 {
            times += 1;
            if event_log.next(100).iter().any(|change| rejects(&change.id)) {
                discarded.extend(event_log.rejected());
            } else {
                event_log.accepted();
            }
        }
        (times, discarded)
    }

    #[test]
    fn nodes_rejected_by_core_are_isolated_by_bisection() {
        let mut event_log = event_log(250);
        let (times, discarded) = tell(&mut event_log, |id| ["007", "008", "120"].contains(&id));
        assert_eq!((discarded, event_log.discarded()), (vec!["007".into(), "008".into(), "120".into()], 3));
        assert!(times < 50, "{times}");
    }

    #[test]
    fn bisection_stops_when_core_rejects_everything() {
        let mut event_log = event_log(1000);
        let (times, discarded) = tell(&mut event_log, |_| true);
        assert_eq!(discarded.len(), 1000);
        assert!(times < 60, "{times}");
        // The next thing that it takes counts again.
        event_log.log("a", "gone", None);
        assert_eq!(tell(&mut event_log, |_| false), (1, Vec::new()));
    }

    #[test]
    fn changes_during_report_are_reported_next() {
        let mut event_log = event_log(1);
        assert_eq!(event_log.next(100).len(), 1);
        event_log.cleaned("000");
        event_log.accepted();
        assert_eq!(event_log.open(), 1);
        assert_eq!(event_log.next(100)[0].metadata.as_ref().unwrap()["cleaned"], json!(true));
        event_log.retry_later();
        assert_eq!((event_log.open(), event_log.is_due(100)), (1, true));
    }

    #[test]
    fn earlier_entries_stay_in_event_log() {
        let old = |text: &str| json!({ "timestamp": "2021-01-01", "msg": text, "exception": null });
        let long = old(&"x".repeat(EARLIER.1));
        let many = (0..2 * EARLIER.0).map(|number| old(&number.to_string())).collect();
        let logs = [("a", vec![old("first")]), ("long", vec![long, old("short")]), ("many", many)];
        let mut event_log = EventLog::new(logs.into_iter().map(|(id, log)| (id.to_owned(), log)).collect());
        ["a", "long", "many"].into_iter().for_each(|id| event_log.log(id, "again", None));
        let texts = |change: &NodeChange| -> Vec<String> {
            let log = change.metadata.as_ref().unwrap()["event_log"].as_array().unwrap();
            log.iter().map(|entry| entry["msg"].as_str().unwrap().to_owned()).collect()
        };
        let changes = event_log.next(100);
        assert_eq!(texts(&changes[0]), ["first", "again"]);
        assert_eq!(texts(&changes[1]), ["short", "again"], "what is too long is forgotten");
        let many = texts(&changes[2]);
        assert_eq!((many.len(), many[0].as_str()), (EARLIER.0 + 1, "100"));
    }
}
