//! A unit with all its nodes, and what it takes in memory.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::OnceLock,
};

use worker_proto::{Deferred, Missing, Selector};

use super::{
    records::Records,
    spool::{FrozenLines, Spool},
    store::{Account, Incomplete, NodeKey, UnitStore},
};

/// A unit with all its nodes.
#[derive(Debug)]
pub struct CompleteUnit {
    pub(super) account: Account,
    pub(super) records: Records,
    pub(super) lines: FrozenLines,
    pub(super) edges: Vec<(NodeKey, NodeKey)>,
    pub(super) deferred: Vec<Deferred>,
    pub(super) texts: HashMap<NodeKey, String>,
    pub(super) is_carried: bool,
    /// Lines that take the place of those in `lines`, without a line feed, by the number of the node.
    pub(super) patches: BTreeMap<usize, Vec<u8>>,
    pub(super) missing: Vec<Missing>,
    /// Where each line begins, once one was asked for.
    pub(super) starts: OnceLock<Vec<u64>>,
}

impl CompleteUnit {
    /// The account that it stands for.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Whether it is from an earlier run.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.is_carried
    }

    /// How many nodes it has.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.records.len()
    }

    /// Takes what the unit could not see.
    pub fn take_missing(&mut self) -> Vec<Missing> {
        std::mem::take(&mut self.missing)
    }

    /// The kind of a node.
    #[must_use]
    pub fn kind(&self, node: usize) -> &str {
        self.records.kind(node)
    }

    /// The id in the cloud of the resource that a node stands for.
    #[must_use]
    pub fn resource(&self, node: usize) -> &str {
        self.records.resource(node)
    }

    /// The ids of its nodes, in the order of their numbers.
    #[must_use]
    pub fn ids(&self) -> &[[u8; 16]] {
        &self.records.ids
    }

    /// Its edges by the ids of their ends, deferred ones left out.
    pub fn edge_ids(&self) -> impl Iterator<Item = ([u8; 16], [u8; 16])> + '_ {
        self.edges.iter().copied()
    }

    /// The line of a node, without its line feed.
    ///
    /// # Errors
    /// If it cannot be read from where it was put.
    pub fn line(&self, node: usize) -> io::Result<Vec<u8>> {
        if let Some(patch) = self.patches.get(&node) {
            return Ok(patch.clone());
        }
        let starts = self.starts();
        let (Some(start), Some(end)) = (starts.get(node).copied(), starts.get(node + 1).copied()) else {
            return Err(io::Error::other("there is no such node"));
        };
        let mut line = Vec::new();
        self.lines.read(start, end, &mut line)?;
        line.pop();
        Ok(line)
    }

    /// Gives a node another id. Its line must be changed to the same id.
    pub fn rename(&mut self, node: usize, id: [u8; 16]) {
        let Some(known) = self.records.ids.get_mut(node) else { return };
        let old = std::mem::replace(known, id);
        if old != id {
            for end in self.edges.iter_mut().flat_map(|(from, to)| [from, to]).filter(|end| **end == old) {
                *end = id;
            }
            let selectors = self.deferred.iter_mut().flat_map(|edge| [&mut edge.from, &mut edge.to]);
            selectors.filter(|end| **end == Selector::Node(old)).for_each(|end| *end = Selector::Node(id));
        }
    }

    /// Gives one node another line, without a line feed. The line stays in memory.
    pub fn patch(&mut self, node: usize, line: Vec<u8>) {
        self.patches.insert(node, line);
    }

    /// Gives nodes other lines, without a line feed, by their numbers. All lines move to a new place in the spool.
    ///
    /// # Errors
    /// If a line cannot be read, or not be written; the unit is then as before.
    pub fn rewrite(&mut self, changed: &BTreeMap<usize, Vec<u8>>, spool: &Spool) -> io::Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let mut lines = spool.lines();
        let mut lengths = self.records.lengths.clone();
        let (starts, mut copied) = (self.starts(), 0);
        for (node, line) in changed {
            let (Some(start), Some(end)) = (starts.get(*node), starts.get(*node + 1)) else { continue };
            self.lines.copy(copied, *start, &mut lines)?;
            copied = *end;
            lines.append(&[line.as_slice(), b"\n"].concat())?;
            lengths[*node] = u32::try_from(line.len() + 1).map_err(io::Error::other)?;
        }
        self.lines.copy(copied, starts.last().copied().unwrap_or_default(), &mut lines)?;
        (self.lines, self.records.lengths, self.starts) = (lines.freeze(), lengths, OnceLock::new());
        Ok(())
    }

    /// Where each line begins, and where the last one ends.
    fn starts(&self) -> &[u64] {
        self.starts.get_or_init(|| {
            let ends = self.records.lengths.iter().scan(0, |end, length| {
                *end += u64::from(*length);
                Some(*end)
            });
            [0].into_iter().chain(ends).collect()
        })
    }

    /// The number of the account's node.
    #[must_use]
    pub fn account_node(&self) -> Option<usize> {
        self.records.find(&self.account.kind, &self.account.id)
    }

    pub(super) fn with_account(self) -> Result<Self, Incomplete> {
        match self.account_node() {
            Some(_) => Ok(self),
            None => Err(Incomplete::NoAccount { account: self.account.id, kind: self.account.kind }),
        }
    }

    /// The memory that it takes, in bytes; lines are not counted.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let missing: usize = self.missing.iter().map(missing_bytes).sum();
        (memory(&self.records, &self.edges, &self.deferred) + texts(&self.deferred) + missing) as u64
    }

    /// How many nodes it has of each kind.
    #[must_use]
    pub fn nodes_by_kind(&self) -> BTreeMap<String, u64> {
        let mut counts = vec![0; self.records.names.len()];
        for kind in &self.records.kinds {
            counts[*kind as usize] += 1;
        }
        self.records.names.iter().cloned().zip(counts).collect()
    }

    /// How many edges it has, deferred ones not counted.
    #[must_use]
    pub fn edge_count(&self) -> u64 {
        self.edges.len() as u64
    }
}

/// The memory of what is kept beside the lines, without the texts of deferred edges.
pub(super) fn memory(records: &Records, edges: &Vec<(NodeKey, NodeKey)>, deferred: &Vec<Deferred>) -> usize {
    size_of::<UnitStore>()
        + records.memory()
        + edges.capacity() * size_of::<(NodeKey, NodeKey)>()
        + deferred.capacity() * size_of::<Deferred>()
}

/// The memory of what could not be seen, about.
pub(super) fn missing_bytes(missing: &Missing) -> usize {
    let texts = |texts: &[String]| texts.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
    size_of::<Missing>()
        + match missing {
            Missing::Kind { scope, kind, with, .. } => scope.len() + kind.len() + texts(with),
            Missing::Parts { nodes, properties, edges } => {
                let edges = edges.iter().map(|edge| edge.kind.len() + size_of_val(edge)).sum::<usize>();
                size_of_val(nodes.as_slice()) + texts(properties) + edges
            }
            Missing::Edges { edge, attribute, ends } => {
                edge.kind.len() + attribute.len() + size_of_val(ends.as_slice())
            }
        }
}

/// The bytes of the texts of edges.
pub(super) fn texts(edges: &[Deferred]) -> usize {
    edges.iter().flat_map(|edge| [&edge.from, &edge.to]).map(text).sum()
}

/// The bytes of the texts of a selector.
fn text(selector: &Selector) -> usize {
    match selector {
        Selector::Node(_) => 0,
        Selector::Resource { kind, id } => kind.capacity() + id.capacity(),
    }
}
