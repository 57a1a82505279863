//! Counters, gauges and timings of the supervisor, and those that workers report.
//!
//! Metrics with a fixed name and labels from closed sets are here; metrics that are named at run time are in `series`.
//! Metrics of the Python worker keep their names, the others begin with `ckworker_`. `docs/operations.md` lists them.

use std::{
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::{Instant, SystemTime},
};

use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use worker_proto::{Failure, FailureKind, Gap};

use super::{
    log_limiter, process,
    series::{Announced, Series},
    text,
};
use crate::report::{CollectorReport, Outcome, RunReport, UnitReport};

/// The limit of accounts of a run that have values of their own, to bound the response to a scraper.
const MAX_ACCOUNTS: usize = 1000;

type Labels = Vec<(&'static str, String)>;
type Timings = Family<Labels, Histogram, fn() -> Histogram>;

/// All measurements of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    series: Mutex<Series>,
    started: SystemTime,
    jobs: Family<Labels, Gauge>,
    restarts: Family<Labels, Counter>,
    exits: Family<Labels, Counter>,
    nodes: Family<Labels, Gauge>,
    edges: Family<Labels, Gauge>,
    unit_nodes: Family<Labels, Gauge>,
    unit_edges: Family<Labels, Gauge>,
    unit_seconds: Family<Labels, Gauge<f64, AtomicU64>>,
    took: Timings,
    actions: Family<Labels, Counter>,
    tasks: Family<Labels, Counter>,
    uploads: Family<Labels, Counter>,
    sudden_losses: Family<Labels, Counter>,
    connected: Gauge,
    frames: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates metrics without those of any cloud.
    #[must_use]
    pub fn new() -> Self {
        Self::announcing(&[])
    }

    /// Creates metrics that also show the announced ones. Must be called when the process starts, because the start
    /// time is recorded.
    #[must_use]
    pub fn announcing(announced: &[Announced]) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            series: Mutex::new(Series::new(announced)),
            started: SystemTime::now(),
            jobs: Family::default(),
            restarts: Family::default(),
            exits: Family::default(),
            nodes: Family::default(),
            edges: Family::default(),
            unit_nodes: Family::default(),
            unit_edges: Family::default(),
            unit_seconds: Family::default(),
            took: Family::new_with_constructor(collection_times),
            actions: Family::default(),
            tasks: Family::default(),
            uploads: Family::default(),
            sudden_losses: Family::default(),
            connected: Gauge::default(),
            frames: Family::default(),
            bytes: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("ckworker_jobs", "Jobs by state", self.jobs.clone());
        registry.register("ckworker_job_restarts", "Jobs that were started again", self.restarts.clone());
        registry.register("ckworker_worker_exits", "Workers that ended, by reason", self.exits.clone());
        registry.register("ckworker_nodes", "Nodes of the last collection", self.nodes.clone());
        registry.register("ckworker_edges", "Edges of the last collection", self.edges.clone());
        registry.register("ckworker_job_nodes", "Nodes of an account in the last collection", self.unit_nodes.clone());
        registry.register("ckworker_job_edges", "Edges of an account in the last collection", self.unit_edges.clone());
        let seconds = "Seconds that an account took in the last collection, all attempts together";
        registry.register("ckworker_job_seconds", seconds, self.unit_seconds.clone());
        registry.register("ckworker_collect_seconds", "Duration of collections", self.took.clone());
        registry.register("ckworker_actions", "Actions of ckcore, by how they were answered", self.actions.clone());
        registry.register("ckworker_tasks", "Tasks of ckcore, by how they were answered", self.tasks.clone());
        let help = "Kinds, regions, accounts and plans that lost most of what they had since the last run";
        registry.register("ckworker_sudden_losses", help, self.sudden_losses.clone());
        registry.register("ckworker_uploads", "Uploads of graphs to ckcore, by result", self.uploads.clone());
        registry.register("ckworker_core_connected", "Whether ckcore is connected", self.connected.clone());
        registry.register("ckworker_frames", "Frames from and to workers", self.frames.clone());
        registry.register("ckworker_frame_bytes", "Bytes of frames from and to workers", self.bytes.clone());
    }

    /// Sets the number of jobs in each state; states that are not named keep their value.
    pub fn set_jobs(&self, states: &[(&'static str, usize)]) {
        for (state, number) in states {
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            self.jobs.get_or_create(&vec![("state", (*state).to_owned())]).set(number);
        }
    }

    /// Counts a restart of a job.
    pub fn job_restarted(&self, collector: &str) {
        self.restarts.get_or_create(&of_collector(collector)).inc();
    }

    /// Counts the end of a worker; the reason is one word from a closed set, such as `finished` or `deadline`.
    pub fn worker_exited(&self, collector: &str, reason: &str) {
        let labels = vec![("collector", collector.to_owned()), ("reason", reason.to_owned())];
        self.exits.get_or_create(&labels).inc();
    }

    /// Counts a failure, permanent or retried. Rejected credentials are counted where the Python worker counts them.
    pub fn failure(&self, collector: &str, failure: &Failure) {
        if matches!(failure.kind, FailureKind::Credentials | FailureKind::NoCredentials) {
            self.series().count_if_known(&format!("plugin_{collector}_session_exceptions"), &[]);
        }
    }

    /// Records a finished collection: shows its results until the next one, and counts its failures.
    pub fn run_finished(&self, report: &RunReport) {
        self.unit_nodes.clear();
        self.unit_edges.clear();
        self.unit_seconds.clear();
        let mut room = MAX_ACCOUNTS;
        for collector in report.collectors.iter().filter(|collector| collector.skipped.is_none()) {
            self.collector_finished(collector);
            for unit in &collector.units {
                self.unit_failed(&collector.name, unit);
            }
            for unit in collector.units.iter().take(room) {
                self.unit_finished(&collector.name, unit);
            }
            room = room.saturating_sub(collector.units.len());
        }
    }

    fn collector_finished(&self, collector: &CollectorReport) {
        let labels = of_collector(&collector.name);
        let kept = || collector.units.iter().filter(|unit| unit.counts());
        self.nodes.get_or_create(&labels).set(gauge(kept().map(UnitReport::nodes).sum()));
        self.edges.get_or_create(&labels).set(gauge(kept().map(|unit| unit.edges).sum()));
        let seconds = collector.took.as_secs_f64();
        self.took.get_or_create(&labels).observe(seconds);
        self.series().observe_if_known(&format!("plugin_{}_collect", collector.name), seconds);
        if collector.failure.is_some() {
            self.count("unhandled_plugin_exceptions", &[("plugin".to_owned(), collector.name.clone())], 1);
        }
    }

    fn unit_finished(&self, collector: &str, unit: &UnitReport) {
        let labels = vec![("collector", collector.to_owned()), ("account", unit.id.clone())];
        self.unit_nodes.get_or_create(&labels).set(gauge(unit.nodes()));
        self.unit_edges.get_or_create(&labels).set(gauge(unit.edges));
        self.unit_seconds.get_or_create(&labels).set(unit.took.as_secs_f64());
    }

    fn unit_failed(&self, collector: &str, unit: &UnitReport) {
        let Outcome::Failed { reason, .. } = &unit.outcome else { return };
        let display = if unit.label == unit.id { unit.id.clone() } else { format!("{} ({})", unit.label, unit.id) };
        let labels = [("account".to_owned(), display)];
        let labels_of_ours = [("collector", collector), ("account", &unit.id), ("reason", reason)];
        let mut series = self.series();
        series.count_if_known(&format!("plugin_{collector}_unhandled_account_exceptions"), &labels);
        series.add("ckworker_unit_failures_total", &owned(labels_of_ours), 1);
    }

    /// Counts a part of an account that could not be collected.
    pub fn gap(&self, collector: &str, gap: &Gap) {
        let labels =
            [("collector", collector), ("account", &gap.account), ("service", &gap.service), ("code", &gap.code)];
        self.series().add("ckworker_gaps_total", &owned(labels), 1);
    }

    /// Counts a resource that could not be cleaned up, or not be prepared for it (`pre_`).
    pub fn resource_exception(&self, stage: &'static str, labels: [(&str, &str); 4]) {
        self.series().add(&format!("resource_{stage}cleanup_exceptions_total"), &owned(labels), 1);
    }

    /// Counts the result of a task of the core, `done` or `error`.
    pub fn task(&self, result: &'static str) {
        self.tasks.get_or_create(&vec![("result", result.to_owned())]).inc();
    }

    /// Counts the result of an action of the core, `done` or `error`.
    pub fn action(&self, action: &'static str, result: &'static str) {
        let labels = vec![("action", action.to_owned()), ("result", result.to_owned())];
        self.actions.get_or_create(&labels).inc();
    }

    /// Counts an upload of a graph; the result is one word.
    pub fn upload(&self, result: &'static str) {
        self.uploads.get_or_create(&vec![("result", result.to_owned())]).inc();
    }

    /// Counts parts of a cloud that lost most of their nodes since the last run.
    pub fn sudden_losses(&self, collector: &str, count: u64) {
        self.sudden_losses.get_or_create(&vec![("collector", collector.to_owned())]).inc_by(count);
    }

    /// Sets whether the core is connected.
    pub fn set_core_connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    /// Counts a frame and its bytes, `in` (from a worker) or `out`.
    pub fn frame(&self, direction: &'static str, bytes: usize) {
        let labels = vec![("direction", direction.to_owned())];
        self.frames.get_or_create(&labels).inc();
        self.bytes.get_or_create(&labels).inc_by(bytes as u64);
    }

    /// Adds to a worker's counter; the name is without the prefix and suffix of the Python worker's metrics.
    pub fn count(&self, name: &str, labels: &[(String, String)], by: u64) {
        self.series().count(name, labels, by);
    }

    /// Adds a worker's duration in seconds; the name is without the prefix and suffix of the Python worker's metrics.
    pub fn duration(&self, name: &str, seconds: f64) {
        self.series().observe(name, seconds);
    }

    /// Runs `work` and records its duration, under a name as for [`Metrics::duration`].
    pub fn timed<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        self.duration(name, began.elapsed().as_secs_f64());
        result
    }

    /// Returns all metrics in Prometheus's text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut openmetrics = String::new();
        // Writing to a String cannot fail.
        let _ = encode_registry(&mut openmetrics, &self.registry);
        let mut out = text::classic(&openmetrics);
        self.series().encode(&mut out);
        process::encode(&mut out, self.started);
        log_limiter::encode(&mut out);
        out
    }

    fn series(&self) -> std::sync::MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_collector(collector: &str) -> Labels {
    vec![("collector", collector.to_owned())]
}

fn owned<const N: usize>(labels: [(&str, &str); N]) -> [(String, String); N] {
    labels.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a histogram from a second to three hours, the default of `--timeout`.
fn collection_times() -> Histogram {
    Histogram::new([1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10800.0])
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
