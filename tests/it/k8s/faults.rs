//! Faults of an API server: a collection is complete, or says what is missing.

use super::{
    collect::{FIRST, GOLDEN, assert_golden, collect},
    graph::Graph,
};
use crate::support::{
    k8s::LocalK8s,
    poll::poll,
    program::{self, Running, command, signal},
};

const PODS: &str = "/api/v1/pods";

/// The pods that are bound to a node, beside one that its node owns.
const NODES: usize = 27;

/// The lists that the Python worker made.
const LISTS: [&str; 8] = [
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/replicasets",
    "/apis/apps/v1/controllerrevisions",
    "/apis/apps/v1/daemonsets",
    PODS,
];

fn fork(more: &[&'static str]) -> Vec<&'static str> {
    [&["--fork", "--k8s-fork"], more, &FIRST].concat()
}

#[test]
fn pages_and_expired_tokens_are_followed() {
    let server = LocalK8s::start(&["--page-limit", "3", "--expire-after", "2"]);
    let (output, graph) = collect(&server, &fork(&[]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_golden(&graph, GOLDEN, NODES);
    let pods = server.calls().into_iter().filter(|call| call["path"] == PODS).collect::<Vec<_>>();
    // Twelve pages, one of which was refused.
    assert_eq!(pods.len(), 13, "{pods:?}");
    assert!(pods.iter().all(|call| call["query"]["limit"] == "500" && call["query"].get("resourceVersion").is_none()));
}

#[test]
fn half_of_calls_may_be_throttled() {
    let faults = LISTS.iter().flat_map(|path| ["1", "2"].map(|nth| format!("{path}=429@{nth}")));
    let faults: Vec<String> = faults.collect();
    let options: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
    let server = LocalK8s::start(&[&options[..], &["--page-limit", "10"]].concat());
    let (output, graph) = collect(&server, &fork(&[]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_golden(&graph, GOLDEN, NODES);
}

#[test]
fn transient_faults_are_retried() {
    for fault in ["drop", "garbage", "500", "503", "429"] {
        let server = LocalK8s::start(&["--fault", &format!("{PODS}={fault}@1")]);
        let (output, graph) = collect(&server, &fork(&[]));
        assert_eq!(output.code, 0, "{fault}: {}", output.stderr);
        assert_golden(&graph, GOLDEN, NODES);
    }
}

#[test]
fn lasting_faults_of_one_kind_are_gaps() {
    for (fault, code) in
        [("403", "InternalError"), ("404", "NotFound"), ("drop", "ConnectionLost"), ("garbage", "InvalidResponse")]
    {
        let server = LocalK8s::start(&["--fault", &format!("{PODS}={fault}")]);
        let (output, graph) = collect(&server, &fork(&["--timeout", "20"]));
        assert_eq!(output.code, 3, "{fault}: {}", output.stderr);
        assert!(output.stderr.contains(code) && output.stderr.contains("list pods"), "{fault}: {}", output.stderr);
        let mut golden = Graph::read(GOLDEN).kinds();
        golden.remove("kubernetes_pod");
        assert_eq!(Graph::read(&graph).kinds(), golden, "{fault}");
    }
}

#[test]
fn forbidden_kind_is_a_gap_with_a_remedy() {
    let server = LocalK8s::start(&["--forbid", "pods,statefulsets"]);
    let (output, graph) = collect(&server, &fork(&[]));
    assert_eq!(output.code, 3, "{}", output.stderr);
    for expected in ["list pods", "list statefulsets", "Forbidden", "ClusterRole"] {
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    let kinds = Graph::read(&graph).kinds();
    assert_eq!((kinds.get("kubernetes_pod"), kinds["kubernetes_replica_set"]), (None, 8));
    assert_eq!(server.paths()[PODS], 1, "a refusal is final");
}

#[test]
fn cluster_that_refuses_every_kind_fails() {
    let all = "nodes,namespaces,deployments,statefulsets,replicasets,controllerrevisions,daemonsets,pods";
    let server = LocalK8s::start(&["--forbid", all]);
    let (output, graph) = collect(&server, &fork(&[]));
    assert_eq!((output.code, graph.as_str()), (4, ""), "{}", output.stderr);
    assert!(output.stderr.contains("none of its calls succeeded"), "{}", output.stderr);
}

#[test]
fn namespaces_of_options_are_listed_one_by_one() {
    let server = LocalK8s::start(&["--page-limit", "4"]);
    let (output, graph) = collect(&server, &fork(&["--k8s-namespace", "shop", "empty", "nosuch"]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let graph = Graph::read(&graph);
    let (golden, kinds) = (Graph::read(GOLDEN), graph.kinds());
    assert_eq!((kinds["kubernetes_namespace"], kinds.get("kubernetes_node")), (2, None));
    assert!(kinds["kubernetes_pod"] > 4, "{kinds:?}");
    // The nodes are those of the whole cluster.
    assert!(graph.nodes.iter().all(|(id, node)| golden.nodes.get(id) == Some(node)));
    let paths = server.paths();
    assert!(paths.contains_key("/api/v1/namespaces/empty/pods") && !paths.contains_key(PODS), "{paths:?}");
}

#[test]
fn namespace_that_refuses_a_kind_is_a_gap_there() {
    let fault = |namespace: &str| format!("/api/v1/namespaces/{namespace}/pods=403");
    let server = LocalK8s::start(&["--fault", &fault("shop")]);
    let namespaces = ["--k8s-namespace", "shop", "team-u"];
    let (output, graph) = collect(&server, &fork(&namespaces));
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("k8s token in shop: v1:list pods"), "{}", output.stderr);
    let kinds = Graph::read(&graph).kinds();
    assert!(kinds["kubernetes_pod"] > 10 && kinds["kubernetes_deployment"] == 8, "{kinds:?}");
    // If none allows it, the kind is a gap of the cluster.
    let server = LocalK8s::start(&["--fault", &fault("shop"), "--fault", &fault("team-u")]);
    let (output, graph) = collect(&server, &fork(&namespaces));
    assert_eq!((output.code, Graph::read(&graph).kinds().get("kubernetes_pod")), (3, None), "{}", output.stderr);
    // Namespaces that cannot be read have no ID.
    let server = LocalK8s::start(&["--forbid", "namespaces"]);
    let (output, _) = collect(&server, &fork(&namespaces));
    assert_eq!(output.code, 4, "{}", output.stderr);
}

#[test]
fn rejected_login_that_cannot_be_renewed_fails_the_cluster() {
    let server = LocalK8s::start(&["--page-limit", "5", "--fault", &format!("{PODS}=401@3")]);
    // The plugin prints the same token again, so that there is nothing to renew.
    let (output, graph) = collect(&server, &fork(&["--k8s-context", "exec"]));
    assert_eq!((output.code, graph.as_str()), (4, ""), "{}", output.stderr);
    assert!(output.stderr.contains("its credentials were rejected"), "{}", output.stderr);
}

#[tokio::test]
async fn killed_worker_is_replaced_and_graph_complete() {
    let server = LocalK8s::start(&["--latency", "0.2", "--page-limit", "5"]);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("graph.ndjson");
    let mut command = command(&["collect", "--output", file.to_str().unwrap()]);
    let running = Running::start(server.serve(&mut command).args(fork(&[])));
    let has_begun = async || (server.paths().get(PODS).copied().unwrap_or_default() > 2).then_some(());
    poll(has_begun).await.unwrap();
    let workers = running.children();
    assert!(!workers.is_empty());
    workers.iter().for_each(|worker| signal(*worker, "KILL"));
    let output: program::Output = tokio::task::spawn_blocking(|| running.wait()).await.unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_golden(&std::fs::read_to_string(file).unwrap(), GOLDEN, NODES);
}
