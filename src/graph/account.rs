//! The graph of one account, for a core in which accounts are replaced one by one.
//!
//! It is a merged graph of the account's unit alone, below root and cloud. The mark that the core replaces goes from the
//! cloud to the account, which costs two lines written anew; all others are relayed as they are. Edges to nodes of other
//! accounts become lines that the core resolves when all accounts have arrived.

use std::{collections::HashSet, io, ops::Range};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use worker_proto::{Deferred, Selector};

use super::{
    CloudUnits, MergeError, MergedGraph, NodeId,
    spool::{FrozenLines, Spool},
    store::{CompleteUnit, NodeKey},
};

/// The form of time stamps that a core reads without converting.
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

impl MergedGraph {
    /// The graph of one account of a cloud. With `ignore_deferred`, edges to nodes of other accounts are left out.
    ///
    /// # Errors
    /// [`MergeError`]; also if the account's own graph is not valid.
    pub fn of_account(cloud: &str, unit: CompleteUnit, ignore_deferred: bool) -> Result<MergedGraph, MergeError> {
        let account = AccountLine::find(&unit);
        let outward = if ignore_deferred { Vec::new() } else { outward(&unit) };
        let clouds = vec![CloudUnits { name: cloud.to_owned(), units: vec![unit] }];
        let mut graph = MergedGraph::build(clouds, ignore_deferred)?;
        if let Some(out) = graph.report().left_out.first() {
            return Err(MergeError::Invalid(out.reason.clone()));
        }
        graph.mark_account(&account, &outward).map_err(MergeError::Own)?;
        Ok(graph)
    }

    /// Moves the mark from the cloud to the account, and adds the deferred edges.
    fn mark_account(&mut self, account: &AccountLine, outward: &[u8]) -> io::Result<()> {
        let mut own = Vec::new();
        let cloud = self.segments.iter().position(|(lines, range)| *lines == OWN && range.start > 0);
        let cloud = cloud.ok_or_else(|| io::Error::other("the graph has no cloud"))?;
        let line = self.read(OWN, &self.segments[cloud].1)?;
        own.extend(rewritten(&line, |node| drop(node.remove("replace")))?);
        let new = self.lines.len();
        self.segments[cloud] = (new, 0..own.len() as u64);

        let line = self.read(UNIT, &account.0)?;
        let start = own.len() as u64;
        own.extend(rewritten(&line, mark)?);
        let marked = (new, start..own.len() as u64);
        let mut segments = Vec::with_capacity(self.segments.len() + 3);
        for (lines, range) in std::mem::take(&mut self.segments) {
            if lines == UNIT && range.start <= account.0.start && account.0.end <= range.end {
                segments.extend([
                    (UNIT, range.start..account.0.start),
                    marked.clone(),
                    (UNIT, account.0.end..range.end),
                ]);
            } else {
                segments.push((lines, range));
            }
        }
        let start = own.len() as u64;
        own.extend_from_slice(outward);
        segments.push((new, start..own.len() as u64));
        segments.retain(|(_, range)| !range.is_empty());
        self.segments = segments;
        self.lines.push(frozen(&own)?);
        Ok(())
    }

    fn read(&self, lines: usize, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.lines[lines].read(range.start, range.end, &mut line)?;
        Ok(line)
    }
}

/// The lines of root and cloud, and those of the only unit, in a merged graph.
const OWN: usize = 0;
const UNIT: usize = 1;

/// Where the line of the account is among the unit's lines.
struct AccountLine(Range<u64>);

impl AccountLine {
    /// A complete unit has its account; without one nothing would be marked, and the core refuses the graph.
    fn find(unit: &CompleteUnit) -> Self {
        let record = unit.records.find(&unit.account.kind, &unit.account.id).unwrap_or(0);
        let start: u64 = unit.records.lengths.iter().take(record).map(|length| u64::from(*length)).sum();
        let length = unit.records.lengths.get(record).copied().unwrap_or(0);
        Self(start..start + u64::from(length))
    }
}

fn mark(node: &mut Map<String, Value>) {
    let metadata = node.entry("metadata").or_insert_with(|| json!({}));
    metadata["replace"] = json!(true);
    if let Ok(now) = OffsetDateTime::now_utc().format(TIME) {
        metadata["exported_at"] = json!(now);
    }
}

fn rewritten(line: &[u8], change: impl FnOnce(&mut Map<String, Value>)) -> io::Result<Vec<u8>> {
    let mut node: Map<String, Value> = serde_json::from_slice(line)?;
    change(&mut node);
    let mut line = serde_json::to_vec(&node)?;
    line.push(b'\n');
    Ok(line)
}

fn frozen(bytes: &[u8]) -> io::Result<FrozenLines> {
    // Two lines and a few edges: nothing that needs a budget.
    let mut lines = Spool::new(u64::MAX).lines();
    lines.append(bytes)?;
    Ok(lines.freeze())
}

/// The deferred edges of which an end is in another account, as lines.
fn outward(unit: &CompleteUnit) -> Vec<u8> {
    if unit.deferred.is_empty() {
        return Vec::new();
    }
    let ids: HashSet<&NodeKey> = unit.records.ids.iter().collect();
    let is_inside = |selector: &Selector| match selector {
        Selector::Node(id) => ids.contains(id),
        Selector::Resource { kind, id } => unit.records.find(kind, id).is_some(),
    };
    let outward = unit.deferred.iter().filter(|edge| !(is_inside(&edge.from) && is_inside(&edge.to)));
    let lines = outward.map(|Deferred { from, to }| {
        let edge = json!({ "from_selector": selector(from), "to_selector": selector(to), "edge_type": "default" });
        format!("{edge}\n")
    });
    lines.collect::<String>().into_bytes()
}

fn selector(selector: &Selector) -> Value {
    match selector {
        Selector::Node(id) => json!({ "node_id": NodeId(*id).to_string() }),
        // A JSON string is quoted as the query language wants it.
        Selector::Resource { kind, id } => {
            json!({ "search_criteria": format!("is({kind}) and /reported.id == {}", json!(id)) })
        }
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
