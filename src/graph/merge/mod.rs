//! The merged graph: the complete units of all collectors below one root.
//!
//! Each collector gets a cloud node, below which the account nodes of its units hang. A collector whose graph has a
//! cycle is left out, and the graph is merged again without it; the others go on. What comes out has passed all checks.

mod assembly;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use thiserror::Error;
use tracing::{error, warn};

use self::assembly::Assembly;
use super::{
    ResourceError, SchemaError,
    check::{Adjacency, Fault},
    complete::Account,
    complete::CompleteUnit,
    records::NodeKey,
    spool::FrozenLines,
};

/// How many nodes of a cycle an error names.
const NAMED_IN_ERROR: usize = 20;

/// What one collector has to give.
#[derive(Debug)]
pub struct CloudUnits {
    /// The collector's name, which is the id of the cloud node.
    pub name: String,
    /// Its units; of two nodes with the same id the first one counts, and collected ones come before carried ones.
    pub units: Vec<CompleteUnit>,
}

/// Why there is no merged graph at all.
#[derive(Debug, Error)]
pub enum MergeError {
    /// More nodes than a number of 32 bits counts.
    #[error("the graph has too many nodes")]
    TooManyNodes,
    /// The kinds of root and cloud are wrong.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The root or a cloud node cannot be made.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The lines of root and clouds cannot be kept.
    #[error("cannot keep the lines of the root and the clouds: {0}")]
    Own(std::io::Error),
    /// What was merged breaks a rule of graphs, although each collector was looked at.
    #[error("the merged graph is not valid: {0}")]
    Invalid(String),
}

/// A collector that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The collector's name.
    pub cloud: String,
    /// What is wrong with its graph, with kind and id of the nodes concerned.
    pub reason: String,
}

/// The nodes of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCount {
    /// The collector's name.
    pub cloud: String,
    /// The account.
    pub account: Account,
    /// Whether it is from an earlier run.
    pub is_carried: bool,
    /// How many nodes there are of each kind.
    pub kinds: BTreeMap<String, u64>,
}

/// What merging did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeReport {
    /// The nodes by account, root and clouds not counted.
    pub accounts: Vec<AccountCount>,
    /// Collectors that are not in the graph.
    pub left_out: Vec<LeftOut>,
    /// Nodes that another unit, or the same, already had.
    pub duplicates: u64,
    /// Edges without a node at one end.
    pub dangling: u64,
    /// Nodes without a predecessor, which hang below their account now.
    pub orphans: u64,
    /// Deferred edges that met both ends.
    pub deferred: u64,
    /// Deferred edges that did not.
    pub deferred_unresolved: u64,
}

/// A graph that can be sent: one root, all nodes below it, no cycle, no dangling edge, no duplicate.
#[derive(Debug)]
pub struct MergedGraph {
    pub(super) lines: Vec<Arc<FrozenLines>>,
    /// What to write, in this order: number of the lines, bytes from and to.
    pub(super) segments: Vec<(usize, Range<u64>)>,
    pub(super) ids: Vec<NodeKey>,
    /// Ids that are no node ids, by the node's number.
    pub(super) texts: std::collections::HashMap<u32, String>,
    pub(super) edges: Adjacency,
    report: MergeReport,
}

impl MergedGraph {
    /// Merges collectors. With `ignore_deferred`, edges between units are left out.
    ///
    /// # Errors
    /// [`MergeError`]; a cycle in one collector's graph is none, it is in the report.
    pub fn build(mut clouds: Vec<CloudUnits>, ignore_deferred: bool) -> Result<MergedGraph, MergeError> {
        for cloud in &mut clouds {
            cloud.units.sort_by_key(CompleteUnit::is_carried);
        }
        let mut left_out = Vec::new();
        let mut across = !ignore_deferred;
        loop {
            let assembly = Assembly::new(&clouds, !ignore_deferred, across)?;
            let edges = assembly.adjacency();
            let Err(fault) = edges.check() else {
                let (parts, mut report) = assembly.finish(edges)?;
                report.left_out = left_out;
                let mut lines = vec![Arc::new(parts.own_lines)];
                lines.extend(clouds.into_iter().flat_map(|cloud| cloud.units).map(|unit| unit.lines));
                let assembly::Parts { segments, ids, texts, edges, .. } = parts;
                return Ok(MergedGraph { lines, segments, ids, texts, edges, report });
            };
            let reason = assembly.describe(&fault);
            match assembly.culprit(&fault) {
                Some(culprit) => {
                    let cloud = clouds.remove(culprit).name;
                    error!(cloud, reason, "a collector is left out, as its graph is not valid");
                    left_out.push(LeftOut { cloud, reason });
                }
                None if across => {
                    error!(reason, "deferred edges between clouds are left out, as they close a cycle");
                    across = false;
                }
                None => return Err(MergeError::Invalid(reason)),
            }
        }
    }

    /// How many nodes it has, root and clouds counted.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.ids.len()
    }

    /// How many edges it has.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.edges.edges()
    }

    /// How many bytes the nodes' lines have.
    #[must_use]
    pub fn node_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// What merging did.
    #[must_use]
    pub fn report(&self) -> &MergeReport {
        &self.report
    }
}

impl MergeReport {
    /// Warns of what is odd.
    fn log(&self) {
        let Self { duplicates, dangling, orphans, deferred_unresolved, .. } = *self;
        if duplicates > 0 {
            warn!(duplicates, "nodes that were collected twice are in the graph once");
        }
        if dangling > 0 {
            warn!(dangling, "edges to nodes that are not in the graph are left out");
        }
        if orphans > 0 {
            warn!(orphans, "nodes without a predecessor hang below their account");
        }
        if deferred_unresolved > 0 {
            warn!(deferred_unresolved, "deferred edges to nodes that are not in the graph are left out");
        }
    }
}

impl Fault {
    fn nodes(&self) -> &[u32] {
        let (Fault::Roots(nodes) | Fault::Cycle(nodes)) = self;
        nodes
    }
}
