//! The outcome of a run and its progress events, for the summary, the progress display, the exit code and the result of
//! the action.

use std::{collections::BTreeMap, time::Duration};

use worker_proto::Gap;

/// The outcome of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunReport {
    /// The reports of the enabled collectors.
    pub collectors: Vec<CollectorReport>,
    /// The number of nodes in the merged graph.
    pub nodes: u64,
    /// The number of edges in the merged graph.
    pub edges: u64,
    /// The duration.
    pub took: Duration,
}

/// The outcome of one collector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectorReport {
    /// The collector's name.
    pub name: String,
    /// The reports of the units of its plan.
    pub units: Vec<UnitReport>,
    /// The reason why the collector as a whole failed.
    pub failure: Option<String>,
    /// The reason why the collector was skipped: it was not named, and there are no credentials. Nothing is known of
    /// its cloud, which stays as it is.
    pub skipped: Option<String>,
    /// The gaps of the plan.
    pub gaps: Vec<Gap>,
    /// Whether the plan has all accounts of the cloud.
    pub is_whole: bool,
    /// The time from the start of its first worker to the end of its last.
    pub took: Duration,
}

/// The outcome of one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitReport {
    /// The account's ID.
    pub id: String,
    /// The account's name for people.
    pub label: String,
    /// The kind of the account node.
    pub kind: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The number of attempts.
    pub attempts: u32,
    /// The number of nodes by kind.
    pub nodes_by_kind: BTreeMap<String, u64>,
    /// The number of edges.
    pub edges: u64,
    /// The unit's gaps.
    pub gaps: Vec<Gap>,
    /// The number of nodes that were carried over from the core, whole or in part.
    pub kept: u64,
    /// The duration of all attempts.
    pub took: Duration,
}

/// The outcome of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The unit was collected; its nodes count.
    Complete,
    /// The unit failed; its nodes are discarded.
    Failed {
        /// A label, such as `deadline`.
        reason: String,
        /// The cause and the remedy.
        detail: String,
    },
}

impl RunReport {
    /// Whether nothing is missing: no failed collector, no failed unit, no gap. Skipped collectors are not missing,
    /// unless all are skipped.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.collectors.iter().all(CollectorReport::is_complete) && !self.is_skipped()
    }

    /// Whether all collectors were skipped.
    fn is_skipped(&self) -> bool {
        !self.collectors.is_empty() && self.collectors.iter().all(|collector| collector.skipped.is_some())
    }

    /// Returns the report of an account, to be completed.
    pub fn unit_mut(&mut self, collector: &str, id: &str) -> Option<&mut UnitReport> {
        let collectors = self.collectors.iter_mut().filter(|report| report.name == collector);
        collectors.flat_map(|report| &mut report.units).find(|unit| unit.id == id)
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

    /// Returns the number of its nodes.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.nodes_by_kind.values().sum()
    }
}

/// An event during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressEvent {
    /// A collector has its plan.
    CollectorPlanned {
        /// The collector.
        collector: String,
        /// The number of its units.
        units: usize,
    },
    /// The collection of a unit started.
    UnitStarted {
        /// The collector.
        collector: String,
        /// The unit's id.
        unit: String,
        /// The unit's name for people.
        label: String,
        /// The worker's PID; `None` for a thread.
        pid: Option<u32>,
    },
    /// Progress of a unit.
    UnitProgress {
        /// The collector.
        collector: String,
        /// The unit's id.
        unit: String,
        /// The number of complete parts (regions).
        parts_done: u32,
        /// The number of parts (regions); 0 if unknown.
        parts: u32,
        /// The number of nodes so far.
        nodes: u64,
    },
    /// The last attempt of a unit ended.
    UnitFinished {
        /// The collector.
        collector: String,
        /// The unit's id.
        unit: String,
        /// The unit's name for people.
        label: String,
        /// The number of its nodes.
        nodes: u64,
        /// The number of its gaps.
        gaps: usize,
        /// The outcome.
        outcome: Outcome,
    },
    /// The merged graph is being written or uploaded.
    Uploading,
    /// The run is finished.
    Finished,
}
