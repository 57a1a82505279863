//! Both cores side by side, each with a daemon, which collect from the same cloud at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::{Value, json};

use super::{
    core::TestCore,
    core4::LocalCore,
    daemon::{Daemon, SUBSCRIBER, have},
};

/// The id under which a daemon subscribes to the core 4.1.
const SUBSCRIBER4: &str = "fix.worker-collector";

/// The two cores.
pub struct Cores {
    core2: TestCore,
    core4: LocalCore,
}

/// A daemon of each.
pub struct Daemons {
    pub two: Daemon,
    pub four: Daemon,
}

impl Daemons {
    /// What both have logged so far.
    pub fn logs(&self) -> String {
        format!("{}\nwith core 4.1:\n{}", self.two.log(), self.four.log())
    }
}

impl Cores {
    /// Starts both, which know nothing.
    pub async fn start() -> Self {
        let core4 = tokio::task::spawn_blocking(|| LocalCore::start(&[]));
        let core2 = TestCore::start(None).await;
        Self { core2, core4: core4.await.unwrap() }
    }

    /// Starts a daemon for each, with what `prepare` adds to its command line.
    pub fn daemons(&self, prepare: &dyn Fn(&mut Command) -> &mut Command) -> Daemons {
        let start = |uri: &str| Daemon::at(uri, |command: &mut Command| prepare(command));
        Daemons { two: start(&self.core2.uri()), four: start(&self.core4.uri) }
    }

    /// Has both collect at the same time. Returns how each collection was answered: kind and error.
    pub async fn collect(&self, daemons: &Daemons) -> [(String, String); 2] {
        let (two, four) = tokio::join!(have(&self.core2, "collect"), self.collect4(&daemons.four));
        [two, four]
    }

    async fn collect4(&self, daemon: &Daemon) -> (String, String) {
        self.core4.until("workers", is_connected).await;
        let mut events = self.core4.events().await;
        let before = errors(daemon).await;
        let task = self.core4.workflow("collect").await;
        let told = events.errors_until_end(&task).await;
        self.core4.merge_deferred(&task).await;
        if errors(daemon).await == before {
            return ("action_done".to_owned(), told.join("; "));
        }
        ("action_error".to_owned(), told.join("; "))
    }

    /// What each has.
    pub async fn graphs(&self) -> [Graph; 2] {
        let all = self.core4.look("graph/fix").await;
        let nodes = all["nodes"].as_array().unwrap().iter();
        let edges = all["edges"]["default"].as_array().unwrap().iter();
        let core4 = Graph {
            nodes: nodes.map(|node| (node["_key"].as_str().unwrap().into(), reported(&node["reported"]))).collect(),
            edges: edges
                .map(|edge| [&edge["from"], &edge["to"]].map(|end| end.as_str().unwrap().into()).into())
                .collect(),
        };
        [graph_of(&self.core2), core4]
    }

    /// Ends both daemons.
    pub async fn stop(&self, daemons: Daemons) {
        let (two, four) = tokio::join!(daemons.two.stop(), daemons.four.stop());
        assert_eq!((two.0.code, four.0.code), (0, 0), "{}\n{}", two.1, four.1);
        self.core2.connection_lost(SUBSCRIBER).await;
        self.core4.until("workers", |workers| !is_connected(workers)).await;
    }
}

/// Whether a daemon is connected to the core 4.1, by its list of workers.
fn is_connected(workers: &Value) -> bool {
    workers["connected"].as_array().is_some_and(|all| all.iter().any(|one| one == SUBSCRIBER4))
}

/// How many collections of a daemon were answered with an error.
async fn errors(daemon: &Daemon) -> u64 {
    let (_, metrics) = daemon.get("/metrics").await;
    let count = metrics.lines().find_map(|line| {
        line.strip_prefix("ckworker_actions_total{action=\"collect\",result=\"error\"} ")?.parse().ok()
    });
    count.unwrap_or(0)
}

/// What a core 2.0 has.
pub fn graph_of(core: &TestCore) -> Graph {
    Graph {
        nodes: core.nodes("ck").into_iter().map(|(id, node)| (id, reported(&node.reported))).collect(),
        edges: core.edges("ck").into_iter().map(|(from, to, _)| (from, to)).collect(),
    }
}

/// What a core has: what was reported of each node, and the edges.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The nodes by id in the core.
    pub nodes: BTreeMap<String, Value>,
    /// The edges, from and to.
    pub edges: BTreeSet<(String, String)>,
}

impl Graph {
    /// The nodes with this name or id in the cloud.
    pub fn named(&self, name: &str) -> BTreeSet<&String> {
        let is_named = |node: &Value| node["name"] == name || node["id"] == name;
        self.nodes.iter().filter(|(_, node)| is_named(node)).map(|(id, _)| id).collect()
    }

    /// The graph without a node and its edges.
    pub fn without(mut self, name: &str) -> Graph {
        let gone: BTreeSet<String> = self.named(name).into_iter().cloned().collect();
        assert_eq!(gone.len(), 1, "{name} must be one node");
        self.nodes.retain(|id, _| !gone.contains(id));
        self.edges.retain(|(from, to)| !gone.contains(from) && !gone.contains(to));
        self
    }

    /// The graph without the edge between two nodes.
    pub fn without_edge(mut self, from: &str, to: &str) -> Graph {
        let ends = [from, to].map(|name| self.named(name).into_iter().cloned().collect::<BTreeSet<_>>());
        let before = self.edges.len();
        self.edges.retain(|(from, to)| !(ends[0].contains(from) && ends[1].contains(to)));
        assert_eq!(self.edges.len() + 1, before, "{from} -> {to} must be one edge");
        self
    }

    /// Fails with what is different, if anything is.
    pub fn assert_same(&self, other: &Graph, what: &str) {
        let name = |id: &String, nodes: &BTreeMap<String, Value>| {
            nodes.get(id).map_or_else(|| id.clone(), |node| format!("{} {}", node["kind"], node["id"]))
        };
        let all: BTreeSet<&String> = self.nodes.keys().chain(other.nodes.keys()).collect();
        let mut different: Vec<String> = all
            .into_iter()
            .filter(|id| self.nodes.get(*id) != other.nodes.get(*id))
            .map(|id| format!("node {:?}\n    is now {:?}", self.nodes.get(id), other.nodes.get(id)))
            .collect();
        let edge = |(from, to): &(String, String)| format!("{} -> {}", name(from, &self.nodes), name(to, &self.nodes));
        different.extend(self.edges.difference(&other.edges).map(|lost| format!("edge lost: {}", edge(lost))));
        different.extend(other.edges.difference(&self.edges).map(|new| format!("edge made: {}", edge(new))));
        assert!(
            different.is_empty(),
            "{what}: {} differences\n  {}",
            different.len(),
            different[..different.len().min(12)].join("\n  ")
        );
    }
}

/// Without members that are computed from the time. Of the time of the last use it counts whether there is one.
fn reported(node: &Value) -> Value {
    let mut reported = node.clone();
    if let Some(members) = reported.as_object_mut() {
        members.retain(|name, _| {
            !["age", "last_update", "last_access", "mtime", "ctime", "password_age"].contains(&name.as_str())
        });
        members.entry("atime").and_modify(|time| *time = json!(true));
    }
    reported
}
