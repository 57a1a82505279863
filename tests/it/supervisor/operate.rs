//! Workers that misbehave while they operate: every operation gets an outcome, and nothing is left behind.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use ckworker::{
    ckcore::{self, CoreConfig},
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, Target},
    collectors,
    delivery::{Delivered, Delivery, DeliveryError, Sink},
    graph::Spool,
    process::{Program, reaper},
    report::{CoreStatus, StatusSnapshot},
    settings::{OptionSpec, Setting, Settings},
    supervisor::{
        self, CleanupSetting, Setup, Source, StatusSenders,
        policy::{CollectorPolicy, Policy},
        worker_session::{Limits, SessionCollector, Timeouts},
    },
    telemetry::Metrics,
};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use worker_proto::{Failure, Plan, Unit};

use crate::support::{
    core::{HANG_GUARD, TestCore},
    daemon::{Daemon, SUBSCRIBER, answer, have},
};

/// The example collector, whose operations a puppet carries out in the way that its settings name.
struct Puppets;

impl Collector for Puppets {
    fn name(&self) -> &'static str {
        "example"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn check(&self, _: &Settings) -> Result<(), String> {
        Ok(())
    }

    fn concurrency(&self, _: &Settings) -> Concurrency {
        Concurrency { fork: true, pool: 1 }
    }

    fn broker(&self, _: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, _: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(async { Ok(Plan::default()) })
    }

    fn collect<'a>(&'a self, _: &'a CollectContext, _: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    fn operator(&self, settings: &Settings, subject: &Target) -> Result<Unit, Failure> {
        let unit = collectors::find("example").unwrap().operator(settings, subject)?;
        Ok(Unit { payload: settings.text("behaviour").unwrap().to_owned(), ..unit })
    }
}

fn find(name: &str) -> Option<&'static dyn Collector> {
    (name == "example").then_some(&Puppets)
}

struct Nowhere;

impl Sink for Nowhere {
    fn name(&self) -> String {
        "nowhere".to_owned()
    }

    fn deliver(&self, _: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        Box::pin(async { Ok(Delivered::default()) })
    }
}

fn puppet() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join("puppet")
}

/// A core with the example graph in which one instance is marked.
async fn core() -> (TestCore, String) {
    let core = TestCore::start(None).await;
    let daemon = Daemon::start(&core, |command| command.args(["--collector", "example"]));
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    daemon.stop().await;
    let nodes = core.nodes("ck");
    let marked = nodes.into_iter().find(|(_, node)| node.reported["id"] == "someInstance1").unwrap().0;
    core.mark("ck", &[&marked]);
    core.connection_lost(SUBSCRIBER).await;
    (core, marked)
}

/// A cleanup with puppets as workers: whether the resource counts as deleted, and its event log.
async fn play(behaviour: &str) -> (bool, String) {
    let (core, marked) = core().await;
    reaper::adopt_orphans();
    let mut settings = Settings::default();
    settings.set("behaviour", Setting::Text(behaviour.into()));
    let units = Concurrency { fork: true, pool: 1 };
    let mut policy = Policy::new(vec![CollectorPolicy { name: "example", process: true, units }], 5, HANG_GUARD * 10);
    policy.cleanup = CleanupSetting { enabled: true, dry_run: false, pool: 2 };
    let (status, _status) = watch::channel(StatusSnapshot::default());
    let (core_status, _core_status) = watch::channel(CoreStatus::default());
    let (events, received) = mpsc::channel(16);
    let connection = Arc::new(ckcore::connect(CoreConfig::new(&core.uri(), &core.ws_uri()).unwrap(), events).unwrap());
    let setup = Setup {
        policy,
        collectors: BTreeMap::from([("example", SessionCollector { settings, broker: None })]),
        program: Program { path: puppet(), args: Vec::new() },
        memory_limit: 0,
        spool: Spool::new(1 << 20),
        timeouts: Timeouts { silence: Duration::from_secs(1), ..Timeouts::default() },
        limits: Limits::default(),
        find,
        level: worker_proto::Level::Info,
        sink: Arc::new(Nowhere),
        metrics: Arc::new(Metrics::new()),
        has_summary: false,
        on_progress: Box::new(|_| {}),
    };
    let (signal, signals) = mpsc::channel(1);
    let signals = futures_util::stream::unfold(signals, |mut signals| async { Some((signals.recv().await?, signals)) });
    let senders = StatusSenders { status, core: core_status };
    let source = Source::Core(connection, received);
    let running = tokio::spawn(async move { supervisor::run(setup, source, Box::pin(signals), senders).await });
    core.connected(SUBSCRIBER).await;
    let task = core.start_workflow("cleanup").unwrap();
    assert_eq!(answer(&core, &task).await.0, "action_done");
    signal.send(15).await.unwrap();
    tokio::time::timeout(HANG_GUARD * 2, running).await.expect("the supervisor must end").unwrap();
    assert_eq!(children(), Vec::<String>::new(), "nothing may be left in the process table");
    let metadata = core.nodes("ck")[&marked].metadata.clone();
    (metadata["cleaned"] == json!(true), metadata["event_log"].to_string())
}

/// The children of this process, zombies too.
fn children() -> Vec<String> {
    let list = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = list.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn what_a_worker_does_well_is_done() {
    let (cleaned, log) = play("well").await;
    assert!(cleaned && log.contains("Successfully cleaned up"), "{log}");
}

#[tokio::test]
async fn a_refusal_is_in_the_event_log_and_is_not_tried_again() {
    let (cleaned, log) = play("deny").await;
    assert!(!cleaned && log.contains("role denied"), "{log}");
}

#[tokio::test]
async fn a_worker_that_dies_once_is_followed_by_another() {
    let marker = tempfile::tempdir().unwrap();
    let (cleaned, log) = play(&format!("die-once:{}/died", marker.path().display())).await;
    assert!(cleaned, "{log}");
}

#[tokio::test]
async fn a_worker_that_dies_again_and_again_fails_the_operation() {
    let (cleaned, log) = play("die").await;
    assert!(!cleaned && log.contains("SIGKILL"), "{log}");
}

#[tokio::test]
async fn a_worker_that_says_nothing_is_ended() {
    let (cleaned, log) = play("hang").await;
    assert!(!cleaned && log.contains("worker sent no frame in time"), "{log}");
}

/// Invariant: nodes of a unit count only after `UnitDone` with matching counts.
#[tokio::test]
async fn what_is_not_the_protocol_ends_the_worker() {
    let violation = "worker violated the protocol";
    for (behaviour, message) in [
        ("garbage", violation),
        ("foreign-answer", violation),
        ("collects", violation),
        ("half-frame", "worker exited without a result"),
    ] {
        let (cleaned, log) = play(behaviour).await;
        assert!(!cleaned && log.contains(message), "{behaviour}: {log}");
    }
}
