//! Nodes as either core stores them.
//!
//! A core adds members to the nodes that it stores: ages, counts, and copies of the nodes above, each core in another
//! place. These are removed, so that the rest can be changed and sent back.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ndjson::LineReader;
use crate::ckcore::CoreError;

/// The name of the request for a [`StoredGraph`] in errors.
pub const CLEAN_QUERY: &str = "query of the nodes to clean up";

/// Members of `reported` that a core computes.
const COMPUTED_REPORTED: [&str; 3] = ["age", "last_update", "last_access"];

/// Members of `metadata` that a core computes.
const COMPUTED_METADATA: [&str; 5] = ["ancestors", "descendant_summary", "descendant_count", "expires", "exported_age"];

/// The ancestors that a core looks up.
const ANCESTORS: [&str; 4] = ["cloud", "account", "region", "zone"];

/// A node in the core.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredNode {
    /// The node's ID in the core.
    pub id: String,
    /// The revision that the core compares when the node is changed.
    pub revision: Option<String>,
    /// The node's kind.
    pub kind: String,
    /// The collected properties, without computed members and ancestors.
    pub reported: Map<String, Value>,
    /// The changes that users requested.
    pub desired: Map<String, Value>,
    /// Metadata beyond the collected properties, without the core's additions.
    pub metadata: Map<String, Value>,
    /// The ancestors by `cloud`, `account`, `region` and `zone`, as far as the node has them.
    pub ancestors: BTreeMap<String, Ancestor>,
}

/// The members that remain of a node whose fields are not needed: its identity, and whether it may be deleted.
const KEPT: [&str; 3] = ["kind", "id", "name"];
const KEPT_METADATA: [&str; 2] = ["protected", "cleaned"];

impl StoredNode {
    /// Reads a node of either core; `None` if the value is not a node.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let mut reported = section(value, "reported");
        let kind = reported.get("kind")?.as_str()?.to_owned();
        let mut metadata = section(value, "metadata");
        let mut desired = section(value, "desired");
        let ancestors = ancestors(value, &reported, &metadata);
        for section in [&mut reported, &mut desired, &mut metadata] {
            section.retain(|name, value| !is_ancestor(name, value));
        }
        reported.retain(|name, _| !COMPUTED_REPORTED.contains(&name.as_str()));
        metadata.retain(|name, _| !COMPUTED_METADATA.contains(&name.as_str()));
        let id = value.get("id")?.as_str()?.to_owned();
        let revision = value.get("revision").and_then(Value::as_str).map(str::to_owned);
        Some(Self { id, revision, kind, reported, desired, metadata, ancestors })
    }

    /// Removes everything that is needed only of nodes that are changed.
    fn thin_out(&mut self) {
        self.reported.retain(|name, _| KEPT.contains(&name.as_str()));
        self.metadata.retain(|name, _| KEPT_METADATA.contains(&name.as_str()));
        (self.revision, self.desired, self.ancestors) = (None, Map::new(), BTreeMap::new());
    }
}

/// An ancestor of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ancestor {
    /// The ancestor's ID in the cloud.
    pub id: String,
    /// The ancestor's name.
    pub name: Option<String>,
    /// The ancestor's collected properties; empty where the core has only ID and name.
    pub reported: Map<String, Value>,
}

/// Nodes and their edges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredGraph {
    /// The nodes.
    pub nodes: Vec<StoredNode>,
    /// The edges of the default type by the IDs of their ends, predecessor first.
    pub edges: Vec<(String, String)>,
}

/// Changes to the sections of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeChange {
    /// The node's ID in the core.
    pub id: String,
    /// The collected properties to set.
    pub reported: Option<Map<String, Value>>,
    /// The desired changes to set.
    pub desired: Option<Map<String, Value>>,
    /// The metadata to set.
    pub metadata: Option<Map<String, Value>>,
}

/// Returns the changes as bodies of requests, one for each changed section. A core accepts one line for each node, and
/// ignores an unknown node only if the line has a single section.
pub fn change_bodies(changes: &[NodeChange]) -> Vec<String> {
    type Section = fn(&NodeChange) -> Option<&Map<String, Value>>;
    let sections: [(&str, Section); 3] = [
        ("reported", |change| change.reported.as_ref()),
        ("desired", |change| change.desired.as_ref()),
        ("metadata", |change| change.metadata.as_ref()),
    ];
    let bodies = sections.map(|(name, section)| {
        let mut by_id: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for change in changes {
            if let Some(section) = section(change).filter(|section| !section.is_empty()) {
                by_id.entry(&change.id).or_default().extend(section.clone());
            }
        }
        by_id.into_iter().map(|(id, section)| format!("{}\n", json!({ "id": id, name: section }))).collect::<String>()
    });
    bodies.into_iter().filter(|body| !body.is_empty()).collect()
}

/// Reads nodes and edges while they arrive.
pub struct GraphReader {
    what: &'static str,
    lines: LineReader,
    default_edge: &'static str,
    is_needed: fn(&StoredNode) -> bool,
    graph: StoredGraph,
}

impl GraphReader {
    /// Creates a reader. `what` is the name of the request in errors. The reader drops the fields of nodes that are not
    /// needed while they arrive, because a parsed graph takes several times the memory of its lines.
    pub fn new(what: &'static str, default_edge: &'static str, is_needed: fn(&StoredNode) -> bool) -> Self {
        Self { what, lines: LineReader::new(what), default_edge, is_needed, graph: StoredGraph::default() }
    }

    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), CoreError> {
        let Self { what, lines, default_edge, is_needed, graph } = self;
        lines.feed(chunk, |line| graph.line(what, line, default_edge, *is_needed))
    }

    pub fn finish(mut self) -> Result<StoredGraph, CoreError> {
        let Self { what, lines, default_edge, is_needed, graph } = &mut self;
        lines.finish(|line| graph.line(what, line, default_edge, *is_needed))?;
        Ok(self.graph)
    }
}

impl StoredGraph {
    fn line(
        &mut self,
        what: &'static str,
        line: &[u8],
        default_edge: &str,
        is_needed: fn(&StoredNode) -> bool,
    ) -> Result<(), CoreError> {
        let unusable = |why: &str| LineReader::new(what).unusable(why);
        let element: Value = serde_json::from_slice(line).map_err(|error| unusable(&error.to_string()))?;
        let text = |name: &str| element.get(name).and_then(Value::as_str);
        match (text("from"), text("to")) {
            (Some(from), Some(to)) if text("edge_type").is_none_or(|given| given == default_edge) => {
                self.edges.push((from.to_owned(), to.to_owned()));
            }
            (Some(_), Some(_)) => {}
            _ => {
                let mut node = StoredNode::read(&element).ok_or_else(|| unusable("a line is neither node nor edge"))?;
                if !is_needed(&node) {
                    node.thin_out();
                }
                self.nodes.push(node);
            }
        }
        Ok(())
    }
}

fn section(value: &Value, name: &str) -> Map<String, Value> {
    value.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Whether a member of a section is the copy of an ancestor's section. A property with the same name would not be an
/// object.
fn is_ancestor(name: &str, value: &Value) -> bool {
    ANCESTORS.contains(&name) && (value.is_object() || value.is_null())
}

fn ancestors(node: &Value, reported: &Map<String, Value>, metadata: &Map<String, Value>) -> BTreeMap<String, Ancestor> {
    let found = ANCESTORS.into_iter().filter_map(|name| {
        // Core 4.1 sends the whole node.
        let whole = node.get("ancestors").and_then(|all| all.get(name)).and_then(|node| node.get("reported"));
        // ckcore 2.0 copies the section of a task's node into that of the resource, and otherwise keeps ID and name.
        let copied = reported.get(name).filter(|value| value.is_object());
        let brief = metadata.get("ancestors").and_then(|all| all.get(name));
        let ancestor = whole.or(copied).and_then(full_ancestor).or_else(|| brief.and_then(brief_ancestor))?;
        Some((name.to_owned(), ancestor))
    });
    found.collect()
}

fn full_ancestor(reported: &Value) -> Option<Ancestor> {
    let mut ancestor = brief_ancestor(reported)?;
    // Without a kind the object is not a whole section, but the ID and name that are stored with the resource.
    if reported.get("kind").is_some() {
        ancestor.reported = reported.as_object()?.clone();
        ancestor.reported.retain(|name, _| !COMPUTED_REPORTED.contains(&name.as_str()));
    }
    Some(ancestor)
}

fn brief_ancestor(value: &Value) -> Option<Ancestor> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Ancestor { id: text("id")?, name: text("name"), reported: Map::new() })
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
