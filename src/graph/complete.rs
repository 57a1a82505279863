//! A unit with all its nodes, and what it takes in memory.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, OnceLock},
};

use thiserror::Error;
use worker_proto::{Counts, Deferred, Missing, Selector, Unit};

use super::{
    memory::{columns, missing_bytes, texts},
    records::{NodeKey, Records},
    spool::{FrozenLines, Spool},
};

/// Why a unit that is said to be done does not count.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Incomplete {
    /// Something was lost on the way.
    #[error("account {account} announced {announced:?} but {received:?} arrived")]
    Counts {
        /// The account's id.
        account: String,
        /// What the worker counted.
        announced: Counts,
        /// What arrived.
        received: Counts,
    },
    /// There is no node that the others could hang below.
    #[error("account {account} came without its node of kind {kind}")]
    NoAccount {
        /// The account's id.
        account: String,
        /// The kind that its node should have.
        kind: String,
    },
}

/// The account that a unit stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The kind of its node.
    pub kind: String,
    /// Its id in the cloud.
    pub id: String,
    /// Its name for people.
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
        (self.lines, self.records.lengths, self.starts) = (Arc::new(lines.freeze()), lengths, OnceLock::new());
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
        (size_of::<Self>() + columns(&self.records, &self.edges, &self.deferred) + texts(&self.deferred) + missing)
            as u64
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
