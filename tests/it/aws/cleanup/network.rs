//! Cleanup of VPCs and of what is in them.

use super::*;

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
async fn vpc_is_deleted_with_its_contents() {
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
async fn resources_that_aws_never_deletes_stay_untouched() {
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
