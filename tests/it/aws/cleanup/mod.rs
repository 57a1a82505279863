//! Cleanup of what is hard to delete: the state is made in a local AWS by calls, and looked at afterwards.

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
async fn a_volume_goes_only_with_a_snapshot_of_its_last_state() {
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

/// A document that allows a little.
const DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}}]}"#;

/// Makes a user that has everything that a user can have.
async fn make_user(scene: &Scene, name: &str) {
    let user = ("UserName", name);
    scene.iam(&[("Action", "CreateUser"), user]).await;
    let policy = [("Action", "CreatePolicy"), ("PolicyName", "of-a-user"), ("PolicyDocument", DOCUMENT)];
    let policy = scene.iam(&policy).await;
    scene.iam(&[("Action", "AttachUserPolicy"), user, ("PolicyArn", element(&policy, "Arn"))]).await;
    let inline = [("Action", "PutUserPolicy"), user, ("PolicyName", "inline"), ("PolicyDocument", DOCUMENT)];
    scene.iam(&inline).await;
    scene.iam(&[("Action", "AddUserToGroup"), user, ("GroupName", "group-0")]).await;
    scene.iam(&[("Action", "CreateAccessKey"), user]).await;
    scene.iam(&[("Action", "CreateLoginProfile"), user, ("Password", "wordpass")]).await;
    let device = scene.iam(&[("Action", "CreateVirtualMFADevice"), ("VirtualMFADeviceName", name)]).await;
    let codes = [("AuthenticationCode1", "123456"), ("AuthenticationCode2", "654321")];
    let device = [("Action", "EnableMFADevice"), user, ("SerialNumber", element(&device, "SerialNumber"))];
    scene.iam(&[&device[..], &codes].concat()).await;
    let certificate = scene.iam(&[("Action", "GetServerCertificate"), ("ServerCertificateName", "cert-0")]).await;
    let certificate = ("CertificateBody", element(&certificate, "CertificateBody"));
    scene.iam(&[("Action", "UploadSigningCertificate"), user, certificate]).await;
    scene.iam(&[("Action", "UploadSSHPublicKey"), user, ("SSHPublicKeyBody", "ssh-rsa AAAA")]).await;
}

#[tokio::test]
async fn a_user_with_everything_is_deleted_and_a_namesake_stays() {
    let scene = Scene::start(&[EAST]).await;
    make_user(&scene, "rich").await;
    scene.iam(&[("Action", "CreateUser"), ("UserName", "anew")]).await;
    scene.collect().await;
    let [rich, anew] = ["rich", "anew"].map(|name| scene.node("aws_iam_user", "global", name));
    for action in ["DeleteUser", "CreateUser"] {
        scene.iam(&[("Action", action), ("UserName", "anew")]).await;
    }
    scene.iam(&[("Action", "CreateAccessKey"), ("UserName", "anew")]).await;
    scene.clean(&[&rich, &anew]).await;
    assert!(scene.is_cleaned(&rich), "{}", scene.told(&rich));
    let mut calls = scene.aws.changes_in(ACCOUNT, EAST).await;
    assert_eq!(calls.pop().unwrap(), "DeleteUser");
    let deleted: Vec<_> = scene.aws.all_changes().await.into_iter().filter(|call| call.status != 200).collect();
    assert!(deleted.is_empty(), "{deleted:?}");
    calls.sort_unstable();
    let expected = [
        "DeactivateMFADevice",
        "DeleteAccessKey",
        "DeleteLoginProfile",
        "DeleteSSHPublicKey",
        "DeleteSigningCertificate",
        "DeleteUserPolicy",
        "DeleteVirtualMFADevice",
        "DetachUserPolicy",
        "RemoveUserFromGroup",
    ];
    assert_eq!(calls, expected);
    assert_eq!(scene.aws.ask("iam", EAST, &[("Action", "GetUser"), ("UserName", "rich")]).await.0, 404);
    assert!(
        !scene.is_cleaned(&anew) && scene.told(&anew).contains("another resource has its name now"),
        "{}",
        scene.told(&anew)
    );
    let keys = scene.iam(&[("Action", "ListAccessKeys"), ("UserName", "anew")]).await;
    assert!(keys.contains("<AccessKeyId>"), "{keys}");
    scene.stop().await;
}

#[tokio::test]
async fn policies_go_with_their_versions_and_roles_leave_their_profiles() {
    let scene = Scene::start(&[EAST]).await;
    let policy = [("Action", "CreatePolicy"), ("PolicyName", "old"), ("PolicyDocument", DOCUMENT)];
    let policy = scene.iam(&policy).await;
    let policy = ("PolicyArn", element(&policy, "Arn"));
    for newest in ["true", "false"] {
        let version = [("Action", "CreatePolicyVersion"), ("PolicyDocument", DOCUMENT), ("SetAsDefault", newest)];
        scene.iam(&[&version[..], &[policy]].concat()).await;
    }
    let (role, profile) = (("RoleName", "in-profile"), ("InstanceProfileName", "with-role"));
    scene.iam(&[("Action", "CreateRole"), role, ("AssumeRolePolicyDocument", TRUST)]).await;
    scene.iam(&[("Action", "CreateInstanceProfile"), profile]).await;
    scene.iam(&[("Action", "AddRoleToInstanceProfile"), role, profile]).await;
    scene.collect().await;
    let node = scene.node("aws_iam_policy", "global", "old");
    scene.clean(&[&node]).await;
    assert!(scene.is_cleaned(&node), "{}", scene.told(&node));
    let calls = scene.aws.changes_in(ACCOUNT, EAST).await;
    assert_eq!(calls, ["DeletePolicy", "DeletePolicyVersion", "DeletePolicyVersion", "DeletePolicy"]);
    let node = scene.node("aws_iam_role", "global", "in-profile");
    scene.clean(&[&node]).await;
    assert!(scene.is_cleaned(&node), "{}", scene.told(&node));
    assert_eq!(scene.aws.changes_in(ACCOUNT, EAST).await, ["RemoveRoleFromInstanceProfile", "DeleteRole"]);
    scene.iam(&[("Action", "GetInstanceProfile"), profile]).await;
    scene.stop().await;
}

/// Makes a VPC of which nothing can be deleted in a wrong order: kind and id of everything, the VPC last.
async fn make_vpc(scene: &Scene) -> Vec<(&'static str, String)> {
    let vpc = scene.ec2(&[("Action", "CreateVpc"), ("CidrBlock", "10.9.0.0/16")]).await;
    let vpc = element(&vpc, "vpcId").to_owned();
    let of_vpc = ("VpcId", vpc.as_str());
    let subnet = scene.ec2(&[("Action", "CreateSubnet"), of_vpc, ("CidrBlock", "10.9.1.0/24")]).await;
    let subnet = element(&subnet, "subnetId").to_owned();
    let mut all = Vec::new();
    for name in ["one", "other"] {
        let group = [("Action", "CreateSecurityGroup"), of_vpc, ("GroupName", name), ("GroupDescription", name)];
        all.push(("aws_ec2_security_group", element(&scene.ec2(&group).await, "groupId").to_owned()));
    }
    for (group, other) in [(&all[0].1, &all[1].1), (&all[1].1, &all[0].1)] {
        scene.allow_https(group, &[("IpPermissions.1.Groups.1.GroupId", other)]).await;
    }
    let gateway = scene.ec2(&[("Action", "CreateInternetGateway")]).await;
    let gateway = element(&gateway, "internetGatewayId").to_owned();
    scene.ec2(&[("Action", "AttachInternetGateway"), of_vpc, ("InternetGatewayId", &gateway)]).await;
    let table = scene.ec2(&[("Action", "CreateRouteTable"), of_vpc]).await;
    let table = element(&table, "routeTableId").to_owned();
    scene.ec2(&[("Action", "AssociateRouteTable"), ("RouteTableId", &table), ("SubnetId", &subnet)]).await;
    all.push(("aws_ec2_internet_gateway", gateway));
    all.push(("aws_ec2_route_table", table));
    all.push(("aws_ec2_subnet", subnet));
    all.push(("aws_vpc", vpc));
    all
}

#[tokio::test]
async fn a_vpc_is_deleted_with_all_that_is_in_it() {
    let scene = Scene::start(&[WEST]).await;
    let all = make_vpc(&scene).await;
    scene.collect().await;
    let nodes: Vec<String> = all.iter().map(|(kind, id)| scene.node(kind, WEST, id)).collect();
    scene.clean(&nodes.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for node in &nodes {
        assert!(scene.is_cleaned(node), "{}", scene.told(node));
    }
    let calls = scene.aws.changes_in(ACCOUNT, WEST).await;
    assert_eq!(calls.last().unwrap(), "DeleteVpc", "{calls:?}");
    let count = |operation: &str| calls.iter().filter(|call| *call == operation).count();
    let first = |operation: &str| calls.iter().position(|call| call == operation).unwrap();
    // The one that is deleted second may be named by no rule any more.
    assert!((1..=2).contains(&count("RevokeSecurityGroupIngress")), "{calls:?}");
    for (before, after) in [
        ("DisassociateRouteTable", "DeleteRouteTable"),
        ("DisassociateRouteTable", "DeleteSubnet"),
        ("DetachInternetGateway", "DeleteInternetGateway"),
    ] {
        assert_eq!(count(before).min(count(after)).min(1), 1, "{before}: {calls:?}");
        assert!(first(before) < first(after), "{before}: {calls:?}");
    }
    let (_, vpc) = all.last().unwrap();
    assert_eq!(scene.aws.ask("ec2", WEST, &[("Action", "DescribeVpcs"), ("VpcId.1", vpc)]).await.0, 400);
    scene.stop().await;
}

/// The id of what a VPC has by default.
async fn default_id(scene: &Scene, action: &str, element_name: &str, vpc: &str) -> String {
    let filter = [("Action", action), ("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
    element(&scene.ec2(&filter).await, element_name).to_owned()
}

#[tokio::test]
async fn what_aws_never_deletes_stays_untouched() {
    let scene = Scene::start(&[WEST]).await;
    let vpc = scene.ec2(&[("Action", "CreateVpc"), ("CidrBlock", "10.8.0.0/16")]).await;
    let vpc = element(&vpc, "vpcId");
    let group = default_id(&scene, "DescribeSecurityGroups", "groupId", vpc).await;
    let list = default_id(&scene, "DescribeNetworkAcls", "networkAclId", vpc).await;
    let table = default_id(&scene, "DescribeRouteTables", "routeTableId", vpc).await;
    scene.allow_https(&group, &[("IpPermissions.1.Groups.1.GroupId", &group)]).await;
    let subnet = scene.ec2(&[("Action", "CreateSubnet"), ("VpcId", vpc), ("CidrBlock", "10.8.1.0/24")]).await;
    let subnet = element(&subnet, "subnetId");
    scene.ec2(&[("Action", "AssociateRouteTable"), ("RouteTableId", &table), ("SubnetId", subnet)]).await;
    for (name, path) in
        [("linked", "/aws-service-role/ecs.amazonaws.com/"), ("sso", "/aws-reserved/sso.amazonaws.com/")]
    {
        let role = [("Action", "CreateRole"), ("RoleName", name), ("Path", path), ("AssumeRolePolicyDocument", TRUST)];
        scene.iam(&role).await;
        let policy = ("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess");
        scene.iam(&[("Action", "AttachRolePolicy"), ("RoleName", name), policy]).await;
    }
    scene.collect().await;
    let all = [
        ("aws_ec2_security_group", WEST, group.as_str(), "default security group"),
        ("aws_ec2_network_acl", WEST, &list, "default network ACL"),
        ("aws_ec2_route_table", WEST, &table, "main route table"),
        ("aws_iam_role", "global", "linked", "linked to an AWS service"),
        ("aws_iam_role", "global", "sso", "Identity Center"),
    ];
    let nodes = all.map(|(kind, region, known, reason)| (scene.node(kind, region, known), reason));
    scene.clean(&nodes.iter().map(|(node, _)| node.as_str()).collect::<Vec<_>>()).await;
    for (node, reason) in &nodes {
        assert!(!scene.is_cleaned(node), "{}", scene.told(node));
        let log = scene.core.nodes("ck")[node].metadata["event_log"].to_string();
        assert!(log.contains(reason), "{reason}: {log}");
    }
    assert_eq!(scene.aws.all_changes().await.len(), 0, "{:?}", scene.aws.all_changes().await);
    scene.stop().await;
}

#[tokio::test]
async fn rules_of_others_are_put_back_when_a_group_stays() {
    let scene = Scene::start(&[WEST]).await;
    let all = make_vpc(&scene).await;
    let ((_, one), (_, other)) = (&all[0], &all[1]);
    let range = ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8");
    scene.allow_https(other, &[range]).await;
    scene.collect().await;
    let node = scene.node("aws_ec2_security_group", WEST, one);
    let rules = async || {
        let look = scene.ec2(&[("Action", "DescribeSecurityGroups"), ("GroupId.1", other)]).await;
        let look = element(&look, "ipPermissions").to_owned();
        (look.matches(one.as_str()).count(), look.matches("10.0.0.0/8").count())
    };
    assert_eq!(rules().await, (1, 1));
    scene.aws.reset().await;
    // The first attempt is refused because of the rule, the second by this.
    let fault = scene.aws.fault(json!({"operation": "DeleteSecurityGroup", "mode": "deny", "ratio": 0.5})).await;
    scene.core.mark("ck", &[&node]);
    have(&scene.core, "cleanup").await;
    assert!(!scene.is_cleaned(&node), "{}", scene.told(&node));
    let calls = scene.aws.changes().await;
    assert_eq!(calls["AuthorizeSecurityGroupIngress"], 1, "{calls:?}");
    assert_eq!(rules().await, (1, 1), "{calls:?}");
    scene.aws.mend(fault).await;
    scene.clean(&[&node]).await;
    assert!(scene.is_cleaned(&node), "{}", scene.told(&node));
    let calls = scene.aws.changes_in(ACCOUNT, WEST).await;
    assert_eq!(calls, ["DeleteSecurityGroup", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"]);
    assert_eq!(rules().await, (0, 1), "ranges of the same rule stay");
    // What was detached from a gateway that stays is named.
    let gateway = scene.node("aws_ec2_internet_gateway", WEST, &all[2].1);
    let fault = scene.aws.fault(json!({"operation": "DeleteInternetGateway", "mode": "deny"})).await;
    scene.core.mark("ck", &[&gateway]);
    have(&scene.core, "cleanup").await;
    scene.aws.mend(fault).await;
    let log = scene.core.nodes("ck")[&gateway].metadata["event_log"].to_string();
    assert!(log.contains("without what was removed for it: DetachInternetGateway"), "{log}");
    scene.stop().await;
}

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
async fn a_namesake_in_another_region_and_what_is_protected_stay() {
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
