"""Networks of a region: VPCs with their content, and later the addresses of instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aws_local.seed_account import Account, tagged


@dataclass
class Network:
    """The IDs of the networks of a region."""

    zones: list[str]
    vpcs: list[str] = field(default_factory=list)
    subnets: list[str] = field(default_factory=list)
    """Two of each VPC, one in each zone."""
    route_tables: list[str] = field(default_factory=list)
    """One of each VPC."""
    groups: list[list[str]] = field(default_factory=list)
    """Three security groups of each VPC."""


def seed(account: Account, region: str) -> Network:
    """Makes two VPCs, their content, and a peering between them."""
    ec2 = account.client("ec2", region)
    network = Network(zones=[f"{region}a", f"{region}b"])
    for number in range(2):
        vpc(account, ec2, network, number)
        security_groups(account, ec2, network, number)
        edges_of_vpc(account, ec2, network, number)
    account.make("igw", ec2.create_internet_gateway)
    for number in range(2):
        account.make(
            "keypair",
            ec2.import_key_pair,
            KeyName=f"key-{number}",
            PublicKeyMaterial=PUBLIC_KEY.encode(),
            TagSpecifications=tagged("key-pair", f"key-{number}"),
        )
    peering = account.make(
        "peering",
        ec2.create_vpc_peering_connection,
        VpcId=network.vpcs[0],
        PeerVpcId=network.vpcs[1],
        TagSpecifications=tagged("vpc-peering-connection", "peer-0"),
    )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    account.call(ec2.accept_vpc_peering_connection, VpcPeeringConnectionId=peering)
    return network


def vpc(account: Account, ec2: Any, network: Network, number: int) -> None:
    """Makes a VPC with its subnets and a route table for the last of them."""
    made = account.make(
        "vpc",
        ec2.create_vpc,
        CidrBlock=f"10.{number}.0.0/16",
        TagSpecifications=tagged("vpc", f"vpc-{number}", owner="net") if number == 0 else [],
    )
    vpc_id = made["Vpc"]["VpcId"]
    network.vpcs.append(vpc_id)
    for place, zone in enumerate(network.zones):
        made = account.make(
            "subnet",
            ec2.create_subnet,
            VpcId=vpc_id,
            CidrBlock=f"10.{number}.{place}.0/24",
            AvailabilityZone=zone,
            TagSpecifications=tagged("subnet", f"sub-{number}-{place}") if place == 0 else [],
        )
        network.subnets.append(made["Subnet"]["SubnetId"])
    made = account.make(
        "route_table",
        ec2.create_route_table,
        VpcId=vpc_id,
        TagSpecifications=tagged("route-table", f"rt-{number}"),
    )
    network.route_tables.append(made["RouteTable"]["RouteTableId"])
    account.call(ec2.associate_route_table, RouteTableId=network.route_tables[-1], SubnetId=network.subnets[-1])


def security_groups(account: Account, ec2: Any, network: Network, number: int) -> None:
    """Makes three groups; the first two name each other, which is a cycle."""
    groups = []
    for place in range(3):
        made = account.make(
            "security_group",
            ec2.create_security_group,
            GroupName=f"sg-{number}-{place}",
            Description=f"sg {number} {place}",
            VpcId=network.vpcs[number],
            TagSpecifications=tagged("security-group", f"sg-{number}-{place}") if place else [],
        )
        groups.append(made["GroupId"])
        port = 22 + place
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
        account.call(ec2.authorize_security_group_ingress, GroupId=groups[-1], IpPermissions=[rule])
    account.call(ec2.authorize_security_group_ingress, GroupId=groups[0], IpPermissions=[https_with(groups[1])])
    account.call(ec2.authorize_security_group_egress, GroupId=groups[1], IpPermissions=[https_with(groups[0])])
    network.groups.append(groups)


def https_with(group: str) -> dict[str, Any]:
    """Returns a rule for HTTPS with the members of a group."""
    return {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": group}]}


def edges_of_vpc(account: Account, ec2: Any, network: Network, number: int) -> None:
    """Makes an internet gateway and an access list, which in the first VPC replaces the default one of a subnet."""
    vpc_id, subnet = network.vpcs[number], network.subnets[0]
    made = account.make(
        "igw", ec2.create_internet_gateway, TagSpecifications=tagged("internet-gateway", f"igw-{number}")
    )
    gateway = made["InternetGateway"]["InternetGatewayId"]
    account.call(ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc_id)
    made = account.make(
        "network_acl",
        ec2.create_network_acl,
        VpcId=vpc_id,
        TagSpecifications=tagged("network-acl", f"acl-{number}"),
    )
    if number != 0:
        return
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    for acl in account.call(ec2.describe_network_acls, Filters=filters)["NetworkAcls"]:
        for association in acl["Associations"]:
            if association["SubnetId"] == subnet:
                account.call(
                    ec2.replace_network_acl_association,
                    AssociationId=association["NetworkAclAssociationId"],
                    NetworkAclId=made["NetworkAcl"]["NetworkAclId"],
                )


def seed_addresses(account: Account, region: str, network: Network, instances: list[str]) -> None:
    """Makes network interfaces, elastic addresses, a NAT gateway, and endpoints of AWS services."""
    ec2 = account.client("ec2", region)
    interfaces = []
    for number in account.scaled(2):
        made = account.make(
            "eni",
            ec2.create_network_interface,
            SubnetId=network.subnets[number % 4],
            Groups=[network.groups[number % 4 // 2][0]],
            Description=f"eni {number}",
            TagSpecifications=tagged("network-interface", f"eni-{number}"),
        )
        interfaces.append(made["NetworkInterface"]["NetworkInterfaceId"])
    addresses = [
        account.make(
            "eip", ec2.allocate_address, Domain="vpc", TagSpecifications=tagged("elastic-ip", f"eip-{number}")
        )["AllocationId"]
        for number in range(3)
    ]
    account.call(ec2.associate_address, AllocationId=addresses[0], InstanceId=instances[0])
    account.call(ec2.associate_address, AllocationId=addresses[1], NetworkInterfaceId=interfaces[0])
    account.make(
        "nat_gateway",
        ec2.create_nat_gateway,
        SubnetId=network.subnets[0],
        AllocationId=addresses[2],
        TagSpecifications=tagged("natgateway", "nat-0"),
    )
    account.make(
        "vpc_endpoint",
        ec2.create_vpc_endpoint,
        VpcId=network.vpcs[0],
        ServiceName=f"com.amazonaws.{region}.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[network.route_tables[0]],
        TagSpecifications=tagged("vpc-endpoint", "ep-gw"),
    )
    account.make(
        "vpc_endpoint",
        ec2.create_vpc_endpoint,
        VpcId=network.vpcs[0],
        ServiceName=f"com.amazonaws.{region}.ec2",
        VpcEndpointType="Interface",
        SubnetIds=[network.subnets[0]],
        SecurityGroupIds=[network.groups[0][0]],
    )


# Key pairs show the fingerprint of this key, so it must not change. It protects nothing.
PUBLIC_KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDL8lTSGdmdBbcc17W1lyihqWnEZr0t7FoGTnTAkdJA4P4ERla2X/tJudED+BNG+mohMiK0"
    "xDV0UH1bOWh8zjlDKTZMhr2UOUJIdyXYUgTnHOr8PGa0llM75Zg30uI3KxTOe3TbPfjAERJNEFVCGw/78undKEbUfyAETgo67xagoEZ/qFhv"
    "J2GVZWKVso2K4dZecrYgJCKAiBuyvoZKfAKDIQWAWiYE4ClULyLlcwvmgqrryZBWPAp6MWQ3FfkzcypvycgGcxX+PxK23IaNEtfTXxxXb3/s"
    "IcG+pWLV3t5rcDYfHBNqpz2yrUp+FYwTiVYCUeNnygQhayCb2rWy4Mj9"
)
