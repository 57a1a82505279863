//! The exposition of metrics.

use std::time::Duration;

use super::*;

fn unit(id: &str, nodes: u64, outcome: Outcome) -> UnitReport {
    UnitReport {
        id: id.into(),
        label: "one".into(),
        kind: "aws_account".into(),
        outcome,
        attempts: 1,
        nodes_by_kind: [("aws_vpc".to_owned(), nodes)].into(),
        edges: nodes,
        gaps: vec![],
        kept: 0,
        took: Duration::from_millis(2500),
    }
}

fn announced() -> Vec<Announced> {
    let counter = |name: &str| Announced::Counter { name: name.to_owned(), help: String::new(), is_zero: false };
    vec![
        counter("cloudkeeper_plugin_aws_session_exceptions_total"),
        counter("cloudkeeper_plugin_aws_unhandled_account_exceptions_total"),
        Announced::Summary { name: "plugin_aws_collect".to_owned(), method: "collect".to_owned() },
    ]
}

fn failed() -> Outcome {
    Outcome::Failed { reason: "credentials".into(), detail: String::new() }
}

fn finish(metrics: &Metrics, units: Vec<UnitReport>) {
    let took = Duration::from_secs(2);
    let collectors = vec![CollectorReport { name: "aws".into(), units, took, ..CollectorReport::default() }];
    metrics.run_finished(&RunReport { collectors, ..RunReport::default() });
}

#[test]
fn every_measurement_is_exposed_once_and_well_formed() {
    let metrics = Metrics::announcing(&announced());
    metrics.set_jobs(&[("running", 3), ("waiting", 0)]);
    metrics.job_restarted("aws");
    metrics.worker_exited("aws", "deadline");
    metrics.action("collect", "done");
    metrics.upload("done");
    metrics.set_core_connected(true);
    metrics.frame("in", 100);
    metrics.duration("plugin_aws_collect_vpcs", 0.5);
    finish(&metrics, vec![unit("1", 5, Outcome::Complete), unit("2", 7, failed())]);
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
        "ckworker_collect_seconds_bucket{le=\"3.0\",collector=\"aws\"} 1",
        "ckworker_nodes{collector=\"aws\"} 5",
        "ckworker_job_nodes{collector=\"aws\",account=\"1\"} 5",
        "ckworker_job_edges{collector=\"aws\",account=\"2\"} 7",
        "ckworker_job_seconds{collector=\"aws\",account=\"2\"} 2.5",
        "cloudkeeper_plugin_aws_collect_seconds_sum 2",
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

#[test]
fn failures_are_counted_by_account_and_reason() {
    let metrics = Metrics::announcing(&announced());
    for _ in 0..2 {
        metrics.failure("aws", &Failure { kind: FailureKind::Credentials, message: String::new() });
        finish(&metrics, vec![unit("1", 5, Outcome::Complete), unit("2", 0, failed())]);
    }
    metrics.failure("aws", &Failure { kind: FailureKind::Unavailable, message: String::new() });
    let broken = CollectorReport { name: "aws".into(), failure: Some("no plan".into()), ..Default::default() };
    metrics.run_finished(&RunReport { collectors: vec![broken], ..RunReport::default() });
    let text = metrics.encode();
    for line in [
        "ckworker_unit_failures_total{account=\"2\",collector=\"aws\",reason=\"credentials\"} 2",
        "cloudkeeper_plugin_aws_unhandled_account_exceptions_total{account=\"one (2)\"} 2",
        "cloudkeeper_plugin_aws_session_exceptions_total 2",
        "cloudkeeper_unhandled_plugin_exceptions_total{plugin=\"aws\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(!text.contains("ckworker_job_nodes{"), "only accounts of the last run have values: {text}");
}

#[test]
fn accounts_with_values_of_their_own_are_bounded() {
    let metrics = Metrics::announcing(&announced());
    finish(&metrics, (0..=MAX_ACCOUNTS).map(|id| unit(&id.to_string(), 1, Outcome::Complete)).collect());
    let text = metrics.encode();
    assert_eq!(text.matches("\nckworker_job_nodes{").count(), MAX_ACCOUNTS);
    assert!(text.contains(&format!("ckworker_nodes{{collector=\"aws\"}} {}", MAX_ACCOUNTS + 1)));
}
