//! What the supervisor keeps of one unit: lines in the spool, ids, kinds and resource ids in columns.
//!
//! Invariant: nodes reach a [`MergedGraph`](super::MergedGraph) only through a [`CompleteUnit`], and there is one only if
//! the unit said that it is done and its counts match. A store that is dropped leaves nothing behind.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, OnceLock},
};

use blake2::{Blake2b, Digest, digest::consts::U16};
use thiserror::Error;
use worker_proto::{Counts, Deferred, EdgeList, Missing, Node};

use super::{
    NodeId,
    complete::{Account, CompleteUnit, Incomplete},
    memory::{columns, missing_bytes, texts},
    records::{NodeKey, Records},
    spool::{Lines, Spool},
};

/// The largest number of kinds in a unit, and the longest name of one in bytes: far more than any cloud has.
const MAX_KINDS: usize = 4096;
const MAX_KIND: usize = 256;

/// Why something of a unit cannot be kept. The unit is lost; a full disk loses the next ones too.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The temporary file cannot be written.
    #[error(
        "cannot keep the nodes of account {account} in the temporary folder {folder}: {source}; free some space there \
         or name another folder in TMPDIR"
    )]
    Spool {
        /// The account's id.
        account: String,
        /// The folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// A line of a node has a line feed in it and would be two.
    #[error("the line of {kind} {resource} in account {account} has a line feed")]
    LineFeed {
        /// The account's id.
        account: String,
        /// The node's kind.
        kind: String,
        /// The node's resource id.
        resource: String,
    },
    /// Names that cannot be those of kinds.
    #[error(
        "account {account} has more than {MAX_KINDS} kinds of nodes, or one with a name of more than {MAX_KIND} bytes"
    )]
    Kinds {
        /// The account's id.
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
    /// The bytes of the texts in deferred edges.
    deferred_texts: usize,
    /// Ids that are no node ids, by their hash; only carried nodes have such.
    texts: HashMap<NodeKey, String>,
    missing: Vec<Missing>,
    /// The memory that `missing` takes, in bytes.
    missing_bytes: usize,
}

impl UnitStore {
    /// An empty store.
    #[must_use]
    pub fn new(account: Account, spool: &Spool) -> Self {
        Self {
            account,
            records: Records::default(),
            lines: spool.lines(),
            edges: Vec::new(),
            deferred: Vec::new(),
            deferred_texts: 0,
            texts: HashMap::new(),
            missing: Vec::new(),
            missing_bytes: 0,
        }
    }

    /// Keeps a batch of nodes.
    ///
    /// # Errors
    /// [`StoreError`]; the store must then be dropped.
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

    /// Keeps a batch of edges.
    pub fn edges(&mut self, edges: &EdgeList) {
        self.edges.extend(edges.iter());
    }

    /// Keeps edges to nodes of other units.
    pub fn deferred(&mut self, edges: Vec<Deferred>) {
        self.deferred_texts += texts(&edges);
        self.deferred.extend(edges);
    }

    /// Keeps what the unit could not see.
    pub fn missing(&mut self, missing: Vec<Missing>) {
        self.missing_bytes += missing.iter().map(missing_bytes).sum::<usize>();
        self.missing.extend(missing);
    }

    /// The memory that it takes, in bytes. Lines are not counted: they have a budget of their own and go to a file
    /// beyond it.
    #[must_use]
    pub fn memory(&self) -> u64 {
        (size_of::<Self>()
            + columns(&self.records, &self.edges, &self.deferred)
            + self.deferred_texts
            + self.missing_bytes) as u64
    }

    /// The bytes of its lines.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.lines.written()
    }

    /// What arrived so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (nodes, edges, deferred) = (self.records.len(), self.edges.len(), self.deferred.len());
        Counts { nodes: nodes as u64, edges: edges as u64, deferred: deferred as u64 }
    }

    /// Ends the unit, if all arrived that was sent.
    ///
    /// # Errors
    /// [`Incomplete`]; what was kept is gone.
    pub fn complete(self, announced: Counts) -> Result<CompleteUnit, Incomplete> {
        let received = self.counts();
        if announced != received {
            return Err(Incomplete::Counts { account: self.account.id, announced, received });
        }
        self.freeze(false).with_account()
    }

    fn freeze(self, is_carried: bool) -> CompleteUnit {
        let Self { account, mut records, lines, mut edges, mut deferred, texts, missing, .. } = self;
        records.shrink();
        edges.shrink_to_fit();
        deferred.shrink_to_fit();
        let (lines, patches) = (Arc::new(lines.freeze()), BTreeMap::new());
        let starts = OnceLock::new();
        CompleteUnit { account, records, lines, edges, deferred, texts, is_carried, patches, missing, starts }
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

/// An account that could not be collected, or a part of one, as the core has it from an earlier run.
///
/// Its ids are text: a core also keeps nodes whose ids this version would not make.
#[derive(Debug)]
pub struct CarriedStore {
    store: UnitStore,
    batch: Vec<u8>,
}

impl CarriedStore {
    /// An empty store.
    #[must_use]
    pub fn new(account: Account, spool: &Spool) -> Self {
        Self { store: UnitStore::new(account, spool), batch: Vec::new() }
    }

    /// Keeps a node; its line must have the same id.
    ///
    /// # Errors
    /// [`StoreError`]; the store must then be dropped.
    pub fn node(&mut self, id: &str, kind: &str, resource: &str, line: &[u8]) -> Result<(), StoreError> {
        let key = self.key(id);
        self.store.push(&mut self.batch, key, kind, resource, line)?;
        if self.batch.len() >= worker_proto::BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Keeps an edge; ends that are not among the nodes of any unit are dropped when units are merged.
    pub fn edge(&mut self, from: &str, to: &str) {
        let edge = (self.key(from), self.key(to));
        self.store.edges.push(edge);
    }

    /// Ends the account.
    ///
    /// # Errors
    /// [`StoreError`] if the last lines cannot be kept; `Ok(Err(Incomplete))` if the account's node is missing.
    pub fn complete(self) -> Result<Result<CompleteUnit, Incomplete>, StoreError> {
        Ok(self.part()?.with_account())
    }

    /// Ends a part of an account whose node another unit has.
    ///
    /// # Errors
    /// [`StoreError`] if the last lines cannot be kept.
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

/// The key of a node by its id, and whether it is the hash of a text that is no node id.
#[must_use]
pub fn node_key(id: &str) -> ([u8; 16], bool) {
    match id.parse() {
        Ok(NodeId(key)) => (key, false),
        Err(_) => (Blake2b::<U16>::digest(id.as_bytes()).into(), true),
    }
}
