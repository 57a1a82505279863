//! A core as destination: by cloud or by account, depending on what the core replaces.
//!
//! Parts that could not be seen stay in the core as they are: they are read from the core and merged again.

mod accounts;
mod across;
mod body;
mod carry_over;
mod inventory;
mod last_known;
mod line;
mod names;
mod sudden;
mod uncollected;
mod unsent;
mod upload;

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use self::{
    body::{Body, Chunks},
    sudden::HeldLosses,
    upload::{UploadError, prepare, upload},
};
use self::{carry_over::Past, inventory::Inventory};
use super::{
    Delivered, Delivery, DeliveryError, Sink, blocking, delivered,
    dump::{MODEL_DUMP, dump_file, dump_json},
    failed, group, merge, nothing,
};
use crate::{
    ckcore::{CoreApi, Granularity, retry},
    collector_api::{BoxFuture, Uncollected},
    collectors::Registry,
    graph::{CloudUnits, CompleteUnit, MergedGraph, Schema, SchemaError, model_json},
    report::{CollectorReport, RunReport, UnitReport},
    telemetry::Metrics,
};

/// The Python worker's names of the two steps that are measured.
const MERGING: &str = "graph_resolve_deferred_connections";
const EXPORTING: &str = "graph2json";

/// The first and the longest pause between retries of queries before the delivery.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Merges and uploads to a core.
pub struct CoreSink {
    /// The core.
    pub api: CoreApi,
    /// The collectors whose graphs are delivered.
    pub registry: Registry,
    /// `--ignore-deferred-connections`.
    pub ignore_deferred: bool,
    /// `--debug-dump-json`: the directory for the two files.
    pub dump: Option<PathBuf>,
    /// The metrics, which count uploads.
    pub metrics: Arc<Metrics>,
    /// `--hold-sudden-loss`, in percent.
    pub hold_sudden_loss: Option<u64>,
    /// The losses that earlier runs held.
    pub losses: Arc<Mutex<HeldLosses>>,
    /// The exclusions by options, by collector.
    pub uncollected: Vec<(&'static str, Uncollected)>,
}

impl Sink for CoreSink {
    fn name(&self) -> String {
        "core".to_owned()
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        let (api, ignore_deferred, dump) = (self.api.clone(), self.ignore_deferred, self.dump.clone());
        let (metrics, losses, hold) = (Arc::clone(&self.metrics), Arc::clone(&self.losses), self.hold_sudden_loss);
        let registry = self.registry;
        losses.lock().unwrap_or_else(PoisonError::into_inner).begin();
        Box::pin(async move {
            let granularity = retry(delivery.deadline, PAUSES, "look at the core", || api.granularity());
            let (spool, deadline) = (delivery.spool.clone(), delivery.deadline);
            let past = Past {
                api: &api,
                registry,
                spool,
                deadline,
                metrics: &metrics,
                losses: &losses,
                inventory: Inventory::default(),
                hold,
                kept: Vec::new(),
                gaps: Vec::new(),
                across: None,
            };
            let result = match granularity.await {
                Ok(Granularity::Cloud) => to_core(&api, delivery, ignore_deferred, dump, &metrics, past).await,
                Ok(Granularity::Account) => {
                    accounts::to_core(&api, delivery, ignore_deferred, dump, &metrics, past).await
                }
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
    delivery: Delivery,
    ignore_deferred: bool,
    dump: Option<PathBuf>,
    metrics: &Arc<Metrics>,
    mut past: Past<'_>,
) -> Result<Delivered, DeliveryError> {
    let Delivery { report, units, deadline, .. } = delivery;
    let model = model(past.registry, &units, model_json)?;
    let (mut clouds, mut left_out) = (Vec::new(), Vec::new());
    // A collector without a plan, or without a single account, leaves its cloud in the core as it is.
    let worthy = report.collectors.iter().filter(|collector| collector.units.iter().any(UnitReport::counts));
    for mut cloud in group(worthy, units) {
        let collector = report.collectors.iter().find(|collector| collector.name == cloud.name);
        let missing = collector.into_iter().flat_map(|collector| &collector.units).filter(|unit| !unit.counts());
        let carried = async {
            let mut carried = past.complete_all(&mut cloud).await?;
            carried.extend(past.carry_failed(missing, &cloud.name).await?);
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
    let merged = upload(api, Arc::new(Merged::new(&graph, metrics)), model, deadline).await;
    let stored = merged.map_err(|error| failed(error.to_string()))?;
    past.losses.lock().unwrap_or_else(PoisonError::into_inner).all_arrived();
    tracing::info!(?stored, "the core has the graph");
    Ok(Delivered { kept: past.kept, gaps: past.gaps, ..delivered(&graph, left_out) })
}

/// Returns the model: the kinds of all clouds, and those that units know only at run time. If these cannot be used, the
/// core gets the others.
fn model(
    registry: Registry,
    units: &[(&'static str, CompleteUnit)],
    write: fn(&Schema) -> Result<Vec<u8>, SchemaError>,
) -> Result<Vec<u8>, DeliveryError> {
    let added: BTreeSet<String> = units.iter().flat_map(|(_, unit)| unit.kinds()).cloned().collect();
    if !added.is_empty() {
        match (registry.schema_with)(&added).and_then(|schema| write(&schema)) {
            Ok(model) => return Ok(model),
            Err(error) => tracing::error!(%error, "kinds that are known only at run time cannot be sent to the core"),
        }
    }
    (registry.schema)().and_then(write).map_err(|error| failed(error.to_string()))
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

/// An export that measures its own time, without the time that it waits for the network.
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
