//! Responses of AWS by its documentation that no local server gives.

use super::*;

const NOT_THERE: (u16, &str) = (404, "");

/// A response of IAM's documentation, with the members that only this call has.
const DETAILS: &str = "<GetAccountAuthorizationDetailsResponse><GetAccountAuthorizationDetailsResult>\
    <IsTruncated>false</IsTruncated>\
    <UserDetailList><member><UserId>AIDA1</UserId><UserName>ann</UserName><Arn>arn:aws:iam::123456789012:user/ann</Arn>\
    <UserPolicyList><member><PolicyName>inline</PolicyName><PolicyDocument>%7B%7D</PolicyDocument></member></UserPolicyList>\
    <GroupList><member>admins</member></GroupList><Tags><member><Key>team</Key><Value>a</Value></member></Tags>\
    </member></UserDetailList>\
    <GroupDetailList><member><GroupId>AGPA1</GroupId><GroupName>admins</GroupName>\
    <Arn>arn:aws:iam::123456789012:group/admins</Arn></member></GroupDetailList>\
    <RoleDetailList><member><RoleId>AROA1</RoleId><RoleName>web</RoleName><Arn>arn:aws:iam::123456789012:role/web</Arn>\
    <RoleLastUsed><LastUsedDate>2021-10-01T12:00:00Z</LastUsedDate><Region>us-east-1</Region></RoleLastUsed>\
    <Tags><member><Key>team</Key><Value>b</Value></member></Tags>\
    <RolePolicyList><member><PolicyName>own</PolicyName></member></RolePolicyList></member></RoleDetailList>\
    </GetAccountAuthorizationDetailsResult></GetAccountAuthorizationDetailsResponse>";
const USERS: &str = "<ListUsersResponse><ListUsersResult><Users><member><UserId>AIDA1</UserId><UserName>ann</UserName>\
    <Arn>arn:aws:iam::123456789012:user/ann</Arn><PasswordLastUsed>2021-09-01T12:00:00Z</PasswordLastUsed></member>\
    </Users></ListUsersResult></ListUsersResponse>";
const ROLES: &str = "<ListRolesResponse><ListRolesResult><Roles><member><RoleId>AROA1</RoleId><RoleName>web</RoleName>\
    <Arn>arn:aws:iam::123456789012:role/web</Arn></member></Roles></ListRolesResult></ListRolesResponse>";
const ROLE: &str = "<GetRoleResponse><GetRoleResult><Role><RoleId>AROA1</RoleId><RoleName>web</RoleName>\
    <RoleLastUsed><LastUsedDate>2021-10-01T12:00:00Z</LastUsedDate></RoleLastUsed>\
    <Tags><member><Key>team</Key><Value>b</Value></member></Tags></Role></GetRoleResult></GetRoleResponse>";
const ROLE_POLICIES: &str = "<ListRolePoliciesResponse><ListRolePoliciesResult><PolicyNames><member>own</member>\
    </PolicyNames></ListRolePoliciesResult></ListRolePoliciesResponse>";
const USER: &str = "<GetUserResponse><GetUserResult><User><UserId>AIDA1</UserId><UserName>ann</UserName>\
    <Tags><member><Key>team</Key><Value>a</Value></member></Tags></User></GetUserResult></GetUserResponse>";
const USER_POLICIES: &str = "<ListUserPoliciesResponse><ListUserPoliciesResult><PolicyNames><member>inline</member>\
    </PolicyNames></ListUserPoliciesResult></ListUserPoliciesResponse>";
const GROUPS: &str = "<ListGroupsResponse><ListGroupsResult><Groups><member><GroupId>AGPA1</GroupId>\
    <GroupName>admins</GroupName><Arn>arn:aws:iam::123456789012:group/admins</Arn></member></Groups></ListGroupsResult>\
    </ListGroupsResponse>";
const GROUPS_OF_USER: &str = "<ListGroupsForUserResponse><ListGroupsForUserResult><Groups><member><GroupId>AGPA1</GroupId>\
    <GroupName>admins</GroupName></member></Groups></ListGroupsForUserResult></ListGroupsForUserResponse>";

/// The response about these does not depend on the account.
fn are_as_documented(collected: &Collected) {
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.gaps(), []);
    let (user, role) = (&collected.node("AIDA1")["reported"], &collected.node("AROA1")["reported"]);
    assert_eq!((&user["tags"]["team"], &user["user_policies"][0]), (&"a".into(), &"inline".into()));
    assert_eq!(user["atime"], "2021-09-01T12:00:00+00:00");
    assert_eq!((&role["tags"]["team"], &role["role_policies"][0]), (&"b".into(), &"own".into()));
    assert_eq!(role["atime"], "2021-10-01T12:00:00+00:00");
    // The account's three regions, in the pseudo region three nodes, and the user's group.
    assert_eq!(collected.edges, 3 + 3 + 1);
}

#[tokio::test]
async fn details_of_iam_come_from_one_call() {
    let collected = collect_only(&["iam_users", "iam_groups", "iam_roles"], |call, _| match call {
        "iam:GetAccountAuthorizationDetails" => (200, DETAILS),
        "iam:ListUsers" => (200, USERS),
        "iam:ListAccountAliases" | "iam:ListAccessKeys" => NOTHING,
        _ => NOT_THERE,
    })
    .await;
    are_as_documented(&collected);
}

#[tokio::test]
async fn denied_details_fall_back_to_single_calls() {
    let collected = collect_only(&["iam_users", "iam_groups", "iam_roles"], |call, _| match call {
        "iam:GetAccountAuthorizationDetails" => (403, IAM_DENIED),
        "iam:ListUsers" => (200, USERS),
        "iam:GetUser" => (200, USER),
        "iam:ListUserPolicies" => (200, USER_POLICIES),
        "iam:ListGroupsForUser" => (200, GROUPS_OF_USER),
        "iam:ListGroups" => (200, GROUPS),
        "iam:ListRoles" => (200, ROLES),
        "iam:GetRole" => (200, ROLE),
        "iam:ListRolePolicies" => (200, ROLE_POLICIES),
        _ => NOTHING,
    })
    .await;
    are_as_documented(&collected);
}

#[tokio::test]
async fn empty_answers_are_no_gaps() {
    let collected = collect_only(&[], |call, _| match call.split(':').next() {
        Some("eks" | "pricing" | "monitoring" | "servicequotas") => (200, "{}"),
        Some("s3") => (200, "<ListAllMyBucketsResult/>"),
        _ => NOTHING,
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.gaps(), []);
    assert!(collected.ids("aws_vpc").is_empty());
}

#[tokio::test]
async fn foreign_responses_are_gaps_of_every_kind() {
    const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body/></html>";
    let answers: [Cloud; 3] = [
        |call, _| if call.starts_with("iam:") { NOTHING } else { (200, "") },
        |call, _| if call.starts_with("iam:") { NOTHING } else { (200, PAGE) },
        |call, _| if call.starts_with("iam:") { NOTHING } else { (302, "") },
    ];
    for cloud in answers {
        let kinds = ["vpcs", "s3_buckets", "eks_clusters", "cloudwatch_alarms", "iam_users"];
        let collected = collect_only(&kinds, cloud).await;
        assert_eq!(collected.result, Ok(()));
        let asked = collected.asked.iter().filter(|asked| !asked.call.starts_with("iam:")).count();
        assert_eq!(collected.gaps.len(), 7, "{:?}", collected.gaps);
        assert_eq!(collected.counted as usize, asked, "every call is lost: {:?}", collected.gaps);
        assert!(collected.gaps.iter().all(|gap| gap.code == "InvalidResponse"), "{:?}", collected.gaps);
    }
}

#[tokio::test]
async fn other_partitions_have_their_own_regions_and_no_price_list() {
    for (partition, home, other) in
        [("aws-us-gov", "us-gov-west-1", "us-gov-east-1"), ("aws-cn", "cn-north-1", "cn-northwest-1")]
    {
        let collected = collect_in(partition, &[home, other], &["instances"], |call, region| match (call, region) {
            ("iam:ListAccountAliases", "us-gov-west-1" | "cn-north-1") => (200, ALIASES),
            ("ec2:DescribeInstances", _) => (200, INSTANCES),
            _ => NOT_THERE,
        })
        .await;
        assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]), "{partition}");
        assert_eq!(collected.ids("aws_region"), [home, home, other], "the pseudo region is the one that serves IAM");
        assert_eq!(collected.ids("aws_ec2_instance").len(), 2);
        assert!(collected.ids("aws_ec2_instance_type").is_empty());
    }
}

const DEDICATED: &str = r#"{"PriceList":["{\"product\":{\"attributes\":{\"instanceType\":\"m5.large\",\"vcpu\":\"2\",\"memory\":\"1,952 GiB\",\"tenancy\":\"Dedicated\"}},\"terms\":{}}"]}"#;

#[tokio::test]
async fn dedicated_only_instance_type_has_cores_without_price() {
    let collected = collect_in("aws", &["eu-west-1"], &["instances"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "ec2:DescribeInstances" => (200, INSTANCES),
        "pricing:GetProducts of m5.large" => (200, DEDICATED),
        _ => NOT_THERE,
    })
    .await;
    assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]));
    let kind = &collected.node("m5.large")["reported"];
    assert_eq!((&kind["instance_cores"], kind["instance_memory"].as_f64()), (&2.into(), Some(1952.0)));
    assert!(kind.get("ondemand_cost").is_none_or(Json::is_null), "{kind}");
    assert_eq!(collected.node("i-1")["reported"]["instance_cores"], 2);
}

const DATABASES: &str = "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>\
    <DbiResourceId>db-1</DbiResourceId><DBInstanceIdentifier>new</DBInstanceIdentifier><Engine>mysql</Engine>\
    <DBInstanceStatus>creating</DBInstanceStatus></DBInstance></DBInstances></DescribeDBInstancesResult>\
    </DescribeDBInstancesResponse>";
const UNUSED: &str = r#"{"MetricDataResults":[{"Id":"m0_0","StatusCode":"Complete"}]}"#;
const ADDRESSES: &str = "<DescribeAddressesResponse><addressesSet><item><publicIp>198.51.100.1</publicIp>\
    <domain>standard</domain><instanceId>i-1</instanceId></item></addressesSet></DescribeAddressesResponse>";
const CLASSIC_GROUPS: &str = "<DescribeSecurityGroupsResponse><securityGroupInfo><item><groupId>sg-1</groupId>\
    <groupName>default</groupName></item></securityGroupInfo></DescribeSecurityGroupsResponse>";
const CLASSIC_BALANCERS: &str = "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancerDescriptions>\
    <member><LoadBalancerName>old</LoadBalancerName><DNSName>old.example</DNSName></member>\
    <member><LoadBalancerName>gone</LoadBalancerName><DNSName>gone.example</DNSName></member>\
    </LoadBalancerDescriptions></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>";
const CLASSIC_TAGS: &str = "<DescribeTagsResponse><DescribeTagsResult><TagDescriptions><member>\
    <LoadBalancerName>old</LoadBalancerName><Tags><member><Key>team</Key><Value>a</Value></member></Tags></member>\
    </TagDescriptions></DescribeTagsResult></DescribeTagsResponse>";
const BALANCER_GONE: &str =
    "<ErrorResponse><Error><Code>LoadBalancerNotFound</Code><Message>gone</Message></Error></ErrorResponse>";

#[tokio::test]
async fn incomplete_and_classic_resources_are_collected() {
    let collectors = ["rds_instances", "elastic_ips", "security_groups", "elbs"];
    let collected = collect_in("aws", &["us-east-1"], &collectors, |call, _| match call {
        "rds:DescribeDBInstances" => (200, DATABASES),
        "ec2:DescribeAddresses" => (200, ADDRESSES),
        "ec2:DescribeSecurityGroups" => (200, CLASSIC_GROUPS),
        "elasticloadbalancing:DescribeLoadBalancers" => (200, CLASSIC_BALANCERS),
        // A deleted one makes the call fail for all.
        "elasticloadbalancing:DescribeTags of many" => (400, BALANCER_GONE),
        "elasticloadbalancing:DescribeTags" => (200, CLASSIC_TAGS),
        "monitoring:GetMetricData" => (200, UNUSED),
        _ => NOTHING,
    })
    .await;
    assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]));
    let database = &collected.node("db-1")["reported"];
    assert_eq!(database["db_status"], "creating");
    assert!(database.get("db_endpoint").is_none_or(|endpoint| endpoint == ""), "{database}");
    assert!(!database["atime"].is_string(), "it is not yet a database that nobody uses: {database}");
    let address = &collected.node("198.51.100.1")["reported"];
    assert_eq!((&address["ip_address"], &address["instance_id"]), (&"198.51.100.1".into(), &"i-1".into()));
    assert_eq!(collected.ids("aws_ec2_security_group"), ["sg-1"]);
    assert_eq!(collected.node("old.example")["reported"]["tags"]["team"], "a");
    assert_eq!(collected.node("gone.example")["reported"]["tags"], serde_json::json!({}));
}

const TARGET_GROUPS: &str = "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups><member>\
    <TargetGroupArn>arn:tg</TargetGroupArn><TargetGroupName>tg</TargetGroupName><TargetType>instance</TargetType>\
    </member></TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>";
const GROUP_GONE: &str =
    "<ErrorResponse><Error><Code>TargetGroupNotFound</Code><Message>gone</Message></Error></ErrorResponse>";

#[tokio::test]
async fn target_group_deleted_during_collection_is_no_gap() {
    let collected = collect_in("aws", &["us-east-1"], &["alb_target_groups"], |call, _| match call {
        "elasticloadbalancing:DescribeTargetGroups" => (200, TARGET_GROUPS),
        "elasticloadbalancing:DescribeTargetHealth" | "elasticloadbalancing:DescribeTags" => (400, GROUP_GONE),
        _ => NOTHING,
    })
    .await;
    assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]));
    assert_eq!(collected.ids("aws_alb_target_group"), ["tg"]);
}

const REFUSED_AS_JSON: &str = r#"{"__type":"UnrecognizedClientException","message":"no"}"#;

#[tokio::test]
async fn disabled_region_is_recognized_by_each_service_code() {
    for (collector, call) in [("vpcs", "ec2"), ("rds_instances", "rds"), ("cloudwatch_alarms", "monitoring")] {
        let collected = collect_only(&[collector], |call, region| match (call.split(':').next(), region) {
            (Some("iam"), _) => (200, ALIASES),
            (Some("ec2"), "us-west-2") => (401, EC2_REFUSED),
            (Some("rds"), "us-west-2") => (403, IAM_REFUSED),
            (Some("monitoring"), "us-west-2") => (400, REFUSED_AS_JSON),
            (Some("monitoring"), _) => (200, "{}"),
            _ => NOTHING,
        })
        .await;
        assert_eq!(collected.result, Ok(()));
        assert_eq!(collected.gaps.len(), 1, "{call}: {:?}", collected.gaps());
        assert_eq!(collected.gaps[0].region, "us-west-2");
    }
}

/// One of each type in the same network; the last type is newer than this program.
const BALANCERS: &str = "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancers>\
    <member><LoadBalancerName>a</LoadBalancerName><LoadBalancerArn>arn:a</LoadBalancerArn><Type>application</Type><VpcId>vpc-1</VpcId></member>\
    <member><LoadBalancerName>n</LoadBalancerName><LoadBalancerArn>arn:n</LoadBalancerArn><Type>network</Type><VpcId>vpc-1</VpcId></member>\
    <member><LoadBalancerName>g</LoadBalancerName><LoadBalancerArn>arn:g</LoadBalancerArn><Type>gateway</Type><VpcId>vpc-1</VpcId></member>\
    <member><LoadBalancerName>x</LoadBalancerName><LoadBalancerArn>arn:x</LoadBalancerArn><Type>other</Type><VpcId>vpc-1</VpcId></member>\
    <member><LoadBalancerName>o</LoadBalancerName><LoadBalancerArn>arn:o</LoadBalancerArn></member>\
    </LoadBalancers></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>";
const SCALING_GROUPS: &str = "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>\
    <member><AutoScalingGroupName>asg</AutoScalingGroupName><MinSize>0</MinSize><MaxSize>7</MaxSize></member>\
    </AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>";

#[tokio::test]
async fn load_balancers_have_type_and_vpc_and_groups_have_sizes() {
    let collected = collect_in("aws", &["us-east-1"], &["vpcs", "albs", "autoscaling_groups"], |call, _| match call {
        "ec2:DescribeVpcs" => (200, VPCS),
        "elasticloadbalancing:DescribeLoadBalancers" => (200, BALANCERS),
        "autoscaling:DescribeAutoScalingGroups" => (200, SCALING_GROUPS),
        _ => NOTHING,
    })
    .await;
    assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]));
    for (id, expected) in [("a", "alb"), ("n", "nlb"), ("g", "gwlb"), ("x", "unknown"), ("o", "alb")] {
        let balancer = &collected.node(id)["reported"];
        assert_eq!((&balancer["kind"], &balancer["lb_type"]), (&"aws_alb".into(), &expected.into()));
    }
    let group = &collected.node("asg")["reported"];
    assert_eq!((&group["min_size"], &group["max_size"]), (&0.into(), &7.into()));
    // Two regions; in one of them two quotas, the network and the group; below region, quota and network the load
    // balancers.
    assert_eq!(collected.edges, 2 + 4 + (1 + 5 + 5 + 4));
}

#[tokio::test]
async fn unreadable_ids_skip_their_item() {
    const DAMAGED: &str = "<DescribeVpcsResponse><vpcSet>\
        <item><vpcId>vpc-1</vpcId><tagSet><item><key>owner</key><value>a&#xD83D;b</value></item></tagSet></item>\
        <item><vpcId>vpc-2</vpcId></item><item><vpcId>vpc-&#xDC00;3</vpcId></item></vpcSet></DescribeVpcsResponse>";
    let collected = collect_in("aws", &["us-east-1"], &["vpcs"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "ec2:DescribeVpcs" => (200, DAMAGED),
        _ => NOTHING,
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.ids("aws_vpc"), ["vpc-1", "vpc-2"]);
    assert_eq!(collected.node("vpc-1")["reported"]["tags"]["owner"], "a\u{fffd}b");
    assert_eq!(collected.gaps(), [("us-east-1", "DescribeVpcs", "InvalidResponse")]);
}
