//! Delivery: the complete units of a run become one graph, which goes to a core or into a file; or one graph for each
//! account, if that is what the core replaces.

mod accounts;
mod carry;
mod inventory;
mod last_known;
mod sudden;
mod uncollected;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::watch, task::spawn_blocking};

pub use self::sudden::HeldLosses;
use self::{carry::Past, inventory::Inventory};
use super::{
    event::{DeliveryError, UnitKey},
    report::{CollectorReport, RunReport, UnitReport},
};
use crate::{
    ckcore::{CoreApi, Granularity, retry},
    collector_api::{BoxFuture, Uncollected},
    collectors,
    graph::{CloudUnits, CompleteUnit, MergedGraph, Spool, model_json},
    output::{OutputError, OutputFile},
    telemetry::Metrics,
    upload::{self, Body, Chunks},
};

/// The files of `--debug-dump-json`.
const MODEL_DUMP: &str = "model.dump.json";
const GRAPH_DUMP: &str = "graph.dump.json";

/// What the original calls the two steps that are measured.
const MERGING: &str = "graph_resolve_deferred_connections";
const EXPORTING: &str = "graph2json";

/// The first pause before the core is asked again for something that the delivery needs to know, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What is to be delivered.
pub struct DeliveryOrder {
    /// How the run went.
    pub report: RunReport,
    /// What its units sent.
    pub units: Vec<(UnitKey, CompleteUnit)>,
    /// Where lines wait.
    pub spool: Spool,
    /// When it must be over.
    pub deadline: Instant,
    /// The core's task that wants it.
    pub task: Option<String>,
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
    pub(super) fn record_in(self, report: &mut RunReport) {
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

/// Somewhere to deliver to.
pub trait Deliver: Send + Sync {
    /// Delivers, and answers what arrived.
    fn deliver(&self, order: DeliveryOrder) -> BoxFuture<'static, Result<Delivered, DeliveryError>>;

    /// Names what the destination will lose of these accounts because options leave it out, if anything can be.
    fn announce(&self, _collector: &'static str, _accounts: Vec<String>) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// Merges and writes to a file or to standard output.
pub struct ToFile {
    /// The opened output; taken by the first delivery.
    pub output: Mutex<Option<OutputFile>>,
    /// `--ignore-deferred-connections`.
    pub ignore_deferred: bool,
    /// `--debug-dump-json`.
    pub dump: Option<PathBuf>,
}

/// Merges and uploads to a core.
pub struct ToCore {
    /// The core.
    pub api: CoreApi,
    /// `--ignore-deferred-connections`.
    pub ignore_deferred: bool,
    /// `--debug-dump-json`: the folder for the two files.
    pub dump: Option<PathBuf>,
    /// Where uploads are counted.
    pub metrics: Arc<Metrics>,
    /// `--hold-sudden-loss`, in percent.
    pub hold_sudden_loss: Option<u64>,
    /// What earlier runs lacked and what is held for that reason.
    pub losses: Arc<Mutex<HeldLosses>>,
    /// What options leave out, by collector.
    pub uncollected: Vec<(&'static str, Uncollected)>,
}

impl Deliver for ToFile {
    fn deliver(&self, order: DeliveryOrder) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        let output = self.output.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let (ignore_deferred, dump) = (self.ignore_deferred, self.dump.clone());
        Box::pin(async move {
            let clouds = group(order.report.collectors.iter(), order.units);
            if clouds.iter().all(|cloud| cloud.units.is_empty()) {
                return Err(nothing());
            }
            let output = output.ok_or_else(|| failed("the output was written already"))?;
            // If this is given up, the thread goes on for a while, but what it writes is not in the folder any more.
            let (writing, placing) = output.split();
            let written = blocking(move || {
                let graph = merge(clouds, ignore_deferred)?;
                dump_json(dump.as_deref(), &graph);
                writing.write(|mut out| graph.write_to(&mut out)).map_err(|error| failed(error.to_string()))?;
                Ok(delivered(&graph, Vec::new()))
            });
            let written = written.await?;
            placing.place().map_err(|error| failed(error.to_string()))?;
            Ok(written)
        })
    }
}

impl Deliver for ToCore {
    fn deliver(&self, order: DeliveryOrder) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        let (api, ignore_deferred, dump) = (self.api.clone(), self.ignore_deferred, self.dump.clone());
        let (metrics, losses, hold) = (Arc::clone(&self.metrics), Arc::clone(&self.losses), self.hold_sudden_loss);
        Box::pin(async move {
            let granularity = retry(order.deadline, PAUSES, "look at the core", || api.granularity());
            let (spool, deadline) = (order.spool.clone(), order.deadline);
            let past = Past {
                api: &api,
                spool,
                deadline,
                metrics: &metrics,
                losses: &losses,
                inventory: Inventory::default(),
                hold,
                kept: Vec::new(),
            };
            let result = match granularity.await {
                Ok(Granularity::Cloud) => to_core(&api, order, ignore_deferred, dump, &metrics, past).await,
                Ok(Granularity::Account) => accounts::to_core(&api, order, ignore_deferred, dump, &metrics, past).await,
                Err(error) => Err(failed(error.to_string())),
            };
            metrics.upload(if result.is_ok() { "done" } else { "error" });
            result
        })
    }

    fn announce(&self, collector: &'static str, accounts: Vec<String>) -> Option<BoxFuture<'static, ()>> {
        let (_, uncollected) = self.uncollected.iter().find(|(name, _)| *name == collector)?;
        let (api, uncollected) = (self.api.clone(), uncollected.clone());
        Some(Box::pin(async move { uncollected::announce(&api, collector, &accounts, &uncollected).await }))
    }
}

async fn to_core(
    api: &CoreApi,
    order: DeliveryOrder,
    ignore_deferred: bool,
    dump: Option<PathBuf>,
    metrics: &Arc<Metrics>,
    mut past: Past<'_>,
) -> Result<Delivered, DeliveryError> {
    let DeliveryOrder { report, units, deadline, .. } = order;
    let (mut clouds, mut left_out) = (Vec::new(), Vec::new());
    // A collector without a plan, or without a single account, leaves its cloud in the core as it is.
    let worthy = report.collectors.iter().filter(|collector| collector.units.iter().any(UnitReport::counts));
    for mut cloud in group(worthy, units) {
        let collector = report.collectors.iter().find(|collector| collector.name == cloud.name);
        let missing = collector.into_iter().flat_map(|collector| &collector.units).filter(|unit| !unit.counts());
        let carried = async {
            let mut carried = past.complete_all(&mut cloud).await?;
            carried.extend(past.carry_failed(missing).await?);
            if let Some(collector) = collector {
                carried.extend(past.carry_unplanned(collector).await?);
            }
            Ok::<_, String>(carried)
        };
        match carried.await {
            Ok(carried) => {
                cloud.units.extend(carried);
                clouds.push(cloud);
            }
            Err(reason) => left_out.push((cloud.name, format!("left as it is in the core, because {reason}"))),
        }
    }
    if clouds.is_empty() {
        let reasons: Vec<String> = left_out.iter().map(|(cloud, reason)| format!("{cloud}: {reason}")).collect();
        return Err(if reasons.is_empty() { nothing() } else { failed(reasons.join("; ")) });
    }
    let timed = Arc::clone(metrics);
    let graph = blocking(move || {
        let graph = timed.timed(MERGING, || merge(clouds, ignore_deferred))?;
        dump_json(dump.as_deref(), &graph);
        Ok(graph)
    })
    .await?;
    let model = collectors::schema().and_then(model_json).map_err(|error| failed(error.to_string()))?;
    let (_keep, cancel) = watch::channel(false);
    let merged = upload::upload(api, Arc::new(Merged::new(&graph, metrics)), model, deadline, cancel).await;
    let stored = merged.map_err(|error| failed(error.to_string()))?;
    tracing::info!(?stored, "the core has the graph");
    Ok(Delivered { kept: past.kept, ..delivered(&graph, left_out) })
}

/// Sorts units below their collectors. A collector that failed as a whole has none.
fn group<'a>(
    collectors: impl Iterator<Item = &'a CollectorReport>,
    units: Vec<(UnitKey, CompleteUnit)>,
) -> Vec<CloudUnits> {
    let mut by_name: BTreeMap<&str, Vec<CompleteUnit>> = BTreeMap::new();
    for (key, unit) in units {
        by_name.entry(key.collector).or_default().push(unit);
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

/// Checks that `--debug-dump-json` can write into the folder, before there is something to write.
///
/// # Errors
/// If one of its files cannot be made there.
pub fn check_dump(folder: &Path) -> Result<(), OutputError> {
    [MODEL_DUMP, GRAPH_DUMP].iter().try_for_each(|name| OutputFile::create(&folder.join(name)).map(drop))
}

/// Writes graph and model into the folder.
fn dump_json(folder: Option<&Path>, graph: &Arc<MergedGraph>) {
    let Some(folder) = folder else { return };
    match collectors::schema().and_then(model_json) {
        Ok(model) => dump_file(folder, MODEL_DUMP, &|out| out.write_all(&model)),
        Err(error) => tracing::warn!(%error, "the model cannot be dumped"),
    }
    dump_file(folder, GRAPH_DUMP, &|mut out| graph.write_to(&mut out));
}

/// Writes one file. A dump that fails costs the run nothing: the graph matters more than a copy for people.
fn dump_file(folder: &Path, name: &str, content: &dyn Fn(&mut dyn io::Write) -> io::Result<()>) {
    let written = OutputFile::create(&folder.join(name)).and_then(|file| file.write(|out| content(out)));
    if let Err(error) = written {
        tracing::warn!("--debug-dump-json: {error}");
    }
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

/// The merged graph as the body of an upload.
struct Merged {
    graph: Arc<MergedGraph>,
    metrics: Arc<Metrics>,
}

impl Merged {
    fn new(graph: &Arc<MergedGraph>, metrics: &Arc<Metrics>) -> Self {
        Self { graph: Arc::clone(graph), metrics: Arc::clone(metrics) }
    }
}

impl Body for Merged {
    fn nodes(&self) -> u64 {
        self.graph.nodes() as u64
    }

    fn edges(&self) -> u64 {
        self.graph.edges() as u64
    }

    fn chunks(&self) -> Chunks<'_> {
        Box::new(Timed { chunks: self.graph.export(), spent: Duration::ZERO, metrics: &self.metrics })
    }
}

/// An export that measures what it takes itself, without the network that waits for it or makes it wait.
struct Timed<'m, I> {
    chunks: I,
    spent: Duration,
    metrics: &'m Metrics,
}

impl<I: Iterator<Item = io::Result<Bytes>>> Iterator for Timed<'_, I> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let began = Instant::now();
        let chunk = self.chunks.next();
        self.spent += began.elapsed();
        chunk
    }
}

impl<I> Drop for Timed<'_, I> {
    fn drop(&mut self) {
        self.metrics.duration(EXPORTING, self.spent.as_secs_f64());
    }
}
