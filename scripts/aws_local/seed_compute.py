"""Instances and volumes of a region."""

from __future__ import annotations

import datetime
from typing import Any

from aws_local.seed_account import Account, tagged, tags
from aws_local.seed_network import Network

IMAGE = "ami-12c6146b"
INSTANCE_TYPES = ["t3.micro", "m5.large", "c5.xlarge", "p3.2xlarge", "inf1.xlarge", "x1.16xlarge"]
VOLUME_TYPES = ["gp2", "gp3", "io1", "st1", "sc1", "standard", "io2"]
BIG_VOLUME_TYPES = {"st1", "sc1"}


def seed(account: Account, region: str, network: Network) -> list[str]:
    """Makes instances in several states, volumes and snapshots; returns the IDs of the instances."""
    ec2 = account.client("ec2", region)
    instances = [
        account.make("instance", ec2.run_instances, **instance(account, network, number))["Instances"][0]["InstanceId"]
        for number in account.scaled(6)
    ]
    for number, instance_id in enumerate(instances):
        if number % 6 == 2:
            account.call(ec2.stop_instances, InstanceIds=[instance_id])
        if number % 6 == 5:
            account.call(ec2.terminate_instances, InstanceIds=[instance_id])
    volumes = [
        account.make("volume", ec2.create_volume, **volume(network, number))["VolumeId"] for number in account.scaled(7)
    ]
    for volume_id, instance_id in zip(volumes[:2], instances[:2], strict=True):
        account.call(ec2.attach_volume, VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    activity(account, region, volumes[2])
    for number in account.scaled(2):
        account.make(
            "snapshot",
            ec2.create_snapshot,
            VolumeId=volumes[number % len(volumes)],
            Description=f"snap {number}",
            TagSpecifications=tagged("snapshot", f"snap-{number}") if number % 2 == 0 else [],
        )
    return instances


def instance(account: Account, network: Network, number: int) -> dict[str, Any]:
    """Returns the parameters of the n-th instance."""
    place = number % 4
    request: dict[str, Any] = {
        "ImageId": IMAGE,
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceType": INSTANCE_TYPES[number % len(INSTANCE_TYPES)],
        "SubnetId": network.subnets[place],
        "SecurityGroupIds": [network.groups[place // 2][number % 3]],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": instance_tags(number)}],
    }
    if number % 2 == 0:
        request["KeyName"] = f"key-{place // 2}"
    if number % 3 == 1:
        request["IamInstanceProfile"] = {"Name": f"prof-{number % len(account.scaled(2))}"}
    return request


def instance_tags(number: int) -> list[dict[str, str]]:
    """Returns the tags of the n-th instance: some lack a name, some have an expiration and an earlier creation time."""
    owner = "team-b" if number % 2 else "team-a"
    chosen = tags(f"i-{number}", owner=owner) if number % 3 else [{"Key": "owner", "Value": "team-c"}]
    if number % 6 == 4:
        chosen.append({"Key": "expiration", "Value": "2d"})
        chosen.append({"Key": "cloudkeeper:ctime", "Value": "2020-01-02T03:04:05+00:00"})
    return chosen


def volume(network: Network, number: int) -> dict[str, Any]:
    """Returns the parameters of the n-th volume."""
    kind = VOLUME_TYPES[number % len(VOLUME_TYPES)]
    request: dict[str, Any] = {
        "AvailabilityZone": network.zones[number % 2],
        "Size": 125 if kind in BIG_VOLUME_TYPES else 8 + number,
        "VolumeType": kind,
        "Encrypted": number % 2 == 1,
        "TagSpecifications": tagged("volume", f"vol-{number}", owner="team-a") if number % 2 == 0 else [],
    }
    if kind in ("io1", "io2"):
        request["Iops"] = 200
    if kind == "gp3":
        request.update(Throughput=125, Iops=3000)
    return request


def activity(account: Account, region: str, volume_id: str) -> None:
    """Makes data points for the last read and the last write of an unattached volume."""
    for metric, hours in (("VolumeReadOps", 30), ("VolumeWriteOps", 50)):
        data_point(account, region, "AWS/EBS", metric, ("VolumeId", volume_id), hours, 5.0)


def data_point(
    account: Account, region: str, namespace: str, metric: str, dimension: tuple[str, str], hours: int, value: float
) -> None:
    """Makes one CloudWatch data point some hours ago."""
    now = account.plan.metrics_now
    assert now is not None, "the seeder sets it"
    datum = {
        "MetricName": metric,
        "Dimensions": [{"Name": dimension[0], "Value": dimension[1]}],
        "Timestamp": now - datetime.timedelta(hours=hours),
        "Value": value,
        "Unit": "Count",
    }
    account.make(
        "metric", account.client("cloudwatch", region).put_metric_data, Namespace=namespace, MetricData=[datum]
    )
