//! Cleanup of what is hard to delete: the state is made in a local AWS by calls, and looked at afterwards.

mod identity;
mod network;

use std::process::Command;

use serde_json::json;

use crate::support::{
    aws::{ACCOUNT, LocalAws, element},
    core::TestCore,
    daemon::{Daemon, have},
};

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";

/// An AWS with one account, a core, and a daemon that cleans up.
struct Scene {
    aws: LocalAws,
    core: TestCore,
    daemon: Daemon,
}

impl Scene {
    /// Starts them; the core knows nothing yet.
    async fn start(regions: &[&str]) -> Self {
        let aws = LocalAws::start(1, regions);
        let core = TestCore::start(None).await;
        let daemon = Daemon::start(&core, |command: &mut Command| {
            command.args(["--fork", "--collector", "aws", "--aws-fork", "--cleanup", "--aws-region"]).args(regions);
            aws.serve(command)
        });
        Self { aws, core, daemon }
    }

    async fn collect(&self) {
        assert_eq!(have(&self.core, "collect").await.0, "action_done", "{}", self.daemon.log());
    }

    /// The node of a resource by its id or name in a region (`global` for what has none).
    fn node(&self, kind: &str, region: &str, known: &str) -> String {
        let nodes = self.core.nodes("ck");
        let mut found = nodes.iter().filter(|(_, node)| {
            let reported = &node.reported;
            let place = node.metadata["ancestors"]["region"]["id"].as_str().unwrap_or_default();
            let is_there = place == region || region == "global" && place == EAST;
            reported["kind"] == kind && is_there && (reported["id"] == known || reported["name"] == known)
        });
        let node = found.next().unwrap_or_else(|| panic!("no {kind} {known} in {region}")).0.clone();
        assert!(found.next().is_none(), "more than one {kind} {known} in {region}");
        node
    }

    /// Has these cleaned up, and counts calls from then on.
    async fn clean(&self, nodes: &[&str]) {
        self.aws.reset().await;
        self.core.mark("ck", nodes);
        assert_eq!(have(&self.core, "cleanup").await.0, "action_done", "{}", self.daemon.log());
    }

    /// Whether the core was told that it is gone.
    fn is_cleaned(&self, node: &str) -> bool {
        self.core.nodes("ck")[node].metadata["cleaned"] == json!(true)
    }

    fn told(&self, node: &str) -> String {
        format!("{}\n{}", self.core.nodes("ck")[node].metadata["event_log"], self.daemon.log())
    }

    async fn iam(&self, parameters: &[(&str, &str)]) -> String {
        self.aws.call("iam", EAST, parameters).await
    }

    async fn ec2(&self, parameters: &[(&str, &str)]) -> String {
        self.aws.call("ec2", WEST, parameters).await
    }

    /// Gives a group a rule for HTTPS.
    async fn allow_https(&self, group: &str, sources: &[(&str, &str)]) {
        let rule = [
            ("Action", "AuthorizeSecurityGroupIngress"),
            ("GroupId", group),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "443"),
            ("IpPermissions.1.ToPort", "443"),
        ];
        self.ec2(&[&rule[..], sources].concat()).await;
    }

    async fn stop(self) {
        let (output, log) = self.daemon.stop().await;
        assert_eq!(output.code, 0, "{log}");
    }
}

/// Fills a bucket with what `DeleteBucket` refuses: versions, a delete marker, an open upload.
async fn fill_bucket(aws: &LocalAws, region: &str, bucket: &str) {
    let location = match region {
        EAST => String::new(),
        _ => format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        ),
    };
    let versioned = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    for (method, path, body) in [
        ("PUT", "", location.as_str()),
        ("PUT", "?versioning", versioned),
        ("PUT", "/a%20b%2Bc", "one"),
        ("PUT", "/a%20b%2Bc", "two"),
        ("PUT", "/bell%07", "two"),
        ("PUT", "/gone", "three"),
        ("DELETE", "/gone", ""),
        ("POST", "/large?uploads", ""),
    ] {
        let (status, answer) = aws.s3(region, method, &format!("{bucket}{path}"), body).await;
        assert!(status < 300, "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn buckets_are_emptied_to_the_last_version_in_their_own_regions() {
    let scene = Scene::start(&[EAST, WEST]).await;
    for (region, bucket) in [(EAST, "full-east"), (WEST, "full-west")] {
        fill_bucket(&scene.aws, region, bucket).await;
        fill_bucket(&scene.aws, region, &format!("{bucket}-stays")).await;
    }
    scene.collect().await;
    for (region, bucket) in [(EAST, "full-east"), (WEST, "full-west")] {
        let node = scene.node("aws_s3_bucket", "global", bucket);
        scene.clean(&[&node]).await;
        assert!(scene.is_cleaned(&node), "{}", scene.told(&node));
        let calls = scene.aws.changes_in(ACCOUNT, region).await;
        let expected = ["DeleteBucket", "DeleteObject", "DeleteObjects", "AbortMultipartUpload", "DeleteBucket"];
        assert_eq!(calls, expected, "{bucket}");
        for call in scene.aws.all_changes().await {
            assert_eq!(call.path.split(['?', '/']).nth(1), Some(bucket), "{call:?}");
        }
        assert_eq!(scene.aws.s3(region, "HEAD", bucket, "").await.0, 404);
        assert_eq!(scene.aws.s3(region, "HEAD", &format!("{bucket}-stays"), "").await.0, 200);
    }
    scene.stop().await;
}

#[tokio::test]
async fn volume_is_deleted_after_snapshot_of_its_last_state() {
    let scene = Scene::start(&[WEST]).await;
    let mut volumes = Vec::new();
    for _ in 0..2 {
        let zone = format!("{WEST}a");
        let made = scene.ec2(&[("Action", "CreateVolume"), ("AvailabilityZone", &zone), ("Size", "8")]).await;
        volumes.push(element(&made, "volumeId").to_owned());
    }
    scene.collect().await;
    let nodes = [0, 1].map(|number| scene.node("aws_ec2_volume", WEST, &volumes[number]));
    for node in &nodes {
        scene.core.set_reported("ck", node, "snapshot_before_delete", json!(true));
    }
    let failing = json!({"operation": "DeleteVolume", "mode": "deny"});
    // The snapshot of the first attempt is of the server's time, which stands still: for the second one it is old.
    for (node, anew) in nodes.iter().zip([true, false]) {
        let fault = scene.aws.fault(failing.clone()).await;
        scene.core.mark("ck", &[node]);
        have(&scene.core, "cleanup").await;
        assert!(!scene.is_cleaned(node), "{}", scene.told(node));
        scene.aws.mend(fault).await;
        scene.clean(&[node]).await;
        assert!(scene.is_cleaned(node), "{}", scene.told(node));
        let expected: &[&str] = if anew { &["CreateSnapshot", "DeleteVolume"] } else { &["DeleteVolume"] };
        assert_eq!(scene.aws.changes_in(ACCOUNT, WEST).await, expected);
        scene.aws.unfreeze().await;
    }
    let snapshots = scene.ec2(&[("Action", "DescribeSnapshots"), ("Owner.1", "self")]).await;
    for (volume, count) in volumes.iter().zip([2, 1]) {
        assert_eq!(snapshots.matches(&format!("<volumeId>{volume}</volumeId>")).count(), count, "{snapshots}");
        assert_eq!(scene.aws.ask("ec2", WEST, &[("Action", "DescribeVolumes"), ("VolumeId.1", volume)]).await.0, 400);
    }
    scene.stop().await;
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}}]}"#;

#[tokio::test]
async fn cluster_is_deleted_after_its_fargate_profiles() {
    let scene = Scene::start(&[WEST]).await;
    let role = "arn:aws:iam::123456789012:role/x";
    let cluster = json!({"name": "fargate", "roleArn": role, "resourcesVpcConfig": {}});
    let (status, answer) = scene.aws.rest("eks", WEST, "POST", "clusters", &cluster.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    for name in ["one", "two"] {
        let selectors = json!([{"namespace": name}]);
        let profile = json!({"fargateProfileName": name, "podExecutionRoleArn": role, "selectors": selectors});
        let path = "clusters/fargate/fargate-profiles";
        let (status, answer) = scene.aws.rest("eks", WEST, "POST", path, &profile.to_string()).await;
        assert_eq!(status, 200, "{answer}");
    }
    scene.collect().await;
    let node = scene.node("aws_eks_cluster", WEST, "fargate");
    scene.clean(&[&node]).await;
    assert!(scene.is_cleaned(&node), "{}", scene.told(&node));
    let calls = scene.aws.changes_in(ACCOUNT, WEST).await;
    assert_eq!(calls, ["DeleteCluster", "DeleteFargateProfile", "DeleteFargateProfile", "DeleteCluster"]);
    scene.stop().await;
}

#[tokio::test]
async fn namesake_in_other_region_and_protected_resources_stay() {
    let scene = Scene::start(&[EAST, WEST]).await;
    scene.collect().await;
    let [gone, protected] = ["elb-0", "elb-1"].map(|name| scene.node("aws_elb", WEST, name));
    let [group, role] = [("aws_autoscaling_group", WEST, "asg-0"), ("aws_iam_role", "global", "role-0")]
        .map(|(kind, region, name)| scene.node(kind, region, name));
    for node in [&protected, &role] {
        scene.core.set_metadata("ck", node, "protected", json!(true));
    }
    scene.clean(&[&gone, &protected, &group, &role]).await;
    for (node, is_gone) in [(&gone, true), (&group, true), (&protected, false), (&role, false)] {
        assert_eq!(scene.is_cleaned(node), is_gone, "{}", scene.told(node));
    }
    let mut calls = scene.aws.changes_in(ACCOUNT, WEST).await;
    calls.sort_unstable();
    assert_eq!(calls, ["DeleteAutoScalingGroup", "DeleteLoadBalancer"]);
    let balancer = scene.aws.all_changes().await.into_iter().find(|call| call.operation == "DeleteLoadBalancer");
    assert!(balancer.unwrap().body.contains("LoadBalancerName=elb-0"));
    for (region, name, status) in [(EAST, "elb-0", 200), (WEST, "elb-0", 400), (WEST, "elb-1", 200)] {
        let look = [("Action", "DescribeLoadBalancers"), ("LoadBalancerNames.member.1", name)];
        assert_eq!(scene.aws.ask("elasticloadbalancing", region, &look).await.0, status, "{name} in {region}");
    }
    scene.iam(&[("Action", "GetRole"), ("RoleName", "role-0")]).await;
    scene.stop().await;
}
