//! Counters, gauges and timings of the supervisor and of everything that workers report to it.
//!
//! What has a fixed name and labels from closed sets is here; what is named at run time is in `series`. The names that
//! the original has are the original's, the others begin with `ckworker_`. `docs/operations.md` lists them.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use worker_proto::Gap;

use super::{process, series::Series, text};
use crate::supervisor::report::RunReport;

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
    took: Timings,
    actions: Family<Labels, Counter>,
    tasks: Family<Labels, Counter>,
    uploads: Family<Labels, Counter>,
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
    /// Nothing measured yet; make it when the process starts, for its start time is taken from here.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            series: Mutex::new(Series::new()),
            started: SystemTime::now(),
            jobs: Family::default(),
            restarts: Family::default(),
            exits: Family::default(),
            nodes: Family::default(),
            edges: Family::default(),
            took: Family::new_with_constructor(collection_times),
            actions: Family::default(),
            tasks: Family::default(),
            uploads: Family::default(),
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
        registry.register("ckworker_collect_seconds", "Duration of collections", self.took.clone());
        registry.register("ckworker_actions", "Actions of ckcore, by how they were answered", self.actions.clone());
        registry.register("ckworker_tasks", "Tasks of ckcore, by how they were answered", self.tasks.clone());
        registry.register("ckworker_uploads", "Uploads of graphs to ckcore, by result", self.uploads.clone());
        registry.register("ckworker_core_connected", "Whether ckcore is connected", self.connected.clone());
        registry.register("ckworker_frames", "Frames from and to workers", self.frames.clone());
        registry.register("ckworker_frame_bytes", "Bytes of frames from and to workers", self.bytes.clone());
    }

    /// How many jobs are in each state; states that are not named keep their value.
    pub fn set_jobs(&self, states: &[(&'static str, usize)]) {
        for (state, number) in states {
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            self.jobs.get_or_create(&vec![("state", (*state).to_owned())]).set(number);
        }
    }

    /// A job is started again.
    pub fn job_restarted(&self, collector: &str) {
        self.restarts.get_or_create(&of_collector(collector)).inc();
    }

    /// A worker ended; the reason is one word from a closed set, such as `finished` or `deadline`.
    pub fn worker_exited(&self, collector: &str, reason: &str) {
        let labels = vec![("collector", collector.to_owned()), ("reason", reason.to_owned())];
        self.exits.get_or_create(&labels).inc();
    }

    /// A collector failed as a whole.
    pub fn collector_failed(&self, collector: &str) {
        self.count("unhandled_plugin_exceptions", &[("plugin".to_owned(), collector.to_owned())], 1);
    }

    /// A collector has ended.
    pub fn collector_took(&self, collector: &str, took: Duration) {
        self.took.get_or_create(&of_collector(collector)).observe(took.as_secs_f64());
    }

    /// A collection is over: what it found is what is shown until the next one.
    pub fn run_finished(&self, report: &RunReport) {
        for collector in &report.collectors {
            let labels = of_collector(&collector.name);
            let kept = || collector.units.iter().filter(|unit| unit.counts());
            let nodes: u64 = kept().map(|unit| unit.nodes()).sum();
            let edges: u64 = kept().map(|unit| unit.edges).sum();
            self.nodes.get_or_create(&labels).set(i64::try_from(nodes).unwrap_or(i64::MAX));
            self.edges.get_or_create(&labels).set(i64::try_from(edges).unwrap_or(i64::MAX));
        }
    }

    /// A part of an account could not be collected.
    pub fn gap(&self, collector: &str, gap: &Gap) {
        let labels =
            [("collector", collector), ("account", &gap.account), ("service", &gap.service), ("code", &gap.code)];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.series().add("ckworker_gaps_total", &labels, 1);
    }

    /// A resource could not be cleaned up, or not be prepared for it (`pre_`).
    pub fn resource_exception(&self, stage: &'static str, labels: [(&str, &str); 4]) {
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.series().add(&format!("resource_{stage}cleanup_exceptions_total"), &labels, 1);
    }

    /// A task of ckcore was answered; the result is `done` or `error`.
    pub fn task(&self, result: &'static str) {
        self.tasks.get_or_create(&vec![("result", result.to_owned())]).inc();
    }

    /// An action of ckcore was answered; the result is `done` or `error`.
    pub fn action(&self, action: &'static str, result: &'static str) {
        let labels = vec![("action", action.to_owned()), ("result", result.to_owned())];
        self.actions.get_or_create(&labels).inc();
    }

    /// A graph was uploaded, or not; the result is one word.
    pub fn upload(&self, result: &'static str) {
        self.uploads.get_or_create(&vec![("result", result.to_owned())]).inc();
    }

    /// Whether ckcore is connected.
    pub fn set_core_connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    /// A frame of so many bytes went `in` (from a worker) or `out`.
    pub fn frame(&self, direction: &'static str, bytes: usize) {
        let labels = vec![("direction", direction.to_owned())];
        self.frames.get_or_create(&labels).inc();
        self.bytes.get_or_create(&labels).inc_by(bytes as u64);
    }

    /// A worker counted something; the name is without the original's prefix and suffix.
    pub fn count(&self, name: &str, labels: &[(String, String)], by: u64) {
        self.series().count(name, labels, by);
    }

    /// A worker took so many seconds for something; the name is without the original's prefix and suffix.
    pub fn duration(&self, name: &str, seconds: f64) {
        self.series().observe(name, seconds);
    }

    /// Everything in Prometheus's text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut openmetrics = String::new();
        // Writing to a String cannot fail.
        let _ = encode_registry(&mut openmetrics, &self.registry);
        let mut out = text::classic(&openmetrics);
        self.series().encode(&mut out);
        process::encode(&mut out, self.started);
        out
    }

    fn series(&self) -> std::sync::MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_collector(collector: &str) -> Labels {
    vec![("collector", collector.to_owned())]
}

/// From a second to three hours, the default of `--timeout`.
fn collection_times() -> Histogram {
    Histogram::new([1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10800.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::report::{CollectorReport, Outcome, UnitReport};

    fn unit(nodes: u64, outcome: Outcome) -> UnitReport {
        UnitReport {
            id: "1".into(),
            label: "one".into(),
            kind: "aws_account".into(),
            outcome,
            attempts: 1,
            nodes_by_kind: [("aws_vpc".to_owned(), nodes)].into(),
            edges: nodes,
            gaps: vec![],
            took: Duration::ZERO,
        }
    }

    #[test]
    fn every_measurement_is_exposed_once_and_well_formed() {
        let metrics = Metrics::new();
        metrics.set_jobs(&[("running", 3), ("waiting", 0)]);
        metrics.job_restarted("aws");
        metrics.worker_exited("aws", "deadline");
        metrics.collector_failed("aws");
        metrics.collector_took("aws", Duration::from_secs(2));
        metrics.action("collect", "done");
        metrics.upload("done");
        metrics.set_core_connected(true);
        metrics.frame("in", 100);
        metrics.duration("plugin_aws_collect_vpcs", 0.5);
        let failed = Outcome::Failed { reason: "killed".into(), detail: String::new() };
        let units = vec![unit(5, Outcome::Complete), unit(7, failed)];
        let collectors = vec![CollectorReport { name: "aws".into(), units, ..CollectorReport::default() }];
        metrics.run_finished(&RunReport { collectors, ..RunReport::default() });
        let gap = Gap {
            account: "1".into(),
            region: "r".into(),
            service: "ec2".into(),
            operation: "DescribeVpcs".into(),
            code: "UnauthorizedOperation".into(),
            message: String::new(),
        };
        metrics.gap("aws", &gap);
        let text = metrics.encode();
        let expected = [
            "ckworker_jobs{state=\"running\"} 3",
            "ckworker_job_restarts_total{collector=\"aws\"} 1",
            "ckworker_worker_exits_total{collector=\"aws\",reason=\"deadline\"} 1",
            "cloudkeeper_unhandled_plugin_exceptions_total{plugin=\"aws\"} 1",
            "ckworker_collect_seconds_bucket{le=\"3.0\",collector=\"aws\"} 1",
            "ckworker_nodes{collector=\"aws\"} 5",
            "ckworker_gaps_total{account=\"1\",code=\"UnauthorizedOperation\",collector=\"aws\",service=\"ec2\"} 1",
            "ckworker_actions_total{action=\"collect\",result=\"done\"} 1",
            "ckworker_core_connected 1",
            "ckworker_frame_bytes_total{direction=\"in\"} 100",
            "cloudkeeper_plugin_aws_collect_vpcs_seconds_sum 0.5",
            "# TYPE cloudkeeper_plugin_aws_collect_vpcs_seconds summary",
            "# TYPE ckworker_actions_total counter",
            "# TYPE process_resident_memory_bytes gauge",
            "# TYPE process_open_fds gauge",
        ];
        for line in expected {
            assert_eq!(text.lines().filter(|other| *other == line).count(), 1, "{line}\n{text}");
        }
        assert!(!text.contains("# EOF") && text.ends_with('\n'));
    }
}
