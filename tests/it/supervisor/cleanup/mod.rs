//! Cleanup and tags of the built program: a test core says what, a local AWS shows what was done.

mod calls;
mod interrupted;

use std::{collections::BTreeMap, process::Command};

use serde_json::{Value, json};

use crate::support::{
    aws::LocalAws,
    core::{StoredNode, TestCore},
    daemon::{Daemon, SUBSCRIBER, have},
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
async fn region_is_emptied_in_order_and_others_stay_untouched() {
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
async fn protected_nodes_and_phantoms_stay_with_reason() {
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
