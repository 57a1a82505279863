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

#[test]
fn graphs_are_those_of_the_python_worker_forked_or_not() {
    let server = LocalK8s::start(&[]);
    for arguments in [&["--fork", "--k8s-fork"][..], &["--fork"], &[]] {
        let (output, graph) = collect(&server, &[arguments, &FIRST].concat());
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        assert_eq!(Graph::read(&graph), Graph::read(GOLDEN), "{arguments:?}");
        let two = ["--k8s-context", "token", "second", "--k8s-collect", "pods", "deployments"];
        let (output, graph) = collect(&server, &[arguments, &two].concat());
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        assert_eq!(Graph::read(&graph), Graph::read(GOLDEN_TWO), "{arguments:?}");
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

#[test]
fn default_contains_what_the_python_worker_collected() {
    let server = LocalK8s::start(&[]);
    let (output, graph) = collect(&server, &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let (nodes, edges) = Graph::read(&graph).beyond(&Graph::read(GOLDEN));
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), []);
    assert_eq!(edges.into_iter().collect::<Vec<_>>(), []);
}
