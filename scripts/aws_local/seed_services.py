"""Services of a region that use networks and instances: balancers, scaling, databases, stacks, clusters, alarms."""

from __future__ import annotations

import json
from typing import Any

from aws_local.seed_account import Account, tags
from aws_local.seed_compute import IMAGE, data_point
from aws_local.seed_network import Network

TEMPLATE = json.dumps(
    {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": {"P1": {"Type": "String", "Default": "a"}, "P2": {"Type": "String", "Default": "b"}},
        "Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {}}},
    }
)


def seed(account: Account, region: str, network: Network, instances: list[str]) -> None:
    """Makes the resources of all these services."""
    certificate = f"arn:aws:iam::{account.id}:server-certificate/cert-0"
    classic_balancers(account, region, network, instances, certificate)
    balancers = application_balancers(account, region, network)
    target_groups(account, region, network, instances, balancers, certificate)
    scaling_groups(account, region, network)
    databases(account, region, network)
    stacks(account, region)
    clusters(account, region, network)
    alarms(account, region, instances)


def classic_balancers(account: Account, region: str, network: Network, instances: list[str], certificate: str) -> None:
    """Makes classic load balancers; every other one has tags, HTTPS and instances."""
    elb = account.client("elb", region)
    for number in account.scaled(2):
        name, full = f"elb-{number}", number % 2 == 0
        plain = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstanceProtocol": "HTTP", "InstancePort": 80}
        secure = {**plain, "Protocol": "HTTPS", "LoadBalancerPort": 443, "SSLCertificateId": certificate}
        account.make(
            "elb",
            elb.create_load_balancer,
            LoadBalancerName=name,
            Listeners=[plain, secure] if full else [plain],
            Subnets=network.subnets[:2],
            SecurityGroups=[network.groups[0][0]],
            Tags=tags(name, owner="team-a") if full else [],
        )
        if full:
            behind = [{"InstanceId": instance} for instance in instances[:2]]
            account.call(elb.register_instances_with_load_balancer, LoadBalancerName=name, Instances=behind)


def application_balancers(account: Account, region: str, network: Network) -> list[str]:
    """Makes application load balancers and returns their ARNs."""
    elbv2 = account.client("elbv2", region)
    return [
        account.make(
            "alb",
            elbv2.create_load_balancer,
            Name=f"alb-{number}",
            Subnets=network.subnets[:2],
            SecurityGroups=[network.groups[0][1]],
            Scheme="internal",
            Tags=tags(f"alb-{number}", owner="team-b"),
        )["LoadBalancers"][0]["LoadBalancerArn"]
        for number in account.scaled(2)
    ]


def target_groups(
    account: Account, region: str, network: Network, instances: list[str], balancers: list[str], certificate: str
) -> None:
    """Makes target groups of three sorts: two instances with HTTP, one with HTTPS, and addresses without listener."""
    elbv2 = account.client("elbv2", region)
    for number in account.scaled(3):
        sort = number % 3
        group = account.make(
            "target_group",
            elbv2.create_target_group,
            Name=f"tg-{number}",
            Protocol="HTTP",
            Port=80,
            VpcId=network.vpcs[0],
            TargetType="ip" if sort == 2 else "instance",
            Tags=tags(f"tg-{number}") if number % 2 == 0 else [],
        )["TargetGroups"][0]["TargetGroupArn"]
        if sort == 2:
            continue
        behind = instances[:2] if sort == 0 else [instances[3]]
        targets = [{"Id": instance} for instance in behind]
        account.call(elbv2.register_targets, TargetGroupArn=group, Targets=targets)
        listener: dict[str, Any] = {"LoadBalancerArn": balancers[sort], "Protocol": "HTTP", "Port": 80 + number}
        if sort == 1:
            listener.update(Protocol="HTTPS", Port=443 + number, Certificates=[{"CertificateArn": certificate}])
        listener["DefaultActions"] = [{"Type": "forward", "TargetGroupArn": group}]
        account.make("listener", elbv2.create_listener, **listener)


def scaling_groups(account: Account, region: str, network: Network) -> None:
    """Makes scaling groups that start two instances each."""
    autoscaling = account.client("autoscaling", region)
    account.make(
        "launch_configuration",
        autoscaling.create_launch_configuration,
        LaunchConfigurationName="lc-0",
        ImageId=IMAGE,
        InstanceType="t3.micro",
        KeyName="key-0",
        SecurityGroups=[network.groups[0][0]],
    )
    for number in account.scaled(1):
        name = f"asg-{number}"
        owner = {"Key": "owner", "Value": "team-a", "PropagateAtLaunch": True}
        account.make(
            "asg",
            autoscaling.create_auto_scaling_group,
            AutoScalingGroupName=name,
            LaunchConfigurationName="lc-0",
            MinSize=1,
            MaxSize=3,
            DesiredCapacity=2,
            VPCZoneIdentifier=network.subnets[0],
            Tags=[{**owner, "ResourceId": name, "ResourceType": "auto-scaling-group"}],
        )


def databases(account: Account, region: str, network: Network) -> None:
    """Makes databases, the first with a recent connection."""
    rds = account.client("rds", region)
    account.make(
        "db_subnet_group",
        rds.create_db_subnet_group,
        DBSubnetGroupName="dsg",
        DBSubnetGroupDescription="d",
        SubnetIds=network.subnets[:2],
    )
    for number in account.scaled(2):
        odd = number % 2 == 1
        account.make(
            "rds",
            rds.create_db_instance,
            DBInstanceIdentifier=f"db-{number}",
            Engine="mysql" if odd else "postgres",
            DBInstanceClass="db.t3.micro",
            AllocatedStorage=20 + number,
            MasterUsername="root",
            MasterUserPassword="not-a-secret",
            DBSubnetGroupName="dsg",
            VpcSecurityGroupIds=[network.groups[0][2]],
            StorageEncrypted=odd,
            PubliclyAccessible=odd,
            Port=5432,
        )
    data_point(account, region, "AWS/RDS", "DatabaseConnections", ("DBInstanceIdentifier", "db-0"), 20, 3.0)


def stacks(account: Account, region: str) -> None:
    """Makes CloudFormation stacks with a parameter each."""
    cloudformation = account.client("cloudformation", region)
    for number in account.scaled(2):
        name = f"stack-{number}"
        account.make(
            "cfn_stack",
            cloudformation.create_stack,
            StackName=name,
            TemplateBody=TEMPLATE,
            Parameters=[{"ParameterKey": "P1", "ParameterValue": f"v{number}"}],
            Tags=tags(name, owner="team-a") if number % 2 == 0 else [],
        )


def clusters(account: Account, region: str, network: Network) -> None:
    """Makes Kubernetes clusters with two node groups each."""
    eks = account.client("eks", region)
    role = f"arn:aws:iam::{account.id}:role/role-1"
    for number in account.scaled(1):
        name = f"eks-{number}"
        account.make(
            "eks_cluster",
            eks.create_cluster,
            name=name,
            roleArn=role,
            resourcesVpcConfig={"subnetIds": network.subnets[:2], "securityGroupIds": [network.groups[0][0]]},
            tags={"owner": "team-a"},
        )
        for place in range(2):
            account.make(
                "eks_nodegroup",
                eks.create_nodegroup,
                clusterName=name,
                nodegroupName=f"ng-{place}",
                nodeRole=role,
                subnets=network.subnets[:2],
                scalingConfig={"minSize": 1, "maxSize": 2, "desiredSize": 1},
                tags={"n": str(place)},
            )


def alarms(account: Account, region: str, instances: list[str]) -> None:
    """Makes alarms on an instance, on a missing instance, and on another kind of resource."""
    cloudwatch = account.client("cloudwatch", region)
    watched = [("InstanceId", instances[0]), ("InstanceId", "i-00000000deadbeef0"), ("QueueName", "q")]
    for number in account.scaled(3):
        dimension, value = watched[number % 3]
        account.make(
            "alarm",
            cloudwatch.put_metric_alarm,
            AlarmName=f"alarm-{number}",
            AlarmDescription=f"alarm {number}",
            Namespace="AWS/EC2",
            MetricName="CPUUtilization",
            Dimensions=[{"Name": dimension, "Value": value}],
            Statistic="Average",
            Period=300,
            EvaluationPeriods=2,
            Threshold=80.5,
            ComparisonOperator="GreaterThanThreshold",
            ActionsEnabled=True,
            AlarmActions=[f"arn:aws:sns:{region}:{account.id}:topic"],
            OKActions=[],
            Tags=tags(f"alarm-{number}") if number % 2 == 0 else [],
        )
