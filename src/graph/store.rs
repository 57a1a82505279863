//! The supervisor's copy of one unit: lines in the spool; IDs, kinds and resource IDs in columns.
//!
//! Nodes reach a [`MergedGraph`](super::MergedGraph) only through a [`CompleteUnit`], which exists only if
//! the worker reported the unit as done with matching counts. A dropped store leaves nothing behind.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, OnceLock},
};

use blake2::{Blake2b, Digest, digest::consts::U16};
use thiserror::Error;
use worker_proto::{Counts, Deferred, EdgeList, Missing, Name, Node, Selector};

use super::{
    NodeId,
    complete::{Account, CompleteUnit, Incomplete},
    key::name_hash,
    memory::{columns, missing_bytes, texts},
    records::{NodeKey, Records},
    spool::{Lines, Spool},
};

/// The limits of kinds in a unit, and of a kind's name in bytes: far more than any cloud has.
const MAX_KINDS: usize = 4096;
const MAX_KIND: usize = 256;

/// The limit of the kinds that a unit knows only at run time, in bytes.
const MAX_KIND_BYTES: usize = 4 * 1024 * 1024;

/// The reason why a part of a unit cannot be stored. The unit is lost; a full disk loses the next units as well.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The temporary file cannot be written.
    #[error(
        "cannot keep the nodes of account {account} in the temporary folder {folder}: {source}; free some space there \
         or name another folder in TMPDIR"
    )]
    Spool {
        /// The account's ID.
        account: String,
        /// The directory.
        folder: String,
        /// The system's error.
        source: io::Error,
    },
    /// The line of a node contains a line feed and would become two lines.
    #[error("the line of {kind} {resource} in account {account} has a line feed")]
    LineFeed {
        /// The account's ID.
        account: String,
        /// The node's kind.
        kind: String,
        /// The node's resource ID.
        resource: String,
    },
    /// The names cannot be names of kinds.
    #[error(
        "account {account} has more than {MAX_KINDS} kinds of nodes, or one with a name of more than {MAX_KIND} bytes"
    )]
    Kinds {
        /// The account's ID.
        account: String,
    },
}

/// The frames of a unit that is being collected.
#[derive(Debug)]
pub struct UnitStore {
    account: Account,
    records: Records,
    lines: Lines,
    edges: Vec<(NodeKey, NodeKey)>,
    deferred: Vec<Deferred>,
    /// The size of the strings in deferred edges, in bytes.
    deferred_texts: usize,
    names: Vec<Name>,
    /// IDs that are not node IDs, by their hash; only carried nodes have such IDs.
    texts: HashMap<NodeKey, String>,
    missing: Vec<Missing>,
    /// The memory of `missing` in bytes.
    missing_bytes: usize,
    /// The kinds that are known only at run time, as JSON.
    kinds: Vec<String>,
    /// The memory of `kinds` in bytes.
    kind_bytes: usize,
}

impl UnitStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new(account: Account, spool: &Spool) -> Self {
        Self {
            account,
            records: Records::default(),
            lines: spool.lines(),
            edges: Vec::new(),
            deferred: Vec::new(),
            deferred_texts: 0,
            names: Vec::new(),
            texts: HashMap::new(),
            missing: Vec::new(),
            missing_bytes: 0,
            kinds: Vec::new(),
            kind_bytes: 0,
        }
    }

    /// Stores a batch of nodes.
    ///
    /// # Errors
    /// [`StoreError`]; the caller must then drop the store.
    pub fn nodes(&mut self, nodes: &[Node]) -> Result<(), StoreError> {
        let bytes = nodes.iter().map(|node| node.line.len() + 1).sum();
        let mut batch = Vec::with_capacity(bytes);
        for node in nodes {
            if node.kind.len() > MAX_KIND || self.records.kind_count() > MAX_KINDS {
                return Err(StoreError::Kinds { account: self.account.id.clone() });
            }
            self.push(&mut batch, node.id, &node.kind, &node.resource, &node.line)?;
        }
        self.append(&batch)
    }

    /// Stores a batch of edges.
    pub fn edges(&mut self, edges: &EdgeList) {
        self.edges.extend(edges.iter());
    }

    /// Stores edges to nodes of other units.
    pub fn deferred(&mut self, edges: Vec<Deferred>) {
        self.deferred_texts += texts(&edges);
        self.deferred.extend(edges);
    }

    /// Stores names by which deferred edges find nodes.
    pub fn names(&mut self, names: Vec<Name>) {
        self.names.extend(names);
    }

    /// Stores records of missing coverage.
    pub fn missing(&mut self, missing: Vec<Missing>) {
        self.missing_bytes += missing.iter().map(missing_bytes).sum::<usize>();
        self.missing.extend(missing);
    }

    /// Stores kinds that are known only at run time.
    ///
    /// # Errors
    /// [`StoreError::Kinds`] if there are too many or they are too large.
    pub fn kinds(&mut self, kinds: Vec<String>) -> Result<(), StoreError> {
        self.kind_bytes += kinds.iter().map(|kind| kind.len() + size_of::<String>()).sum::<usize>();
        self.kinds.extend(kinds);
        let is_excess = self.kinds.len() > MAX_KINDS || self.kind_bytes > MAX_KIND_BYTES;
        if is_excess { Err(StoreError::Kinds { account: self.account.id.clone() }) } else { Ok(()) }
    }

    /// Returns the memory in bytes. Lines are not counted: the spool has a budget for them and moves the rest to a
    /// file.
    #[must_use]
    pub fn memory(&self) -> u64 {
        (size_of::<Self>()
            + columns(&self.records, &self.edges, &self.deferred)
            + self.deferred_texts
            + self.names.capacity() * size_of::<Name>()
            + self.missing_bytes
            + self.kind_bytes) as u64
    }

    /// Returns the size of the lines in bytes.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.lines.written()
    }

    /// Returns the counts of what arrived.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let [nodes, edges, deferred, names] =
            [self.records.len(), self.edges.len(), self.deferred.len(), self.names.len()].map(|count| count as u64);
        Counts { nodes, edges, deferred, names }
    }

    /// Completes the unit, if the counts match.
    ///
    /// # Errors
    /// [`Incomplete`]; the stored nodes are then dropped.
    pub fn complete(self, announced: Counts) -> Result<CompleteUnit, Incomplete> {
        let received = self.counts();
        if announced != received {
            return Err(Incomplete::Counts { account: self.account.id, announced, received });
        }
        self.freeze(false).with_account()
    }

    fn freeze(self, is_carried: bool) -> CompleteUnit {
        let Self { account, mut records, lines, mut edges, mut deferred, mut names, texts, missing, kinds, .. } = self;
        records.shrink();
        edges.shrink_to_fit();
        deferred.shrink_to_fit();
        names.shrink_to_fit();
        let (lines, patches) = (Arc::new(lines.freeze()), BTreeMap::new());
        let starts = OnceLock::new();
        CompleteUnit {
            account,
            records,
            lines,
            edges,
            deferred,
            names,
            texts,
            is_carried,
            patches,
            missing,
            kinds,
            starts,
        }
    }

    fn push(
        &mut self,
        batch: &mut Vec<u8>,
        id: NodeKey,
        kind: &str,
        resource: &str,
        line: &[u8],
    ) -> Result<(), StoreError> {
        if line.contains(&b'\n') {
            let (account, kind, resource) = (self.account.id.clone(), kind.to_owned(), resource.to_owned());
            return Err(StoreError::LineFeed { account, kind, resource });
        }
        self.records.push(id, kind, resource, line.len() + 1);
        batch.extend_from_slice(line);
        batch.push(b'\n');
        Ok(())
    }

    fn append(&mut self, batch: &[u8]) -> Result<(), StoreError> {
        self.lines.append(batch).map_err(|source| StoreError::Spool {
            account: self.account.id.clone(),
            folder: self.lines.folder().display().to_string(),
            source,
        })
    }
}

/// The last known state of an account, or of a part of one, that could not be collected.
///
/// IDs are strings: a core also keeps nodes whose IDs this version would not make.
#[derive(Debug)]
pub struct CarriedStore {
    store: UnitStore,
    batch: Vec<u8>,
}

impl CarriedStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new(account: Account, spool: &Spool) -> Self {
        Self { store: UnitStore::new(account, spool), batch: Vec::new() }
    }

    /// Stores a node; its line must have the same ID.
    ///
    /// # Errors
    /// [`StoreError`]; the caller must then drop the store.
    pub fn node(&mut self, id: &str, kind: &str, resource: &str, line: &[u8]) -> Result<(), StoreError> {
        let key = self.key(id);
        self.store.push(&mut self.batch, key, kind, resource, line)?;
        if self.batch.len() >= worker_proto::BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores an edge. The merge drops edges whose ends are not among the nodes of any unit.
    pub fn edge(&mut self, from: &str, to: &str) {
        let edge = (self.key(from), self.key(to));
        self.store.edges.push(edge);
    }

    /// Stores a name by which deferred edges find a node: the value of an attribute of its kind.
    pub fn name(&mut self, id: &str, kind: &str, attribute: &str, value: &str) {
        let name = Name { key: name_hash(kind, attribute, value), node: self.key(id) };
        self.store.names.push(name);
    }

    /// Stores an edge to or from a node of another account.
    pub fn deferred(&mut self, from: &str, to: &str) {
        let (from, to) = (Selector::Node(self.key(from)), Selector::Node(self.key(to)));
        self.store.deferred.push(Deferred { from, to });
    }

    /// Completes the account.
    ///
    /// # Errors
    /// [`StoreError`] if the last lines cannot be stored; `Ok(Err(Incomplete))` if the account's node is missing.
    pub fn complete(self) -> Result<Result<CompleteUnit, Incomplete>, StoreError> {
        Ok(self.part()?.with_account())
    }

    /// Completes a part of an account whose node is in another unit.
    ///
    /// # Errors
    /// [`StoreError`] if the last lines cannot be stored.
    pub fn part(mut self) -> Result<CompleteUnit, StoreError> {
        self.flush()?;
        Ok(self.store.freeze(true))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.store.append(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    fn key(&mut self, id: &str) -> NodeKey {
        let (key, is_text) = node_key(id);
        if is_text {
            self.store.texts.entry(key).or_insert_with(|| id.to_owned());
        }
        key
    }
}

/// Returns the key of a node, and whether the key is the hash of an ID that is not a node ID.
#[must_use]
pub fn node_key(id: &str) -> ([u8; 16], bool) {
    match id.parse() {
        Ok(NodeId(key)) => (key, false),
        Err(_) => (Blake2b::<U16>::digest(id.as_bytes()).into(), true),
    }
}
