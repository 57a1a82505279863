//! When volumes that nothing uses were last read and written, from CloudWatch.

use std::collections::HashMap;

use aws_smithy_types::DateTime;
use serde_json::{Value as Json, json};
use time::{Duration, OffsetDateTime};
use worker_proto::Failure;

use super::{
    super::client::{CallError, Request, Tree},
    Run,
    eval::time_value,
    place::Place,
};

/// How far back is looked; what lies before that counts as not used.
const WINDOW: Duration = Duration::days(60);

/// The length of a measurement in seconds.
const PERIOD: i64 = 3600;

/// The volumes of one call: it takes five hundred queries, and each volume has two.
const VOLUMES_PER_CALL: usize = 250;

/// What is measured: the name in paths, and the metric.
const METRICS: [(&str, &str); 2] = [("read", "VolumeReadOps"), ("written", "VolumeWriteOps")];

/// When each volume was last used, as the values `read` and `written`.
///
/// An attached volume is in use now. One that is not has what was measured, or the beginning of the window, or its own
/// creation if that is later. If nothing could be measured it has nothing, as a guess might get it deleted.
pub(crate) async fn volume_use(
    run: &Run<'_>,
    place: &Place,
    collector: &str,
    items: &[&Tree<'_>],
) -> Result<Vec<Tree<'static>>, Failure> {
    let idle: Vec<&str> = items.iter().filter(|item| is_idle(item)).filter_map(|item| volume_id(item)).collect();
    let mut measured: HashMap<(String, usize), OffsetDateTime> = HashMap::new();
    let mut is_measured = true;
    for volumes in idle.chunks(VOLUMES_PER_CALL) {
        if let Err(error) = measure(run, place, volumes, &mut measured).await {
            place.lost(run, collector, &error).await?;
            is_measured = false;
            break;
        }
    }
    let now = [Some(run.now), None];
    let none = [None, None];
    let uses = items.iter().map(|item| {
        let times = match volume_id(item) {
            Some(id) if is_idle(item) && is_measured => last_use(id, created(item), run.now, &measured).map(Some),
            _ if is_idle(item) => none,
            _ => now,
        };
        let times = METRICS.iter().zip(times).filter_map(|((name, _), time)| Some(((*name).into(), tree(time?))));
        Tree::Map(times.collect())
    });
    Ok(uses.collect())
}

fn is_idle(item: &Tree<'_>) -> bool {
    item.get("State").and_then(Tree::text) == Some("available")
}

fn volume_id<'t>(item: &'t Tree<'_>) -> Option<&'t str> {
    item.get("VolumeId").and_then(Tree::text)
}

fn created(item: &Tree<'_>) -> Option<OffsetDateTime> {
    item.get("CreateTime").and_then(Tree::time).and_then(time_value)
}

fn tree(time: OffsetDateTime) -> Tree<'static> {
    Tree::Time(DateTime::from_secs_and_nanos(time.unix_timestamp(), time.nanosecond()))
}

/// The measured times of one volume, each replaced by its own fallback where nothing was measured.
fn last_use(
    id: &str,
    created: Option<OffsetDateTime>,
    now: OffsetDateTime,
    measured: &HashMap<(String, usize), OffsetDateTime>,
) -> [OffsetDateTime; 2] {
    let begin = now - WINDOW;
    let fallback = created.map_or(begin, |created| created.max(begin));
    [0, 1].map(|metric| measured.get(&(id.to_owned(), metric)).copied().unwrap_or(fallback))
}

async fn measure(
    run: &Run<'_>,
    place: &Place,
    volumes: &[&str],
    measured: &mut HashMap<(String, usize), OffsetDateTime>,
) -> Result<(), CallError> {
    let input = query(volumes, run.now);
    let request = Request { service: "cloudwatch", operation: "GetMetricData", region: &place.region, input };
    let mut pages = run.client.pages(request);
    while let Some(page) = pages.next().await {
        let page = page?;
        for result in page.tree()?.path("MetricDataResults[]") {
            let Some((volume, metric)) = result.get("Id").and_then(Tree::text).and_then(|id| parse_id(id, volumes))
            else {
                continue;
            };
            if let Some(time) = newest(result) {
                let known = measured.entry((volume.to_owned(), metric)).or_insert(time);
                *known = time.max(*known);
            }
        }
    }
    Ok(())
}

/// The newest time with a value above zero.
fn newest(result: &Tree<'_>) -> Option<OffsetDateTime> {
    let times = result.get("Timestamps").map(Tree::list).unwrap_or_default();
    let values = result.get("Values").map(Tree::list).unwrap_or_default();
    let used = times.iter().zip(values).filter(|(_, value)| value.float().is_some_and(|value| value > 0.0));
    used.filter_map(|(time, _)| time.time().and_then(time_value)).max()
}

fn query(volumes: &[&str], now: OffsetDateTime) -> serde_json::Map<String, Json> {
    let queries = volumes.iter().enumerate().flat_map(|(index, volume)| {
        METRICS.iter().enumerate().map(move |(metric, (_, name))| {
            let dimensions = json!([{"Name": "VolumeId", "Value": volume}]);
            let metric_name = json!({"Namespace": "AWS/EBS", "MetricName": name, "Dimensions": dimensions});
            let stat = json!({"Metric": metric_name, "Period": PERIOD, "Stat": "Sum", "Unit": "Count"});
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

/// The volume and the metric of a query's id, such as `m1_0`.
fn parse_id<'v>(id: &str, volumes: &[&'v str]) -> Option<(&'v str, usize)> {
    let (metric, index) = id.strip_prefix('m')?.split_once('_')?;
    let metric = metric.parse().ok().filter(|metric| *metric < METRICS.len())?;
    Some((volumes.get(index.parse::<usize>().ok()?)?, metric))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn each_volume_has_its_own_fallback() {
        let now = at(1_700_000_000);
        let young = now - Duration::days(1);
        let measured = HashMap::from([(("vol-m".to_owned(), 1), young)]);
        assert_eq!(last_use("vol-young", Some(young), now, &measured), [young, young]);
        assert_eq!(last_use("vol-old", Some(at(0)), now, &measured), [now - WINDOW, now - WINDOW]);
        assert_eq!(last_use("vol-m", Some(at(0)), now, &measured), [now - WINDOW, young]);
        assert_eq!(last_use("vol-none", None, now, &measured), [now - WINDOW, now - WINDOW]);
    }

    #[test]
    fn the_newest_use_is_found() {
        let list = |values: Vec<Tree<'static>>| Tree::List(values);
        let result = Tree::Map(vec![
            ("Timestamps".into(), list([30, 20, 10].map(|time| Tree::Time(DateTime::from_secs(time))).into())),
            ("Values".into(), list(vec![Tree::Float(0.0), Tree::Float(2.0), Tree::Float(1.0)])),
        ]);
        assert_eq!(newest(&result), Some(at(20)));
        assert_eq!(newest(&Tree::Map(Vec::new())), None);
    }

    #[test]
    fn query_ids_lead_back_to_volumes() {
        let input = query(&["vol-a", "vol-b"], at(1_700_000_000));
        assert_eq!(input["MetricDataQueries"].as_array().unwrap().len(), 4);
        assert_eq!(parse_id("m1_1", &["vol-a", "vol-b"]), Some(("vol-b", 1)));
        assert_eq!(parse_id("m2_1", &["vol-a", "vol-b"]), None);
        assert_eq!(parse_id("m0_9", &["vol-a"]), None);
    }
}
