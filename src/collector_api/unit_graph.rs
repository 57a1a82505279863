//! The graph of one unit inside a worker: nodes are sent at once, edges when all nodes are known.
//!
//! Collectors run concurrently and find resources in any order, so an edge may name its ends by reference. A reference
//! is a [`Key`]; nodes are indexed under the keys that they are known by, and edges are resolved through that index
//! when the unit is complete. Keys are kept as 16-byte hashes: an account of a hundred thousand resources stays small.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use blake2::{Blake2b, Digest, digest::consts::U16};
use tracing::debug;
use worker_proto::{Failure, Missing, MissingEdge, Node};

use super::CollectContext;
use crate::graph::NodeId;

/// The graph of one unit. Cloning is cheap, and clones share the nodes and edges.
#[derive(Clone)]
pub struct UnitGraph {
    context: CollectContext,
    shared: Arc<Mutex<State>>,
}

/// An end of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A node by its ID.
    Node(NodeId),
    /// All nodes that were added under this key; none is not an error.
    Ref(Key),
}

/// A name by which nodes of a unit are found. Different nodes may share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The region's name, `global`, or empty for the whole unit.
    pub scope: String,
    /// The kind, such as `aws_vpc`.
    pub kind: String,
    /// The compared attribute, such as `id`.
    pub attribute: String,
    /// The value of the attribute.
    pub value: String,
}

/// Edges to nodes that were not seen, in one message to the supervisor: below the size of a batch.
const MISSING_ENDS: usize = 4096;

/// The result of resolving a unit's edges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeReport {
    /// The number of sent edges.
    pub sent: u64,
    /// Declarations that met no node at one end, by the missing end: `kind.attribute`, or `node` for an id.
    pub dangling: BTreeMap<String, u64>,
    /// The number of edges from a node to itself, which the core rejects.
    pub loops: u64,
}

/// An end as it is kept: references hashed, with the number of their label for the report.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum KeptEnd {
    Node([u8; 16]),
    Ref { hash: [u8; 16], label: u32 },
}

/// The two ends of an edge, from and to.
type Pair = ([u8; 16], [u8; 16]);

#[derive(Default)]
struct State {
    nodes: HashSet<[u8; 16]>,
    index: HashMap<[u8; 16], Vec<[u8; 16]>>,
    edges: Vec<(KeptEnd, KeptEnd)>,
    labels: HashMap<(String, String), u32>,
}

impl UnitGraph {
    /// Creates an empty graph that sends through this context.
    #[must_use]
    pub fn new(context: CollectContext) -> Self {
        Self { context, shared: Arc::default() }
    }

    /// Sends a node and registers its keys. A second node with the same ID is not sent, but its keys are registered.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn add(&self, node: Node, keys: Vec<Key>) -> Result<NodeId, Failure> {
        let id = node.id;
        let is_new = {
            let mut state = self.lock();
            for key in &keys {
                let known = state.index.entry(key.hash()).or_default();
                if !known.contains(&id) {
                    known.push(id);
                }
            }
            state.nodes.insert(id)
        };
        if is_new {
            self.context.node(node).await?;
        } else {
            debug!(kind = node.kind, resource = node.resource, "node already sent; not sending it again");
        }
        Ok(NodeId(id))
    }

    /// Declares an edge, which is resolved when the unit is complete.
    pub fn edge(&self, from: End, to: End) {
        let mut state = self.lock();
        let edge = (state.keep(from), state.keep(to));
        state.edges.push(edge);
    }

    /// Returns the number of different nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.lock().nodes.len()
    }

    /// Resolves all declared edges and sends each once. Edges to nodes of `unseen` kinds, which this unit does not
    /// have, are sent as missing.
    ///
    /// Call it when no clone adds nodes or edges any more; edges that are declared later are not sent.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn finish(self, unseen: &BTreeSet<&str>) -> Result<EdgeReport, Failure> {
        let state = std::mem::take(&mut *self.lock());
        for missing in state.missing(unseen) {
            self.context.missing(vec![missing]).await?;
        }
        let (edges, report) = state.resolve();
        for (from, to) in edges {
            self.context.edge(from, to).await?;
        }
        for (end, count) in &report.dangling {
            debug!(end, count, "omitting edges to nodes that were not collected");
        }
        Ok(report)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    /// Lengths go first, so that no two keys are the same bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 16] {
        let mut hasher = Blake2b::<U16>::new();
        for part in [&self.scope, &self.kind, &self.attribute, &self.value] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().into()
    }
}

impl State {
    fn keep(&mut self, end: End) -> KeptEnd {
        match end {
            End::Node(id) => KeptEnd::Node(id.0),
            End::Ref(key) => {
                let hash = key.hash();
                let next = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
                let label = *self.labels.entry((key.kind, key.attribute)).or_insert(next);
                KeptEnd::Ref { hash, label }
            }
        }
    }

    /// The edges that exist, in the order of their declaration, each once.
    fn resolve(self) -> (Vec<Pair>, EdgeReport) {
        let names: HashMap<u32, String> =
            self.labels.iter().map(|((kind, attribute), label)| (*label, format!("{kind}.{attribute}"))).collect();
        let mut report = EdgeReport::default();
        let (mut seen, mut edges) = (HashSet::new(), Vec::with_capacity(self.edges.len()));
        for (from, to) in &self.edges {
            let (sources, targets) = (self.find(from), self.find(to));
            for (end, found) in [(from, sources), (to, targets)] {
                if found.is_empty() {
                    *report.dangling.entry(label(end, &names)).or_default() += 1;
                    break;
                }
            }
            for (source, target) in sources.iter().flat_map(|source| targets.iter().map(move |target| (source, target)))
            {
                if source == target {
                    report.loops += 1;
                } else if seen.insert((*source, *target)) {
                    edges.push((*source, *target));
                }
            }
        }
        report.sent = edges.len() as u64;
        (edges, report)
    }

    /// The edges of which one end is here and the other one is a reference to an unseen kind.
    fn missing(&self, unseen: &BTreeSet<&str>) -> Vec<Missing> {
        let labels = self.labels.iter().filter(|((kind, _), _)| unseen.contains(kind.as_str()));
        let labels: HashMap<u32, &(String, String)> = labels.map(|(names, label)| (*label, names)).collect();
        let mut open: BTreeMap<(bool, u32), Vec<Pair>> = BTreeMap::new();
        for (from, to) in &self.edges {
            for (node, other, outgoing) in [(from, to, true), (to, from, false)] {
                if let KeptEnd::Ref { hash, label } = other
                    && labels.contains_key(label)
                    && self.find(other).is_empty()
                {
                    open.entry((outgoing, *label)).or_default().extend(self.find(node).iter().map(|id| (*id, *hash)));
                }
            }
        }
        let chunks = open.iter().flat_map(|(key, ends)| ends.chunks(MISSING_ENDS).map(move |ends| (key, ends)));
        let missing = chunks.filter_map(|((outgoing, label), ends)| {
            let (kind, attribute) = labels.get(label)?;
            let edge = MissingEdge { outgoing: *outgoing, kind: kind.clone() };
            Some(Missing::Edges { edge, attribute: attribute.clone(), ends: ends.to_vec() })
        });
        missing.collect()
    }

    fn find<'a>(&'a self, end: &'a KeptEnd) -> &'a [[u8; 16]] {
        match end {
            KeptEnd::Node(id) if self.nodes.contains(id) => std::slice::from_ref(id),
            KeptEnd::Node(_) => &[],
            KeptEnd::Ref { hash, .. } => self.index.get(hash).map_or(&[], Vec::as_slice),
        }
    }
}

fn label(end: &KeptEnd, names: &HashMap<u32, String>) -> String {
    match end {
        KeptEnd::Node(_) => "node".to_owned(),
        KeptEnd::Ref { label, .. } => names.get(label).cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "unit_graph_tests.rs"]
mod tests;
