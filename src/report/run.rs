//! What a collection came to, and what it tells while it runs: data only, for the summary, the progress display, the
//! exit code and the answer to ckcore.

use std::{collections::BTreeMap, time::Duration};

use worker_proto::Gap;

/// The outcome of one collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunReport {
    /// One per enabled collector.
    pub collectors: Vec<CollectorReport>,
    /// Nodes in the merged graph.
    pub nodes: u64,
    /// Edges in the merged graph.
    pub edges: u64,
    /// How long it took.
    pub took: Duration,
}

/// The outcome of one collector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectorReport {
    /// The collector's name.
    pub name: String,
    /// One per unit of its plan.
    pub units: Vec<UnitReport>,
    /// Why the collector as a whole gave nothing.
    pub failure: Option<String>,
    /// What planning had to leave out.
    pub gaps: Vec<Gap>,
    /// Whether the units are all accounts of the cloud.
    pub is_whole: bool,
    /// How long it took from its first worker to its last.
    pub took: Duration,
}

/// The outcome of one unit, such as an AWS account.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitReport {
    /// The account's id.
    pub id: String,
    /// The account's name for people.
    pub label: String,
    /// The kind of the account node.
    pub kind: String,
    /// Whether its nodes count.
    pub outcome: Outcome,
    /// How often it was tried.
    pub attempts: u32,
    /// How many nodes of each kind it has.
    pub nodes_by_kind: BTreeMap<String, u64>,
    /// How many edges it has.
    pub edges: u64,
    /// What it had to leave out.
    pub gaps: Vec<Gap>,
    /// How many nodes were kept as the core had them, whole or in part, because they could not be seen.
    pub kept: u64,
    /// How long it took, all attempts together.
    pub took: Duration,
}

/// Whether the nodes of a unit count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They do.
    Complete,
    /// They do not.
    Failed {
        /// One word or two, such as `deadline` or `killed`.
        reason: String,
        /// What happened and what to do.
        detail: String,
    },
}

impl RunReport {
    /// Whether nothing is missing: no failed collector, no failed unit, no gap.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.collectors.iter().all(CollectorReport::is_complete)
    }

    /// Whether at least one unit was collected.
    #[must_use]
    pub fn has_something(&self) -> bool {
        self.collectors.iter().flat_map(|collector| &collector.units).any(UnitReport::counts)
    }
}

impl CollectorReport {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failure.is_none() && self.gaps.is_empty() && self.units.iter().all(UnitReport::is_complete)
    }
}

impl UnitReport {
    /// Whether its nodes count.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.outcome == Outcome::Complete
    }

    /// Whether its nodes count and nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.counts() && self.gaps.is_empty() && self.kept == 0
    }

    /// All its nodes.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.nodes_by_kind.values().sum()
    }
}

/// What happens while a collection runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressEvent {
    /// A collector knows its units.
    CollectorPlanned {
        /// The collector.
        collector: String,
        /// How many units it has.
        units: usize,
    },
    /// A unit is being collected.
    UnitStarted {
        /// The collector.
        collector: String,
        /// The unit's id.
        unit: String,
        /// The unit's name for people.
        label: String,
        /// The process that collects it; `None` in the supervisor's own.
        pid: Option<u32>,
    },
    /// A unit is so far.
    UnitProgress {
        /// The collector.
        collector: String,
        /// The unit's id.
        unit: String,
        /// Parts (regions) that are complete.
        parts_done: u32,
        /// All parts (regions); 0 if unknown.
        parts: u32,
        /// Nodes found so far.
        nodes: u64,
    },
    /// A unit ended for good.
    UnitFinished {
        /// The collector.
        collector: String,
        /// The unit's id.
        unit: String,
        /// Its nodes.
        nodes: u64,
        /// How much it had to leave out.
        gaps: usize,
        /// Whether they count.
        outcome: Outcome,
    },
    /// The merged graph is being written or uploaded.
    Uploading,
    /// The collection is over.
    Finished,
}
