//! Workers that misbehave while they operate: every operation gets an outcome, and nothing is left behind.

use std::{sync::Arc, time::Duration};

use ckworker::{
    actions::registry,
    ckcore::{self, CoreConfig},
    collector_api::Concurrency,
    report::{CoreStatus, StatusSnapshot},
    settings::{Setting, Settings},
    supervisor::{
        self, Setup, Source, StatusSenders,
        actions::EnabledAction,
        policy::{CollectorPolicy, Policy},
        worker_session::Timeouts,
    },
};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::support::{
    core::{HANG_GUARD, TestCore},
    daemon::{Daemon, SUBSCRIBER, answer, have},
    puppet,
};

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
    let mut cleanup = Settings::default();
    cleanup.set("cleanup", Setting::Flag(true));
    cleanup.set("cleanup-pool-size", Setting::Integer(2));
    let actions = registry::enabled(|name| (name == "cleanup").then(|| cleanup.clone()));
    assert_eq!(have_cleanup(&core, actions, behaviour).await.0, "action_done");
    let metadata = core.nodes("ck")[&marked].metadata.clone();
    (metadata["cleaned"] == json!(true), metadata["event_log"].to_string())
}

/// The answer to a cleanup that these actions carry out, with puppets as workers.
pub async fn have_cleanup(core: &TestCore, actions: Vec<EnabledAction>, behaviour: &str) -> (String, String) {
    let units = Concurrency { pool: 1, ..puppet::UNITS };
    let collector = CollectorPolicy { name: "example", is_named: true, process: true, units };
    let policy = Policy::new(vec![collector], 5, HANG_GUARD * 10);
    let (status, _status) = watch::channel(StatusSnapshot::default());
    let (core_status, _core_status) = watch::channel(CoreStatus::default());
    let (events, received) = mpsc::channel(16);
    let config = CoreConfig::new(&core.uri(), &core.ws_uri()).unwrap();
    let connection = Arc::new(ckcore::connect(config, &supervisor::subscriptions(&actions), events).unwrap());
    let setup = Setup {
        actions,
        timeouts: Timeouts { silence: Duration::from_secs(1), ..Timeouts::default() },
        ..puppet::setup(policy, &[behaviour.to_owned()], None)
    };
    let (signal, signals) = mpsc::channel(1);
    let signals = futures_util::stream::unfold(signals, |mut signals| async { Some((signals.recv().await?, signals)) });
    let senders = StatusSenders { status, core: core_status };
    let source = Source::Core(connection, received);
    let running = tokio::spawn(async move { supervisor::run(setup, source, Box::pin(signals), senders).await });
    core.connected(SUBSCRIBER).await;
    let task = core.start_workflow("cleanup").unwrap();
    let answer = answer(core, &task).await;
    signal.send(15).await.unwrap();
    tokio::time::timeout(HANG_GUARD * 2, running).await.expect("the supervisor must end").unwrap();
    puppet::assert_none_left();
    assert_eq!(core.answers(&task).len(), 1, "exactly one answer, also after the end");
    answer
}

#[tokio::test]
async fn operation_of_working_worker_succeeds() {
    let (cleaned, log) = play("well").await;
    assert!(cleaned && log.contains("Successfully cleaned up"), "{log}");
}

#[tokio::test]
async fn denial_is_in_event_log_and_not_retried() {
    let (cleaned, log) = play("deny").await;
    assert!(!cleaned && log.contains("role denied"), "{log}");
}

#[tokio::test]
async fn worker_that_dies_once_is_replaced() {
    let marker = tempfile::tempdir().unwrap();
    let (cleaned, log) = play(&format!("die-once:{}/died", marker.path().display())).await;
    assert!(cleaned, "{log}");
}

#[tokio::test]
async fn worker_that_always_dies_fails_the_operation() {
    let (cleaned, log) = play("die").await;
    assert!(!cleaned && log.contains("SIGKILL"), "{log}");
}

#[tokio::test]
async fn silent_worker_is_ended() {
    let (cleaned, log) = play("hang").await;
    assert!(!cleaned && log.contains("worker sent no frame in time"), "{log}");
}

/// Invariant: nodes of a unit count only after `UnitDone` with matching counts.
#[tokio::test]
async fn protocol_violation_ends_the_worker() {
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
