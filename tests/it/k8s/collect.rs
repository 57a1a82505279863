//! One-shot collections of clusters with the built program and real child processes, compared with the graphs that the
//! Python worker made of the same clusters.

use std::fs;

use super::graph::Graph;
use crate::support::{
    k8s::LocalK8s,
    program::{self, Output, command},
};

/// The graph of the Python worker.
pub(super) const GOLDEN: &str = include_str!("../../golden/k8s/graph.ndjson");

/// The same of two clusters with `--k8s-collect pods deployments`.
const GOLDEN_TWO: &str = include_str!("../../golden/k8s/two-clusters.ndjson");

/// What the Python worker collected.
pub(super) const FIRST: [&str; 7] =
    ["--k8s-collect", "deployments", "stateful_set", "replica_set", "controller_revision", "daemon_set", "pods"];

/// Collects with these arguments. Returns the output, and the graph.
pub(super) fn collect(server: &LocalK8s, arguments: &[&str]) -> (Output, String) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("graph.ndjson");
    let mut command = command(&["collect", "--output", file.to_str().unwrap()]);
    let output = program::run(server.serve(&mut command).args(arguments));
    (output, fs::read_to_string(file).unwrap_or_default())
}

/// Fails unless a graph is the golden one, but for the edges from nodes to their pods, which the Python worker did not
/// draw.
pub(super) fn assert_golden(text: &str, golden: &str, pods_of_nodes: usize) {
    let (nodes, edges) = Graph::read(text).beyond(&Graph::read(golden));
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), []);
    let expected = (("kubernetes_node".to_owned(), "kubernetes_pod".to_owned()), pods_of_nodes);
    assert_eq!(edges.into_iter().collect::<Vec<_>>(), [expected]);
}

#[test]
fn graphs_are_those_of_the_python_worker_forked_or_not() {
    let server = LocalK8s::start(&[]);
    for arguments in [&["--fork", "--k8s-fork"][..], &["--fork"], &[]] {
        let (output, graph) = collect(&server, &[arguments, &FIRST].concat());
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        assert_golden(&graph, GOLDEN, 27);
        let two = ["--k8s-context", "token", "second", "--k8s-collect", "pods", "deployments"];
        let (output, graph) = collect(&server, &[arguments, &two].concat());
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        assert_golden(&graph, GOLDEN_TWO, 54);
    }
}

#[test]
fn every_way_to_log_in_leads_to_the_same_cluster() {
    let server = LocalK8s::start(&[]);
    let golden = Graph::read(GOLDEN);
    for context in ["token", "cert", "exec", "tokenfile"] {
        let (output, graph) =
            collect(&server, &[&["--k8s-context", context, "--fork", "--k8s-fork"], &FIRST[..]].concat());
        assert_eq!(output.code, 0, "{context}: {}", output.stderr);
        assert_eq!(Graph::read(&graph).kinds(), golden.kinds(), "{context}");
    }
    for (context, code) in
        [("wrong-token", "Unauthorized"), ("wrong-ca", "certificate"), ("nowhere", "ConnectionFailed")]
    {
        let (output, graph) = collect(&server, &["--k8s-context", context, "--timeout", "20"]);
        assert_eq!((output.code, graph.as_str()), (4, ""), "{context}: {}", output.stderr);
        assert!(output.stderr.contains(code), "{context}: {}", output.stderr);
    }
}

/// The nodes that the Python worker did not have, by kind without `kubernetes_`.
const NEW_NODES: [(&str, usize); 33] = [
    ("apiextensions_k8s_io_custom_resource_definition", 3),
    ("apiregistration_k8s_io_api_service", 25),
    ("ck_test_planet", 1),
    ("ck_test_widget", 3),
    ("cluster_role", 71),
    ("cluster_role_binding", 52),
    ("config_map", 22),
    ("cron_job", 2),
    ("endpoint", 8),
    ("endpoint_slice", 8),
    ("flow_schema", 11),
    ("horizontal_pod_autoscaler", 2),
    ("ingress", 2),
    ("job", 2),
    ("limit_range", 2),
    ("network_policy", 2),
    ("networking_k8s_io_ip_address", 9),
    ("networking_k8s_io_service_cidr", 1),
    ("persistent_volume", 1),
    ("persistent_volume_claim", 2),
    ("pod_disruption_budget", 2),
    ("pod_template", 2),
    ("priority_class", 3),
    ("priority_level_configuration", 8),
    ("replication_controller", 2),
    ("resource_quota", 2),
    ("role", 9),
    ("role_binding", 9),
    ("secret", 2),
    ("service", 9),
    ("service_account", 9),
    ("serving_test_service", 1),
    ("storage_class", 1),
];

/// The edges that it did not have, beside those from namespaces and the cluster.
const NEW_EDGES: [(&str, &str, usize); 13] = [
    ("ck_test_widget", "config_map", 1),
    ("endpoint", "pod", 3),
    ("endpoint_slice", "pod", 3),
    ("ingress", "service", 2),
    ("job", "pod", 4),
    ("node", "pod", 27),
    ("persistent_volume_claim", "persistent_volume", 1),
    ("pod", "config_map", 94),
    ("pod", "persistent_volume_claim", 13),
    ("pod", "secret", 13),
    ("replication_controller", "pod", 3),
    ("service", "endpoint_slice", 8),
    ("service", "pod", 13),
];

#[test]
fn default_contains_what_the_python_worker_collected() {
    let server = LocalK8s::start(&["--page-limit", "20"]);
    let (output, graph) = collect(&server, &["--k8s-fork", "--fork"]);
    // An aggregated API is down.
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("metrics.k8s.io"), "{}", output.stderr);
    let (nodes, edges) = Graph::read(&graph).beyond(&Graph::read(GOLDEN));
    let short = |kind: &str| kind.trim_start_matches("kubernetes_").to_owned();
    let nodes: Vec<_> = nodes.iter().map(|(kind, count)| (short(kind), *count)).collect();
    assert_eq!(nodes, NEW_NODES.map(|(kind, count)| (kind.to_owned(), count)));
    let is_parent = |kind: &str| ["namespace", "cluster"].contains(&kind);
    let edges = edges.iter().map(|((from, to), count)| (short(from), short(to), *count));
    let edges: Vec<_> = edges.filter(|(from, _, _)| !is_parent(from)).collect();
    assert_eq!(edges, NEW_EDGES.map(|(from, to, count)| (from.to_owned(), to.to_owned(), count)));
    // The content of secrets and configuration maps is neither asked for nor kept.
    let asked = server.calls().into_iter().filter(|call| {
        let path = call["path"].as_str().unwrap();
        path.ends_with("/secrets") || path.ends_with("/configmaps")
    });
    assert!(
        asked.map(|call| call["accept"].clone()).all(|accept| accept.to_string().contains("PartialObjectMetadata"))
    );
    assert!(!graph.contains("last-applied-configuration") && !graph.contains("managedFields"));
}

#[test]
fn collection_is_complete_without_the_group_that_is_down() {
    let server = LocalK8s::start(&[]);
    for (arguments, code) in [
        (&[][..], 3),
        (&["--k8s-no-collect", "ck.test"], 3),
        (&["--k8s-no-collect", "metrics.k8s.io"], 0),
        (&["--k8s-no-collect", "others"], 0),
        (&["--k8s-collect", "pods", "ck.test"], 0),
        (&["--k8s-collect", "nodes.metrics.k8s.io"], 3),
    ] {
        let (output, graph) = collect(&server, &[&["--k8s-fork", "--fork"], arguments].concat());
        assert_eq!(output.code, code, "{arguments:?}: {}", output.stderr);
        assert_eq!(output.stderr.contains("StaleGroup"), code == 3, "{arguments:?}: {}", output.stderr);
        assert!(Graph::read(&graph).kinds().contains_key("kubernetes_namespace"), "{arguments:?}");
    }
}
