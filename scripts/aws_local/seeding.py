"""Fills a server with an organization, the same one each time.

moto draws its IDs from one random generator, so the IDs depend on the order of the calls alone: the seeder makes them
one after the other, and adding, dropping or moving one changes all IDs after it. The IDs are repeatable only on a fresh
server, as moto keeps part of its state across a reset. A frozen clock advances by a second with each resource, so
creation times differ and are repeatable too.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from typing import Any

from aws_local.seed_account import Account, Plan, request, tick
from aws_local.seed_global import seed_global
from aws_local.seed_region import seed_region

RANDOM_SEED = 42
MANAGEMENT_KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


def reset(endpoint: str) -> None:
    """Empties the server and restarts its random generator."""
    # A reset draws numbers too, so the generator is restarted before and after it.
    for step in (f"seed?a={RANDOM_SEED}", "reset", f"seed?a={RANDOM_SEED}"):
        request(f"{endpoint}/moto-api/{step}")


def remove_user_settings() -> None:
    """Removes the user's AWS settings and proxies from the environment of the seeder."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY="*",
    )


def seed(plan: Plan) -> dict[str, Any]:
    """Makes the organization and returns what was made. Raises `SeedError` at the first failure."""
    remove_user_settings()
    if plan.metrics_now is None:
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        plan.metrics_now = now.replace(minute=0, second=0, microsecond=0)
    reset(plan.endpoint)
    plan.frozen = json.loads(request(f"{plan.endpoint}/_ctl/tick?s=0"))["frozen"]
    management = Account(plan, "", 0, MANAGEMENT_KEYS)
    management.id = management.call(management.client("sts").get_caller_identity)["Account"]
    ids = [management.id, *create_members(management)]
    counts = {}
    for index, account_id in enumerate(ids):
        account = management if index == 0 else enter(management, account_id, index)
        seed_global(account)
        for region in plan.regions:
            seed_region(account, region)
        counts[account_id] = dict(account.made)
        print(f"aws-local: account {account_id} seeded ({index + 1} of {len(ids)})", file=sys.stderr)
    return {
        "management": management.id,
        "accounts": ids,
        "regions": plan.regions,
        "scale": plan.scale,
        "role": plan.role,
        "metrics_now": plan.metrics_now.isoformat(),
        "counts_per_account": counts,
    }


def create_members(management: Account) -> list[str]:
    """Creates the organization and its other accounts, and returns their IDs."""
    organizations = management.client("organizations")
    management.call(organizations.create_organization, FeatureSet="ALL")
    if management.plan.accounts == 1:
        return []
    tick(management.plan)
    members = []
    for number in range(1, management.plan.accounts):
        reply = management.call(
            organizations.create_account, AccountName=f"member-{number}", Email=f"m{number}@example.test"
        )
        members.append(reply["CreateAccountStatus"]["AccountId"])
        tick(management.plan)
    return members


def enter(management: Account, account_id: str, index: int) -> Account:
    """Assumes the role in another account."""
    role = f"arn:aws:iam::{account_id}:role/{management.plan.role}"
    reply = management.call(management.client("sts").assume_role, RoleArn=role, RoleSessionName="seed")
    granted = reply["Credentials"]
    keys = {
        "aws_access_key_id": granted["AccessKeyId"],
        "aws_secret_access_key": granted["SecretAccessKey"],
        "aws_session_token": granted["SessionToken"],
    }
    return Account(management.plan, account_id, index, keys)
