//! A unit with all its nodes, and its memory.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, OnceLock},
};

use thiserror::Error;
use worker_proto::{Counts, Deferred, Missing, Name, Selector, Unit};

use super::{
    memory::{columns, missing_bytes, texts},
    records::{NodeKey, Records},
    spool::{FrozenLines, Spool},
};

/// The reason why a unit that was reported as done does not count.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Incomplete {
    /// The counts that arrived differ from those that the worker reported.
    #[error("account {account} announced {announced:?} but {received:?} arrived")]
    Counts {
        /// The account's ID.
        account: String,
        /// The counts that the worker reported.
        announced: Counts,
        /// The counts that arrived.
        received: Counts,
    },
    /// The unit lacks the account's node, below which all others hang.
    #[error("account {account} came without its node of kind {kind}")]
    NoAccount {
        /// The account's ID.
        account: String,
        /// The expected kind of the account's node.
        kind: String,
    },
}

/// The account of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The kind of the account's node.
    pub kind: String,
    /// The account's ID in the cloud.
    pub id: String,
    /// The account's display name.
    pub label: String,
}

impl From<&Unit> for Account {
    fn from(unit: &Unit) -> Self {
        Self { kind: unit.kind.clone(), id: unit.id.clone(), label: unit.label.clone() }
    }
}

/// A unit with all its nodes. A clone shares the lines.
#[derive(Clone, Debug)]
pub struct CompleteUnit {
    pub(super) account: Account,
    pub(super) records: Records,
    pub(super) lines: Arc<FrozenLines>,
    pub(super) edges: Vec<(NodeKey, NodeKey)>,
    pub(super) deferred: Vec<Deferred>,
    pub(super) names: Vec<Name>,
    pub(super) texts: HashMap<NodeKey, String>,
    pub(super) is_carried: bool,
    /// Replaced lines by the number of their node, without line feeds.
    pub(super) patches: BTreeMap<usize, Vec<u8>>,
    pub(super) missing: Vec<Missing>,
    pub(super) kinds: Vec<String>,
    /// The start of each line; computed when a line is first read.
    pub(super) starts: OnceLock<Vec<u64>>,
}

impl CompleteUnit {
    /// Returns the unit's account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Whether the unit is from an earlier run.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.is_carried
    }

    /// Returns the number of nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.records.len()
    }

    /// Takes the records of missing coverage.
    pub fn take_missing(&mut self) -> Vec<Missing> {
        std::mem::take(&mut self.missing)
    }

    /// Returns the kinds of its nodes that are known only at run time, as JSON.
    #[must_use]
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Returns the kind of a node.
    #[must_use]
    pub fn kind(&self, node: usize) -> &str {
        self.records.kind(node)
    }

    /// Returns the ID in the cloud of a node's resource.
    #[must_use]
    pub fn resource(&self, node: usize) -> &str {
        self.records.resource(node)
    }

    /// Returns the IDs of all nodes, in the order of their numbers.
    #[must_use]
    pub fn ids(&self) -> &[[u8; 16]] {
        &self.records.ids
    }

    /// Returns the edges by the IDs of their ends, deferred ones omitted.
    pub fn edge_ids(&self) -> impl Iterator<Item = ([u8; 16], [u8; 16])> + '_ {
        self.edges.iter().copied()
    }

    /// Returns the line of a node, without its line feed.
    ///
    /// # Errors
    /// If the line cannot be read from the spool.
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

    /// Changes the ID of a node. The caller must change the ID in the node's line as well.
    pub fn rename(&mut self, node: usize, id: [u8; 16]) {
        let Some(known) = self.records.ids.get_mut(node) else { return };
        let old = std::mem::replace(known, id);
        if old != id {
            for end in self.edges.iter_mut().flat_map(|(from, to)| [from, to]).filter(|end| **end == old) {
                *end = id;
            }
            let selectors = self.deferred.iter_mut().flat_map(|edge| [&mut edge.from, &mut edge.to]);
            selectors.filter(|end| **end == Selector::Node(old)).for_each(|end| *end = Selector::Node(id));
            self.names.iter_mut().filter(|name| name.node == old).for_each(|name| name.node = id);
        }
    }

    /// Replaces the line of one node. The new line has no line feed and stays in memory.
    pub fn patch(&mut self, node: usize, line: Vec<u8>) {
        self.patches.insert(node, line);
    }

    /// Replaces the lines of nodes, by their numbers; the new lines have no line feed. All lines of the unit move
    /// within the spool.
    ///
    /// # Errors
    /// If a line cannot be read or written; the unit is then unchanged.
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
        (self.lines, self.records.lengths, self.starts) = (Arc::new(lines.freeze()), lengths, OnceLock::new());
        Ok(())
    }

    /// Returns the start of each line, and the end of the last one.
    fn starts(&self) -> &[u64] {
        self.starts.get_or_init(|| {
            let ends = self.records.lengths.iter().scan(0, |end, length| {
                *end += u64::from(*length);
                Some(*end)
            });
            [0].into_iter().chain(ends).collect()
        })
    }

    /// Returns the number of the account's node.
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

    /// Returns the unit's memory in bytes, lines not counted.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let names = self.names.capacity() * size_of::<Name>();
        let missing: usize = self.missing.iter().map(missing_bytes).sum();
        let kinds: usize = self.kinds.iter().map(|kind| kind.capacity() + size_of::<String>()).sum();
        (size_of::<Self>()
            + columns(&self.records, &self.edges, &self.deferred)
            + texts(&self.deferred)
            + names
            + missing
            + kinds) as u64
    }

    /// Returns the number of nodes by kind.
    #[must_use]
    pub fn nodes_by_kind(&self) -> BTreeMap<String, u64> {
        let mut counts = vec![0; self.records.names.len()];
        for kind in &self.records.kinds {
            counts[*kind as usize] += 1;
        }
        self.records.names.iter().cloned().zip(counts).collect()
    }

    /// Returns the number of edges, deferred ones not counted.
    #[must_use]
    pub fn edge_count(&self) -> u64 {
        self.edges.len() as u64
    }
}
