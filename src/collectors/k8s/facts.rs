//! Facts about Kubernetes that the rest of the program gets as data: remedies for error codes.

use crate::collector_api::limits;

/// Returns the remedy for an error code, or the options that matter for a limit.
pub(super) fn advice(code: &str) -> Option<&'static str> {
    match code {
        limits::WORKER_MEMORY => Some("--k8s-fork if it had all clusters, or --k8s-no-collect"),
        limits::RESULT_SIZE => Some("--k8s-no-collect, or --k8s-fork if it had all clusters"),
        limits::POOL_SIZE => Some("--k8s-pool-size"),
        "Forbidden" => Some(
            "allow the verb list for the resource in a ClusterRole (docs/k8s.md has one), leave the kind out with \
             --k8s-no-collect, or name the namespaces that may be read with --k8s-namespace",
        ),
        "Unauthorized" => Some("log in again, and check the user of the context in the kubeconfig"),
        "StaleGroup" => Some(
            "repair the server of the API group (kubectl get apiservice), or leave the group out: --k8s-no-collect GROUP",
        ),
        super::hooks::TOO_MANY_EDGES => Some("leave services out with --k8s-no-collect services"),
        super::client::error::UNKNOWN_API | "NotFound" => Some(
            "check what the API server serves (kubectl api-resources), or leave the kind out with --k8s-no-collect",
        ),
        _ => None,
    }
}
