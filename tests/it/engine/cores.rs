//! The invented cloud with a supervisor and the test core 2.0: what was not seen stays, and what vanished goes.

use std::{collections::BTreeSet, sync::Arc};

use ckworker::{
    ckcore::CoreApi,
    collector_api::Collector,
    collectors::Registry,
    delivery::CoreSink,
    graph::{Schema, SchemaError},
    telemetry::Metrics,
};
use worker_proto::Gap;

use super::{
    across::peerings,
    nimbus::cloud,
    server::{SERVERS, Server},
    supervised::{find, run},
};
use crate::support::{client::config, core::TestCore};

/// The name of the graph.
const GRAPH: &str = "ck";

/// A core that knows the kinds of the invented cloud.
pub(super) struct Core {
    core: TestCore,
    metrics: Arc<Metrics>,
}

fn schema_with(_: &BTreeSet<String>) -> Result<Schema, SchemaError> {
    Err(SchemaError::UnknownKind("none is known only at run time".to_owned()))
}

fn schema() -> Result<&'static Schema, SchemaError> {
    Ok(cloud().schema)
}

/// How a run ended.
pub(super) struct Ran {
    pub(super) is_complete: bool,
    pub(super) gaps: Vec<Gap>,
    /// The nodes that the accounts kept.
    pub(super) kept: Vec<u64>,
}

impl Ran {
    /// The gaps as account, region, operation and code.
    pub(super) fn gaps(&self) -> BTreeSet<[&str; 4]> {
        self.gaps.iter().map(|gap| [&*gap.account, &*gap.region, &*gap.operation, &*gap.code]).collect()
    }
}

impl Core {
    pub(super) async fn start() -> Self {
        Self { core: TestCore::start(None).await, metrics: Arc::new(Metrics::new()) }
    }

    /// Collects all accounts, two at the same time, and merges them into the core.
    pub(super) async fn collect(&self, server: &Server) -> Ran {
        let metrics = Arc::clone(&self.metrics);
        let sink = CoreSink {
            api: CoreApi::new(config(&self.core)).unwrap(),
            registry: Registry { find: find as fn(&str) -> Option<&'static dyn Collector>, schema, schema_with },
            ignore_deferred: false,
            dump: None,
            metrics,
            hold_sudden_loss: None,
            losses: Arc::default(),
            uncollected: Vec::new(),
        };
        let ended = run(server, Arc::new(sink), 2).await;
        assert!(ended.delivery.is_ok(), "{:?}", ended.delivery);
        let report = ended.report.unwrap();
        let units = &report.collectors[0].units;
        Ran {
            is_complete: report.is_complete(),
            gaps: units.iter().flat_map(|unit| unit.gaps.clone()).collect(),
            kept: units.iter().map(|unit| unit.kept).collect(),
        }
    }

    /// The nodes of a kind, as their names.
    pub(super) fn names(&self, kind: &str) -> BTreeSet<String> {
        let nodes = self.core.nodes(GRAPH);
        let of_kind = nodes.values().filter(|node| node.reported["kind"] == kind);
        of_kind.map(|node| node.reported["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The number of nodes of a kind.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.core.nodes(GRAPH).values().filter(|node| node.reported["kind"] == kind).count()
    }

    /// The edges between networks and peerings.
    pub(super) fn peerings(&self) -> BTreeSet<String> {
        let nodes = self.core.nodes(GRAPH).into_iter().map(|(id, node)| (id, node.reported)).collect();
        let edges = self.core.edges(GRAPH);
        peerings(&nodes, edges.iter().map(|(from, to, _)| (from.as_str(), to.as_str())))
    }

    /// The gaps of a service that the delivery has counted.
    pub(super) fn gaps_counted(&self, service: &str, code: &str) -> u64 {
        let text = self.metrics.encode();
        let counts = text.lines().filter(|line| line.starts_with("ckworker_gaps_total{"));
        let counts =
            counts.filter(|line| line.contains(&format!("\"{service}\"")) && line.contains(&format!("\"{code}\"")));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// The number of edges.
    pub(super) fn edges(&self) -> usize {
        self.core.edges(GRAPH).len()
    }
}

#[tokio::test]
async fn silent_zone_stays_and_deleted_servers_elsewhere_go() {
    let (server, core) = (Server::start().await, Core::start().await);
    let ran = core.collect(&server).await;
    assert!(ran.is_complete, "{:?}", ran.gaps);
    let before = (core.names("nimbus_server"), core.edges());
    server.silence("aggregated", &["zones/north-a"]);
    let ran = core.collect(&server).await;
    assert_eq!(ran.gaps().len(), 2, "{:?}", ran.gaps);
    assert_eq!(ran.kept, [SERVERS as u64; 2]);
    assert_eq!((core.names("nimbus_server"), core.edges()), before);
    // One that is hidden stays, one that is seen goes.
    server.delete("/zones/north-a/servers/server-1");
    server.delete("/zones/south-a/servers/server-2");
    let ran = core.collect(&server).await;
    assert!(!ran.is_complete);
    let lost: Vec<_> = before.0.difference(&core.names("nimbus_server")).cloned().collect();
    assert_eq!(lost, ["south-a 2"]);
    server.recover();
    assert!(core.collect(&server).await.is_complete);
    let lost: Vec<_> = before.0.difference(&core.names("nimbus_server")).cloned().collect();
    assert_eq!(lost, ["north-a 1", "south-a 2"]);
    assert_eq!(core.count("nimbus_server"), 2 * (4 * SERVERS - 2));
}
