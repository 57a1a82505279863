//! One bound of workers for collections, cleanups and tags: the built program, counted by the starts of its processes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{
    aws::LocalAws,
    core::{StoredNode, TestCore, in_task},
    daemon::{Daemon, SUBSCRIBER, answer, have},
    poll::{becomes, poll},
};

const REGION: &str = "us-east-1";

/// A daemon that collects all accounts with so many workers.
fn daemon(core: &TestCore, aws: &LocalAws, pool: &str) -> Daemon {
    Daemon::start(core, |command| {
        command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-role", "Cloudkeeper", "--aws-scrape-org"]);
        command.args([
            "--aws-assume-current",
            "--aws-role-override",
            "--aws-region",
            REGION,
            "--aws-account-pool-size",
            pool,
            "--cleanup",
            "--verbose",
        ]);
        aws.serve(command)
    })
}

/// One node of a kind in each account.
fn one_in_each_account(core: &TestCore, kind: &str) -> Vec<(String, StoredNode)> {
    let nodes = core.nodes("ck").into_iter().filter(|(_, node)| node.reported["kind"] == kind);
    let account = |node: &StoredNode| node.metadata["ancestors"]["account"]["id"].as_str().unwrap().to_owned();
    let by_account: BTreeMap<String, _> = nodes.map(|(id, node)| (account(&node), (id, node))).collect();
    by_account.into_values().collect()
}

/// The most workers that there were at a time since the log had this length: each start of a worker is logged with the
/// number of those that have not ended.
fn most_workers(daemon: &Daemon, from: usize) -> usize {
    let log = daemon.log();
    let starts = log[from..].lines().filter(|line| line.contains("starting worker"));
    let numbers = starts.filter_map(|line| line.split_once("workers=")?.1.split_whitespace().next()?.parse().ok());
    numbers.max().unwrap_or_else(|| panic!("no worker was started: {log}"))
}

/// Starts a collection whose workers do not go on; returns its task and how many workers there are.
async fn hanging_collection(core: &TestCore, aws: &LocalAws, daemon: &Daemon, workers: usize) -> String {
    aws.reset().await;
    aws.fault(json!({"operation": "DescribeVolumes", "mode": "hang"})).await;
    core.connected(SUBSCRIBER).await;
    let task = core.start_workflow("collect").unwrap();
    assert!(becomes(async || aws.has_struck().await).await, "a call that hangs: {}", daemon.log());
    let all = becomes(async || running_jobs(daemon).await == workers).await;
    assert!(all, "{workers} accounts are collected: {}", daemon.log());
    task
}

async fn jobs(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.get("/jobs").await.1).unwrap()
}

async fn running_jobs(daemon: &Daemon) -> usize {
    let jobs = jobs(daemon).await;
    let is_account = |job: &&Value| job["state"] == "running" && !job["unit"].is_null();
    jobs["jobs"].as_array().unwrap().iter().filter(is_account).count()
}

fn add_tag(core: &TestCore, task: &str, (id, node): &(String, StoredNode)) {
    let data = json!({"update": {"owner": "bob"}, "node": in_task(id, node)});
    core.add_task(task, &[("cloud", "aws")], data);
}

#[tokio::test]
async fn collection_cleanup_and_tags_share_one_bound() {
    let aws = LocalAws::start(4, &[REGION]);
    let core = TestCore::start(None).await;
    let daemon = daemon(&core, &aws, "2");
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    let (keypairs, subnets) =
        (one_in_each_account(&core, "aws_ec2_keypair"), one_in_each_account(&core, "aws_ec2_subnet"));
    assert_eq!((keypairs.len(), subnets.len()), (4, 4));
    let from = daemon.log().len();
    let collection = hanging_collection(&core, &aws, &daemon, 2).await;
    core.mark("ck", &keypairs.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
    let cleanup = core.start_workflow("cleanup").unwrap();
    // Tags in each account, while two accounts do not go on and deletions wait for a worker.
    for (number, subnet) in subnets.iter().enumerate() {
        add_tag(&core, &format!("tag {number}"), subnet);
    }
    for number in 0..subnets.len() {
        let outcome = core.task_over(&format!("tag {number}")).await.outcome;
        assert!(outcome.is_some_and(|outcome| outcome.is_ok()), "{}", daemon.log());
    }
    assert!(core.answers(&collection).is_empty() && core.answers(&cleanup).is_empty(), "{}", daemon.log());
    aws.reset().await;
    assert_eq!(answer(&core, &collection).await.0, "action_done", "{}", daemon.log());
    assert_eq!(answer(&core, &cleanup).await.0, "action_done", "{}", daemon.log());
    assert_eq!(aws.changes().await["DeleteKeyPair"], 4, "{}", daemon.log());
    assert_eq!(most_workers(&daemon, from), 3, "two of the pool, and one for operations: {}", daemon.log());
    assert_eq!(daemon.stop().await.0.code, 0);
}

/// Invariant: a task is executed once and answered within its time.
#[tokio::test]
async fn tag_is_answered_during_a_long_collection_with_a_pool_of_one() {
    let aws = LocalAws::start(1, &[REGION]);
    let core = TestCore::start(None).await;
    let daemon = daemon(&core, &aws, "1");
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    let subnet = one_in_each_account(&core, "aws_ec2_subnet").remove(0);
    let from = daemon.log().len();
    let collection = hanging_collection(&core, &aws, &daemon, 1).await;
    let slow = aws.delay("CreateTags", 1.0).await;
    add_tag(&core, "tag", &subnet);
    // `/jobs` shows the worker, and the task that it works for.
    let shown = poll(async || {
        let jobs = jobs(&daemon).await;
        (jobs["operations"][0]["open"] == 1 && !jobs["operations"][0]["pid"].is_null()).then_some(jobs)
    });
    let shown = shown.await.unwrap_or_else(|| panic!("no operation on /jobs: {}", daemon.log()));
    let operation = &shown["operations"][0];
    let account = subnet.1.metadata["ancestors"]["account"]["id"].as_str().unwrap();
    assert_eq!(operation["name"], json!(format!("aws/{account}/operations")), "{shown}");
    assert_eq!([&operation["collector"], &operation["unit"]], ["aws", account], "{shown}");
    assert_eq!((&operation["state"], &operation["actions"]), (&json!("running"), &json!(["tag"])), "{shown}");
    let pid = operation["pid"].as_i64().unwrap();
    assert!(daemon.running.children().iter().any(|child| i64::from(*child) == pid), "{shown}");
    assert!(operation["started"].as_u64().is_some_and(|started| started > 1_600_000_000), "{shown}");
    let action = &shown["actions"][0];
    assert_eq!([&action["name"], &action["task"], &action["state"]], ["tag", "tag", "running"], "{shown}");
    aws.mend(slow).await;
    assert!(core.task_over("tag").await.outcome.is_some_and(|outcome| outcome.is_ok()), "{}", daemon.log());
    assert!(core.answers(&collection).is_empty(), "the collection has not gone on");
    aws.reset().await;
    assert_eq!(answer(&core, &collection).await.0, "action_done", "{}", daemon.log());
    assert!(becomes(async || jobs(&daemon).await["actions"] == json!([])).await);
    assert_eq!(most_workers(&daemon, from), 2, "{}", daemon.log());
    assert_eq!(daemon.stop().await.0.code, 0);
}
