//! The order of removals for a deletion, and what is restored or reported if the deletion fails.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::{
    super::{client::testing::Served, *},
    replay::{DELETED, MINUTE, actions, change, ec2_error, message, not_empty, ok},
};

fn used() -> (u16, String) {
    ec2_error(400, "DependencyViolation")
}

fn denied() -> (u16, String) {
    ec2_error(403, "UnauthorizedOperation")
}

/// A response of EC2.
fn ec2(operation: &str, inner: &str) -> (u16, String) {
    ok(format!("<{operation}Response>{inner}</{operation}Response>"))
}

fn iam(operation: &str, inner: &str) -> (u16, String) {
    ok(format!("<{operation}Response><{operation}Result>{inner}</{operation}Result></{operation}Response>"))
}

fn iam_error(code: &str) -> (u16, String) {
    (409, format!("<ErrorResponse><Error><Code>{code}</Code><Message>it says</Message></Error></ErrorResponse>"))
}

fn eks_error(code: &str) -> (u16, String) {
    (409, json!({ "__type": code, "message": "it says" }).to_string())
}

fn json_ok(body: Value) -> (u16, String) {
    ok(body.to_string())
}

fn interfaces(ids: &[&str]) -> (u16, String) {
    let items: String =
        ids.iter().map(|id| format!("<item><networkInterfaceId>{id}</networkInterfaceId></item>")).collect();
    ec2("DescribeNetworkInterfaces", &format!("<networkInterfaceSet>{items}</networkInterfaceSet>"))
}

/// Groups with this rule, which names `sg-1` beside another group and an address range.
fn groups(direction: &str, ids: &[&str]) -> (u16, String) {
    let pair = |id: &str, about: &str| {
        let about = format!("<description>{about}</description>");
        format!("<item><groupId>{id}</groupId><userId>123456789012</userId>{about}</item>")
    };
    let pairs = pair("sg-1", "from web") + &pair("sg-7", "");
    let rule = format!(
        "<ipProtocol>tcp</ipProtocol><fromPort>443</fromPort><toPort>444</toPort><groups>{pairs}</groups>\
         <ipRanges><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges>"
    );
    let rule = format!("<{direction}><item>{rule}</item></{direction}>");
    let items: String = ids.iter().map(|id| format!("<item><groupId>{id}</groupId>{rule}</item>")).collect();
    ec2("DescribeSecurityGroups", &format!("<securityGroupInfo>{items}</securityGroupInfo>"))
}

fn no_groups() -> (u16, String) {
    groups("ipPermissions", &[])
}

/// Responses with one incoming rule of `sg-2` and one outgoing rule of `sg-3`; the group's own rules do not count.
fn naming() -> [(u16, String); 3] {
    [interfaces(&[]), groups("ipPermissions", &["sg-1", "sg-2"]), groups("ipPermissionsEgress", &["sg-3"])]
}

fn group(served: &Served, time: Duration) -> Change {
    change(served, "aws_ec2_security_group", "sg-1", json!({}), time)
}

/// Time for one retry without a pause.
const ONE_MORE: Duration = Duration::from_millis(5500);

#[tokio::test(start_paused = true)]
async fn group_named_by_others_is_deleted_after_their_rules() {
    let mut answers = vec![used()];
    answers.extend(naming());
    answers.extend([ok(DELETED), ok(DELETED), ok(DELETED)]);
    let served = Served::new(answers);
    assert_eq!(group(&served, MINUTE).delete().await, Ok(Outcome::Done));
    let calls = actions(&served);
    assert_eq!(calls[0], "DeleteSecurityGroup");
    assert_eq!(calls[4..], ["RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress", "DeleteSecurityGroup"]);
    let revoked = &served.bodies()[4];
    assert!(revoked.contains("GroupId=sg-2") && revoked.contains("IpPermissions.1.Groups.1.GroupId=sg-1"), "{revoked}");
    assert!(!revoked.contains("sg-7") && !revoked.contains("10.0.0.0"), "only the part that names it: {revoked}");
}

#[tokio::test(start_paused = true)]
async fn rules_are_restored_if_group_stays() {
    let mut answers = vec![used()];
    answers.extend(naming());
    answers.extend([ok(DELETED), ok(DELETED), used(), ok(DELETED), ok(DELETED)]);
    let served = Served::new(answers);
    let message = message(group(&served, ONE_MORE).delete().await);
    assert!(message.contains("DependencyViolation") && !message.contains("not restored"), "{message}");
    let (calls, bodies) = (actions(&served), served.bodies());
    assert_eq!(calls[7..], ["AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"]);
    for (revoked, restored) in [(4, 7), (5, 8)] {
        let parameters = |body: &str| body.split_once("&Version").unwrap().1.to_owned();
        assert_eq!(parameters(&bodies[revoked]), parameters(&bodies[restored]));
        assert!(bodies[restored].contains("Description=from%20web"), "{}", bodies[restored]);
    }
}

#[tokio::test(start_paused = true)]
async fn unrestored_rule_is_reported() {
    let mut answers = vec![used()];
    answers.extend(naming());
    answers.extend([ok(DELETED), ok(DELETED), denied(), denied(), ok(DELETED)]);
    let served = Served::new(answers);
    let message = message(group(&served, MINUTE).delete().await);
    assert!(message.contains("not restored: incoming rule of sg-2"), "{message}");
    assert!(message.contains("(UnauthorizedOperation)") && !message.contains("sg-3"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn group_in_use_loses_no_rule() {
    let served = Served::new([used(), interfaces(&["eni-1", "eni-2"])]);
    let message = message(group(&served, ONE_MORE).delete().await);
    assert!(message.contains("it is used by network interface eni-1, eni-2"), "{message}");
    assert_eq!(actions(&served), ["DeleteSecurityGroup", "DescribeNetworkInterfaces"]);
    // An error of another kind does not concern rules.
    let served = Served::new([denied()]);
    assert!(group(&served, MINUTE).delete().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn deletion_is_retried_if_users_cannot_be_listed() {
    let served = Served::new([used(), denied(), denied(), ok(DELETED)]);
    assert_eq!(group(&served, MINUTE).delete().await, Ok(Outcome::Done));
    let served = Served::new([used(), denied()]);
    let message = message(group(&served, ONE_MORE).delete().await);
    assert!(message.contains("DeleteSecurityGroup in us-west-2 failed: DependencyViolation"), "{message}");
    assert!(message.contains("cannot remove what uses it") && message.contains("UnauthorizedOperation"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn ineffective_removal_ends_after_pauses() {
    let rounds = (0..6).flat_map(|_| {
        let found = [interfaces(&[]), groups("ipPermissions", &["sg-2"]), no_groups()];
        [used()].into_iter().chain(found).chain([ok(DELETED)])
    });
    let served = Served::new(rounds.chain([used()]).chain((0..6).map(|_| ok(DELETED))));
    assert!(group(&served, MINUTE).delete().await.is_err());
}

/// Returns why neither step of a deletion changes anything, with this response to each call.
async fn rejected(kind: &str, reported: Value, answer: Option<(u16, String)>) -> String {
    let served = Served::new(std::iter::repeat_n(answer, 2).flatten());
    let change = change(&served, kind, "the-id", reported, MINUTE);
    let prepared = change.pre_delete().await;
    assert!(matches!(prepared, Ok(Outcome::Nothing(_))), "{kind}: {prepared:?}");
    let deleted = change.delete().await;
    assert!(actions(&served).iter().all(|call| call.starts_with("Describe")), "{kind}");
    let Ok(Outcome::Nothing(why)) = deleted else { panic!("{kind}: {deleted:?}") };
    why
}

#[tokio::test(start_paused = true)]
async fn undeletable_resources_are_rejected_before_any_change() {
    let role = |path: &str| json!({ "arn": format!("arn:aws:iam::123456789012:role{path}/x") });
    let policy = json!({ "arn": "arn:aws-cn:iam::aws:policy/AdministratorAccess" });
    for (kind, reported, reason) in [
        ("aws_vpc", json!({ "is_default": true }), "the default VPC"),
        ("aws_ec2_security_group", json!({ "name": "default" }), "the default security group"),
        ("aws_ec2_network_acl", json!({ "is_default": true }), "the default network ACL"),
        ("aws_iam_role", role("/aws-service-role/ecs.amazonaws.com"), "linked to an AWS service"),
        ("aws_iam_role", role("/aws-reserved/sso.amazonaws.com/eu-west-1"), "Identity Center"),
        ("aws_iam_policy", policy, "belongs to AWS"),
    ] {
        let why = rejected(kind, reported, None).await;
        assert!(why.contains(reason), "{kind}: {why}");
    }
    let main = "<associationSet><item><main>false</main></item><item><main>true</main></item></associationSet>";
    let table = format!("<routeTableSet><item><routeTableId>rtb-1</routeTableId>{main}</item></routeTableSet>");
    let endpoint = "<vpcEndpointSet><item><requesterManaged>true</requesterManaged></item></vpcEndpointSet>";
    let address = "<addressesSet><item><serviceManaged>rnat</serviceManaged></item></addressesSet>";
    for (kind, operation, answer, reason) in [
        ("aws_ec2_route_table", "DescribeRouteTables", table.as_str(), "main route table"),
        ("aws_vpc_endpoint", "DescribeVpcEndpoints", endpoint, "belongs to the AWS service"),
        ("aws_ec2_elastic_ip", "DescribeAddresses", address, "belongs to the AWS service"),
    ] {
        let why = rejected(kind, json!({ "allocation_id": "a" }), Some(ec2(operation, answer))).await;
        assert!(why.contains(reason), "{kind}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn similar_deletable_resources_are_deleted() {
    let role = json!({ "arn": "arn:aws:iam::123456789012:role/my-aws-service-role/x" });
    let served = Served::new([iam("GetRole", "<Role><RoleId>the-id</RoleId></Role>"), ok(DELETED)]);
    assert_eq!(change(&served, "aws_iam_role", "the-id", role, MINUTE).delete().await, Ok(Outcome::Done));
    let table = ec2("DescribeRouteTables", "<routeTableSet><item><associationSet/></item></routeTableSet>");
    let served = Served::new([table, ok(DELETED)]);
    assert_eq!(change(&served, "aws_ec2_route_table", "rtb-1", json!({}), MINUTE).delete().await, Ok(Outcome::Done));
    let acl = json!({ "is_default": false });
    let served = Served::new([ok(DELETED)]);
    assert_eq!(change(&served, "aws_ec2_network_acl", "acl-1", acl, MINUTE).delete().await, Ok(Outcome::Done));
}

fn cluster(served: &Served, time: Duration) -> Change {
    change(served, "aws_eks_cluster", "arn:c", json!({}), time)
}

fn gone() -> (u16, String) {
    (404, json!({ "__type": "ResourceNotFoundException", "message": "it says" }).to_string())
}

#[tokio::test(start_paused = true)]
async fn dependants_of_cluster_are_deleted_one_after_the_other() {
    let deleting = || json_ok(json!({ "fargateProfile": { "status": "DELETING" } }));
    let nothing = || json_ok(json!({}));
    let served = Served::new([
        eks_error("ResourceInUseException"),
        json_ok(json!({ "nodegroups": [] })),
        json_ok(json!({ "fargateProfileNames": ["one", "two"] })),
        nothing(),
        deleting(),
        gone(),
        // Another deletion may be in progress.
        eks_error("ResourceInUseException"),
        nothing(),
        gone(),
        json_ok(json!({ "capabilities": [] })),
        json_ok(json!({ "addons": ["dns"] })),
        nothing(),
        gone(),
        nothing(),
        gone(),
    ]);
    assert_eq!(cluster(&served, 10 * MINUTE).delete().await, Ok(Outcome::Done));
    let one = "/clusters/the-name/fargate-profiles/one";
    let two = "/clusters/the-name/fargate-profiles/two";
    let targets = served.targets();
    assert_eq!(targets[3..9], [one, one, one, two, two, two]);
    assert_eq!(targets[11..], ["/clusters/the-name/addons/dns", "/clusters/the-name/addons/dns", CLUSTER, CLUSTER]);
}

const CLUSTER: &str = "/clusters/the-name";

#[tokio::test(start_paused = true)]
async fn cluster_with_node_groups_keeps_its_dependants() {
    let served = Served::new([eks_error("ResourceInUseException"), json_ok(json!({ "nodegroups": ["ng"] }))]);
    let message = message(cluster(&served, ONE_MORE).delete().await);
    assert!(message.contains("it is used by node group ng"), "{message}");
    assert_eq!(served.targets().len(), 2);
    // So does one whose deletion fails for another reason.
    let served =
        Served::new([(400, json!({ "__type": "InvalidRequestException", "message": "protected" }).to_string())]);
    assert!(cluster(&served, MINUTE).delete().await.is_err());
    assert_eq!(served.targets(), [CLUSTER]);
}

#[tokio::test(start_paused = true)]
async fn dependants_of_cluster_that_stays_are_named() {
    let served = Served::new([
        eks_error("ResourceInUseException"),
        json_ok(json!({ "nodegroups": [] })),
        json_ok(json!({ "fargateProfileNames": ["one"] })),
        json_ok(json!({})),
        gone(),
        json_ok(json!({ "capabilities": [] })),
        json_ok(json!({ "addons": [] })),
        (403, json!({ "__type": "AccessDeniedException", "message": "no" }).to_string()),
    ]);
    let message = message(cluster(&served, MINUTE).delete().await);
    let removed = "not restored: DeleteFargateProfile clusterName=the-name fargateProfileName=one";
    assert!(message.contains("AccessDeniedException") && message.contains(removed), "{message}");
}

fn policy(served: &Served, time: Duration) -> Change {
    change(served, "aws_iam_policy", "the-id", json!({ "arn": "arn:aws:iam::123456789012:policy/p" }), time)
}

#[tokio::test(start_paused = true)]
async fn versions_of_policy_stay_while_it_is_attached() {
    let known = || iam("GetPolicy", "<Policy><PolicyId>the-id</PolicyId></Policy>");
    let roles = "<PolicyRoles><member><RoleName>r</RoleName></member></PolicyRoles>";
    let served = Served::new([known(), iam_error("DeleteConflict"), iam("ListEntitiesForPolicy", roles)]);
    let message = message(policy(&served, ONE_MORE).delete().await);
    assert!(message.contains("it is used by role r"), "{message}");
    let version = |id: &str, is_default: bool| {
        let default = format!("<IsDefaultVersion>{is_default}</IsDefaultVersion>");
        format!("<member><VersionId>{id}</VersionId>{default}</member>")
    };
    let versions = format!("<Versions>{}{}</Versions>", version("v1", false), version("v2", true));
    let served = Served::new([
        known(),
        iam_error("DeleteConflict"),
        iam("ListEntitiesForPolicy", ""),
        iam("ListPolicyVersions", &versions),
        ok(DELETED),
        ok(DELETED),
    ]);
    assert_eq!(policy(&served, MINUTE).delete().await, Ok(Outcome::Done));
    assert!(served.bodies()[4].contains("VersionId=v1"), "{:?}", served.bodies());
    assert_eq!(actions(&served)[4..], ["DeletePolicyVersion", "DeletePolicy"]);
}

#[tokio::test(start_paused = true)]
async fn preparation_names_what_it_removed() {
    let attached = "<internetGatewaySet><item><attachmentSet><item><vpcId>vpc-1</vpcId></item></attachmentSet></item>\
                    </internetGatewaySet>";
    let served = Served::new([ec2("DescribeInternetGateways", attached), ok(DELETED)]);
    let gateway = change(&served, "aws_ec2_internet_gateway", "igw-1", json!({}), MINUTE);
    let removed = "DetachInternetGateway InternetGatewayId=igw-1 VpcId=vpc-1".to_owned();
    assert_eq!(gateway.pre_delete().await, Ok(Outcome::Detached(vec![removed])));
}

#[tokio::test(start_paused = true)]
async fn undeletable_bucket_keeps_its_objects() {
    for code in ["AccessDenied", "BucketHasAccessPointsAttached"] {
        let refusal = (403, format!("<Error><Code>{code}</Code><Message>it says</Message></Error>"));
        let served = Served::new([ok("<LocationConstraint>us-west-2</LocationConstraint>"), refusal]);
        let message = message(change(&served, "aws_s3_bucket", "b", json!({}), MINUTE).delete().await);
        assert!(message.contains(code), "{message}");
        assert_eq!(served.asked().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_xml_cannot_hold_are_deleted_by_path() {
    let keys = ["plain", "bell&#x7;", "line&#xD;", "tab&#x9;", "nul&#x0;", "last&#xFFFF;", "\u{85}é&amp;"];
    let objects: String =
        keys.iter().map(|key| format!("<Version><Key>{key}</Key><VersionId>1</VersionId></Version>")).collect();
    let mut answers = vec![ok("<LocationConstraint>us-west-2</LocationConstraint>"), not_empty()];
    answers.push(ok(format!("<ListVersionsResult>{objects}</ListVersionsResult>")));
    answers.extend((0..5).map(|_| (204, String::new())));
    answers.extend([ok("<DeleteResult/>"), ok("<ListMultipartUploadsResult/>"), (204, String::new())]);
    let served = Served::new(answers);
    assert_eq!(change(&served, "aws_s3_bucket", "b", json!({}), MINUTE).delete().await, Ok(Outcome::Done));
    let mut single = served.targets()[3..8].to_vec();
    single.sort_unstable();
    let path = |key: &str| format!("/b/{key}?versionId=1");
    assert_eq!(single, ["bell%07", "last%EF%BF%BF", "line%0D", "nul%00", "tab%09"].map(path));
    let batch = &served.bodies()[8];
    assert_eq!(batch.matches("<Object>").count(), 2, "{batch}");
    assert!(batch.contains("<Key>plain</Key>") && batch.contains("<Key>\u{85}é&amp;</Key>"), "{batch}");
}
