//! Collection, cleanup and tags of the built program against the real core 4.1, over TLS and with a key; a local AWS
//! shows what was done.

use std::process::Command;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{aws::LocalAws, core4::LocalCore, daemon::Daemon, poll::becomes};

const SUBSCRIBER: &str = "fix.worker-collector";
const PSK: &str = "geheim";

/// An AWS with one account, a core that knows it, and a daemon.
struct Scene {
    aws: LocalAws,
    core: LocalCore,
    daemon: Daemon,
}

impl Scene {
    async fn start(more: &[&str]) -> Self {
        let aws = LocalAws::start(1, &["us-east-1"]);
        let core = LocalCore::start(&["--tls", "--psk", PSK]);
        // The key proves the core's certificate: nothing else is given.
        let daemon = Daemon::at(&core.secure, |command: &mut Command| {
            command.env("CKWORKER_PSK", PSK).args(["--fork", "--collector", "aws", "--aws-fork", "--cleanup"]);
            aws.serve(command.args(["--aws-region", "us-east-1"]).args(more))
        });
        let is_there = |workers: &Value| {
            let connected = workers["connected"].as_array();
            let takes = workers["workers"]["tag"].as_array().is_some_and(|workers| !workers.is_empty());
            takes && connected.is_some_and(|all| all.contains(&json!(SUBSCRIBER)))
        };
        core.until("workers", is_there).await;
        let scene = Self { aws, core, daemon };
        scene.run("collect").await;
        scene.aws.reset().await;
        scene
    }

    /// Runs a workflow to its end.
    async fn run(&self, workflow: &str) {
        let task = self.core.workflow(workflow).await;
        self.over(&task).await;
    }

    /// Waits until a workflow is over.
    async fn over(&self, task: &str) {
        let is_over = |tasks: &Value| {
            let running = tasks["running"].as_array();
            running.is_some_and(|running| running.iter().all(|one| one["id"] != task))
        };
        self.core.until("tasks", is_over).await;
    }

    async fn nodes(&self, kind: &str) -> Vec<Value> {
        self.core.nodes().await.into_iter().filter(|node| node["reported"]["kind"] == kind).collect()
    }

    /// The nodes that are marked for cleanup.
    async fn marked(&self) -> Vec<Value> {
        self.core.nodes().await.into_iter().filter(|node| node["desired"]["clean"] == json!(true)).collect()
    }

    /// Waits until the fault in force has struck.
    async fn struck(&self) {
        assert!(becomes(async || self.aws.has_struck().await).await, "{}", self.daemon.log());
    }

    async fn stop(self) {
        let (output, log) = self.daemon.stop().await;
        assert_eq!(output.code, 0, "{log}");
    }
}

fn is_cleaned(node: &Value) -> bool {
    node["metadata"]["cleaned"] == json!(true)
}

#[tokio::test]
async fn resources_are_deleted_and_tagged_over_tls_with_a_key() {
    let scene = Scene::start(&[]).await;
    let kept = scene.nodes("aws_ec2_keypair").await.swap_remove(0);
    scene.core.command("search is(aws_ec2_keypair) | clean \"test\"").await;
    scene.core.command(&format!("search id({}) | protect", kept["_key"].as_str().unwrap())).await;
    scene.run("cleanup").await;
    let keypairs = scene.nodes("aws_ec2_keypair").await;
    let stayed = keypairs.iter().filter(|node| !is_cleaned(node)).map(|node| &node["_key"]).collect::<Vec<_>>();
    assert_eq!(stayed, [&kept["_key"]], "{keypairs:?} {}", scene.daemon.log());
    assert!(keypairs.len() > 1);
    assert_eq!(scene.aws.changes().await, [("DeleteKeyPair".to_owned(), keypairs.len() as u64 - 1)].into());

    let owners = |nodes: Vec<Value>| -> Vec<Value> {
        nodes.into_iter().map(|node| node["reported"]["tags"]["owner"].clone()).collect()
    };
    scene.core.command("search is(aws_ec2_subnet) | tag update owner bob").await;
    let after = owners(scene.nodes("aws_ec2_subnet").await);
    assert!(!after.is_empty() && after.iter().all(|owner| owner == "bob"), "{after:?}");
    scene.core.command("search is(aws_ec2_subnet) | tag delete owner").await;
    assert!(owners(scene.nodes("aws_ec2_subnet").await).iter().all(Value::is_null));
    scene.stop().await;
}

/// More than one worker is given at the same time.
const MANY: usize = 70;

/// Invariant: a task is executed once and answered within its time.
#[tokio::test]
async fn many_tasks_at_once_are_all_done() {
    let scene = Scene::start(&[]).await;
    let subnet = scene.nodes("aws_ec2_subnet").await.swap_remove(0);
    let node = json!({"id": subnet["_key"], "reported": subnet["reported"], "ancestors": subnet["ancestors"]});
    let hanging = scene.aws.delay("CreateTags", 1.0).await;
    let pushed = (0..MANY).map(|number| {
        let data = json!({"update": {"owner": number.to_string()}, "node": node});
        let wish = json!({"name": "tag", "attrs": {"cloud": "aws"}, "data": data});
        let core = &scene.core;
        async move { core.push("work", &wish).await }
    });
    let all_given = async {
        let given = |workers: &Value| workers["given"].as_array().is_some_and(|given| given.len() == MANY);
        scene.core.until("workers", given).await;
        scene.struck().await;
        scene.aws.mend(hanging).await;
    };
    let (results, ()) = tokio::join!(join_all(pushed), all_given);
    let failed: Vec<_> = results.iter().filter(|result| result.get("error").is_some()).collect();
    assert!(failed.is_empty(), "{} of {MANY}, such as {:?}", failed.len(), failed[0]);
    assert!(results.iter().all(|result| result["result"]["reported"]["tags"].is_object()));
    scene.stop().await;
}

#[tokio::test]
async fn node_marked_during_tag_change_stays_marked() {
    let scene = Scene::start(&[]).await;
    let subnet = scene.nodes("aws_ec2_subnet").await.swap_remove(0);
    let id = subnet["_key"].as_str().unwrap().to_owned();
    let hanging = scene.aws.delay("CreateTags", 1.0).await;
    let tag = format!("search id({id}) | tag update owner bob");
    let meanwhile = async {
        scene.struck().await;
        scene.core.command(&format!("search id({id}) | protect")).await;
        scene.core.command(&format!("search id({id}) | set_desired wish=true")).await;
        scene.aws.mend(hanging).await;
    };
    let (said, ()) = tokio::join!(scene.core.command(&tag), meanwhile);
    let subnets = scene.nodes("aws_ec2_subnet").await;
    let now = subnets.iter().find(|node| node["_key"] == id.as_str()).unwrap();
    assert_eq!(now["reported"]["tags"]["owner"], "bob", "{said}");
    assert_eq!((&now["metadata"]["protected"], &now["desired"]["wish"]), (&json!(true), &json!(true)), "{now}");
    scene.stop().await;
}

/// Invariant: an abandoned operation is not executed.
#[tokio::test]
async fn cancelled_cleanup_starts_no_more_and_reports_its_results() {
    let scene = Scene::start(&["--cleanup-pool-size", "1"]).await;
    scene.core.command("search is(aws_ec2_volume) and volume_status=available | clean \"test\"").await;
    let hanging = scene.aws.delay("DeleteVolume", 1.0).await;
    let task = scene.core.workflow("cleanup").await;
    scene.struck().await;
    scene.core.push(&format!("stop/{task}"), &Value::Null).await;
    // The connection says it, then whoever ends the cleanup.
    scene.daemon.logged_times("core aborted action", 2).await;
    scene.aws.mend(hanging).await;
    scene.daemon.logged("cleaned up deleted=1 failed=0").await;
    let volumes = scene.marked().await;
    assert!(volumes.len() > 2, "{volumes:?}");
    assert_eq!(volumes.iter().filter(|node| is_cleaned(node)).count(), 1, "{}", scene.daemon.log());
    assert_eq!(scene.aws.changes().await["DeleteVolume"], 1);

    scene.run("cleanup").await;
    let after = scene.marked().await;
    assert!(after.iter().all(is_cleaned), "{}", scene.daemon.log());
    assert_eq!(scene.aws.changes().await["DeleteVolume"], volumes.len() as u64, "each once");
    scene.stop().await;
}

#[tokio::test]
async fn collection_shows_progress_and_cancelled_one_ends_workers() {
    let scene = Scene::start(&[]).await;
    let hanging = scene.aws.fault(json!({"operation": "DescribeVolumes", "mode": "hang"})).await;
    let task = scene.core.workflow("collect").await;
    let is_told = |tasks: &Value| {
        let running = tasks["running"].as_array().into_iter().flatten();
        let mut own = running.filter(|one| one["id"] == task.as_str());
        own.any(|one| one["progress"].to_string().contains("123456789012"))
    };
    scene.core.until("tasks", is_told).await;
    scene.struck().await;
    scene.core.push(&format!("stop/{task}"), &Value::Null).await;
    assert!(becomes(async || scene.daemon.running.children().is_empty()).await, "{}", scene.daemon.log());
    scene.aws.mend(hanging).await;
    scene.run("collect").await;
    assert!(!scene.nodes("aws_ec2_volume").await.is_empty());
    assert_eq!(scene.nodes("aws_account").await[0]["metadata"]["replace"], json!(true));
    scene.stop().await;
}

#[tokio::test]
async fn restarted_core_without_memory_gets_everything_again() {
    let Scene { aws, core, daemon } = Scene::start(&[]).await;
    aws.fault(json!({"operation": "DescribeVolumes", "mode": "hang"})).await;
    core.workflow("collect").await;
    let scene = Scene { aws, core, daemon };
    scene.struck().await;
    let Scene { aws, core, daemon } = scene;
    let core = core.restart(&["--psk", PSK, "--tls"]);
    aws.reset().await;
    core.until("workers", |workers| workers["connected"].to_string().contains(SUBSCRIBER)).await;
    let scene = Scene { aws, core, daemon };
    scene.run("collect").await;
    scene.core.command("search is(aws_ec2_volume) | tag update owner bob").await;
    let volumes = scene.nodes("aws_ec2_volume").await;
    assert!(!volumes.is_empty() && volumes.iter().all(|node| node["reported"]["tags"]["owner"] == "bob"));
    scene.stop().await;
}
