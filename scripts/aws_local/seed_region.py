"""Resources of an account in each region, in the order that determines the IDs."""

from __future__ import annotations

from aws_local import seed_compute, seed_network, seed_services
from aws_local.seed_account import Account


def seed_region(account: Account, region: str) -> None:
    """Fills one region of an account."""
    network = seed_network.seed(account, region)
    instances = seed_compute.seed(account, region, network)
    seed_network.seed_addresses(account, region, network, instances)
    seed_services.seed(account, region, network, instances)
