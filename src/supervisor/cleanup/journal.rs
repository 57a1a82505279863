//! What was done to resources and has still to be told to the core.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

use crate::ckcore::NodeChange;

/// The event logs of the nodes that were touched, and which of them the core does not know yet.
#[derive(Default)]
pub(super) struct Journal {
    nodes: BTreeMap<String, Entry>,
    dirty: BTreeSet<String>,
}

#[derive(Default)]
struct Entry {
    log: Vec<Value>,
    cleaned: bool,
}

impl Journal {
    /// Notes something about a node.
    pub(super) fn log(&mut self, node: &str, message: &str, exception: Option<&str>) {
        let entry = self.nodes.entry(node.to_owned()).or_default();
        entry.log.push(json!({ "timestamp": now(), "msg": message, "exception": exception }));
        self.dirty.insert(node.to_owned());
    }

    /// Notes that a node's resource is gone.
    pub(super) fn cleaned(&mut self, node: &str) {
        self.nodes.entry(node.to_owned()).or_default().cleaned = true;
        self.dirty.insert(node.to_owned());
    }

    /// How many nodes the core does not know the newest of.
    pub(super) fn open(&self) -> usize {
        self.dirty.len()
    }

    /// The next changes for the core, at most so many. Each holds the whole log of this cleanup: the core replaces lists.
    pub(super) fn changes(&self, most: usize) -> Vec<NodeChange> {
        let changes = self.dirty.iter().take(most).filter_map(|id| {
            let entry = self.nodes.get(id)?;
            let mut metadata = Map::from_iter([("event_log".to_owned(), Value::from(entry.log.clone()))]);
            if entry.cleaned {
                metadata.insert("cleaned".into(), true.into());
            }
            Some(NodeChange { id: id.clone(), metadata: Some(metadata), ..NodeChange::default() })
        });
        changes.collect()
    }

    /// The core has these changes.
    pub(super) fn told(&mut self, changes: &[NodeChange]) {
        for change in changes {
            self.dirty.remove(&change.id);
        }
    }
}

/// Now, as the original writes it.
fn now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00");
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}
