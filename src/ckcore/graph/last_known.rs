//! Rebuilds graph lines from an account's last known state in the core.
//!
//! A merge replaces a whole cloud, so an account that failed would be deleted. Its last known nodes are read from the
//! core and sent again. Members that the core computed are omitted, because the core would reject them. Values are kept
//! as the bytes that the core sent, so that reading and writing does not change them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ndjson::LineReader;
use crate::ckcore::CoreError;

const WHAT: &str = "query of an account";

/// Members of `reported` that the core computes, or copies from the nodes above.
const COMPUTED_REPORTED: [&str; 7] = ["age", "last_update", "last_access", "cloud", "account", "region", "zone"];

/// Members of `metadata` that the core computes.
const COMPUTED_METADATA: [&str; 4] = ["ancestors", "descendant_summary", "descendant_count", "expires"];

/// The default edge types, one for each core.
const DEFAULT_EDGES: [&str; 2] = ["dependency", "default"];

/// An account and everything below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastKnownAccount {
    /// The nodes, the account itself among them.
    pub nodes: Vec<LastKnownNode>,
    /// The edges between these nodes.
    pub edges: Vec<LastKnownEdge>,
    /// Edges from these nodes to nodes of other accounts. They can be merged only if the other end is in the body too.
    pub outward: Vec<LastKnownEdge>,
    /// The kinds of these other nodes, by ID.
    pub foreign: HashMap<String, String>,
}

/// A node that can be merged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastKnownNode {
    /// The node's ID in the core.
    pub id: String,
    /// The node's kind.
    pub kind: String,
    /// Whether the node is the account itself.
    pub is_account: bool,
    /// The node's line, without a newline.
    pub line: Vec<u8>,
}

/// An edge by the IDs of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastKnownEdge {
    /// The predecessor.
    pub from: String,
    /// The successor.
    pub to: String,
    /// The type; `None` for the core's default.
    pub edge_type: Option<String>,
}

impl LastKnownEdge {
    /// Returns the edge's line, without a newline.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut edge = serde_json::Map::new();
        edge.insert("from".to_owned(), self.from.clone().into());
        edge.insert("to".to_owned(), self.to.clone().into());
        if let Some(edge_type) = &self.edge_type {
            edge.insert("edge_type".to_owned(), edge_type.clone().into());
        }
        serde_json::Value::Object(edge).to_string().into_bytes()
    }
}

type Section<'a> = BTreeMap<String, &'a RawValue>;

/// A line of the core's response.
#[derive(Deserialize)]
struct StoredLine<'a> {
    id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    edge_type: Option<String>,
    #[serde(borrow)]
    reported: Option<Section<'a>>,
    #[serde(borrow)]
    metadata: Option<Section<'a>>,
    #[serde(default)]
    kinds: Vec<String>,
    /// The ancestors in core 4.1, which name the node's account.
    #[serde(default)]
    ancestors: Option<Ancestors>,
}

/// A node as it is sent to the core.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    reported: Section<'a>,
    metadata: Section<'a>,
}

/// The ancestors of a node that name its account.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Ancestors {
    account: Option<Ancestor>,
}

/// The account among the ancestors, in the form of either core.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ancestor {
    id: Option<String>,
    reported: Option<Box<Ancestor>>,
}

impl Ancestors {
    pub fn account_id(self) -> Option<String> {
        let account = self.account?;
        account.id.or_else(|| account.reported.and_then(|reported| reported.id))
    }
}

/// Reads the response while it arrives.
pub struct LastKnownReader<'a> {
    account_kind: &'a str,
    account_id: &'a str,
    lines: LineReader,
    found: Found,
}

/// The nodes and edges that were read so far.
#[derive(Default)]
struct Found {
    nodes: Vec<LastKnownNode>,
    edges: Vec<LastKnownEdge>,
    /// The IDs of the account, its regions and its zones.
    places: HashSet<String>,
    /// Nodes that the core has below another account.
    doubtful: Vec<LastKnownNode>,
    /// The kinds of nodes of other accounts, by ID.
    foreign: HashMap<String, String>,
}

impl<'a> LastKnownReader<'a> {
    pub fn new(account_kind: &'a str, account_id: &'a str) -> Self {
        Self { account_kind, account_id, lines: LineReader::new(WHAT), found: Found::default() }
    }

    /// Reads the next bytes of the response, which may end anywhere in a line.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), CoreError> {
        let Self { account_kind, account_id, lines, found } = self;
        lines.feed(chunk, |line| found.line(line, account_kind, account_id))
    }

    /// Returns the account of a complete response.
    pub fn finish(mut self) -> Result<LastKnownAccount, CoreError> {
        let Self { account_kind, account_id, lines, found } = &mut self;
        lines.finish(|line| found.line(line, account_kind, account_id))?;
        let Found { mut nodes, edges: all, places, doubtful, mut foreign } = self.found;
        // A network of one account leads to resources of others, and the core takes the shortest way up. What is directly
        // below a region or a zone belongs to the account of these.
        let inside: HashSet<&str> =
            all.iter().filter(|edge| places.contains(&edge.from)).map(|edge| edge.to.as_str()).collect();
        for node in doubtful {
            match inside.contains(node.id.as_str()) {
                true => nodes.push(node),
                false => drop(foreign.insert(node.id, node.kind)),
            }
        }
        let ids: HashSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
        let (mut edges, mut outward) = (Vec::new(), Vec::new());
        for edge in all {
            match (ids.contains(edge.from.as_str()), ids.contains(edge.to.as_str())) {
                (true, true) => edges.push(edge),
                (true, false) => outward.push(edge),
                (false, _) => {}
            }
        }
        let reached: HashSet<&str> = outward.iter().map(|edge| edge.to.as_str()).collect();
        foreign.retain(|id, _| reached.contains(id.as_str()));
        Ok(LastKnownAccount { nodes, edges, outward, foreign })
    }
}

impl Found {
    fn line(&mut self, line: &[u8], account_kind: &str, account_id: &str) -> Result<(), CoreError> {
        let stored: StoredLine<'_> = serde_json::from_slice(line).map_err(|error| unusable(&error.to_string()))?;
        if let (Some(from), Some(to)) = (&stored.from, &stored.to) {
            let edge_type = stored.edge_type.filter(|edge_type| !DEFAULT_EDGES.contains(&edge_type.as_str()));
            self.edges.push(LastKnownEdge { from: from.clone(), to: to.clone(), edge_type });
            return Ok(());
        }
        let is_place = stored.kinds.iter().any(|kind| kind == "region" || kind == "zone");
        match node(stored, account_kind, account_id)? {
            Read::Own(node) => {
                if is_place || node.is_account {
                    self.places.insert(node.id.clone());
                }
                self.nodes.push(node);
            }
            Read::Doubtful(node) => self.doubtful.push(node),
            Read::Above { id, kind } => drop(self.foreign.insert(id, kind)),
        }
        Ok(())
    }
}

/// A node that was read.
enum Read {
    Own(LastKnownNode),
    /// A node that the core has below another account.
    Doubtful(LastKnownNode),
    /// Another account, or what is above accounts.
    Above {
        id: String,
        kind: String,
    },
}

fn node(stored: StoredLine<'_>, account_kind: &str, account_id: &str) -> Result<Read, CoreError> {
    let StoredLine { id: Some(id), reported: Some(mut reported), metadata, kinds, ancestors, .. } = stored else {
        return Err(unusable("a line is neither node nor edge"));
    };
    let mut metadata = metadata.unwrap_or_default();
    let kind = text(&reported, "kind").ok_or_else(|| unusable("a node has no kind"))?;
    let is_account = kind == account_kind && text(&reported, "id").is_some_and(|id| id == account_id);
    let above = ["account", "cloud", "graph_root"];
    if !is_account && kinds.iter().any(|kind| above.contains(&kind.as_str())) {
        return Ok(Read::Above { id, kind });
    }
    let is_foreign = !is_account && is_foreign(&metadata, ancestors, account_id);
    reported.retain(|name, value| !COMPUTED_REPORTED.contains(&name.as_str()) && value.get() != "null");
    metadata.retain(|name, _| !COMPUTED_METADATA.contains(&name.as_str()));
    let line =
        serde_json::to_vec(&Line { id: &id, reported, metadata }).map_err(|error| unusable(&error.to_string()))?;
    let node = LastKnownNode { id, kind, is_account, line };
    Ok(if is_foreign { Read::Doubtful(node) } else { Read::Own(node) })
}

/// Whether the core has a node below another account.
fn is_foreign(metadata: &Section<'_>, ancestors: Option<Ancestors>, account_id: &str) -> bool {
    let inside = || metadata.get("ancestors").and_then(|raw| serde_json::from_str::<Ancestors>(raw.get()).ok());
    let account = ancestors.or_else(inside).and_then(Ancestors::account_id);
    account.is_some_and(|id| id != account_id)
}

fn text(section: &Section<'_>, name: &str) -> Option<String> {
    section.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok())
}

fn unusable(why: &str) -> CoreError {
    LineReader::new(WHAT).unusable(why)
}

#[cfg(test)]
#[path = "last_known_tests.rs"]
mod tests;
