//! Metrics that are named at run time, mostly by workers: checked, and bounded in number.

use std::collections::BTreeMap;

use super::text;

/// The limit of series; further ones are dropped and counted.
const MAX_SERIES: usize = 5000;
const MAX_LABELS: usize = 8;
const MAX_NAME: usize = 100;
/// The length limit of a label's value, in characters.
const MAX_VALUE: usize = 200;

/// The counters that the Python worker shows before anything was counted.
const COUNTERS: &[(&str, &str, bool)] = &[
    ("cloudkeeper_unhandled_plugin_exceptions_total", "Unhandled plugin exceptions", false),
    ("resource_pre_cleanup_exceptions_total", "Number of resource pre_cleanup() exceptions", false),
    ("resource_cleanup_exceptions_total", "Number of resource cleanup() exceptions", false),
    ("ckworker_gaps_total", "Parts of accounts that could not be collected", false),
    ("ckworker_unit_failures_total", "Accounts that were not collected in the end", false),
];

/// A metric that is shown before its first measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// A counter.
    Counter {
        /// The full name, such as `cloudkeeper_plugin_x_session_exceptions_total`.
        name: String,
        /// The help text.
        help: String,
        /// Whether the counter is shown as zero, without labels.
        is_zero: bool,
    },
    /// A summary of the duration of a method of the Python worker, shown as zero.
    Summary {
        /// The name without the prefix `cloudkeeper_` and the unit, such as `plugin_x_collect`.
        name: String,
        /// The method's name for the help text.
        method: String,
    },
}

/// The summary of the Python worker whose name lacks its unit.
const WITHOUT_UNIT: &str = "graph_resolve_deferred_connections";

type Labels = Vec<(String, String)>;

/// The type of the metrics of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Summary,
}

/// All series of one name.
#[derive(Debug)]
struct Family {
    help: String,
    kind: Kind,
    values: BTreeMap<Labels, Value>,
}

/// The count of a counter, or count and sum of a summary.
#[derive(Debug, Default)]
struct Value {
    count: u64,
    sum: f64,
}

/// The measurements by name.
#[derive(Debug, Default)]
pub(super) struct Series {
    families: BTreeMap<String, Family>,
    number: usize,
    dropped: u64,
}

impl Series {
    /// Creates the series that are shown from the start: those of every worker, and the announced ones.
    pub(super) fn new(announced: &[Announced]) -> Self {
        let mut series = Self::default();
        for (name, help, starts) in COUNTERS {
            series.announce(name, help, Kind::Counter, *starts);
        }
        for metric in announced {
            match metric {
                Announced::Counter { name, help, is_zero } => series.announce(name, help, Kind::Counter, *is_zero),
                Announced::Summary { name, method } => series.announce_summary(name, method),
            }
        }
        series.announce_summary("cleanup", "cleanup");
        series.announce_summary("resource_cleanup", "resource cleanup");
        series.announce_summary("graph2json", "graph2json");
        series.announce_summary(WITHOUT_UNIT, "Graph resolve_deferred_connections");
        series
    }

    /// Adds to a counter in the namespace of the Python worker.
    pub(super) fn count(&mut self, name: &str, labels: &[(String, String)], by: u64) {
        self.add(&format!("cloudkeeper_{name}_total"), labels, by);
    }

    /// Adds to a counter of the Python worker that not every collector has. A counter that was not announced is not
    /// created.
    pub(super) fn count_if_known(&mut self, name: &str, labels: &[(String, String)]) {
        if self.families.contains_key(&format!("cloudkeeper_{name}_total")) {
            self.count(name, labels, 1);
        }
    }

    /// Adds to such a summary.
    pub(super) fn observe_if_known(&mut self, name: &str, seconds: f64) {
        if self.families.contains_key(&summary(name)) {
            self.observe(name, seconds);
        }
    }

    /// Adds to a counter by its full name.
    pub(super) fn add(&mut self, name: &str, labels: &[(String, String)], by: u64) {
        if let Some(value) = self.value(name, Kind::Counter, labels) {
            value.count = value.count.saturating_add(by);
        }
    }

    /// Adds to a summary.
    pub(super) fn observe(&mut self, name: &str, seconds: f64) {
        if !seconds.is_finite() || seconds < 0.0 {
            self.dropped += 1;
        } else if let Some(value) = self.value(&summary(name), Kind::Summary, &[]) {
            value.count += 1;
            value.sum += seconds;
        }
    }

    /// Writes all series.
    pub(super) fn encode(&self, out: &mut String) {
        for (name, family) in &self.families {
            match family.kind {
                Kind::Counter => family.encode_counters(name, out),
                Kind::Summary => family.encode_summaries(name, out),
            }
        }
        let help = "Measurements that were dropped because there are too many or their names are odd";
        text::single(out, "ckworker_measurements_dropped_total", help, "counter", self.dropped as f64);
    }

    fn announce_summary(&mut self, name: &str, method: &str) {
        self.announce(&summary(name), &format!("Time it took the {method}() method"), Kind::Summary, true);
    }

    fn announce(&mut self, name: &str, help: &str, kind: Kind, starts: bool) {
        let values = if starts { BTreeMap::from([(Labels::new(), Value::default())]) } else { BTreeMap::new() };
        self.number += values.len();
        self.families.insert(name.to_owned(), Family { help: help.to_owned(), kind, values });
    }

    fn value(&mut self, name: &str, kind: Kind, labels: &[(String, String)]) -> Option<&mut Value> {
        let labels = if is_name(name) { checked(labels) } else { None };
        let Some(labels) = labels else {
            self.dropped += 1;
            return None;
        };
        let is_new = !self.families.get(name).is_some_and(|family| family.values.contains_key(&labels));
        if is_new && self.number >= MAX_SERIES {
            self.dropped += 1;
            return None;
        }
        self.number += usize::from(is_new);
        let family = self.families.entry(name.to_owned());
        let family =
            family.or_insert_with(|| Family { help: "Reported by workers".into(), kind, values: BTreeMap::new() });
        Some(family.values.entry(labels).or_default())
    }
}

impl Family {
    fn encode_counters(&self, name: &str, out: &mut String) {
        text::header(out, name, &self.help, "counter");
        for (labels, value) in &self.values {
            text::sample(out, name, labels, value.count as f64);
        }
    }

    fn encode_summaries(&self, name: &str, out: &mut String) {
        text::header(out, name, &self.help, "summary");
        for (labels, value) in &self.values {
            text::sample(out, &format!("{name}_count"), labels, value.count as f64);
            text::sample(out, &format!("{name}_sum"), labels, value.sum);
        }
    }
}

fn summary(name: &str) -> String {
    if name == WITHOUT_UNIT { format!("cloudkeeper_{name}") } else { format!("cloudkeeper_{name}_seconds") }
}

/// Whether a name has the form of the Python worker's names: lower-case letters, digits and underscores, a letter
/// first.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.len() <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_part)
}

/// Returns the labels sorted by name, their values truncated; `None` if they are invalid.
fn checked(labels: &[(String, String)]) -> Option<Labels> {
    let mut sorted: Labels =
        labels.iter().map(|(name, value)| (name.clone(), value.chars().take(MAX_VALUE).collect())).collect();
    sorted.sort();
    let is_twice = sorted.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let is_good = labels.len() <= MAX_LABELS && !is_twice && sorted.iter().all(|(name, _)| is_name(name));
    is_good.then_some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    fn announced() -> [Announced; 3] {
        let (name, help) = ("cloudkeeper_plugin_aws_session_exceptions_total".to_owned(), "Session".to_owned());
        let summary = |name: &str| Announced::Summary { name: name.to_owned(), method: "collect".to_owned() };
        let session = Announced::Counter { name, help, is_zero: true };
        [session, summary("plugin_aws_collect"), summary("plugin_aws_collect_vpcs")]
    }

    fn lines(series: &Series, begin: &str) -> Vec<String> {
        let mut out = String::new();
        series.encode(&mut out);
        out.lines().filter(|line| line.starts_with(begin)).map(str::to_owned).collect()
    }

    #[test]
    fn counters_add_up_under_names_of_python_worker() {
        let mut series = Series::new(&announced());
        let labels = [label("region", "us-east-1"), label("account", "a (1)"), label("collector", "volumes")];
        series.count("plugin_aws_unhandled_collector_exceptions", &labels, 2);
        series.count("plugin_aws_unhandled_collector_exceptions", &labels, 1);
        let name = "cloudkeeper_plugin_aws_unhandled_collector_exceptions_total";
        assert_eq!(
            lines(&series, name),
            [format!("{name}{{account=\"a (1)\",collector=\"volumes\",region=\"us-east-1\"}} 3")]
        );
        let session = "cloudkeeper_plugin_aws_session_exceptions_total";
        assert_eq!(lines(&series, session), [format!("{session} 0")]);
    }

    #[test]
    fn unannounced_metric_is_not_created() {
        let mut series = Series::new(&announced());
        for collector in ["aws", "example"] {
            series.count_if_known(&format!("plugin_{collector}_session_exceptions"), &[]);
            series.observe_if_known(&format!("plugin_{collector}_collect"), 1.0);
        }
        let session = "cloudkeeper_plugin_aws_session_exceptions_total";
        assert_eq!(lines(&series, session), [format!("{session} 1")]);
        let collect = "cloudkeeper_plugin_aws_collect_seconds";
        assert_eq!(lines(&series, collect), [format!("{collect}_count 1"), format!("{collect}_sum 1")]);
        assert_eq!(lines(&series, "cloudkeeper_plugin_example"), Vec::<String>::new());
    }

    #[test]
    fn summaries_count_and_sum() {
        let mut series = Series::new(&announced());
        series.observe("plugin_aws_collect_vpcs", 1.5);
        series.observe("plugin_aws_collect_vpcs", 0.25);
        series.observe("graph_resolve_deferred_connections", 1.0);
        let name = "cloudkeeper_plugin_aws_collect_vpcs_seconds";
        assert_eq!(lines(&series, name), [format!("{name}_count 2"), format!("{name}_sum 1.75")]);
        assert_eq!(lines(&series, "# TYPE cloudkeeper_plugin_aws_collect_vpcs"), [format!("# TYPE {name} summary")]);
        assert_eq!(
            lines(&series, "cloudkeeper_graph_resolve"),
            [
                "cloudkeeper_graph_resolve_deferred_connections_count 1",
                "cloudkeeper_graph_resolve_deferred_connections_sum 1"
            ]
        );
    }

    #[test]
    fn invalid_names_and_excess_series_are_dropped_and_counted() {
        let mut series = Series::default();
        series.count("Odd Name", &[], 1);
        series.count("x", &[label("bad-label", "")], 1);
        series.count("x", &[label("a", "1"), label("a", "2")], 1);
        series.observe("x", f64::NAN);
        assert_eq!(series.dropped, 4);
        for number in 0..=MAX_SERIES {
            series.count("x", &[label("a", &number.to_string())], 1);
        }
        assert_eq!((series.number, series.dropped), (MAX_SERIES, 5));
        series.count("x", &[label("a", "1")], 1);
        assert_eq!(lines(&series, "cloudkeeper_x_total{a=\"1\"}"), ["cloudkeeper_x_total{a=\"1\"} 2"]);
        assert_eq!(lines(&series, "ckworker_measurements_dropped"), ["ckworker_measurements_dropped_total 5"]);
    }
}
