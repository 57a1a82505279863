//! One-shot collections of GCP projects with the built program and real child processes, compared with the graph that
//! the Python worker made of the same organization.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use serde_json::Value;

use crate::support::{
    gcp::{LocalGcp, serve},
    program::{self, Output, command},
};

/// The graph of the Python worker.
const GOLDEN: &str = include_str!("../../golden/gcp/graph.ndjson");

/// The organization of that graph.
const ORGANIZATION: &[&str] =
    &["--seed", "1", "--projects", "3", "--regions", "us-central1", "europe-west1", "--page-size", "20"];

/// What is different on purpose: kind, field, and the number of nodes. `docs/differences.md` lists the reasons.
const DIFFERENT: [(&str, &str, usize); 8] = [
    ("gcp_database", "ctime", 9),
    ("gcp_disk_type", "ondemand_cost", 6),
    ("gcp_disk_type", "volume_type", 54),
    ("gcp_forwarding_rule", "backends", 6),
    ("gcp_project", "ctime", 3),
    ("gcp_project", "tags", 3),
    ("gcp_snapshot", "snapshot_status", 6),
    ("gcp_zone", "zone_status", 12),
];

/// The nodes of SKUs that the Python worker did not use: prices of regional disks.
const NEW_NODES: [(&str, usize); 1] = [("gcp_service_sku", 6)];

/// The edges that it did not draw: networks of other projects, internal rules, and the prices of regional disks.
const NEW_EDGES: [(&str, &str, usize); 5] = [
    ("gcp_backend_service", "gcp_forwarding_rule", 6),
    ("gcp_network", "gcp_instance", 8),
    ("gcp_service", "gcp_service_sku", 6),
    ("gcp_service_sku", "gcp_disk_type", 6),
    ("gcp_subnetwork", "gcp_instance", 8),
];

/// The kinds whose nodes had the zone of whatever they lead to in their IDs. They are compared by their links.
const LEAKED: [&str; 7] = [
    "gcp_backend_service",
    "gcp_forwarding_rule",
    "gcp_instance_group",
    "gcp_instance_group_manager",
    "gcp_target_pool",
    "gcp_target_ssl_proxy",
    "gcp_target_tcp_proxy",
];

/// A graph: nodes by ID, and edges.
#[derive(Default)]
struct Graph {
    nodes: BTreeMap<String, Value>,
    edges: BTreeSet<(String, String)>,
}

impl Graph {
    fn read(text: &str) -> Self {
        let mut graph = Self::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let member = |name: &str| line[name].as_str().unwrap().to_owned();
            match line.get("from") {
                Some(_) => assert!(graph.edges.insert((member("from"), member("to"))), "twice: {line}"),
                None => assert!(graph.nodes.insert(member("id"), line.clone()).is_none(), "twice: {line}"),
            }
        }
        graph
    }

    fn kind(&self, id: &str) -> &str {
        self.nodes[id]["reported"]["kind"].as_str().unwrap()
    }

    /// The graph with the IDs of the other one for nodes that have the same link there.
    fn with_ids_of(self, other: &Self) -> (Self, usize) {
        let link =
            |node: &Value| Some((node["reported"]["kind"].clone(), node["reported"]["link"].as_str()?.to_owned()));
        let by_link: HashMap<_, _> = other.nodes.iter().filter_map(|(id, node)| Some((link(node)?, id))).collect();
        let mut renamed = HashMap::new();
        for (id, node) in self.nodes.iter().filter(|(id, _)| !other.nodes.contains_key(*id)) {
            if let Some(known) = link(node).and_then(|link| by_link.get(&link)) {
                assert!(LEAKED.contains(&self.kind(id)), "another ID: {node}");
                renamed.insert(id.clone(), (*known).clone());
            }
        }
        let name = |id: String| renamed.get(&id).cloned().unwrap_or(id);
        let nodes = self.nodes.into_iter().map(|(id, node)| (name(id), node)).collect();
        let edges = self.edges.into_iter().map(|(from, to)| (name(from), name(to))).collect();
        (Self { nodes, edges }, renamed.len())
    }
}

fn counted<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// Fails unless a graph is the golden one but for what is different on purpose.
fn assert_golden(text: &str) {
    let golden = Graph::read(GOLDEN);
    let (graph, renamed) = Graph::read(text).with_ids_of(&golden);
    assert_eq!(renamed, 60);
    let lost: Vec<_> = golden.nodes.iter().filter(|(id, _)| !graph.nodes.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let new = graph.nodes.keys().filter(|id| !golden.nodes.contains_key(*id));
    let new = counted(new.map(|id| graph.kind(id)));
    assert_eq!(new, BTreeMap::from(NEW_NODES));
    let mut different = Vec::new();
    for (id, before) in &golden.nodes {
        let now = &graph.nodes[id];
        assert_eq!(now["metadata"], before["metadata"], "{now}");
        let fields = [now, before].map(|node| node["reported"].as_object().unwrap());
        let names: BTreeSet<&String> = fields.iter().flat_map(|fields| fields.keys()).collect();
        let names = names.into_iter().filter(|name| fields[0].get(*name) != fields[1].get(*name));
        different.extend(names.map(|name| (golden.kind(id), name.as_str())));
    }
    let expected = DIFFERENT.iter().map(|(kind, field, count)| ((*kind, *field), *count)).collect();
    assert_eq!(counted(different.into_iter()), expected);
    let lost: Vec<_> = golden.edges.difference(&graph.edges).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let new = graph.edges.difference(&golden.edges).map(|(from, to)| (graph.kind(from), graph.kind(to)));
    assert_eq!(counted(new), NEW_EDGES.iter().map(|(from, to, count)| ((*from, *to), *count)).collect());
}

/// Collects with these arguments. Returns the output, and the graph.
fn collect(server: &LocalGcp, arguments: &[&str]) -> (Output, String) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("graph.ndjson");
    let mut command = command(&["collect", "--output", file.to_str().unwrap()]);
    let output = program::run(serve(&mut command, server.url(), home.path()).args(arguments));
    (output, fs::read_to_string(file).unwrap_or_default())
}

#[tokio::test]
async fn graph_is_that_of_the_python_worker_forked_or_not() {
    for arguments in [
        &["--fork", "--gcp-fork"][..],
        &["--fork", "--gcp-fork", "--gcp-project-pool-size", "1"],
        &["--fork"],
        &["--gcp-project-pool-size", "1"],
    ] {
        let server = LocalGcp::start(ORGANIZATION);
        let (output, graph) = collect(&server, arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        assert_golden(&graph);
        assert_eq!(server.calls("cloudbilling.services.list").await, 1, "{arguments:?}: once per run");
        let calls = server.control("stats").await["calls"].as_object().unwrap().clone();
        let calls = calls.iter().filter(|(name, _)| name.contains('.')).map(|(_, count)| count.as_u64().unwrap());
        // The Python worker made 196, tokens not counted.
        let calls: u64 = calls.sum();
        assert!((150..196).contains(&calls), "{arguments:?}: {calls}");
    }
}

/// The names of the nodes of a kind.
fn names(graph: &str, kind: &str) -> BTreeSet<String> {
    let nodes = Graph::read(graph).nodes.into_values().filter(|node| node["reported"]["kind"] == kind);
    nodes.map(|node| node["reported"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn options_select_projects_and_kinds() {
    let server = LocalGcp::start(&["--projects", "3", "--regions", "us-central1"]);
    let all = names(&collect(&server, &[]).1, "gcp_project");
    let [first, second, third] = all.iter().map(String::as_str).collect::<Vec<_>>()[..] else { panic!("{all:?}") };
    let (output, graph) = collect(&server, &["--gcp-project", second, "--gcp-collect", "networks", "instances"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(names(&graph, "gcp_project"), BTreeSet::from([second.to_owned()]));
    let kinds = Graph::read(&graph).nodes.into_values().map(|node| node["reported"]["kind"].clone());
    let kinds: BTreeSet<String> = kinds.map(|kind| kind.as_str().unwrap().to_owned()).collect();
    let expected = ["cloud", "gcp_instance", "gcp_network", "gcp_project", "gcp_quota", "gcp_region", "gcp_zone"];
    assert_eq!(kinds, expected.iter().chain(&["graph_root"]).map(|kind| (*kind).to_owned()).collect());
    let (_, graph) = collect(&server, &["--gcp-exclude-project", first, "ck-shop-*"]);
    assert!(!names(&graph, "gcp_project").contains(first), "{third}");
    for (arguments, code, message) in [
        (&["--gcp-collect", "instance"][..], 2, "instances"),
        (&["--gcp-endpoint-url", "nonsense"], 2, "--gcp-endpoint-url"),
    ] {
        let (output, _) = collect(&server, arguments);
        assert_eq!(output.code, code, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(message), "{arguments:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn disabled_api_is_absence_without_a_core() {
    let server = LocalGcp::start(&["--projects", "1", "--regions", "us-central1"]);
    server.fault("fault=disabled&op=compute.*").await;
    let (output, graph) = collect(&server, &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    // One call told that it is not in use.
    assert!(server.calls("compute.regions.list").await + server.calls("compute.networks.list").await <= 2);
    assert_eq!(names(&graph, "gcp_bucket").len(), 3);
    assert_eq!(names(&graph, "gcp_database").len(), 3, "below the project");
    assert_eq!(names(&graph, "gcp_network").len(), 0);
}

#[tokio::test]
async fn api_with_some_successful_calls_is_in_use() {
    for operation in ["compute.zones.list", "compute.instances.aggregatedList", "compute.networks.list"] {
        let server = LocalGcp::start(&["--projects", "1", "--regions", "us-central1"]);
        server.fault(&format!("fault=disabled&op={operation}")).await;
        let (output, graph) = collect(&server, &[]);
        assert_eq!(output.code, 3, "{operation}: {}", output.stderr);
        assert!(output.stderr.contains("SERVICE_DISABLED"), "{operation}: {}", output.stderr);
        assert_eq!(names(&graph, "gcp_bucket").len(), 3, "{operation}");
    }
}

#[tokio::test]
async fn projects_to_be_deleted_are_not_collected() {
    let server = LocalGcp::start(&["--projects", "1", "--regions", "us-central1", "--deleted-project"]);
    let (output, graph) = collect(&server, &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(names(&graph, "gcp_project").len(), 1);
    assert_eq!(server.calls("compute.regions.list").await, 1, "of the active project");
}
