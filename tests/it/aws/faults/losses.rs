//! What hangs on each operation.

use crate::support::compare;

/// What is missing without an operation.
#[derive(Clone, Copy, Default)]
pub(super) struct Loss {
    /// Kinds of which no node is left.
    kinds: &'static [&'static str],
    /// Fields that lose their values, as `kind.field`; `kind.*` for any field of it.
    fields: &'static [&'static str],
    /// Edges between nodes that stay, as `kind→kind`.
    edges: &'static [&'static str],
    /// Whether the local AWS may have nothing of it.
    invisible: bool,
    /// Kinds of which a node may be there that is not without the fault.
    extra: &'static [&'static str],
    /// Whether nodes of the kinds come back under another name, and so under another id.
    renamed: bool,
}

impl Loss {
    const NONE: Self = Self { kinds: &[], fields: &[], edges: &[], invisible: false, extra: &[], renamed: false };

    const fn kinds(kinds: &'static [&'static str]) -> Self {
        Self { kinds, ..Self::NONE }
    }

    const fn fields(fields: &'static [&'static str]) -> Self {
        Self { fields, ..Self::NONE }
    }

    const fn edges(edges: &'static [&'static str]) -> Self {
        Self { edges, ..Self::NONE }
    }

    /// What is missing in `partial` and should not be, or the other way round.
    pub(super) fn differences(self, whole: &str, partial: &str) -> Vec<String> {
        let all = compare::graphs(whole, partial, None);
        let mut wrong: Vec<String> = all.iter().filter(|difference| !self.expects(difference)).cloned().collect();
        if all.is_empty() && !self.invisible {
            wrong.push("nothing is missing".to_owned());
        }
        let left = |kind: &&&str| partial.contains(&format!("\"kind\":\"{kind}\""));
        if !self.renamed {
            wrong.extend(self.kinds.iter().filter(left).map(|kind| format!("there still is a {kind}")));
        }
        wrong
    }

    fn expects(self, difference: &str) -> bool {
        let kind = |label: &str| label.split(' ').next().unwrap_or_default().to_owned();
        if let Some(node) = difference.strip_prefix("missing node: ") {
            return self.kinds.contains(&kind(node).as_str());
        }
        if let Some(node) = difference.strip_prefix("extra node: ") {
            let kind = kind(node);
            return self.extra.contains(&kind.as_str()) || (self.renamed && self.kinds.contains(&kind.as_str()));
        }
        let edge = difference.strip_prefix("extra edge: ");
        if let Some((from, to)) = edge.and_then(|edge| edge.split_once(" → "))
            && [kind(from), kind(to)].iter().any(|end| self.extra.contains(&end.as_str()))
        {
            return true;
        }
        let edge = difference.strip_prefix("missing edge: ").or_else(|| edge.filter(|_| self.renamed));
        if let Some((from, to)) = edge.and_then(|edge| edge.split_once(" → ")) {
            let ends = [kind(from), kind(to)];
            let is_gone = ends.iter().any(|end| self.kinds.contains(&end.as_str()));
            return is_gone || self.edges.contains(&ends.join("→").as_str());
        }
        let field =
            difference.split_once(": reported.").map(|(node, rest)| (kind(node), rest.split(' ').next().unwrap()));
        field.is_some_and(|(kind, field)| {
            self.fields.contains(&format!("{kind}.{field}").as_str())
                || self.fields.contains(&format!("{kind}.*").as_str())
        })
    }
}

/// What is missing without an operation. A new operation is to be added here.
pub(super) fn of(operation: &str) -> Loss {
    match operation.split_once(':') {
        Some(("ec2", name)) => of_ec2(name),
        Some(("iam", name)) => of_iam(name),
        _ => of_others(operation),
    }
}

fn of_ec2(name: &str) -> Loss {
    Loss::kinds(match name {
        "DescribeAddresses" => &["aws_ec2_elastic_ip"],
        "DescribeInstances" => &["aws_ec2_instance", "aws_ec2_instance_type", "aws_ec2_instance_quota"],
        "DescribeInternetGateways" => &["aws_ec2_internet_gateway"],
        "DescribeKeyPairs" => &["aws_ec2_keypair"],
        "DescribeNatGateways" => &["aws_ec2_nat_gateway"],
        "DescribeNetworkAcls" => &["aws_ec2_network_acl"],
        "DescribeNetworkInterfaces" => &["aws_ec2_network_interface"],
        "DescribeRouteTables" => &["aws_ec2_route_table"],
        "DescribeSecurityGroups" => &["aws_ec2_security_group"],
        "DescribeSnapshots" => &["aws_ec2_snapshot"],
        "DescribeSubnets" => &["aws_ec2_subnet"],
        "DescribeVolumes" => &["aws_ec2_volume", "aws_ec2_volume_type"],
        "DescribeVpcEndpoints" => &["aws_vpc_endpoint"],
        "DescribeVpcPeeringConnections" => &["aws_vpc_peering_connection"],
        "DescribeVpcs" => &["aws_vpc"],
        "DescribeReservedInstances" => {
            return Loss { invisible: true, ..Loss::fields(&["aws_ec2_instance_type.reservations"]) };
        }
        other => panic!("what is missing without ec2:{other}?"),
    })
}

fn of_iam(name: &str) -> Loss {
    match name {
        "GetAccessKeyLastUsed" => Loss {
            invisible: true,
            ..Loss::fields(&[
                "aws_iam_access_key.atime",
                "aws_iam_access_key.access_key_last_used_region",
                "aws_iam_access_key.access_key_last_used_service_name",
            ])
        },
        "GetAccountSummary" => Loss::fields(&["aws_account.*"]),
        // Not every account has a policy.
        "GetAccountPasswordPolicy" => Loss { invisible: true, ..Loss::fields(&["aws_account.*"]) },
        "GetRole" => Loss::fields(&["aws_iam_role.tags", "aws_iam_role.atime"]),
        "GetUser" => Loss::fields(&["aws_iam_user.tags"]),
        "ListAccessKeys" => Loss::kinds(&["aws_iam_access_key"]),
        // The account goes by its number then, and is another node. Only a refusal ends like that.
        "ListAccountAliases" => {
            Loss { renamed: true, invisible: true, fields: &["aws_account.*"], ..Loss::kinds(&["aws_account"]) }
        }
        "ListAttachedGroupPolicies" => Loss::edges(&["aws_iam_policy→aws_iam_group"]),
        "ListAttachedRolePolicies" => Loss::edges(&["aws_iam_role→aws_iam_policy"]),
        "ListAttachedUserPolicies" => Loss::edges(&["aws_iam_policy→aws_iam_user"]),
        "ListGroupPolicies" => Loss::fields(&["aws_iam_group.group_policies"]),
        "ListGroups" => Loss::kinds(&["aws_iam_group"]),
        "ListGroupsForUser" => Loss::edges(&["aws_iam_group→aws_iam_user"]),
        "ListInstanceProfiles" => Loss::kinds(&["aws_iam_instance_profile"]),
        "ListPolicies" => Loss::kinds(&["aws_iam_policy"]),
        "ListRolePolicies" => Loss::fields(&["aws_iam_role.role_policies"]),
        "ListRoles" => Loss::kinds(&["aws_iam_role"]),
        "ListServerCertificates" => Loss::kinds(&["aws_iam_server_certificate"]),
        "ListUserPolicies" => Loss::fields(&["aws_iam_user.user_policies"]),
        "ListUsers" => Loss::kinds(&["aws_iam_user", "aws_iam_access_key"]),
        other => panic!("what is missing without iam:{other}?"),
    }
}

fn of_others(operation: &str) -> Loss {
    match operation {
        "autoscaling:DescribeAutoScalingGroups" => Loss::kinds(&["aws_autoscaling_group"]),
        "cloudformation:DescribeStacks" => Loss::kinds(&["aws_cloudformation_stack"]),
        "cloudwatch:DescribeAlarms" => Loss::kinds(&["aws_cloudwatch_alarm"]),
        "cloudwatch:GetMetricData" => Loss::fields(&[
            "aws_ec2_volume.atime",
            "aws_ec2_volume.mtime",
            "aws_rds_instance.atime",
            "aws_rds_instance.mtime",
        ]),
        "cloudwatch:ListTagsForResource" => Loss::fields(&["aws_cloudwatch_alarm.tags"]),
        "eks:DescribeCluster" | "eks:ListClusters" => Loss::kinds(&["aws_eks_cluster", "aws_eks_nodegroup"]),
        "eks:DescribeNodegroup" | "eks:ListNodegroups" => Loss::kinds(&["aws_eks_nodegroup"]),
        "elb:DescribeLoadBalancers" => Loss::kinds(&["aws_elb"]),
        "elb:DescribeTags" => Loss::fields(&["aws_elb.tags"]),
        "elbv2:DescribeListeners" => Loss { invisible: true, ..Loss::edges(&["aws_iam_server_certificate→aws_alb"]) },
        "elbv2:DescribeLoadBalancers" => Loss::kinds(&["aws_alb"]),
        "elbv2:DescribeTags" => Loss::fields(&["aws_alb.tags", "aws_alb_target_group.tags"]),
        "elbv2:DescribeTargetGroups" => {
            Loss { fields: &["aws_alb.backends"], ..Loss::kinds(&["aws_alb_target_group"]) }
        }
        "elbv2:DescribeTargetHealth" => {
            Loss { fields: &["aws_alb.backends"], ..Loss::edges(&["aws_ec2_instance→aws_alb_target_group"]) }
        }
        // A type that the list does not have has a node while the list cannot be asked.
        "pricing:GetProducts" => Loss {
            extra: &["aws_ec2_volume_type"],
            ..Loss::fields(&[
                "aws_ec2_instance.instance_cores",
                "aws_ec2_instance.instance_memory",
                "aws_ec2_instance_type.instance_cores",
                "aws_ec2_instance_type.instance_memory",
                "aws_ec2_instance_type.ondemand_cost",
                "aws_ec2_volume_type.ondemand_cost",
            ])
        },
        "rds:DescribeDBInstances" => Loss::kinds(&["aws_rds_instance"]),
        "s3:ListBuckets" => Loss::kinds(&["aws_s3_bucket"]),
        "service-quotas:ListServiceQuotas" => Loss::fields(&[
            "aws_alb_quota.quota",
            "aws_ec2_instance_quota.quota",
            "aws_ec2_internet_gateway_quota.quota",
            "aws_ec2_volume_type.quota",
            "aws_elb_quota.quota",
            "aws_iam_server_certificate_quota.quota",
            "aws_vpc_quota.quota",
        ]),
        other => panic!("what is missing without {other}?"),
    }
}
