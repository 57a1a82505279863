//! Delivery: the complete units of a run become a graph, which goes to each destination, a [`Sink`].
//!
//! A sink gets the units of a run and how the run went, and decides what it replaces: a core by cloud or by account
//! ([`CoreSink`]), a file as a whole ([`NdjsonSink`]). Several sinks of one run get the same units, one after the other.

mod core;
mod dump;
mod ndjson;
mod output_file;
mod several;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::task::spawn_blocking;

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
    /// How the run went.
    pub report: RunReport,
    /// The complete units, each with the name of its collector.
    pub units: Vec<(&'static str, CompleteUnit)>,
    /// Where lines wait.
    pub spool: Spool,
    /// When it must be over.
    pub deadline: Instant,
    /// The core's task that wants it.
    pub task: Option<String>,
}

/// Why a graph could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// What failed and what to do.
    pub message: String,
    /// Whether there was nothing to deliver.
    pub nothing: bool,
}

/// What arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Nodes, root and clouds counted.
    pub nodes: u64,
    /// Edges.
    pub edges: u64,
    /// Collectors that were left out although they were collected, and why.
    pub left_out: Vec<(String, String)>,
    /// Nodes that were kept as the core had them, by collector and account.
    pub kept: Vec<(String, String, u64)>,
}

impl Delivered {
    /// Records the delivery in the report of its run. A collector that was left out has failed.
    pub fn record_in(self, report: &mut RunReport) {
        (report.nodes, report.edges) = (self.nodes, self.edges);
        for (cloud, account, kept) in self.kept {
            let collector = report.collectors.iter_mut().filter(|collector| collector.name == cloud);
            if let Some(unit) = collector.flat_map(|collector| &mut collector.units).find(|unit| unit.id == account) {
                unit.kept = kept;
            }
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
    /// Its name for messages.
    fn name(&self) -> String;

    /// Delivers the units of a run, and returns what arrived.
    ///
    /// A part that could not be collected must stay in the destination as it is.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>>;

    /// Names what the destination will lose of these accounts because options leave it out, if it can lose anything.
    fn announce(&self, _collector: &'static str, _accounts: Vec<String>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// Sorts units below their collectors. A collector that failed as a whole has none.
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
    Delivered { nodes: graph.nodes() as u64, edges: graph.edges() as u64, left_out, kept: Vec::new() }
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
