//! Both cores side by side, each with a daemon, which collect from the same AWS at the same time.

use std::process::Command;

use serde_json::Value;

use super::{Graph, reported};
use crate::support::{
    aws::LocalAws,
    core::TestCore,
    core4::LocalCore,
    daemon::{Daemon, SUBSCRIBER, have},
};

/// The id under which a daemon subscribes to the core 4.1.
const SUBSCRIBER4: &str = "fix.worker-collector";

/// The two cores.
pub(super) struct Cores {
    core2: TestCore,
    core4: LocalCore,
}

/// A daemon of each.
pub(super) struct Daemons {
    pub(super) two: Daemon,
    pub(super) four: Daemon,
}

impl Daemons {
    /// What both have logged so far.
    pub(super) fn logs(&self) -> String {
        format!("{}\nwith core 4.1:\n{}", self.two.log(), self.four.log())
    }
}

impl Cores {
    /// Starts both, which know nothing.
    pub(super) async fn start() -> Self {
        let core4 = tokio::task::spawn_blocking(|| LocalCore::start(&[]));
        let core2 = TestCore::start(None).await;
        Self { core2, core4: core4.await.unwrap() }
    }

    /// Starts a daemon for each with these options. They collect all accounts.
    pub(super) fn daemons(&self, aws: &LocalAws, options: &[&str]) -> Daemons {
        let start = |uri: &str| {
            Daemon::at(uri, |command: &mut Command| {
                command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-role", "Cloudkeeper"]);
                aws.serve(command.arg("--aws-scrape-org").args(options))
            })
        };
        Daemons { two: start(&self.core2.uri()), four: start(&self.core4.uri) }
    }

    /// Has both collect at the same time. Returns how each collection was answered: kind and error.
    pub(super) async fn collect(&self, daemons: &Daemons) -> [(String, String); 2] {
        let (two, four) = tokio::join!(have(&self.core2, "collect"), self.collect4(&daemons.four));
        [two, four]
    }

    async fn collect4(&self, daemon: &Daemon) -> (String, String) {
        self.core4.until("workers", is_connected).await;
        let mut events = self.core4.events().await;
        let before = errors(daemon).await;
        let task = self.core4.workflow("collect").await;
        let told = events.errors_until_end(&task).await;
        if errors(daemon).await == before {
            return ("action_done".to_owned(), told.join("; "));
        }
        ("action_error".to_owned(), told.join("; "))
    }

    /// What each has.
    pub(super) async fn graphs(&self) -> [Graph; 2] {
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
    pub(super) async fn stop(&self, daemons: Daemons) {
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
pub(super) fn graph_of(core: &TestCore) -> Graph {
    Graph {
        nodes: core.nodes("ck").into_iter().map(|(id, node)| (id, reported(&node.reported))).collect(),
        edges: core.edges("ck").into_iter().map(|(from, to, _)| (from, to)).collect(),
    }
}
