//! Cleanup and tags of the built program: a test core says what, a local AWS shows what was done.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    aws::LocalAws,
    core::{StoredNode, TestCore, in_task},
    daemon::{Daemon, SUBSCRIBER, answer, have},
    poll::{becomes, poll},
    program::{self, is_alive},
};

const REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];

fn done() -> (String, String) {
    ("action_done".into(), String::new())
}

/// The key that all cores and daemons of these tests share.
const PSK: &str = "geheim";

/// Starts a daemon that collects all accounts of a local AWS and may clean up in them.
fn daemon(core: &TestCore, aws: &LocalAws, more: &[&str]) -> Daemon {
    Daemon::start(core, |command: &mut Command| {
        command.env("CKWORKER_PSK", PSK);
        command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-role", "Cloudkeeper", "--aws-scrape-org"]);
        command.args(["--aws-assume-current", "--aws-region"]).args(REGIONS).args(more);
        aws.serve(command)
    })
}

/// What a test looks at: an AWS with one account, a core that knows it, and a daemon.
struct Scene {
    aws: LocalAws,
    core: TestCore,
    daemon: Daemon,
}

impl Scene {
    async fn start(more: &[&str]) -> Self {
        let aws = LocalAws::start(1, &REGIONS);
        let core = TestCore::start(Some(PSK)).await;
        let daemon = daemon(&core, &aws, more);
        assert_eq!(have(&core, "collect").await, done(), "{}", daemon.log());
        aws.reset().await;
        Self { aws, core, daemon }
    }

    /// The ids of the nodes that are wanted, with the nodes.
    fn find(&self, wanted: impl Fn(&StoredNode) -> bool) -> Vec<(String, StoredNode)> {
        self.core.nodes("ck").into_iter().filter(|(_, node)| wanted(node)).collect()
    }

    /// One node of this kind and name in the first region; any of the kind if names do not tell.
    fn one(&self, kind: &str, name: &str) -> String {
        let all = self.find(|node| node.reported["kind"] == kind && region(node) != "us-west-2");
        let named = all.iter().find(|(_, node)| node.reported["name"] == name);
        named.or(all.first()).unwrap_or_else(|| panic!("no {kind}")).0.clone()
    }

    fn metadata(&self, id: &str) -> Value {
        self.core.nodes("ck")[id].metadata.clone()
    }

    fn is_cleaned(&self, id: &str) -> bool {
        self.metadata(id)["cleaned"] == json!(true)
    }

    async fn clean(&self, ids: &[&str]) -> (String, String) {
        self.core.mark("ck", ids);
        have(&self.core, "cleanup").await
    }

    async fn stop(self) {
        let (output, log) = self.daemon.stop().await;
        assert_eq!(output.code, 0, "{log}");
    }
}

fn region(node: &StoredNode) -> &str {
    node.metadata["ancestors"]["region"]["id"].as_str().unwrap_or_default()
}

/// The texts of a node's event log.
fn events(metadata: &Value) -> Vec<String> {
    let log = metadata["event_log"].as_array().cloned().unwrap_or_default();
    log.iter().map(|entry| format!("{} {}", entry["msg"].as_str().unwrap(), entry["exception"])).collect()
}

/// The resources of the first region that a cleanup can delete, as the local AWS has them now.
async fn left(core: &TestCore, daemon: &Daemon) -> BTreeMap<String, usize> {
    assert_eq!(have(core, "collect").await, done(), "{}", daemon.log());
    let mut kinds = BTreeMap::new();
    for node in core.nodes("ck").into_values() {
        *kinds.entry(format!("{} {}", node.reported["kind"].as_str().unwrap(), region(&node))).or_default() += 1;
    }
    kinds
}

/// Where a kind is deleted by other calls than the original's, and why. Marks of the original that are no facts of the
/// cloud (`cleaned`) are compared too.
const OTHERWISE: [(&str, &[&str], bool, &str); 6] = [
    (
        "aws_iam_user",
        &["DeleteUser", "DeleteUserPolicy", "DetachUserPolicy", "RemoveUserFromGroup", "DeleteAccessKey"],
        true,
        "the original left what keeps a user",
    ),
    (
        "aws_iam_group",
        &["DeleteGroup", "DeleteGroupPolicy", "DetachGroupPolicy", "RemoveUserFromGroup"],
        true,
        "the same of groups",
    ),
    ("aws_s3_bucket", &["DeleteBucket", "DeleteObjects"], true, "versions are deleted too"),
    (
        "aws_iam_role",
        &["DeleteRole", "DetachRolePolicy", "DeleteRolePolicy", "RemoveRoleFromInstanceProfile"],
        true,
        "profiles are looked for in the cloud",
    ),
    ("aws_iam_policy", &["DeletePolicy", "DeletePolicyVersion"], true, "versions keep a policy"),
    (
        "aws_ec2_security_group",
        &["DeleteSecurityGroup"],
        false,
        "network interfaces keep it in AWS, and its own rules stay",
    ),
];

fn text<'v>(case: &'v Value, field: &str) -> &'v str {
    case[field].as_str().unwrap_or_default()
}

fn kind(case: &Value) -> &str {
    text(case, "kind")
}

/// What the original called.
fn calls_of(case: &Value) -> BTreeSet<String> {
    case["calls"].as_array().unwrap().iter().filter_map(|call| Some(call.as_str()?.to_owned())).collect()
}

/// Which calls are allowed and whether it is cleaned, if that is not as the original has it.
fn otherwise(case: &Value) -> Option<(&'static [&'static str], bool)> {
    let (_, allowed, cleaned, _) = OTHERWISE.iter().find(|(known, ..)| *known == kind(case))?;
    Some((allowed, *cleaned))
}

/// Whether it is tried in vain: something else keeps the resource, and a cleanup waits half a minute for that.
fn is_kept(case: &Value) -> bool {
    match otherwise(case) {
        Some((_, cleaned)) => !cleaned,
        None => case["cleaned"] == json!(false) && !calls_of(case).is_empty(),
    }
}

/// Cleans up one kind after the other, those that something else keeps or the rest of them.
async fn is_done_as_by_the_original(kept: bool) {
    let golden = std::fs::read_to_string("tests/golden/aws/cleanup.json").unwrap();
    let golden: Vec<Value> = serde_json::from_str(&golden).unwrap();
    let scene = Scene::start(&["--cleanup"]).await;
    let mut wrong = Vec::new();
    for case in golden.iter().filter(|case| is_kept(case) == kept) {
        let node = scene.one(kind(case), text(case, "name"));
        scene.aws.reset().await;
        assert_eq!(scene.clean(&[&node]).await, done(), "{case}: {}", scene.daemon.log());
        let calls: BTreeSet<String> = scene.aws.changes().await.into_keys().collect();
        let metadata = scene.metadata(&node);
        let cleaned = metadata["cleaned"] == json!(true);
        let right = match otherwise(case) {
            Some((allowed, wanted)) => cleaned == wanted && calls.iter().all(|call| allowed.contains(&call.as_str())),
            None => calls == calls_of(case) && json!(cleaned) == case["cleaned"],
        };
        if !right {
            wrong.push(format!("{calls:?} cleaned {cleaned}, the original {case}; {:?}", events(&metadata)));
        }
        assert!(!events(&metadata).is_empty(), "{case} says nothing of what happened");
        // A mark that was not acted on must not disturb the following kinds.
        scene.core.set_metadata("ck", &node, "cleaned", json!(true));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.stop().await;
}

#[tokio::test]
async fn every_kind_is_deleted_by_the_calls_of_the_original() {
    is_done_as_by_the_original(false).await;
}

#[tokio::test]
async fn what_something_else_keeps_stays_after_the_calls_of_the_original() {
    is_done_as_by_the_original(true).await;
}

/// What hangs in a VPC or beside it and can be deleted.
const COMPUTE: &[&str] = &[
    "aws_ec2_instance",
    "aws_elb",
    "aws_alb",
    "aws_alb_target_group",
    "aws_autoscaling_group",
    "aws_eks_cluster",
    "aws_eks_nodegroup",
    "aws_ec2_nat_gateway",
    "aws_ec2_elastic_ip",
    "aws_vpc_endpoint",
    "aws_ec2_volume",
    "aws_ec2_snapshot",
    "aws_ec2_keypair",
    "aws_cloudwatch_alarm",
    "aws_cloudformation_stack",
];

#[tokio::test]
async fn a_region_is_emptied_in_the_right_order_and_no_other_is_touched() {
    let scene = Scene::start(&["--cleanup"]).await;
    let before = left(&scene.core, &scene.daemon).await;
    let marked =
        scene.find(|node| region(node) == "us-east-1" && COMPUTE.contains(&node.reported["kind"].as_str().unwrap()));
    let ids: Vec<&str> = marked.iter().map(|(id, _)| id.as_str()).collect();
    assert!(ids.len() > COMPUTE.len(), "{ids:?}");
    assert_eq!(scene.clean(&ids).await, done(), "{}", scene.daemon.log());
    let stayed: Vec<_> = marked
        .iter()
        .filter(|(id, _)| !scene.is_cleaned(id))
        .map(|(id, node)| (node.reported["kind"].clone(), events(&scene.metadata(id))))
        .collect();
    assert!(stayed.is_empty(), "{stayed:?}");
    let after = left(&scene.core, &scene.daemon).await;
    for (kind, count) in &before {
        let (name, place) = kind.split_once(' ').unwrap();
        if place == "us-west-2" {
            assert_eq!(after.get(kind), Some(count), "{kind}");
        } else if COMPUTE.contains(&name) && place == "us-east-1" && name != "aws_ec2_instance" {
            // Terminated instances stay visible for a while, and so do gateways and endpoints.
            let gone = !after.contains_key(kind) || ["aws_ec2_nat_gateway", "aws_vpc_endpoint"].contains(&name);
            assert!(gone, "{kind}: {:?}", after.get(kind));
        }
    }
    scene.stop().await;
}

#[tokio::test]
async fn what_is_protected_or_a_phantom_stays_and_says_why() {
    let scene = Scene::start(&["--cleanup"]).await;
    let [volume, other] = ["aws_ec2_volume", "aws_ec2_snapshot"].map(|kind| scene.one(kind, ""));
    scene.core.set_metadata("ck", &volume, "protected", json!(true));
    scene.core.set_metadata("ck", &other, "phantom", json!(true));
    let account = scene.one("aws_account", "");
    assert_eq!(scene.clean(&[&volume, &other, &account]).await, done());
    assert_eq!(scene.aws.changes().await, BTreeMap::new());
    for (id, why) in [(&volume, "protected"), (&other, "phantom"), (&account, "never deleted")] {
        let events = events(&scene.metadata(id));
        assert!(events.iter().any(|event| event.contains(why)), "{events:?}");
        assert!(!scene.is_cleaned(id));
    }
    scene.stop().await;
}

#[tokio::test]
async fn without_cleanup_and_in_a_dry_run_nothing_is_deleted() {
    let aws = LocalAws::start(1, &REGIONS);
    let core = TestCore::start(Some(PSK)).await;
    for (more, said) in [(&[][..], "runs without --cleanup"), (&["--cleanup", "--cleanup-dry-run"], "would be deleted")]
    {
        let scene = daemon(&core, &aws, more);
        assert_eq!(have(&core, "collect").await, done(), "{}", scene.log());
        aws.reset().await;
        let nodes = core.nodes("ck");
        let volumes = nodes.iter().filter(|(_, node)| node.reported["kind"] == "aws_ec2_volume");
        core.mark("ck", &volumes.map(|(id, _)| id.as_str()).collect::<Vec<_>>());
        assert_eq!(have(&core, "cleanup").await, done());
        scene.logged(said).await;
        assert_eq!(aws.changes().await, BTreeMap::new());
        assert_eq!(core.requests("PATCH /graph/ck/nodes"), 0);
        assert_eq!(scene.stop().await.0.code, 0);
        core.connection_lost(SUBSCRIBER).await;
    }
}

/// Waits until the fault in force has struck, and answers the worker that is in the middle of it.
async fn in_the_middle(scene: &Scene) -> i32 {
    let child = poll(async || {
        let struck = scene.aws.has_struck().await;
        scene.daemon.running.children().first().copied().filter(|_| struck)
    });
    child.await.unwrap_or_else(|| panic!("{}", scene.daemon.log()))
}

#[tokio::test]
async fn a_worker_that_is_killed_in_the_middle_is_replaced_and_everything_is_deleted_once() {
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
async fn a_supervisor_that_is_killed_in_the_middle_is_followed_by_one_that_finishes_it() {
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
async fn a_core_that_is_lost_in_the_middle_hears_everything_when_it_is_back() {
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
async fn refusals_that_pass_and_lost_connections_cost_a_cleanup_nothing() {
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
async fn a_cleanup_delays_no_collection_and_a_stop_in_it_is_answered() {
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
async fn what_is_told_delays_no_deletion() {
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
async fn what_the_core_will_not_hear_of_costs_the_others_nothing() {
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
async fn a_tag_is_changed_while_a_cleanup_hangs() {
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
async fn a_supervisor_that_is_killed_while_the_core_is_lost_is_followed_by_one_that_finishes_it() {
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
