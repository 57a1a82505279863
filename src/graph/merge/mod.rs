//! The merged graph: the complete units of all collectors below one root.
//!
//! Each collector gets a cloud node, below which the account nodes of its units hang. Deferred edges of a cycle are
//! omitted. A collector whose graph then has a cycle is omitted, and the other collectors are merged again without it. The
//! merged graph has passed all checks.

mod assembly;
mod lookup;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use thiserror::Error;
use tracing::{debug, error, warn};

use self::assembly::{Assembly, EdgeSet};
use super::{
    ResourceError, SchemaError,
    check::{Adjacency, Fault},
    complete::Account,
    complete::CompleteUnit,
    records::NodeKey,
    spool::FrozenLines,
};

/// The limit of nodes of a cycle that an error names.
const NAMED_IN_ERROR: usize = 20;

/// The cycles after which all deferred edges are left out, as each one takes another merge.
const MAX_CYCLES: usize = 16;

/// The units of one collector.
#[derive(Debug)]
pub struct CloudUnits {
    /// The collector's name, which is also the ID of the cloud node.
    pub name: String,
    /// The collector's units. Of two nodes with the same ID the first one counts, and collected nodes precede carried
    /// ones.
    pub units: Vec<CompleteUnit>,
}

/// The reason why there is no merged graph.
#[derive(Debug, Error)]
pub enum MergeError {
    /// There are more nodes than a 32-bit number can count.
    #[error("the graph has too many nodes")]
    TooManyNodes,
    /// The kind of the root or of a cloud is invalid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The node of the root or of a cloud cannot be built.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The lines of root and clouds cannot be stored.
    #[error("cannot keep the lines of the root and the clouds: {0}")]
    Own(std::io::Error),
    /// The merged graph breaks a rule, although each collector's graph was checked.
    #[error("the merged graph is not valid: {0}")]
    Invalid(String),
}

/// A collector that was omitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The collector's name.
    pub cloud: String,
    /// The fault of its graph, with kind and ID of the nodes concerned.
    pub reason: String,
}

/// The nodes of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCount {
    /// The collector's name.
    pub cloud: String,
    /// The account.
    pub account: Account,
    /// Whether the nodes are from an earlier run.
    pub is_carried: bool,
    /// The number of nodes by kind.
    pub kinds: BTreeMap<String, u64>,
}

/// The report of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeReport {
    /// The nodes by account, root and clouds not counted.
    pub accounts: Vec<AccountCount>,
    /// The collectors that were omitted.
    pub left_out: Vec<LeftOut>,
    /// The number of nodes whose ID another node had already.
    pub duplicates: u64,
    /// The number of edges without a node at one end.
    pub dangling: u64,
    /// The number of nodes without predecessor, which were hung below their account.
    pub orphans: u64,
    /// The number of deferred edges that were resolved.
    pub deferred: u64,
    /// The number of deferred edges that were not resolved, or left out as they close a cycle.
    pub deferred_unresolved: u64,
    /// The number of references to other accounts of which no account has the node, such as one outside the plan.
    pub unknown_names: u64,
}

/// A graph that can be sent: one root, all nodes below it, no cycle, no dangling edge, no duplicate.
#[derive(Debug)]
pub struct MergedGraph {
    pub(super) lines: Vec<Arc<FrozenLines>>,
    /// The segments to write, in this order: index of the lines, and range of bytes.
    pub(super) segments: Vec<(usize, Range<u64>)>,
    pub(super) ids: Vec<NodeKey>,
    /// IDs that are not node IDs, by the node's number.
    pub(super) texts: std::collections::HashMap<u32, String>,
    pub(super) edges: Adjacency,
    report: MergeReport,
}

impl MergedGraph {
    /// Merges collectors. With `ignore_deferred`, edges between units are omitted.
    ///
    /// # Errors
    /// [`MergeError`]. A cycle in one collector's graph is not an error but part of the report.
    pub fn build(mut clouds: Vec<CloudUnits>, ignore_deferred: bool) -> Result<MergedGraph, MergeError> {
        for cloud in &mut clouds {
            cloud.units.sort_by_key(CompleteUnit::is_carried);
        }
        let mut left_out = Vec::new();
        let (mut dropped, mut cycles) = (EdgeSet::new(), 0);
        loop {
            let assembly = Assembly::new(&clouds, (!ignore_deferred).then_some(&dropped))?;
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
            let deferred = assembly.deferred_of(&fault);
            if !deferred.is_empty() {
                cycles += 1;
                error!(reason, edges = deferred.len(), "deferred edges are left out, as they close a cycle");
                dropped.extend(if cycles < MAX_CYCLES { deferred } else { assembly.all_deferred() });
                continue;
            }
            match assembly.culprit(&fault) {
                Some(culprit) => {
                    let cloud = clouds.remove(culprit).name;
                    error!(cloud, reason, "a collector is left out, as its graph is not valid");
                    left_out.push(LeftOut { cloud, reason });
                }
                None => return Err(MergeError::Invalid(reason)),
            }
        }
    }

    /// Returns the number of nodes, root and clouds included.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number of edges.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.edges.edges()
    }

    /// Returns the size of the nodes' lines in bytes.
    #[must_use]
    pub fn node_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// Returns the report of the merge.
    #[must_use]
    pub fn report(&self) -> &MergeReport {
        &self.report
    }
}

impl MergeReport {
    /// Logs a warning for each anomaly of the merge.
    fn log(&self) {
        let Self { duplicates, dangling, orphans, deferred_unresolved, unknown_names, .. } = *self;
        if duplicates > 0 {
            warn!(duplicates, "nodes that were collected twice are in the graph once");
        }
        if dangling > 0 {
            warn!(dangling, "edges to nodes that are not in the graph are left out");
        }
        if orphans > 0 {
            warn!(orphans, "nodes without a predecessor hang below their account");
        }
        if unknown_names > 0 {
            debug!(unknown_names, "references to nodes that no account has are left out");
        }
        if deferred_unresolved > 0 {
            warn!(
                deferred_unresolved,
                "deferred edges to nodes that are not in the graph, or in a cycle, are left out"
            );
        }
    }
}

impl Fault {
    fn nodes(&self) -> &[u32] {
        let (Fault::Roots(nodes) | Fault::Cycle(nodes)) = self;
        nodes
    }
}
