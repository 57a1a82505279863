//! Facts about AWS that the rest of the program gets as data: metrics, log levels, remedies, and what an ARN tells.

use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

use crate::{
    collector_api::{NodeOrigin, limits},
    telemetry::Announced,
};

/// The log targets of AWS's libraries. The warnings of `aws_config` are the details of errors that ckworker reports
/// itself.
pub(super) const LIBRARY_LEVELS: &[(&str, LevelFilter)] =
    &[("aws_", LevelFilter::WARN), ("aws_config", LevelFilter::ERROR)];

/// Counters of the Python worker: name, help, and whether it is shown as zero.
const COUNTERS: [(&str, &str, bool); 3] = [
    ("cloudkeeper_plugin_aws_session_exceptions_total", "Unhandled AWS Plugin Session Exceptions", true),
    ("cloudkeeper_plugin_aws_unhandled_account_exceptions_total", "Unhandled AWS Plugin Account Exceptions", false),
    ("cloudkeeper_plugin_aws_unhandled_collector_exceptions_total", "Unhandled AWS Plugin Collector Exceptions", false),
];

/// The parts of an account whose collection the Python worker measures, as
/// `cloudkeeper_plugin_aws_collect_<part>_seconds`.
const COLLECTED_PARTS: &str = "vpcs subnets route_tables security_groups internet_gateways instances keypairs \
    autoscaling_groups volumes snapshots volume_metrics network_interfaces network_acls nat_gateways \
    vpc_peering_connections vpc_endpoints s3_buckets elbs alb_target_groups albs rds_instances rds_metrics \
    iam_account_summary iam_policies iam_groups iam_instance_profiles iam_roles iam_users iam_server_certificates \
    cloudformation_stacks eks_clusters elastic_ips cloudwatch_alarms";

/// Returns the metrics that the Python worker shows before anything was measured.
pub(super) fn metrics() -> Vec<Announced> {
    let counters = COUNTERS.map(|(name, help, is_zero)| {
        let (name, help) = (name.to_owned(), help.to_owned());
        Announced::Counter { name, help, is_zero }
    });
    let parts = COLLECTED_PARTS.split_whitespace().map(|part| Announced::Summary {
        name: format!("plugin_aws_collect_{part}"),
        method: format!("collect_{part}"),
    });
    let whole = Announced::Summary { name: "plugin_aws_collect".to_owned(), method: "collect".to_owned() };
    counters.into_iter().chain(parts).chain([whole]).collect()
}

/// Returns region and account of a node's ARN.
pub(super) fn locate(reported: &Map<String, Value>) -> Option<NodeOrigin<'_>> {
    let arn = reported.get("arn").and_then(Value::as_str).filter(|arn| arn.starts_with("arn:"))?;
    let mut parts = arn.split(':').skip(3).map(|part| Some(part).filter(|part| !part.is_empty()));
    Some(NodeOrigin { region: parts.next()?, account: parts.next()?, is_address: false })
}

/// Returns the remedy for an error code, or the options that matter for a limit.
pub(super) fn advice(code: &str) -> Option<&'static str> {
    match code {
        limits::WORKER_MEMORY => Some("a smaller --aws-region-pool-size, or --aws-fork if it had all accounts"),
        limits::RESULT_SIZE => Some("--aws-region or --aws-no-collect, or --aws-fork if it had all accounts"),
        limits::POOL_SIZE => Some("--aws-account-pool-size"),
        _ if code.to_ascii_lowercase().contains("authfailure") => Some(
            "if the region is not enabled in this account, name the others with --aws-region; otherwise renew the \
             credentials",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn arn_tells_region_and_account() {
        let located = |arn: &str| {
            let node = json!({ "arn": arn });
            locate(node.as_object().unwrap()).map(|origin| (origin.region.map(str::to_owned), origin.account.is_some()))
        };
        let eks = "arn:aws:eks:us-west-2:123456789012:cluster/c";
        assert_eq!(located(eks), Some((Some("us-west-2".to_owned()), true)));
        assert_eq!(located("arn:aws:iam::123456789012:policy/p"), Some((None, true)));
        assert_eq!(located("arn:aws:s3:::bucket"), Some((None, false)));
        assert_eq!(located("arn:aws:s3"), None);
        assert_eq!(located("i-1"), None);
        assert_eq!(locate(&Map::new()), None);
    }
}
