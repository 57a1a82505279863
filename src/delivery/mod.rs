//! Delivery: the complete units of a run become a graph, which goes to each destination, a [`Sink`].
//!
//! A sink receives the units of a run and the run's report, and decides what it replaces: a core by cloud or by account
//! ([`CoreSink`]), a file as a whole ([`NdjsonSink`]). Several sinks of one run receive the same units, one after the
//! other.

mod core;
mod dump;
mod ndjson;
mod output_file;
mod several;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::task::spawn_blocking;
use worker_proto::Gap;

pub use self::{
    core::{Body, Chunks, CoreSink, HeldLosses, UploadError, prepare, upload},
    dump::check_dump,
    ndjson::NdjsonSink,
    output_file::{OutputError, OutputFile, Placing, Writing},
    several::SeveralSinks,
};
use crate::{
    collector_api::BoxFuture,
    graph::{CloudUnits, CompleteUnit, MergedGraph, Spool},
    report::{CollectorReport, RunReport},
};

/// The complete units of a run, to be delivered.
#[derive(Clone)]
pub struct Delivery {
    /// The report of the run.
    pub report: RunReport,
    /// The complete units, each with the name of its collector.
    pub units: Vec<(&'static str, CompleteUnit)>,
    /// The storage of lines.
    pub spool: Spool,
    /// The deadline of the delivery.
    pub deadline: Instant,
    /// The core's task of the action that the run belongs to.
    pub task: Option<String>,
}

/// The reason why a graph could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// The failure and its remedy.
    pub message: String,
    /// Whether there was nothing to deliver.
    pub nothing: bool,
}

/// The delivered graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The number of nodes, root and clouds included.
    pub nodes: u64,
    /// The number of edges.
    pub edges: u64,
    /// Collectors that were omitted although they were collected, with the reason.
    pub left_out: Vec<(String, String)>,
    /// The numbers of nodes that were kept as the core had them, by collector and account.
    pub kept: Vec<(String, String, u64)>,
    /// Gaps that only the comparison with the core shows, by collector.
    pub gaps: Vec<(String, Gap)>,
}

impl Delivered {
    /// Records the delivery in the report of its run. An omitted collector has failed.
    pub fn record_in(self, report: &mut RunReport) {
        (report.nodes, report.edges) = (self.nodes, self.edges);
        for (cloud, account, kept) in self.kept {
            report.unit_mut(&cloud, &account).into_iter().for_each(|unit| unit.kept = kept);
        }
        for (cloud, gap) in self.gaps {
            report.unit_mut(&cloud, &gap.account).into_iter().for_each(|unit| unit.gaps.push(gap.clone()));
        }
        for (cloud, reason) in self.left_out {
            if let Some(collector) = report.collectors.iter_mut().find(|collector| collector.name == cloud) {
                collector.failure = Some(reason);
            }
        }
    }
}

/// A destination of graphs, such as a core or a file.
pub trait Sink: Send + Sync {
    /// Returns the sink's name for messages.
    fn name(&self) -> String;

    /// Delivers the units of a run, and returns what arrived.
    ///
    /// A part that could not be collected must stay in the destination as it is.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>>;

    /// Logs what the destination will lose of these accounts because options exclude it. `None` if it loses nothing.
    fn announce(&self, _collector: &'static str, _accounts: Vec<String>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// Groups units by collector. A collector that failed as a whole has none.
fn group<'a>(
    collectors: impl Iterator<Item = &'a CollectorReport>,
    units: Vec<(&'static str, CompleteUnit)>,
) -> Vec<CloudUnits> {
    let mut by_name: BTreeMap<&str, Vec<CompleteUnit>> = BTreeMap::new();
    for (collector, unit) in units {
        by_name.entry(collector).or_default().push(unit);
    }
    let known = collectors.filter(|collector| collector.failure.is_none());
    let clouds = known.map(|collector| CloudUnits {
        name: collector.name.clone(),
        units: by_name.remove(collector.name.as_str()).unwrap_or_default(),
    });
    clouds.filter(|cloud| !cloud.units.is_empty()).collect()
}

fn merge(clouds: Vec<CloudUnits>, ignore_deferred: bool) -> Result<Arc<MergedGraph>, DeliveryError> {
    let graph = MergedGraph::build(clouds, ignore_deferred).map_err(|error| failed(error.to_string()))?;
    Ok(Arc::new(graph))
}

fn delivered(graph: &MergedGraph, mut left_out: Vec<(String, String)>) -> Delivered {
    left_out.extend(graph.report().left_out.iter().map(|out| (out.cloud.clone(), out.reason.clone())));
    Delivered { nodes: graph.nodes() as u64, edges: graph.edges() as u64, left_out, ..Delivered::default() }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DeliveryError> + Send + 'static,
) -> Result<T, DeliveryError> {
    spawn_blocking(work).await.map_err(|error| failed(format!("merging the graph failed: {error}")))?
}

fn failed(message: impl Into<String>) -> DeliveryError {
    DeliveryError { message: message.into(), nothing: false }
}

fn nothing() -> DeliveryError {
    DeliveryError { message: "no account could be collected, so there is nothing to deliver".into(), nothing: true }
}
