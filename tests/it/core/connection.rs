//! The connection to a core, against the test core.

use std::time::Duration;

use ckworker::ckcore::{Answer, CoreConfig, CoreEvent, Psk, SubscriberId, Subscription};
use tokio::time::{Instant, timeout};

use crate::support::{
    client::{Client, SUBSCRIPTIONS, config},
    core::{HANG_GUARD, TestCore},
    daemon::SUBSCRIBER,
    graph::{cloud, deliver},
};

const REGISTER: &str = "POST /subscriber/worker-collect_cleanup/";
const HANDLE: &str = "GET /subscriber/worker-collect_cleanup/handle";

fn done() -> (String, String, String) {
    ("collect".into(), "action_done".into(), String::new())
}

#[tokio::test]
async fn actions_are_received_and_answered_twice_in_a_row() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    assert_eq!(client.event().await, CoreEvent::Connected);
    for _ in 0..2 {
        let task = server.start_workflow("collect").unwrap();
        let action = client.action().await;
        assert_eq!((action.name, &action.key.task), ("collect", &task));
        client.done(&action).await;
        server.finished(&task).await;
        assert_eq!(server.answers(&task), [done()]);
    }
    let register = "collect?timeout=10800&wait_for_completion=True";
    assert_eq!(server.all_requests()[..2], ["GET /system/ready".to_owned(), format!("{REGISTER}{register}")]);
    assert_eq!(server.frames().len(), 2);
    client.close().await;
}

#[tokio::test]
async fn both_actions_of_workflow_are_answered_and_error_has_its_text() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect_and_cleanup").unwrap();
    let action = client.action().await;
    client.done(&action).await;
    let action = client.action().await;
    assert_eq!(action.name, "cleanup");
    client.core.answer(&action.key, Answer::Error("not yet".into()));
    server.finished(&task).await;
    let error = ("cleanup".to_owned(), "action_error".to_owned(), "not yet".to_owned());
    assert_eq!(server.answers(&task), [done(), error]);
    client.close().await;
}

#[tokio::test]
async fn restarted_core_is_found_again() {
    let mut server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    for round in 0..2 {
        server.connections_made(2 * round + 1).await;
        let task = server.start_workflow("collect").unwrap();
        let action = client.action().await;
        client.done(&action).await;
        server.finished(&task).await;
        // The core closed after the answer: this is the next connection.
        server.connections_made(2 * round + 2).await;
        server.restart().await;
        client.disconnected().await;
    }
    client.close().await;
}

#[tokio::test]
async fn core_that_is_not_up_yet_is_awaited() {
    let mut server = TestCore::start(None).await;
    server.stop();
    let mut client = Client::new(&server);
    let reason = client.disconnected().await;
    assert!(reason.contains("detection of the core"), "{reason}");
    server.start_again().await;
    assert_eq!(client.event().await, CoreEvent::Connected);
    client.close().await;
}

/// Invariant: each action gets exactly one result.
#[tokio::test]
async fn redelivered_action_is_not_started_twice() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    server.drop_connections();
    server.delivered(&task, 2).await;
    // The second delivery is on its way; the pong says that it was read.
    server.ping(SUBSCRIBER).await;
    client.done(&action).await;
    server.finished(&task).await;
    assert_eq!(server.answers(&task), [done()]);
    while let Ok(event) = client.events.try_recv() {
        assert!(!matches!(event, CoreEvent::Action(_)), "{event:?}");
    }
    client.close().await;
    assert_eq!(server.frames().len(), 1, "one answer for both deliveries");
}

#[tokio::test]
async fn result_given_while_disconnected_is_delivered_later() {
    let mut server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    server.stop();
    client.disconnected().await;
    client.done(&action).await;
    server.start_again().await;
    server.finished(&task).await;
    client.close().await;
    assert_eq!(server.frames().len(), 1);
}

/// Invariant: each action gets exactly one result.
#[tokio::test]
async fn kept_result_is_sent_again_without_new_work() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    client.core.answer(&action.key, Answer::Error("why".into()));
    server.finished(&task).await;
    server.forget_answers(&task, "collect");
    server.drop_connections();
    server.finished(&task).await;
    assert_eq!(server.answers(&task), [("collect".into(), "action_error".into(), "why".into())]);
    client.close().await;
    assert_eq!(server.deliveries(&task), 2);
}

#[tokio::test]
async fn two_actions_at_a_time_are_answered_over_two_connections() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let tasks = ["collect", "collect_and_cleanup"].map(|name| server.start_workflow(name).unwrap());
    let actions = [client.action().await, client.action().await];
    for action in &actions {
        client.done(action).await;
    }
    let cleanup = client.action().await;
    assert_eq!((cleanup.name, &cleanup.key.task), ("cleanup", &tasks[1]));
    server.finished(&tasks[0]).await;
    assert_eq!(server.answers(&tasks[0]), [done()]);
    assert_eq!(server.answers(&tasks[1]), [done()]);
    client.close().await;
}

#[tokio::test]
async fn refusals_of_the_handshake_are_retried() {
    let server = TestCore::start(None).await;
    server.refuse(HANDLE, 2, 429, "Only one connection per subscriber is allowed!");
    server.refuse(HANDLE, 1, 404, "No subscriber with this id");
    server.cut(REGISTER, 1);
    let mut client = Client::new(&server);
    let mut reasons = Vec::new();
    loop {
        match client.event().await {
            CoreEvent::Disconnected { reason } => reasons.push(reason),
            CoreEvent::Connected => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.requests(HANDLE), 4);
    assert_eq!(server.requests(REGISTER), 1 + 4 * 2, "registered before each attempt");
    client.close().await;
}

#[tokio::test]
async fn rejected_key_is_reported_and_retried() {
    let server = TestCore::start(Some("right")).await;
    let mut config = config(&server);
    config.psk = Psk::new("wrong");
    let mut client = Client::with(config, 16);
    let reason = client.disconnected().await;
    assert!(reason.contains("--psk") && reason.contains("401"), "{reason}");
    server.requested(REGISTER, 2).await;
    drop(client);
}

#[tokio::test]
async fn actions_and_deliveries_work_with_a_key() {
    let server = TestCore::start(Some("geheim ✓")).await;
    let mut config = config(&server);
    config.psk = Psk::new("geheim ✓");
    let mut client = Client::with(config, 16);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    deliver(&client.core.api(), cloud(&["a1"])).await.unwrap();
    client.done(&action).await;
    server.finished(&task).await;
    client.close().await;
    assert_eq!(server.subscriptions(SUBSCRIBER), Some(vec![]));
}

#[tokio::test]
async fn key_changed_and_changed_back_loses_no_result() {
    let server = TestCore::start(Some("right")).await;
    let mut config = config(&server);
    config.psk = Psk::new("right");
    let mut client = Client::with(config, 16);
    server.connected(SUBSCRIBER).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    server.set_psk("another");
    server.drop_connections();
    loop {
        let reason = client.disconnected().await;
        if reason.contains("--psk") {
            break;
        }
    }
    client.done(&action).await;
    server.set_psk("right");
    server.finished(&task).await;
    assert_eq!(server.answers(&task), [done()]);
    client.close().await;
    assert_eq!(server.frames().len(), 1, "one answer");
}

#[tokio::test]
async fn closing_delivers_what_is_left_and_removes_the_subscriptions() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    let tasks = ["collect", "collect_and_cleanup"].map(|name| server.start_workflow(name).unwrap());
    for _ in &tasks {
        let action = client.action().await;
        client.core.answer(&action.key, Answer::Error("the worker is ending".into()));
    }
    client.close().await;
    for task in &tasks {
        assert_eq!(server.answer(task).await.2, "the worker is ending");
    }
    assert_eq!(server.subscriptions(SUBSCRIBER), Some(vec![]));
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[tokio::test]
async fn closing_is_bounded_when_the_core_is_gone() {
    let mut server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    server.start_workflow("collect").unwrap();
    let action = client.action().await;
    server.stop();
    client.done(&action).await;
    let deadline = Instant::now() + Duration::from_millis(300);
    timeout(HANG_GUARD, client.core.close(deadline)).await.expect("close ends");
}

/// Invariant: pings are answered during work.
#[tokio::test]
async fn pings_are_answered_while_nobody_takes_events() {
    let server = TestCore::start(None).await;
    // The queue holds one event, and nobody reads it.
    let mut client = Client::with(config(&server), 1);
    server.connected(SUBSCRIBER).await;
    for workflow in ["collect", "collect_and_cleanup"] {
        server.start_workflow(workflow).unwrap();
    }
    for _ in 0..3 {
        server.ping(SUBSCRIBER).await;
    }
    assert_eq!(client.action().await.name, "collect");
    assert_eq!(client.action().await.name, "collect");
    client.close().await;
}

#[tokio::test]
async fn silent_core_is_disconnected() {
    let server = TestCore::start(None).await;
    let mut config = config(&server);
    // The first ping finds that nothing was heard for no time at all.
    (config.timing.ping, config.timing.silence) = (Duration::from_millis(20), Duration::ZERO);
    let mut client = Client::with(config, 16);
    let reason = client.disconnected().await;
    assert!(reason.contains("neither frames nor pongs"), "{reason}");
    server.connections_made(2).await;
    drop(client);
}

#[tokio::test]
async fn unusable_frames_change_nothing() {
    let server = TestCore::start(None).await;
    let mut client = Client::new(&server);
    server.connected(SUBSCRIBER).await;
    server.connections_made(1).await;
    for text in ["", "no json", "[1]", "{\"kind\":\"action_abort\",\"message_type\":\"collect\",\"data\":{}}"] {
        server.send_text(SUBSCRIBER, text);
    }
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    assert_eq!(action.key.task, task);
    client.done(&action).await;
    server.finished(&task).await;
    client.close().await;
    assert_eq!(server.frames().len(), 1);
}

#[tokio::test]
async fn tls_towards_a_core_without_it_is_a_plain_failure() {
    let server = TestCore::start(None).await;
    let plain = server.uri();
    for (uri, ws_uri, failed) in [
        (plain.replace("http", "https"), plain.replace("http", "wss"), "detection of the core"),
        (plain.clone(), plain.replace("http", "wss"), "websocket"),
    ] {
        let mut config = config(&server);
        let secure = CoreConfig::new(&uri, &ws_uri).unwrap();
        (config.uri, config.ws_uri) = (secure.uri, secure.ws_uri);
        let mut client = Client::with(config, 16);
        let reason = client.disconnected().await;
        assert!(reason.contains(failed), "{reason}");
    }
}

#[tokio::test]
async fn same_step_is_answered_by_each_subscriber() {
    let server = TestCore::start(None).await;
    let plugins = ["actions-cleanup_plan-CleanupExpiredPlugin", "actions-cleanup_plan-CleanupVolumesPlugin"];
    let plan = |last| Subscription { subscriber: SubscriberId::Plugin(last), action: "cleanup_plan" };
    let subscriptions: Vec<_> = SUBSCRIPTIONS.into_iter().chain(plugins.map(plan)).collect();
    let mut client = Client::subscribing(config(&server), &subscriptions, 16);
    for last in ["collect_cleanup"].iter().chain(&plugins) {
        server.connected(&format!("worker-{last}")).await;
    }
    let task = server.start_workflow("cleanup").unwrap();
    let (one, other) = (client.action().await, client.action().await);
    assert_eq!([(&one.key.task, one.name), (&other.key.task, other.name)], [(&task, "cleanup_plan"); 2]);
    assert_ne!(one.key, other.key);
    client.core.answer(&one.key, Answer::Error("no".into()));
    client.done(&other).await;
    // The core goes on when both have answered.
    let cleanup = client.action().await;
    assert_eq!((cleanup.name, cleanup.key.subscriber), ("cleanup", SubscriberId::Worker));
    client.done(&cleanup).await;
    server.finished(&task).await;
    client.close().await;
    for last in plugins {
        assert_eq!(server.subscriptions(&format!("worker-{last}")).unwrap_or_default(), Vec::<String>::new());
    }
}
