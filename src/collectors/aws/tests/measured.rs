//! The last use of volumes and databases: only complete results count.

use super::*;

const VOLUMES: &str = "<DescribeVolumesResponse><volumeSet><item><volumeId>vol-1</volumeId><volumeType>none</volumeType>\
    <status>available</status><createTime>2021-01-01T00:00:00.000Z</createTime></item></volumeSet></DescribeVolumesResponse>";

async fn measured(cloud: Cloud) -> Collected {
    collect_in("aws", &["us-east-1"], &["volumes"], cloud).await
}

/// Returns whether there are an atime and an mtime.
fn times(collected: &Collected) -> [bool; 2] {
    assert_eq!(collected.result, Ok(()));
    ["atime", "mtime"].map(|field| collected.node("vol-1")["reported"][field].is_string())
}

fn codes(collected: &Collected) -> Vec<&str> {
    collected.gaps.iter().map(|gap| gap.code.as_str()).collect()
}

#[tokio::test]
async fn complete_result_without_use_means_unused() {
    let collected = measured(|call, _| match call {
        "ec2:DescribeVolumes" => (200, VOLUMES),
        "monitoring:GetMetricData" => (
            200,
            r#"{"MetricDataResults":[{"Id":"m0_0","StatusCode":"Complete"},{"Id":"m1_0","StatusCode":"Complete"}]}"#,
        ),
        _ => NOTHING,
    })
    .await;
    assert_eq!((times(&collected), codes(&collected)), ([true, true], vec![]));
}

#[tokio::test]
async fn incomplete_result_is_a_gap() {
    let collected = measured(|call, _| match call {
        "ec2:DescribeVolumes" => (200, VOLUMES),
        "monitoring:GetMetricData" => (
            200,
            r#"{"MetricDataResults":[{"Id":"m0_0","StatusCode":"InternalError"},{"Id":"m1_0","StatusCode":"Forbidden",
            "Messages":[{"Code":"Forbidden","Value":"not yours"}]}],"Messages":[{"Code":"Limit","Value":"too many"}]}"#,
        ),
        _ => NOTHING,
    })
    .await;
    assert_eq!((times(&collected), codes(&collected)), ([false, false], vec!["Forbidden", "InternalError"]));
    let [forbidden, failed] = [0, 1].map(|gap| &collected.gaps[gap]);
    assert_eq!((forbidden.service.as_str(), forbidden.operation.as_str()), ("cloudwatch", "GetMetricData"));
    assert_eq!(forbidden.message, "1 of 2 metrics are not complete; Forbidden: not yours; Limit: too many");
    assert_eq!(failed.message, "1 of 2 metrics are not complete; Limit: too many");
}

#[tokio::test]
async fn each_metric_needs_its_own_result() {
    let collected = measured(|call, _| match call {
        "ec2:DescribeVolumes" => (200, VOLUMES),
        "monitoring:GetMetricData" => (200, r#"{"MetricDataResults":[{"Id":"m0_0","StatusCode":"Complete"}]}"#),
        _ => NOTHING,
    })
    .await;
    assert_eq!((times(&collected), codes(&collected)), ([true, false], vec!["MissingResult"]));
}

#[tokio::test]
async fn partial_data_without_rest_is_a_gap() {
    let collected = measured(|call, _| match call {
        "ec2:DescribeVolumes" => (200, VOLUMES),
        "monitoring:GetMetricData" => (
            200,
            r#"{"MetricDataResults":[{"Id":"m0_0","StatusCode":"PartialData","Timestamps":[1609500000],"Values":[1.0]},
            {"Id":"m1_0","StatusCode":"Complete","Timestamps":[1609500000],"Values":[1.0]}]}"#,
        ),
        _ => NOTHING,
    })
    .await;
    assert_eq!((times(&collected), codes(&collected)), ([false, true], vec!["PartialData"]));
    assert_eq!(collected.node("vol-1")["reported"]["mtime"], "2021-01-01T11:20:00+00:00");
}
