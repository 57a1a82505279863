//! The graph of one unit inside a worker: nodes are sent at once, edges when all nodes are known.
//!
//! Collectors run concurrently and find resources in any order, so an edge may name its ends by reference. A reference
//! is a [`Key`]; nodes are indexed under the keys that they are known by, and edges are resolved through that index
//! when the unit is complete. Keys are kept as 16-byte hashes: an account of a hundred thousand resources stays small.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::debug;
use worker_proto::{Deferred, Failure, Missing, MissingEdge, Name, Node, Selector};

use super::CollectContext;
use crate::graph::{ANY_KIND, Key, NodeId};

/// The graph of one unit. Cloning is cheap, and clones share the nodes and edges.
#[derive(Clone)]
pub struct UnitGraph {
    context: CollectContext,
    named: Option<&'static NamedAttributes>,
    shared: Arc<Mutex<State>>,
}

/// An end of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A node by its ID.
    Node(NodeId),
    /// All nodes that were added under this key; none is not an error.
    Ref(Key),
    /// The same, with a key without a scope. If the unit has none, the node of another unit that alone has this name.
    Cloud(Key),
}

/// The attributes by which units of a cloud find each other's nodes, by kind.
pub type NamedAttributes = BTreeMap<String, BTreeSet<String>>;

/// The longest value of an attribute by which nodes of other units are found, in bytes. A longer one is no name.
const MAX_NAME: usize = 4096;

/// Edges to nodes that were not seen, in one message to the supervisor: below the size of a batch.
const MISSING_ENDS: usize = 4096;

/// The result of resolving a unit's edges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeReport {
    /// The number of sent edges.
    pub sent: u64,
    /// Declarations that met no node at one end, by the missing end: `kind.attribute`, or `node` for an id.
    pub dangling: BTreeMap<String, u64>,
    /// The number of edges whose other end may be in another unit.
    pub deferred: u64,
    /// The number of edges from a node to itself, which the core rejects.
    pub loops: u64,
}

/// An end as it is kept: references hashed, with the number of their label for the report.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum KeptEnd {
    Node([u8; 16]),
    Ref { hash: [u8; 16], label: u32 },
}

/// The kind and the attribute of references.
type Names = (Cow<'static, str>, Cow<'static, str>);

/// The two ends of an edge, from and to.
type Pair = ([u8; 16], [u8; 16]);

#[derive(Default)]
struct State {
    nodes: HashSet<[u8; 16]>,
    index: HashMap<[u8; 16], Vec<[u8; 16]>>,
    edges: Vec<(KeptEnd, KeptEnd)>,
    labels: HashMap<Names, u32>,
    /// The values of references to nodes that other units may have, by the hash of the reference.
    values: HashMap<[u8; 16], String>,
}

impl UnitGraph {
    /// Creates an empty graph that sends through this context.
    #[must_use]
    pub fn new(context: CollectContext) -> Self {
        Self { context, named: None, shared: Arc::default() }
    }

    /// Sets the attributes by which other units find nodes of this one.
    #[must_use]
    pub fn naming(self, named: &'static NamedAttributes) -> Self {
        Self { named: Some(named), ..self }
    }

    /// Sends a node and registers its keys. A second node with the same ID is not sent, but its keys are registered.
    /// Keys by which other units find the node are sent.
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
        for key in keys.iter().filter(|key| self.is_name(key)) {
            self.context.name(Name { key: key.hash(), node: id }).await?;
        }
        if is_new {
            self.context.node(node).await?;
        } else {
            debug!(kind = node.kind, resource = node.resource, "node already sent; not sending it again");
        }
        Ok(NodeId(id))
    }

    fn is_name(&self, key: &Key) -> bool {
        let named = self.named.and_then(|named| named.get(&*key.kind));
        key.scope.is_empty() && named.is_some_and(|attributes| attributes.contains(&*key.attribute))
    }

    /// Returns the nodes that were added under a key so far.
    #[must_use]
    pub fn find(&self, key: &Key) -> Vec<NodeId> {
        self.lock().index.get(&key.hash()).into_iter().flatten().copied().map(NodeId).collect()
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
    /// have, are sent as missing, and edges to nodes that other units may have as deferred.
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
        let (edges, deferred, report) = state.resolve();
        for (from, to) in edges {
            self.context.edge(from, to).await?;
        }
        self.context.deferred(deferred).await?;
        for (end, count) in &report.dangling {
            debug!(end, count, "omitting edges to nodes that were not collected");
        }
        Ok(report)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, end: End) -> KeptEnd {
        if let End::Cloud(key) = &end
            && key.value.len() <= MAX_NAME
        {
            self.values.entry(key.hash()).or_insert_with(|| key.value.clone());
        }
        match end {
            End::Node(id) => KeptEnd::Node(id.0),
            End::Ref(key) | End::Cloud(key) => {
                let hash = key.hash();
                let next = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
                let label = *self.labels.entry((key.kind, key.attribute)).or_insert(next);
                KeptEnd::Ref { hash, label }
            }
        }
    }

    /// The edges that exist, in the order of their declaration, each once, and those whose other end may be in another
    /// unit.
    fn resolve(self) -> (Vec<Pair>, Vec<Deferred>, EdgeReport) {
        let names: HashMap<u32, &Names> = self.labels.iter().map(|(names, label)| (*label, names)).collect();
        let mut report = EdgeReport::default();
        let (mut seen, mut edges) = (HashSet::new(), Vec::with_capacity(self.edges.len()));
        let mut deferred = Vec::new();
        for (from, to) in &self.edges {
            let (sources, targets) = (self.find(from), self.find(to));
            let open = [(from, sources), (to, targets)].into_iter().find(|(_, found)| found.is_empty());
            match open.map(|(end, _)| (end, self.elsewhere(end, &names))) {
                Some((KeptEnd::Ref { hash, .. }, Some(other))) => {
                    let is_new = |from: &[u8; 16], to: &[u8; 16]| seen.insert((*from, *to));
                    deferred.extend(deferrals(sources, targets, &other, *hash, is_new));
                }
                Some((end, _)) => *report.dangling.entry(label(end, &names)).or_default() += 1,
                None => {}
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
        (report.sent, report.deferred) = (edges.len() as u64, deferred.len() as u64);
        (edges, deferred, report)
    }

    /// Returns the selector of a reference to a node that another unit may have.
    fn elsewhere(&self, end: &KeptEnd, names: &HashMap<u32, &Names>) -> Option<Selector> {
        let KeptEnd::Ref { hash, label } = end else { return None };
        let ((kind, attribute), value) = (*names.get(label)?, self.values.get(hash)?);
        Some(Selector::Attribute { kind: kind.to_string(), attribute: attribute.to_string(), value: value.clone() })
    }

    /// The edges of which one end is here and the other one is a reference to an unseen kind.
    fn missing(&self, unseen: &BTreeSet<&str>) -> Vec<Missing> {
        let is_unseen = |kind: &str| unseen.contains(kind) || (kind == ANY_KIND && !unseen.is_empty());
        let labels = self.labels.iter().filter(|((kind, _), _)| is_unseen(kind));
        let labels: HashMap<u32, &Names> = labels.map(|(names, label)| (*label, names)).collect();
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
            let edge = MissingEdge { outgoing: *outgoing, kind: kind.to_string() };
            Some(Missing::Edges { edge, attribute: attribute.to_string(), ends: ends.to_vec() })
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

/// Returns the edges between the known ends and another one of which only the selector is known, without those that
/// were declared before.
fn deferrals(
    sources: &[[u8; 16]],
    targets: &[[u8; 16]],
    other: &Selector,
    hash: [u8; 16],
    mut is_new: impl FnMut(&[u8; 16], &[u8; 16]) -> bool,
) -> Vec<Deferred> {
    let node = |id: &[u8; 16]| Selector::Node(*id);
    let outgoing: Vec<_> = sources.iter().filter(|id| is_new(id, &hash)).collect();
    let incoming: Vec<_> = targets.iter().filter(|id| is_new(&hash, id)).collect();
    let outgoing = outgoing.into_iter().map(|id| Deferred { from: node(id), to: other.clone() });
    outgoing.chain(incoming.into_iter().map(|id| Deferred { from: other.clone(), to: node(id) })).collect()
}

fn label(end: &KeptEnd, names: &HashMap<u32, &Names>) -> String {
    match end {
        KeptEnd::Node(_) => "node".to_owned(),
        KeptEnd::Ref { label, .. } => {
            names.get(label).map(|(kind, attribute)| format!("{kind}.{attribute}")).unwrap_or_default()
        }
    }
}

#[cfg(test)]
#[path = "unit_graph_tests.rs"]
mod tests;
