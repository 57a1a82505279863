//! Not seen is not gone: what a fault of Google's APIs hides stays in both cores, and the answer names it.

use std::path::Path;

use serde_json::Value;

use crate::support::{
    both::{Cores, Daemons, Graph},
    gcp::{LocalGcp, serve},
};

/// A fault, and what the answer names.
struct Case<'a> {
    fault: &'a str,
    named: &'a str,
}

const fn case<'a>(fault: &'a str, named: &'a str) -> Case<'a> {
    Case { fault, named }
}

/// Faults that end calls at once.
const QUICK: [Case<'static>; 15] = [
    case("fault=disabled&op=sqladmin.*", "NotInUse"),
    case("fault=denied&op=compute.instances.aggregatedList", "forbidden"),
    case("fault=denied&op=compute.regions.list", "forbidden"),
    case("fault=denied&op=compute.zones.list", "forbidden"),
    case("fault=billing&op=storage.*", "BILLING_DISABLED"),
    case("fault=partial&op=compute.disks.aggregatedList&scope=zones/us-central1-a", "UNREACHABLE"),
    case("fault=denied&op=compute.instanceGroups.listInstances", "forbidden"),
    case("fault=denied&op=cloudbilling.*", "forbidden"),
    case("fault=notfound&op=compute.networks.list", "notFound"),
    case("fault=disabled&op=storage.*", "NotInUse"),
    case("fault=denied&op=compute.machineTypes.*", "forbidden"),
    case("fault=denied&op=compute.diskTypes.*", "forbidden"),
    case("fault=partial&op=compute.targetPools.aggregatedList&scope=regions/us-central1", "UNREACHABLE"),
    case("fault=partial&op=compute.instances.aggregatedList&scope=zones/europe-west1-b", "UNREACHABLE"),
    case("fault=partial&op=compute.backendServices.aggregatedList&scope=global", "UNREACHABLE"),
];

/// Faults that are retried for as long as a call may take.
const LASTING: [Case<'static>; 7] = [
    case("fault=rate429&op=compute.disks.aggregatedList", "disks.aggregatedList"),
    case("fault=rate403&op=compute.routers.aggregatedList", "routers.aggregatedList"),
    case("fault=unavailable&op=compute.forwardingRules.aggregatedList", "forwardingRules.aggregatedList"),
    case("fault=html&op=storage.buckets.list", "buckets.list"),
    case("fault=malformed&op=compute.urlMaps.aggregatedList", "urlMaps.aggregatedList"),
    case("fault=empty&op=compute.networks.list", "networks.list"),
    case("fault=hang&op=sqladmin.instances.list", "instances.list"),
];

fn daemons(cores: &Cores, server: &LocalGcp, home: &Path, options: &[&str]) -> Daemons {
    cores.daemons(&|command| serve(command, server.url(), home).args(["--fork", "--gcp-fork"]).args(options))
}

/// Collects under a fault, and fails unless both cores keep everything and learn of it.
async fn under(cores: &Cores, daemons: &Daemons, server: &LocalGcp, case: &Case<'_>, truth: &[Graph; 2]) {
    server.fault(case.fault).await;
    let answers = cores.collect(daemons).await;
    server.mend().await;
    for (kind, error) in answers {
        let what = || format!("{}: {kind} {error}: {}", case.fault, daemons.logs());
        assert!(kind == "action_error" && error.contains("incomplete"), "{}", what());
        assert!(error.contains(case.named), "{}", what());
    }
    for (core, (truth, graph)) in ["2.0", "4.1"].iter().zip(truth.iter().zip(cores.graphs().await)) {
        truth.assert_same(&graph, &format!("{}, core {core}", case.fault));
    }
}

async fn complete(cores: &Cores, daemons: &Daemons) -> [Graph; 2] {
    for (kind, error) in cores.collect(daemons).await {
        assert_eq!((kind.as_str(), error.as_str()), ("action_done", ""), "{}", daemons.logs());
    }
    cores.graphs().await
}

#[tokio::test]
async fn core2_and_core4_keep_what_faults_of_google_hide() {
    let home = tempfile::tempdir().unwrap();
    let server = LocalGcp::start(&["--projects", "2", "--regions", "us-central1", "europe-west1"]);
    let cores = Cores::start().await;
    let quick = daemons(&cores, &server, home.path(), &[]);
    let truth = complete(&cores, &quick).await;
    assert!(truth[1].nodes.len() > 500, "{}", truth[1].nodes.len());
    for case in &QUICK {
        under(&cores, &quick, &server, case, &truth).await;
    }
    // A token that ends is renewed, and what does not last leaves no gap.
    for fault in ["fault=unauthorized&times=1", "fault=rate429&times=5", "fault=reset&times=5"] {
        server.fault(fault).await;
        let graphs = complete(&cores, &quick).await;
        truth.iter().zip(&graphs).for_each(|(truth, graph)| truth.assert_same(graph, fault));
        server.mend().await;
    }
    cores.stop(quick).await;
    // A call that fails to the end has a fifth of what is left of this.
    let bounded = daemons(&cores, &server, home.path(), &["--timeout", "45"]);
    for case in &LASTING {
        under(&cores, &bounded, &server, case, &truth).await;
    }
    cores.stop(bounded).await;
}

/// The number of databases, and the graph without them.
fn apart(mut graph: Graph) -> (usize, Graph) {
    let is_database = |node: &Value| node["kind"] == "gcp_database";
    let before = graph.nodes.len();
    graph.nodes.retain(|_, node| !is_database(node));
    let nodes = &graph.nodes;
    graph.edges.retain(|(from, to)| nodes.contains_key(from) && nodes.contains_key(to));
    (before - graph.nodes.len(), graph)
}

/// Without its regions, a project's databases are below the project, and nowhere else.
#[tokio::test]
async fn core2_and_core4_keep_what_disabled_compute_hides() {
    let home = tempfile::tempdir().unwrap();
    let server = LocalGcp::start(&["--projects", "1", "--regions", "us-central1"]);
    let cores = Cores::start().await;
    let daemons = daemons(&cores, &server, home.path(), &[]);
    let truth = complete(&cores, &daemons).await.map(apart);
    server.fault("fault=disabled&op=compute.*").await;
    for (kind, error) in cores.collect(&daemons).await {
        assert!(kind == "action_error" && error.contains("NotInUse"), "{error}: {}", daemons.logs());
    }
    server.mend().await;
    for ((databases, truth), graph) in truth.iter().zip(cores.graphs().await) {
        let (found, graph) = apart(graph);
        assert_eq!((found, *databases), (3, 3));
        truth.assert_same(&graph, "compute is disabled");
    }
    cores.stop(daemons).await;
}

#[tokio::test]
async fn core2_and_core4_forget_what_a_partial_list_does_not_hide() {
    let home = tempfile::tempdir().unwrap();
    let server = LocalGcp::start(&["--projects", "1", "--regions", "us-central1"]);
    let cores = Cores::start().await;
    let daemons = daemons(&cores, &server, home.path(), &[]);
    let truth = complete(&cores, &daemons).await;
    // Disks of types that others in their zones have too.
    let deleted = ["a", "b"].map(|zone| format!("new-us-central1-{zone}"));
    for (zone, disk) in ["a", "b"].iter().zip(&deleted) {
        server.delete(&format!("zones/us-central1-{zone}/disks/{disk}")).await;
    }
    server.fault("fault=partial&op=compute.disks.aggregatedList&scope=zones/us-central1-a").await;
    for (kind, error) in cores.collect(&daemons).await {
        assert!(kind == "action_error" && error.contains("UNREACHABLE"), "{error}: {}", daemons.logs());
    }
    server.mend().await;
    let seen = truth.clone().map(|graph| graph.without(&deleted[1]));
    seen.iter().zip(cores.graphs().await).for_each(|(truth, graph)| truth.assert_same(&graph, "one zone unreachable"));
    let all = complete(&cores, &daemons).await;
    let gone = seen.map(|graph| graph.without(&deleted[0]));
    gone.iter().zip(&all).for_each(|(truth, graph)| truth.assert_same(graph, "all zones answer"));
    cores.stop(daemons).await;
}

/// Edges between a network of one project and resources of another are declared by the other.
#[tokio::test]
async fn core2_and_core4_keep_edges_of_projects_that_are_not_sent() {
    let home = tempfile::tempdir().unwrap();
    let server = LocalGcp::start(&["--projects", "3", "--regions", "us-central1"]);
    let cores = Cores::start().await;
    let all = daemons(&cores, &server, home.path(), &[]);
    let truth = complete(&cores, &all).await;
    for fault in ["host", "shop", "data"].map(|project| format!("fault=denied&match=ck-{project}-")) {
        under(&cores, &all, &server, &Case { fault: &fault, named: "none of its calls succeeded" }, &truth).await;
    }
    cores.stop(all).await;
    for excluded in ["ck-host-*", "ck-shop-*", "ck-data-*"] {
        let partial = daemons(&cores, &server, home.path(), &["--gcp-exclude-project", excluded]);
        let graphs = complete(&cores, &partial).await;
        truth.iter().zip(&graphs).for_each(|(truth, graph)| truth.assert_same(graph, excluded));
        cores.stop(partial).await;
    }
}
