//! Cleanups during which a worker, the supervisor or the core is lost, and what runs beside a cleanup.

use super::*;
use crate::support::{
    core::in_task,
    daemon::answer,
    poll::{becomes, poll},
    program::{self, is_alive},
};

/// Waits until the fault in force has struck, and answers the worker that is in the middle of it.
async fn in_the_middle(scene: &Scene) -> i32 {
    let child = poll(async || {
        let struck = scene.aws.has_struck().await;
        scene.daemon.running.children().first().copied().filter(|_| struck)
    });
    child.await.unwrap_or_else(|| panic!("{}", scene.daemon.log()))
}

#[tokio::test]
async fn killed_worker_is_replaced_and_each_deletion_made_once() {
    let scene = Scene::start(&["--cleanup"]).await;
    let snapshots = scene.find(|node| node.reported["kind"] == "aws_ec2_snapshot");
    let ids: Vec<&str> = snapshots.iter().map(|(id, _)| id.as_str()).collect();
    scene.aws.fault(json!({"operation": "DeleteSnapshot", "mode": "hang"})).await;
    scene.core.mark("ck", &ids);
    scene.core.connected(SUBSCRIBER).await;
    let task = scene.core.start_workflow("cleanup").unwrap();
    scene.daemon.logged("cleaning up").await;
    let child = in_the_middle(&scene).await;
    program::signal(child, "KILL");
    scene.aws.reset().await;
    assert_eq!(answer(&scene.core, &task).await, done(), "{}", scene.daemon.log());
    for (id, _) in &snapshots {
        assert!(scene.is_cleaned(id), "{:?}\n{}", events(&scene.metadata(id)), scene.daemon.log());
    }
    assert!(!is_alive(child));
    scene.stop().await;
}

/// Waits until a worker of a supervisor that was killed is gone.
async fn gone(child: i32) {
    assert!(becomes(async || !is_alive(child)).await, "a worker must not outlive its supervisor");
}

#[tokio::test]
async fn next_supervisor_finishes_cleanup_of_killed_one() {
    let scene = Scene::start(&["--cleanup", "--cleanup-pool-size", "1"]).await;
    let wanted = |node: &StoredNode| node.reported["kind"] == "aws_ec2_volume" && region(node) == "us-east-1";
    let volumes = scene.find(wanted);
    let others = scene.find(|node| node.reported["kind"] == "aws_ec2_volume" && !wanted(node));
    let instances = scene.find(|node| node.reported["kind"] == "aws_ec2_instance" && region(node) == "us-east-1");
    let ids: Vec<&str> = volumes.iter().chain(&instances).map(|(id, _)| id.as_str()).collect();
    scene.aws.fault(json!({"operation": "DeleteVolume", "mode": "hang"})).await;
    scene.core.mark("ck", &ids);
    scene.core.connected(SUBSCRIBER).await;
    let task = scene.core.start_workflow("cleanup").unwrap();
    // The instances are deeper than their volumes, and the core hears of them before it is all over.
    scene.core.requested("PATCH /graph/ck/nodes", 1).await;
    let children = scene.daemon.running.children();
    scene.daemon.running.signal("KILL");
    let Scene { aws, core, daemon: first } = scene;
    let log = first.log();
    drop(first);
    for child in children {
        gone(child).await;
    }
    assert!(instances.iter().any(|(id, _)| core.nodes("ck")[id].metadata["cleaned"] == json!(true)), "{log}");
    aws.reset().await;
    // The core delivers the action again to the next one.
    let second = daemon(&core, &aws, &["--cleanup"]);
    assert_eq!(answer(&core, &task).await, done(), "{}", second.log());
    for (id, _) in volumes.iter().chain(&instances) {
        assert_eq!(core.nodes("ck")[id].metadata["cleaned"], json!(true), "{}", second.log());
    }
    assert_eq!(have(&core, "collect").await, done(), "{}", second.log());
    let after = core.nodes("ck");
    assert!(volumes.iter().all(|(id, _)| !after.contains_key(id)), "what was marked is gone");
    assert!(others.iter().all(|(id, _)| after.contains_key(id)), "what was not marked is there");
    assert_eq!(second.stop().await.0.code, 0);
}

/// The volumes of a region that nothing uses, all of them marked.
fn marked_volumes(scene: &Scene, place: &str) -> Vec<String> {
    let is_free = |node: &StoredNode| node.reported["volume_status"] == "available" && region(node) == place;
    let volumes = scene.find(|node| node.reported["kind"] == "aws_ec2_volume" && is_free(node));
    let ids: Vec<String> = volumes.into_iter().map(|(id, _)| id).collect();
    assert!(ids.len() > 1, "there must be several: {ids:?}");
    scene.core.mark("ck", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    ids
}

/// The core's answer to its cleanup, of which it was told everything, each deletion made once.
async fn everything_was_done_once(scene: &Scene, task: &str, volumes: &[String]) {
    assert_eq!(answer(&scene.core, task).await, done(), "{}", scene.daemon.log());
    for id in volumes {
        let told = events(&scene.metadata(id));
        assert!(scene.is_cleaned(id), "{told:?}\n{}", scene.daemon.log());
        assert_eq!(told.iter().filter(|event| event.contains("Successfully cleaned up")).count(), 1, "{told:?}");
    }
    let changes = scene.aws.changes().await;
    assert_eq!(changes, BTreeMap::from([("DeleteVolume".to_owned(), volumes.len() as u64)]));
}

#[tokio::test]
async fn core_lost_during_cleanup_gets_all_results_later() {
    let mut scene = Scene::start(&["--cleanup"]).await;
    let volumes = marked_volumes(&scene, "us-east-1");
    let hanging = scene.aws.delay("DeleteVolume", 0.5).await;
    scene.core.connected(SUBSCRIBER).await;
    let task = scene.core.start_workflow("cleanup").unwrap();
    in_the_middle(&scene).await;
    scene.core.stop();
    scene.daemon.logged("cannot report cleanup results to the core; retrying").await;
    scene.aws.mend(hanging).await;
    scene.daemon.logged_times("deleted resource=", volumes.len()).await;
    scene.core.start_again().await;
    everything_was_done_once(&scene, &task, &volumes).await;
    scene.stop().await;
}

#[tokio::test]
async fn cleanup_survives_transient_errors_and_lost_connections() {
    let scene = Scene::start(&["--cleanup"]).await;
    let volumes = marked_volumes(&scene, "us-east-1");
    let (busy, stranger) = ((429, "Too many requests"), (401, "401: Unauthorized"));
    for (begin, times, (status, text)) in [
        ("POST /graph/ck/query/graph", 1, busy),
        ("POST /graph/ck/query/graph", 1, stranger),
        ("PATCH /graph/ck/nodes", 2, busy),
        ("PATCH /graph/ck/nodes", 1, stranger),
    ] {
        scene.core.refuse(begin, times, status, text);
    }
    let hanging = scene.aws.delay("DeleteVolume", 0.5).await;
    scene.core.connected(SUBSCRIBER).await;
    let task = scene.core.start_workflow("cleanup").unwrap();
    in_the_middle(&scene).await;
    for (status, text) in [busy, stranger] {
        scene.core.refuse("GET /subscriber/", 2, status, text);
    }
    scene.core.drop_connections();
    scene.core.delivered(&task, 2).await;
    scene.aws.mend(hanging).await;
    everything_was_done_once(&scene, &task, &volumes).await;
    scene.stop().await;
}

#[tokio::test]
async fn cleanup_delays_no_collection_and_its_stop_is_answered() {
    let scene = Scene::start(&["--cleanup"]).await;
    let volume = scene.one("aws_ec2_volume", "");
    scene.aws.fault(json!({"operation": "DeleteVolume", "mode": "hang"})).await;
    scene.core.mark("ck", &[&volume]);
    scene.core.connected(SUBSCRIBER).await;
    let task = scene.core.start_workflow("cleanup").unwrap();
    scene.daemon.logged("cleaning up").await;
    scene.core.drop_connections();
    scene.core.delivered(&task, 2).await;
    assert_eq!(have(&scene.core, "collect").await, done(), "{}", scene.daemon.log());
    let (core, daemon) = (scene.core, scene.daemon);
    let (output, log) = daemon.stop().await;
    assert_eq!(output.code, 0, "{log}");
    let (kind, error) = answer(&core, &task).await;
    assert_eq!((kind.as_str(), error.contains("stopped during the cleanup")), ("action_error", true), "{error}");
    assert_eq!(log.matches("received cleanup action").count(), 1, "{log}");
}

#[tokio::test]
async fn slow_report_to_core_delays_no_deletion() {
    let scene = Scene::start(&["--cleanup", "--cleanup-pool-size", "1"]).await;
    let volumes = marked_volumes(&scene, "us-east-1");
    let telling = scene.core.hold("PATCH /graph/ck/nodes");
    // The second one hangs until the core is told of the first.
    let hanging = scene.aws.delay("DeleteVolume", 0.5).await;
    scene.core.connected(SUBSCRIBER).await;
    let task = scene.core.start_workflow("cleanup").unwrap();
    in_the_middle(&scene).await;
    scene.core.requested("PATCH /graph/ck/nodes", 1).await;
    scene.aws.mend(hanging).await;
    scene.daemon.logged_times("deleted resource=", volumes.len()).await;
    assert_eq!(scene.core.requests("PATCH /graph/ck/nodes"), 1, "one at a time");
    telling.open();
    everything_was_done_once(&scene, &task, &volumes).await;
    scene.stop().await;
}

#[tokio::test]
async fn result_rejected_by_core_does_not_affect_others() {
    let scene = Scene::start(&["--cleanup"]).await;
    let volumes = marked_volumes(&scene, "us-east-1");
    scene.core.mind(&volumes[0]);
    let (kind, error) = have(&scene.core, "cleanup").await;
    assert_eq!(kind, "action_error", "{}", scene.daemon.log());
    assert!(error.contains("could not be told about 1 of them"), "{error}");
    assert!(volumes[1..].iter().all(|id| scene.is_cleaned(id)) && !scene.is_cleaned(&volumes[0]));
    assert!(scene.daemon.log().contains(&format!("nodes={}", volumes[0])), "{}", scene.daemon.log());
    scene.stop().await;
}

#[tokio::test]
async fn tag_is_changed_while_cleanup_hangs() {
    let scene = Scene::start(&["--cleanup"]).await;
    let volumes = marked_volumes(&scene, "us-east-1");
    let hanging = scene.aws.fault(json!({"operation": "DeleteVolume", "mode": "hang"})).await;
    scene.core.connected(SUBSCRIBER).await;
    let cleanup = scene.core.start_workflow("cleanup").unwrap();
    in_the_middle(&scene).await;
    let subnet = scene.one("aws_ec2_subnet", "");
    let node = in_task(&subnet, &scene.core.nodes("ck")[&subnet]);
    scene.core.add_task("tag", &[("cloud", "aws")], json!({"update": {"owner": "bob"}, "node": node}));
    let outcome = scene.core.task_over("tag").await.outcome.unwrap();
    assert_eq!(outcome.unwrap()["reported"]["tags"]["owner"], "bob");
    assert!(scene.core.answers(&cleanup).is_empty(), "the cleanup goes on");
    scene.aws.mend(hanging).await;
    assert_eq!(answer(&scene.core, &cleanup).await, done(), "{}", scene.daemon.log());
    assert!(volumes.iter().all(|id| scene.is_cleaned(id)));
    scene.stop().await;
}

#[tokio::test]
async fn next_supervisor_finishes_cleanup_killed_while_core_was_lost() {
    let mut scene = Scene::start(&["--cleanup", "--cleanup-pool-size", "1"]).await;
    let volumes = marked_volumes(&scene, "us-east-1");
    scene.aws.delay("DeleteVolume", 0.5).await;
    scene.core.connected(SUBSCRIBER).await;
    let task = scene.core.start_workflow("cleanup").unwrap();
    in_the_middle(&scene).await;
    scene.core.stop();
    scene.daemon.logged("cannot report cleanup results to the core; retrying").await;
    let children = scene.daemon.running.children();
    scene.daemon.running.signal("KILL");
    let Scene { aws, mut core, daemon: first } = scene;
    drop(first);
    for child in children {
        gone(child).await;
    }
    // Nobody has told the core of what is deleted already.
    assert!(volumes.iter().all(|id| core.nodes("ck")[id].metadata["cleaned"] != json!(true)));
    aws.reset().await;
    core.start_again().await;
    let second = daemon(&core, &aws, &["--cleanup"]);
    assert_eq!(answer(&core, &task).await, done(), "{}", second.log());
    assert!(volumes.iter().all(|id| core.nodes("ck")[id].metadata["cleaned"] == json!(true)), "{}", second.log());
    assert_eq!(second.stop().await.0.code, 0);
}
