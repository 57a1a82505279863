//! The last use of volumes and databases, from CloudWatch.
//!
//! A metric without data means that the resource was not used during the window, and unused volumes may be deleted. So
//! a result counts only if its status says that it is complete. Otherwise the resource has no time of use, which is a
//! gap.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde_json::{Value as Json, json};
use time::{Duration, OffsetDateTime};
use worker_proto::Failure;

use crate::engine::{
    CallError, CallErrorKind, FunctionHook, HookValue, Request, Tree, code,
    collect::{Location, Run},
    eval::truncated,
    no_input,
};

/// The window that is queried; any use before it is unknown.
const WINDOW: Duration = Duration::days(60);

/// The length of a period in seconds.
const PERIOD: i64 = 3600;

/// The queries of one call.
const QUERIES_PER_CALL: usize = 500;

/// The operation that returns metrics.
const OPERATION: (&str, &str) = ("cloudwatch", "GetMetricData");

/// The status of a complete result. The others are `PartialData`, `InternalError` and `Forbidden`.
const COMPLETE: &str = "Complete";

/// The metrics of a kind.
struct Metrics {
    namespace: &'static str,
    /// The dimension with the resource's ID, and the item's member with the ID.
    dimension: &'static str,
    id: &'static str,
    /// The item's member with the time of creation.
    created: &'static str,
    /// The names in paths, with their metrics.
    metrics: &'static [(&'static str, &'static str)],
    /// The name of the duration in the worker's metrics.
    duration: &'static str,
}

const VOLUMES: Metrics = Metrics {
    namespace: "AWS/EBS",
    dimension: "VolumeId",
    id: "VolumeId",
    created: "CreateTime",
    metrics: &[("read", "VolumeReadOps"), ("written", "VolumeWriteOps")],
    duration: "plugin_aws_collect_volume_metrics",
};

const DATABASES: Metrics = Metrics {
    namespace: "AWS/RDS",
    dimension: "DBInstanceIdentifier",
    id: "DBInstanceIdentifier",
    created: "InstanceCreateTime",
    metrics: &[("connected", "DatabaseConnections")],
    duration: "plugin_aws_collect_rds_metrics",
};

/// The results for one metric of one resource, from all pages.
#[derive(Debug, Default)]
struct Measurement {
    /// The newest use.
    newest: Option<OffsetDateTime>,
    /// The status on the last page of the metric: a page may have a part of the data, and a later one the rest.
    status: Option<String>,
    /// CloudWatch's message about the metric.
    message: Option<String>,
}

impl Measurement {
    fn add(&mut self, result: &Tree<'_>) {
        self.newest = self.newest.max(newest(result));
        self.status = result.get("StatusCode").and_then(Tree::text).map(str::to_owned);
        self.message = message(result).or_else(|| self.message.take());
    }

    fn is_complete(&self) -> bool {
        self.status.as_deref() == Some(COMPLETE)
    }
}

/// The measurements by the item's ID and the metric's index.
type Measured = HashMap<(String, usize), Measurement>;

/// The last use of each volume, as the values `read` and `written`.
///
/// An attached volume is in use now. A detached one has the measured time, or the start of the window, or its creation
/// if that is later. A failed measurement gives no time, as a guess might get the volume deleted.
pub(super) const VOLUME_USE: FunctionHook = FunctionHook {
    name: "volume_use",
    values: &["read", "written"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(volume_use(context.run, context.location, items)),
};

/// The time of the last connection to each database, as the value `connected`, with the same fallbacks. A database in
/// creation has none.
pub(super) const DATABASE_USE: FunctionHook = FunctionHook {
    name: "database_use",
    values: &["connected"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(last_uses(context.run, context.location, &DATABASES, "rds_instances", items)),
};

async fn volume_use(run: &Run<'_>, location: &Location, items: &[&Tree<'_>]) -> Result<Vec<HookValue>, Failure> {
    let is_idle = |item: &Tree<'_>| item.get("State").and_then(Tree::text) == Some("available");
    let idle: Vec<&Tree<'_>> = items.iter().copied().filter(|item| is_idle(item)).collect();
    let mut uses = last_uses(run, location, &VOLUMES, "volumes", &idle).await?.into_iter();
    let now = || HookValue::known(Tree::Map(vec![("read".into(), Tree::Time(run.now))]));
    let of_item = |item: &&Tree<'_>| if is_idle(item) { uses.next().unwrap_or_default() } else { now() };
    Ok(items.iter().map(of_item).collect())
}

async fn last_uses(
    run: &Run<'_>,
    location: &Location,
    what: &Metrics,
    collector: &str,
    items: &[&Tree<'_>],
) -> Result<Vec<HookValue>, Failure> {
    let ids: Vec<&str> = items.iter().filter_map(|item| item.get(what.id).and_then(Tree::text)).collect();
    let started = Instant::now();
    let mut measured = Measured::new();
    for ids in ids.chunks(QUERIES_PER_CALL / what.metrics.len()) {
        match measure(run, location, what, ids, &mut measured).await {
            Ok(message) => {
                for error in incomplete(location, what, ids, &measured, message.as_ref()) {
                    location.report_failure(run, collector, &error).await?;
                }
            }
            Err(error) => {
                location.report_failure(run, collector, &error).await?;
                break;
            }
        }
    }
    run.context.duration(what.duration, started.elapsed()).await?;
    let of_item = |item: &&Tree<'_>| {
        let id = item.get(what.id).and_then(Tree::text).unwrap_or_default();
        let created = item.get(what.created).and_then(Tree::time).map(truncated);
        let mut is_unknown = false;
        let times = what.metrics.iter().enumerate().filter_map(|(metric, (name, _))| {
            let found = measured.get(&(id.to_owned(), metric)).filter(|found| found.is_complete());
            is_unknown |= found.is_none();
            Some(((*name).into(), Tree::Time(found?.newest.or_else(|| fallback(created, run.now))?)))
        });
        let value = Tree::Map(times.collect());
        HookValue { value, is_unknown }
    };
    Ok(items.iter().map(of_item).collect())
}

/// Returns the assumed last use of a resource without use in the window; `None` while it is in creation.
fn fallback(created: Option<OffsetDateTime>, now: OffsetDateTime) -> Option<OffsetDateTime> {
    created.map(|created| created.max(now - WINDOW))
}

/// Requests the metrics of some resources, and returns CloudWatch's message about the whole call.
async fn measure(
    run: &Run<'_>,
    location: &Location,
    what: &Metrics,
    ids: &[&str],
    measured: &mut Measured,
) -> Result<Option<String>, CallError> {
    let input = query(what, ids, run.now);
    let (service, operation) = OPERATION;
    let mut pages = run.pages(Request::new(service, operation, &location.region).input(input));
    let mut about = None;
    while let Some(page) = pages.next().await {
        let page = page?;
        let tree = page.tree()?;
        about = about.or_else(|| message(&tree));
        for result in tree.path("MetricDataResults[]") {
            if let Some((id, metric)) = result.get("Id").and_then(Tree::text).and_then(|id| parse_id(id, ids)) {
                measured.entry((id.to_owned(), metric)).or_default().add(result);
            }
        }
    }
    Ok(about)
}

/// Returns the first message of a response or of a result.
fn message(tree: &Tree<'_>) -> Option<String> {
    let first = tree.get("Messages")?.list().first()?;
    let text = |member: &str| first.get(member).and_then(Tree::text).unwrap_or_default();
    Some(format!("{}: {}", text("Code"), text("Value")))
}

/// Returns the metrics without a complete result as errors of the call, one for each status.
fn incomplete(
    location: &Location,
    what: &Metrics,
    ids: &[&str],
    measured: &Measured,
    about: Option<&String>,
) -> Vec<CallError> {
    let mut missing: BTreeMap<&str, (usize, Option<&String>)> = BTreeMap::new();
    let keys = ids.iter().flat_map(|id| (0..what.metrics.len()).map(|metric| ((*id).to_owned(), metric)));
    for found in keys.map(|key| measured.get(&key)).filter(|found| !found.is_some_and(Measurement::is_complete)) {
        let status = found.and_then(|found| found.status.as_deref()).unwrap_or(code::MISSING_RESULT);
        let (count, message) = missing.entry(status).or_default();
        *count += 1;
        *message = message.or(found.and_then(|found| found.message.as_ref()));
    }
    let failure = |(status, (count, message)): (&str, (usize, Option<&String>))| {
        let counts = format!("{count} of {} metrics are not complete", ids.len() * what.metrics.len());
        let said: Vec<&str> = [&counts].into_iter().chain(message).chain(about).map(String::as_str).collect();
        let kind = if status == "Forbidden" { CallErrorKind::Denied } else { CallErrorKind::Unexpected };
        CallError::new(kind, status, said.join("; ")).of(OPERATION.0, OPERATION.1, &location.region)
    };
    missing.into_iter().map(failure).collect()
}

/// Returns the newest time with a value above zero.
fn newest(result: &Tree<'_>) -> Option<OffsetDateTime> {
    let times = result.get("Timestamps").map(Tree::list).unwrap_or_default();
    let values = result.get("Values").map(Tree::list).unwrap_or_default();
    let used = times.iter().zip(values).filter(|(_, value)| value.float().is_some_and(|value| value > 0.0));
    used.filter_map(|(time, _)| time.time().map(truncated)).max()
}

fn query(what: &Metrics, ids: &[&str], now: OffsetDateTime) -> serde_json::Map<String, Json> {
    let queries = ids.iter().enumerate().flat_map(|(index, id)| {
        what.metrics.iter().enumerate().map(move |(metric, (_, name))| {
            let dimensions = json!([{"Name": what.dimension, "Value": id}]);
            let measured = json!({"Namespace": what.namespace, "MetricName": name, "Dimensions": dimensions});
            let stat = json!({"Metric": measured, "Period": PERIOD, "Stat": "Sum", "Unit": "Count"});
            json!({"Id": format!("m{metric}_{index}"), "MetricStat": stat})
        })
    });
    let mut input = serde_json::Map::new();
    input.insert("MetricDataQueries".into(), queries.collect());
    input.insert("StartTime".into(), (now - WINDOW).unix_timestamp().into());
    input.insert("EndTime".into(), now.unix_timestamp().into());
    input.insert("ScanBy".into(), "TimestampDescending".into());
    input
}

/// Returns the resource and the metric of a query's ID, such as `m1_0`.
fn parse_id<'v>(id: &str, ids: &[&'v str]) -> Option<(&'v str, usize)> {
    let (metric, index) = id.strip_prefix('m')?.split_once('_')?;
    Some((ids.get(index.parse::<usize>().ok()?)?, metric.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn unused_since_window_start_or_later_creation() {
        let now = at(1_700_000_000);
        let young = now - Duration::days(1);
        assert_eq!(fallback(Some(young), now), Some(young));
        assert_eq!(fallback(Some(at(0)), now), Some(now - WINDOW));
        assert_eq!(fallback(None, now), None);
    }

    #[test]
    fn newest_use_is_found() {
        let list = |values: Vec<Tree<'static>>| Tree::List(values);
        let result = Tree::Map(vec![
            ("Timestamps".into(), list([30, 20, 10].map(|time| Tree::Time(at(time))).into())),
            ("Values".into(), list(vec![Tree::Float(0.0), Tree::Float(2.0), Tree::Float(1.0)])),
        ]);
        assert_eq!(newest(&result), Some(at(20)));
        assert_eq!(newest(&Tree::Map(Vec::new())), None);
    }

    #[test]
    fn query_ids_lead_back_to_volumes() {
        let input = query(&VOLUMES, &["vol-a", "vol-b"], at(1_700_000_000));
        assert_eq!(input["MetricDataQueries"].as_array().unwrap().len(), 4);
        assert_eq!(parse_id("m1_1", &["vol-a", "vol-b"]), Some(("vol-b", 1)));
        assert_eq!(parse_id("m0_9", &["vol-a"]), None);
    }

    fn result(status: &'static str, times: &[i64]) -> Tree<'static> {
        Tree::Map(vec![
            ("StatusCode".into(), Tree::Text(status.into())),
            ("Timestamps".into(), Tree::List(times.iter().map(|time| Tree::Time(at(*time))).collect())),
            ("Values".into(), Tree::List(times.iter().map(|_| Tree::Float(1.0)).collect())),
        ])
    }

    #[test]
    fn later_page_adds_values_and_decides_status() {
        let mut found = Measurement::default();
        found.add(&result("PartialData", &[30, 20]));
        assert!(!found.is_complete());
        found.add(&result("Complete", &[10]));
        assert!(found.is_complete());
        assert_eq!(found.newest, Some(at(30)));
        found.add(&result("InternalError", &[]));
        assert!(!found.is_complete());
    }
}
