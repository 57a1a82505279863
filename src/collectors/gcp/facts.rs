//! Facts about GCP that the rest of the program gets as data: metrics, log levels and remedies.

use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

use super::hooks::project_of;
use crate::{
    collector_api::{NodeOrigin, limits},
    telemetry::Announced,
};

/// The log targets of Google's libraries.
pub(super) const LIBRARY_LEVELS: &[(&str, LevelFilter)] = &[("google_cloud", LevelFilter::WARN)];

/// The parts of a project whose collection the Python worker measures, as `cloudkeeper_plugin_gcp_collect_<part>_seconds`.
const COLLECTED_PARTS: &str = "regions zones disks instances disk_types networks subnetworks vpn_tunnels vpn_gateways \
    target_vpn_gateways routers routes security_policies snapshots ssl_certificates machine_types \
    network_endpoint_groups global_network_endpoint_groups instance_groups instance_group_managers autoscalers \
    health_checks http_health_checks https_health_checks url_maps target_pools target_instances target_http_proxies \
    target_https_proxies target_ssl_proxies target_tcp_proxies target_grpc_proxies backend_services forwarding_rules \
    global_forwarding_rules buckets databases services instance_templates";

/// Returns the metrics that the Python worker shows before anything was measured.
pub(super) fn metrics() -> Vec<Announced> {
    let parts = COLLECTED_PARTS.split_whitespace().map(|part| Announced::Summary {
        name: format!("plugin_gcp_collect_{part}"),
        method: format!("collect_{part}"),
    });
    parts.collect()
}

/// Returns the project in a node's link, which is the address of calls. Links of other clouds have no host of Google's.
pub(super) fn locate(reported: &Map<String, Value>) -> Option<NodeOrigin<'_>> {
    let link = reported.get("link").and_then(Value::as_str)?;
    let host = link.strip_prefix("https://")?.split('/').next()?;
    let account = project_of(link).filter(|_| host.ends_with(".googleapis.com"))?;
    Some(NodeOrigin { account: Some(account), region: None, is_address: true })
}

/// Returns the remedy for an error code, or the options that matter for a limit.
pub(super) fn advice(code: &str) -> Option<&'static str> {
    match code {
        limits::WORKER_MEMORY => Some("--gcp-fork if it had all projects, or --gcp-no-collect"),
        limits::RESULT_SIZE => Some("--gcp-no-collect, or --gcp-fork if it had all projects"),
        limits::POOL_SIZE => Some("--gcp-project-pool-size"),
        "SERVICE_DISABLED" | "accessNotConfigured" => {
            Some("enable the API in the project that the message names, or leave its kinds out with --gcp-no-collect")
        }
        "BILLING_DISABLED" | "accountDisabled" | "billingNotEnabled" | "billingDisabled" => Some(
            "link the project that the message names, or else the collected one, to an open billing account, or leave \
                 the project out with --gcp-exclude-project",
        ),
        "CONSUMER_INVALID" | "CONSUMER_SUSPENDED" | "USER_PROJECT_DENIED" => Some(
            "grant the credentials roles/serviceusage.serviceUsageConsumer in the quota project, or name another one in \
             the credentials (quota_project_id) or with GOOGLE_CLOUD_QUOTA_PROJECT",
        ),
        "MissingProjects" => Some("grant the credentials a role such as roles/viewer in each project"),
        "MissingProject" => Some("correct --gcp-project, or let one of the credentials see the project"),
        "MissingFolder" => Some("grant roles/resourcemanager.folderViewer in the organization"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn link_of_google_names_project() {
        for (link, expected) in [
            ("https://www.googleapis.com/compute/v1/projects/p-1/global/networks/n", Some("p-1")),
            (
                "https://sqladmin.googleapis.com/sql/v1beta4/projects/example.com:app/instances/i",
                Some("example.com:app"),
            ),
            ("https://www.googleapis.com/storage/v1/b/bucket", None),
            ("https://www.googleapis.com/compute/v1/projects/1234/global/networks/n", None),
            ("https://www.googleapis.com/compute/v1/projects/example.com%3Aapp/global/networks/n", None),
            ("https://example.com/compute/v1/projects/p-1/global/networks/n", None),
            ("", None),
        ] {
            let node = json!({ "link": link });
            let reported = node.as_object().cloned().unwrap_or_default();
            let origin = locate(&reported).map(|origin| (origin.account, origin.is_address));
            assert_eq!(origin, expected.map(|project| (Some(project), true)), "{link}");
        }
    }

    #[test]
    fn metrics_have_names_of_python_worker() {
        let names: Vec<String> = metrics().iter().map(|announced| format!("{announced:?}")).collect();
        assert_eq!(names.len(), 39);
        assert!(names[0].contains("plugin_gcp_collect_regions") && names[0].contains("collect_regions"));
    }
}
