//! The graph of one account, for a core that replaces each account on its own.
//!
//! The account's units are merged below root and cloud. The mark for replacement moves from the cloud's node to the
//! account's, which rewrites two lines. All other lines are relayed unchanged, except lines that were completed by the
//! account's last known state. Edges to nodes of other accounts become lines that the core resolves when all accounts
//! have arrived. The caller adds these lines to one of the graphs.

use std::{collections::HashSet, io, sync::Arc};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use worker_proto::{Deferred, Selector};

use super::{
    CloudUnits, MergeError, MergedGraph, NodeId,
    complete::CompleteUnit,
    key::name_hash,
    records::NodeKey,
    spool::{FrozenLines, Lines, Spool},
};

/// The format of timestamps that a core reads without conversion.
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

impl MergedGraph {
    /// Returns the graph of one account of a cloud: the collected part, and parts that were carried over. Returns also
    /// the edges to nodes of other accounts as lines; with `ignore_deferred` there are none.
    ///
    /// # Errors
    /// [`MergeError`]; also if the account's own graph is not valid.
    pub fn of_account(
        cloud: &str,
        mut units: Vec<CompleteUnit>,
        ignore_deferred: bool,
    ) -> Result<(MergedGraph, Vec<u8>), MergeError> {
        let mut outward_lines = Vec::new();
        for unit in &mut units {
            mark_account(unit).map_err(MergeError::Own)?;
        }
        if !ignore_deferred {
            let names: HashSet<NodeKey> = units.iter().flat_map(|unit| &unit.names).map(|name| name.key).collect();
            outward_lines.extend(units.iter().flat_map(|unit| outward(unit, &names)));
        }
        let clouds = vec![CloudUnits { name: cloud.to_owned(), units }];
        let mut graph = MergedGraph::build(clouds, ignore_deferred)?;
        if let Some(out) = graph.report().left_out.first() {
            return Err(MergeError::Invalid(out.reason.clone()));
        }
        graph.unmark_cloud().map_err(MergeError::Own)?;
        Ok((graph, outward_lines))
    }

    /// Adds edges between accounts.
    pub fn add_outward(&mut self, lines: OutwardLines) {
        let lines = lines.0.freeze();
        self.segments.push((self.lines.len(), 0..lines.len()));
        self.segments.retain(|(_, range)| !range.is_empty());
        self.lines.push(Arc::new(lines));
    }

    /// Removes the mark from the cloud's node.
    fn unmark_cloud(&mut self) -> io::Result<()> {
        let cloud = self.segments.iter().position(|(lines, range)| *lines == OWN && range.start > 0);
        let cloud = cloud.ok_or_else(|| io::Error::other("the graph has no cloud"))?;
        let mut line = Vec::new();
        self.lines[OWN].read(self.segments[cloud].1.start, self.segments[cloud].1.end, &mut line)?;
        let mut own = rewritten(&line, |node| drop(node.remove("replace")))?;
        own.push(b'\n');
        let new = self.lines.len();
        self.segments[cloud] = (new, 0..own.len() as u64);
        self.lines.push(Arc::new(frozen(&own)?));
        Ok(())
    }
}

/// Edges between accounts, as lines that a core resolves when all accounts have arrived.
#[derive(Debug)]
pub struct OutwardLines(Lines);

impl OutwardLines {
    /// Creates an empty list.
    #[must_use]
    pub fn new(spool: &Spool) -> Self {
        Self(spool.lines())
    }

    /// Adds lines.
    ///
    /// # Errors
    /// If the spool cannot be written.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.append(lines)
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.written() == 0
    }
}

impl CompleteUnit {
    /// Returns the deferred edges that have an end in another account, as lines.
    #[must_use]
    pub fn outward_lines(&self) -> Vec<u8> {
        outward(self, &self.names.iter().map(|name| name.key).collect())
    }
}

/// The index of the lines of root and cloud in a merged graph.
const OWN: usize = 0;

/// Marks the node of an account: the core replaces everything below that node.
fn mark_account(unit: &mut CompleteUnit) -> io::Result<()> {
    let Some(account) = unit.account_node() else { return Ok(()) };
    let line = rewritten(&unit.line(account)?, mark)?;
    unit.patch(account, line);
    Ok(())
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
    Ok(serde_json::to_vec(&node)?)
}

fn frozen(bytes: &[u8]) -> io::Result<FrozenLines> {
    // One line needs no budget.
    let mut lines = Spool::new(u64::MAX).lines();
    lines.append(bytes)?;
    Ok(lines.freeze())
}

/// Returns the deferred edges that have an end in another account, as lines. `names` are those of the account's nodes.
fn outward(unit: &CompleteUnit, names: &HashSet<NodeKey>) -> Vec<u8> {
    if unit.deferred.is_empty() {
        return Vec::new();
    }
    let ids: HashSet<&NodeKey> = unit.records.ids.iter().collect();
    let is_inside = |selector: &Selector| match selector {
        Selector::Node(id) => ids.contains(id),
        Selector::Resource { kind, id } => unit.records.find(kind, id).is_some(),
        Selector::Attribute { kind, attribute, value } => names.contains(&name_hash(kind, attribute, value)),
    };
    let outward = unit.deferred.iter().filter(|edge| !(is_inside(&edge.from) && is_inside(&edge.to)));
    let lines = outward.map(|Deferred { from, to }| {
        let edge =
            json!({ "from_selector": selector(unit, from), "to_selector": selector(unit, to), "edge_type": "default" });
        format!("{edge}\n")
    });
    lines.collect::<String>().into_bytes()
}

fn selector(unit: &CompleteUnit, selector: &Selector) -> Value {
    // A JSON string is quoted as the query language requires.
    match selector {
        Selector::Node(id) => {
            json!({ "node_id": unit.texts.get(id).cloned().unwrap_or_else(|| NodeId(*id).to_string()) })
        }
        Selector::Resource { kind, id } => {
            json!({ "search_criteria": format!("is({kind}) and reported.id == {}", json!(id)) })
        }
        Selector::Attribute { kind, attribute, value } => {
            json!({ "search_criteria": format!("is({kind}) and reported.{attribute} == {}", json!(value)) })
        }
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
