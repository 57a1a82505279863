"""The prices and quotas of the local AWS, as AWS listed them."""

from __future__ import annotations

from typing import NamedTuple


class InstanceType(NamedTuple):
    """An instance type; on-demand prices in US dollars per hour."""

    cores: int
    memory_gib: int
    shared: float
    dedicated: float


INSTANCE_TYPES = {
    "c5.xlarge": InstanceType(4, 8, 0.17, 0.18),
    "f1.2xlarge": InstanceType(8, 122, 1.65, 1.815),
    "g4dn.xlarge": InstanceType(4, 16, 0.526, 0.579),
    "inf1.xlarge": InstanceType(4, 8, 0.228, 0.251),
    "m5.large": InstanceType(2, 8, 0.096, 0.102),
    "m5.xlarge": InstanceType(4, 16, 0.192, 0.203),
    "p3.2xlarge": InstanceType(8, 61, 3.06, 3.366),
    "t2.micro": InstanceType(1, 1, 0.0116, 0.0128),
    "t3.medium": InstanceType(2, 4, 0.0416, 0.0458),
    "t3.micro": InstanceType(2, 1, 0.0104, 0.0112),
    "u-6tb1.metal": InstanceType(448, 6144, 0.0, 46.4),
    "x1.16xlarge": InstanceType(64, 976, 6.669, 7.336),
}

# US dollars per GiB and month.
VOLUME_TYPES = {"gp2": 0.1, "gp3": 0.08, "io1": 0.125, "sc1": 0.015, "st1": 0.045, "standard": 0.05}

# Further products that AWS sells with a volume type: family, unit and US dollars.
VOLUME_EXTRAS = {
    "gp3": [("System Operation", "IOPS-Mo", 0.005), ("Provisioned Throughput", "GiBps-mo", 40.96)],
    "io1": [("System Operation", "IOPS-Mo", 0.065)],
    "standard": [("System Operation", "IOs", 0.00000005)],
}

QUOTAS: dict[str, dict[str, float]] = {
    "vpc": {"VPCs per Region": 5, "Subnets per VPC": 200, "Internet gateways per Region": 5},
    "ec2": {
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances": 1152,
        "Running On-Demand F instances": 128,
        "Running On-Demand G instances": 128,
        "Running On-Demand Inf instances": 64,
        "Running On-Demand P instances": 256,
        "Running On-Demand X instances": 128,
        "Running On-Demand Dedicated u-6tb1 hosts": 2,
    },
    "ebs": {
        "General Purpose (SSD) volume storage": 300,
        "Magnetic volume storage": 300,
        "Max Cold HDD (SC1) Storage": 300,
        "Max Throughput Optimized HDD (ST1) Storage": 300,
        "Provisioned IOPS (SSD) volume storage": 300,
        "Number of EBS snapshots": 10000,
        "Provisioned IOPS": 200000,
    },
    "elasticloadbalancing": {"Application Load Balancers per Region": 50, "Classic Load Balancers per Region": 20},
    "iam": {"Server certificates per account": 20, "Roles per account": 1000, "Users per account": 5000},
    "s3": {"Buckets": 100},
}
