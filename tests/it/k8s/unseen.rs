//! Not seen is not gone: what a fault of an API server hides stays in the core, and the answer names it.

use crate::support::{
    both::graph_of,
    core::TestCore,
    daemon::{Daemon, have},
    k8s::LocalK8s,
};

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
    (&["--page-limit", "5", "--fault", "/api/v1/pods=401@3"], "rejected"),
];

#[tokio::test]
async fn core_keeps_what_faults_of_clusters_hide() {
    let core = TestCore::start(None).await;
    let mut server = LocalK8s::start(&[]);
    let daemon = Daemon::start(&core, |command| server.serve(command).args(OPTIONS));
    assert_eq!(have(&core, "collect").await, ("action_done".to_owned(), String::new()), "{}", daemon.log());
    daemon.stop().await;
    let truth = graph_of(&core);
    assert!(truth.nodes.len() > 350, "{}", truth.nodes.len());
    for (fault, named) in CASES {
        server.restart(fault);
        let daemon = Daemon::start(&core, |command| server.serve(command).args(OPTIONS));
        let (kind, error) = have(&core, "collect").await;
        assert!(kind == "action_error" && error.contains(named), "{fault:?}: {kind} {error}: {}", daemon.log());
        truth.assert_same(&graph_of(&core), &format!("{fault:?}"));
        daemon.stop().await;
    }
}
