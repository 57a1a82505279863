//! What is deleted, in which order, and where.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Map, json};

use super::{
    super::testing::{Story, reasons},
    *,
};
use crate::{
    ckcore::Ancestor,
    collectors,
    settings::Settings,
    supervisor::actions::{TargetCollector, TargetCollectors},
};

fn targets(names: &[&str]) -> TargetCollectors {
    let all = collectors::all().iter().filter(|collector| names.contains(&collector.name()));
    all.map(|collector| (collector.name(), TargetCollector { collector: *collector, settings: Settings::default() }))
        .collect()
}

impl Story {
    /// An AWS account with two regions and the pseudo region of IAM.
    fn aws() -> Self {
        let mut story = Self::empty();
        story.add("graph_root", "root", &[]).add("cloud", "aws", &["root"]).add(
            "aws_account",
            "123456789012",
            &["aws"],
        );
        story.add("aws_region", "us-east-1", &["123456789012"]).add("aws_region", "us-west-2", &["123456789012"]);
        story
    }

    fn plan(&self) -> Plan {
        plan(&self.0, &targets(&["aws", "example"]))
    }
}

fn ids(plan: &Plan) -> Vec<Vec<&str>> {
    plan.stages.iter().map(|level| level.iter().map(|item| item.node.as_str()).collect()).collect()
}

fn region<'p>(plan: &'p Plan, node: &str) -> Option<&'p str> {
    let item = plan.items().find(|item| item.node == node).unwrap();
    item.target.region.as_ref().map(|region| region.id.as_str())
}

#[test]
fn deepest_resource_by_longest_path_is_deleted_first() {
    let mut story = Story::aws();
    story.marked("aws_vpc", "vpc", &["us-west-2"]).marked("aws_ec2_subnet", "subnet", &["us-west-2", "vpc"]);
    // It is directly below the region too: the shortest path would put it beside the VPC.
    story.marked("aws_ec2_network_interface", "eni", &["us-west-2", "subnet", "vpc"]);
    story.add("aws_ec2_security_group", "group", &["us-west-2", "vpc"]);
    let plan = story.plan();
    assert_eq!(ids(&plan), [["eni"], ["subnet"], ["vpc"]]);
    assert_eq!(reasons(&plan), []);
}

#[test]
fn instance_with_profile_stays_in_its_own_region() {
    // The depth-first walk of the original found the region of IAM, or not, depending on the order of edges.
    let mut story = Story::aws();
    story.add("aws_iam_role", "role", &["us-east-1"]).add(
        "aws_iam_instance_profile",
        "profile",
        &["us-east-1", "role"],
    );
    story.marked("aws_ec2_instance", "i-1", &["profile", "us-west-2"]);
    story.add("aws_iam_server_certificate", "certificate", &["us-east-1"]);
    story.marked("aws_elb", "elb-0", &["certificate", "us-west-2"]);
    for story in [story.reversed(), story] {
        let plan = story.plan();
        assert_eq!(region(&plan, "i-1"), Some("us-west-2"));
        assert_eq!(region(&plan, "elb-0"), Some("us-west-2"));
    }
}

#[test]
fn region_is_not_taken_from_other_resources() {
    let mut story = Story::aws();
    story.add("aws_iam_role", "role", &["us-east-1"]);
    story.marked("aws_eks_cluster", "no-arn", &["role"]).in_account("123456789012");
    story.marked("aws_eks_cluster", "with-arn", &["role"]);
    story.field("arn", json!("arn:aws:eks:us-west-2:123456789012:cluster/with-arn"));
    story.marked("aws_eks_cluster", "with-ancestors", &["role"]).in_account("123456789012");
    let west = Ancestor { id: "us-west-2".into(), name: None, reported: Map::new() };
    story.last().ancestors.insert("region".into(), west);
    let plan = story.plan();
    assert_eq!(region(&plan, "with-arn"), Some("us-west-2"));
    assert_eq!(region(&plan, "with-ancestors"), Some("us-west-2"));
    let [(node, reason)] = reasons(&plan)[..] else { panic!("{plan:?}") };
    assert_eq!((node, reason.contains("region is uncertain")), ("no-arn", true), "{reason}");
}

#[test]
fn account_of_target_includes_its_role() {
    let mut story = Story::aws();
    story.0.nodes[2].reported.insert("role".into(), json!("Cleaner"));
    story.add("aws_iam_user", "user", &["us-east-1"]).marked("aws_iam_access_key", "key", &["user"]);
    story.in_account("123456789012");
    let plan = story.plan();
    let item = plan.items().next().unwrap();
    assert_eq!(item.target.account.reported["role"], "Cleaner");
    assert_eq!((item.unit.id.as_str(), &item.target.region), ("123456789012", &None));
    assert!(item.unit.payload.contains("Cleaner"), "{}", item.unit.payload);
}

#[test]
fn account_is_not_derived_from_other_resources() {
    let mut story = Story::aws();
    story.add("aws_account", "210987654321", &["aws"]).add("aws_region", "there", &["210987654321"]);
    // The only way up leads through IAM, and need not lead to the resource's own account.
    story.add("aws_iam_role", "role", &["there"]).marked("aws_eks_cluster", "cluster", &["role"]);
    story.add("aws_iam_user", "ours", &["us-east-1"]).add("aws_iam_user", "theirs", &["there"]);
    story.marked("aws_iam_access_key", "key", &["ours", "theirs"]);
    story.marked("aws_vpc", "vpc", &["us-west-2", "there"]);
    let unknown = "its account is not known";
    assert_eq!(reasons(&story.plan())[..2], [("cluster", unknown), ("key", unknown)]);
    // What the core or the ARN says is believed.
    story.0.nodes.retain(|node| node.id != "vpc");
    story.marked("aws_iam_access_key", "said", &["ours", "theirs"]).in_account("210987654321");
    story.marked("aws_iam_policy", "named", &["ours"]);
    story.field("arn", json!("arn:aws:iam::123456789012:policy/named"));
    let plan = story.plan();
    let account = |node: &str| plan.items().find(|item| item.node == node).unwrap().target.account.id.as_str();
    assert_eq!((account("said"), account("named")), ("210987654321", "123456789012"));
}

/// The network of an EKS cluster behind a NAT gateway, as AWS's collector draws it; everything is marked.
fn cluster() -> Story {
    let (mut story, west) = (Story::aws(), "us-west-2");
    story.add("aws_iam_role", "role", &["us-east-1"]);
    story.marked("aws_vpc", "vpc", &[west]).marked("aws_ec2_subnet", "subnet", &[west, "vpc"]);
    story.marked("aws_ec2_security_group", "group", &[west, "vpc"]);
    story.marked("aws_ec2_internet_gateway", "igw", &[west, "vpc"]);
    story.marked("aws_ec2_network_interface", "eni", &[west, "vpc", "subnet", "group"]);
    story.marked("aws_ec2_network_interface", "nat-eni", &[west, "vpc", "subnet"]);
    story.marked("aws_ec2_elastic_ip", "eip", &[west, "nat-eni"]);
    story.marked("aws_ec2_nat_gateway", "nat", &[west, "vpc", "subnet", "nat-eni"]);
    story.marked("aws_eks_cluster", "cluster", &[west, "role"]);
    story.marked("aws_eks_nodegroup", "nodes", &["cluster"]);
    story.last().reported.insert("arn".into(), json!("arn:aws:eks:us-west-2:123456789012:nodegroup/nodes"));
    story
}

#[test]
fn kinds_without_edges_are_ordered_by_collector() {
    for story in [cluster(), cluster().reversed()] {
        let plan = story.plan();
        assert_eq!(reasons(&plan), []);
        let levels = ids(&plan);
        let level = |id: &str| levels.iter().position(|level| level.contains(&id)).unwrap();
        let before = |first: &str, then: &str| assert!(level(first) < level(then), "{first} before {then}: {levels:?}");
        before("nodes", "cluster");
        for network in ["eni", "subnet", "group", "vpc"] {
            before("cluster", network);
        }
        before("nat", "eip");
        before("eip", "igw");
        before("igw", "vpc");
    }
}

#[test]
fn kind_order_applies_within_one_region_of_one_account() {
    let mut story = Story::aws();
    story.marked("aws_ec2_nat_gateway", "nat", &["us-west-2"]).marked("aws_ec2_elastic_ip", "eip", &["us-west-2"]);
    story.add("aws_region", "eu-west-1", &["123456789012"]).marked("aws_ec2_elastic_ip", "far", &["eu-west-1"]);
    let plan = story.plan();
    let mut levels = ids(&plan);
    levels.iter_mut().for_each(|level| level.sort_unstable());
    assert_eq!(levels, [vec!["nat"], vec!["eip", "far"]]);
}

#[test]
fn resource_that_cascades_to_protected_one_is_rejected() {
    let mut story = Story::aws();
    story.add("aws_ec2_volume", "volume", &["us-west-2"]).flag("protected");
    story.add("aws_ec2_volume", "other", &["us-west-2"]).flag("protected").flag("cleaned");
    story.marked("aws_ec2_instance", "i-1", &["us-west-2", "volume"]).marked("aws_ec2_instance", "i-2", &["other"]);
    story.0.edges.push(("us-west-2".into(), "i-2".into()));
    story.marked("aws_autoscaling_group", "asg", &["us-west-2", "i-1"]);
    // It is deeper than what is protected, and deletes none of it.
    story.marked("aws_cloudwatch_alarm", "alarm", &["us-west-2"]);
    story.0.edges.push(("i-1".into(), "alarm".into()));
    story.marked("aws_iam_user", "user", &["us-east-1"]);
    story.add("aws_iam_access_key", "key", &["user"]).flag("protected");
    let plan = story.plan();
    let refused = reasons(&plan);
    assert_eq!(refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["i-1", "asg", "user"]);
    assert!(refused[0].1.contains("aws_ec2_volume volume") && refused[1].1.contains("aws_ec2_volume volume"));
    assert!(refused[2].1.contains("aws_iam_access_key key would be deleted with it"), "{refused:?}");
    assert_eq!(plan.items().count(), 2);
}

#[test]
fn plan_includes_event_logs_of_earlier_cleanups() {
    let mut story = Story::aws();
    story.marked("aws_vpc", "vpc", &["us-west-2"]);
    story.last().metadata.insert("event_log".into(), json!([{ "msg": "old" }]));
    assert_eq!(story.plan().logs["vpc"], [json!({ "msg": "old" })]);
    assert!(needs_fields(story.last()) && !needs_fields(&story.0.nodes[0]) && needs_fields(&story.0.nodes[3]));
}

#[test]
fn undeletable_resources_are_rejected_with_reason() {
    let mut story = Story::aws();
    story.marked("aws_vpc", "protected", &["us-west-2"]).flag("protected");
    story.marked("aws_iam_policy", "phantom", &["us-east-1"]).flag("phantom");
    story.marked("aws_iam_policy", "of-aws", &["us-east-1"]);
    story.field("arn", json!("arn:aws:iam::aws:policy/AdministratorAccess"));
    story.marked("aws_ec2_instance_type", "t3.micro", &["us-west-2"]);
    story.marked("aws_region", "eu-west-1", &["123456789012"]).marked("aws_account", "999999999999", &["aws"]);
    story.marked("cloud", "gcp", &["root"]).marked("onprem_instance", "host", &["gcp"]);
    story.marked("aws_vpc", "cleaned", &["us-west-2"]).flag("cleaned");
    let plan = story.plan();
    let found = reasons(&plan);
    let refused: Vec<&str> = found.iter().map(|(node, _)| *node).collect();
    // Policies of AWS look like any other when they come back from the core; the collector refuses them by their ARN.
    assert_eq!(refused, ["protected", "phantom", "of-aws", "t3.micro", "eu-west-1", "999999999999", "gcp", "host"]);
    assert_eq!(plan.items().count(), 0);
    assert!(found[0].1.contains("protected") && found[4].1.contains("never deleted"), "{found:?}");
}

#[test]
fn cycle_is_rejected_and_the_rest_is_planned() {
    let mut story = Story::aws();
    story.marked("aws_vpc", "vpc", &["us-west-2", "subnet"]).marked("aws_ec2_subnet", "subnet", &["us-west-2", "vpc"]);
    story.marked("aws_vpc", "other", &["us-west-2"]);
    let plan = story.plan();
    assert_eq!(ids(&plan), [["other"]]);
    assert_eq!(plan.refused.len(), 2);
    assert!(plan.refused.iter().all(|refusal| refusal.reason.contains("circle")));
}

#[test]
fn disabled_collector_deletes_nothing() {
    let mut story = Story::aws();
    story.marked("aws_vpc", "vpc", &["us-west-2"]);
    let plan = plan(&story.0, &targets(&["example"]));
    assert_eq!(reasons(&plan), [("vpc", "the collector of its cloud aws is not enabled")]);
}

#[test]
fn resource_that_cloud_never_deletes_is_rejected_in_plan() {
    let mut story = Story::aws();
    story.marked("aws_vpc", "vpc", &["us-west-2"]).field("is_default", json!(true));
    story.marked("aws_ec2_security_group", "group", &["us-west-2", "vpc"]).field("name", json!("default"));
    story.marked("aws_ec2_security_group", "default", &["us-west-2", "vpc"]).field("name", json!("web"));
    story.marked("aws_ec2_network_acl", "acl", &["us-west-2", "vpc"]).field("is_default", json!(false));
    let plan = story.plan();
    assert_eq!(ids(&plan), [["default", "acl"]]);
    let [(vpc, of_vpc), (group, of_group)] = reasons(&plan)[..] else { panic!("{:?}", reasons(&plan)) };
    assert_eq!((vpc, group), ("vpc", "group"));
    assert!(of_vpc.contains("default VPC") && of_group.contains("default security group"));
}

#[test]
fn protected_member_of_managed_group_keeps_its_manager() {
    let mut story = Story::empty();
    story.add("graph_root", "root", &[]).add("cloud", "gcp", &["root"]).add("gcp_project", "p", &["gcp"]);
    story.add("gcp_region", "1000", &["p"]).add("gcp_zone", "2000", &["1000"]);
    let link = |id: &str| json!(format!("https://www.googleapis.com/compute/v1/projects/p/zones/z/things/{id}"));
    for (number, flag) in [("1", "protected"), ("2", "cleaned")] {
        let [server, group, manager] = ["server", "group", "manager"].map(|name| format!("{name}-{number}"));
        story.add("gcp_instance", &server, &["2000"]).flag(flag);
        story.marked("gcp_instance_group", &group, &["2000", &server]).field("link", link(&group));
        story.marked("gcp_instance_group_manager", &manager, &["2000", &group]).field("link", link(&manager));
    }
    let plan = plan(&story.0, &targets(&["gcp"]));
    assert_eq!(ids(&plan), [vec!["manager-2"], vec!["group-1", "group-2"]]);
    assert_eq!(reasons(&plan), [("manager-1", "gcp_instance server-1 would be deleted with it, and is protected")]);
}
