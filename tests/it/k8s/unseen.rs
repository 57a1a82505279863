//! Not seen is not gone: what a fault of an API server hides stays in the core, and the answer names it.

use crate::support::{both::Cores, k8s::LocalK8s};

const OPTIONS: &[&str] = &["--fork", "--k8s-fork", "--timeout", "40", "--k8s-no-collect", "metrics.k8s.io"];

/// The options of the server, and what the answer names.
const CASES: [(&[&str], &str); 14] = [
    (&["--forbid", "pods"], "Forbidden"),
    (&["--forbid", "replicasets,daemonsets"], "Forbidden"),
    (&["--forbid", "namespaces"], "Forbidden"),
    (&["--forbid", "nodes"], "Forbidden"),
    (&["--fault", "/api/v1/namespaces=500"], "InternalError"),
    (&["--fault", "/api/v1/pods=drop"], "ConnectionLost"),
    (&["--fault", "/apis/apps/v1/replicasets=garbage"], "InvalidResponse"),
    (&["--fault", "/apis/apps/v1/deployments=404"], "NotFound"),
    (&["--forbid", "services,secrets,persistentvolumeclaims"], "Forbidden"),
    (&["--forbid", "widgets"], "Forbidden"),
    (&["--fault", "/apis/ck.test/v1/planets=garbage"], "InvalidResponse"),
    (&["--fault", "/apis=403"], "discovery"),
    (&["--fault", "/api=500"], "discovery"),
    (&["--fault", "/api/v1/pods=401"], "rejected"),
];

#[tokio::test]
async fn core2_and_core4_keep_what_faults_of_clusters_hide() {
    let cores = Cores::start().await;
    let mut server = LocalK8s::start(&[]);
    // The kubeconfig is read again in each run, and so the address of a server that was started again.
    let daemons = cores.daemons(&|command| server.serve(command).args(OPTIONS));
    let mut truth = Vec::new();
    for (kind, error) in cores.collect(&daemons).await {
        assert_eq!((kind.as_str(), error.as_str()), ("action_done", ""), "{}", daemons.logs());
    }
    truth.extend(cores.graphs().await);
    assert!(truth.iter().all(|graph| graph.nodes.len() > 350 && !graph.named("widget-0").is_empty()));
    for (fault, named) in CASES {
        server.restart(fault);
        for (kind, error) in cores.collect(&daemons).await {
            let what = || format!("{fault:?}: {kind} {error}: {}", daemons.logs());
            assert!(kind == "action_error" && error.contains(named), "{}", what());
        }
        for (core, (truth, graph)) in ["2.0", "4.1"].iter().zip(truth.iter().zip(cores.graphs().await)) {
            truth.assert_same(&graph, &format!("{fault:?}, core {core}"));
        }
    }
    cores.stop(daemons).await;
}
