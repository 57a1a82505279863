//! The invented cloud under a supervisor: from the plan to the file.

use std::{collections::BTreeMap, sync::Arc, sync::Mutex, time::Duration};

use ckworker::{
    collector_api::{Collector, Concurrency},
    delivery::{NdjsonSink, OutputFile, Sink},
    report::{CoreStatus, StatusSnapshot},
    settings::{Setting, Settings},
    supervisor::{
        self, Ended, Setup, Source, StatusSenders,
        policy::{CollectorPolicy, Policy},
        worker_session::SessionCollector,
    },
};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    nimbus::{Nimbus, URL},
    server::{SERVERS, Server},
};
use crate::support::puppet;

/// Finds the collector.
pub(super) fn find(name: &str) -> Option<&'static dyn Collector> {
    (name == "nimbus").then_some(&Nimbus)
}

/// Collects all accounts of a server once, so many at the same time.
pub(super) async fn run(server: &Server, sink: Arc<dyn Sink>, pool: usize) -> Ended {
    let units = Concurrency { fork: false, pool };
    let collector = CollectorPolicy { name: "nimbus", is_named: true, process: false, units };
    let policy = Policy::new(vec![collector], 1, Duration::from_secs(60));
    let mut settings = Settings::default();
    settings.set(URL, Setting::Text(server.base.clone()));
    let setup = Setup {
        collectors: BTreeMap::from([("nimbus", SessionCollector { settings, broker: None })]),
        find,
        sink,
        ..puppet::setup(policy, &[], None)
    };
    let (status, _status) = watch::channel(StatusSnapshot::default());
    let (core, _core) = watch::channel(CoreStatus::default());
    supervisor::run(setup, Source::Once, stream::pending(), StatusSenders { status, core }).await
}

#[tokio::test]
async fn accounts_are_planned_collected_merged_and_written() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.ndjson");
    let output = Mutex::new(Some(OutputFile::create(&path).unwrap()));
    let ended = run(&server, Arc::new(NdjsonSink { output, ignore_deferred: false, dump: None }), 2).await;
    assert!(ended.delivery.is_ok(), "{:?}", ended.delivery);
    let report = ended.report.unwrap();
    assert!(report.collectors[0].units.iter().all(|unit| unit.counts()), "{report:#?}");

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &str| lines.iter().filter(|line| line["reported"]["kind"] == kind).count();
    let expected =
        [("cloud", 1), ("nimbus_account", 2), ("nimbus_region", 4), ("nimbus_zone", 8), ("nimbus_network", 14)];
    for (kind, count) in expected.into_iter().chain([("nimbus_server", 8 * SERVERS), ("nimbus_disk", 8 * SERVERS)]) {
        assert_eq!(of_kind(kind), count, "{kind}");
    }
}
