"""Fills a server with an organization, the same one each time.

moto draws its ids from one random generator, so the ids follow from the order of the calls alone: the seeder makes them
one after the other, and adding, dropping or moving one changes all ids after it. They are the same on a fresh server
only, as moto keeps part of its state across a reset. A frozen clock moves by a second with each resource, so that
creation times differ and are repeatable too.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

RANDOM_SEED = 42
SECONDS_PER_CALL = 300
GLOBAL_REGION = "us-east-1"
MANAGEMENT_KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}

Tags = list[dict[str, str]]


class SeedError(Exception):
    """Something could not be made."""


@dataclass
class Plan:
    """What to make."""

    endpoint: str
    accounts: int = 4
    """How many accounts, the management account included."""
    scale: int = 1
    """Multiplies how much is in each account and region."""
    regions: list[str] = field(default_factory=lambda: ["us-east-1", "us-west-2"])
    role: str = "Cloudkeeper"
    """The role that can be assumed in each account."""
    metrics_now: datetime.datetime | None = None
    """The hour that CloudWatch data points lie before; the current one if none is given."""
    frozen: bool = False
    """Whether the server's clock stands still; found out when seeding begins."""


@dataclass
class Account:
    """An account that is being filled."""

    plan: Plan
    id: str
    index: int
    """Its place in the organization; the management account is 0."""
    keys: dict[str, str]
    made: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.client = lru_cache(maxsize=None)(self._client)

    def _client(self, service: str, region: str = GLOBAL_REGION) -> Any:
        # One attempt only: a call that is repeated would draw ids twice.
        config = Config(retries={"total_max_attempts": 1}, read_timeout=SECONDS_PER_CALL, parameter_validation=False)
        return session().client(
            service, region_name=region, endpoint_url=self.plan.endpoint, config=config, **self.keys
        )

    def make(self, kind: str, operation: Callable[..., Any], **parameters: Any) -> Any:
        """Makes one resource, counts it and moves a frozen clock."""
        reply = self.call(operation, **parameters)
        self.made[kind] += 1
        tick(self.plan)
        return reply

    def call(self, operation: Callable[..., Any], **parameters: Any) -> Any:
        """Calls an operation that makes nothing that counts. Raises `SeedError` if it fails."""
        try:
            return operation(**parameters)
        except (BotoCoreError, ClientError) as error:
            raise SeedError(f"account {self.id}: {operation.__name__}: {error}") from error

    def scaled(self, count: int) -> range:
        """The numbers of `count` resources at the plan's scale."""
        return range(count * self.plan.scale)


def tags(name: str, **others: str) -> Tags:
    """A Name tag and others."""
    return [{"Key": "Name", "Value": name}, *({"Key": key, "Value": value} for key, value in others.items())]


def tagged(resource_type: str, name: str, **others: str) -> list[dict[str, Any]]:
    """The same, as EC2 wants it on creation."""
    return [{"ResourceType": resource_type, "Tags": tags(name, **others)}]


@lru_cache(maxsize=1)
def session() -> Any:
    """One session for all clients, as it keeps the service models, which take long to read."""
    return boto3.session.Session()


def request(url: str) -> bytes:
    """Asks the server's own endpoints for something."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=b""), timeout=SECONDS_PER_CALL) as reply:
            answer: bytes = reply.read()
            return answer
    except OSError as error:
        raise SeedError(f"{url}: {error}; is the server running?") from error


def tick(plan: Plan) -> None:
    """Moves a frozen clock by a second."""
    if plan.frozen:
        request(f"{plan.endpoint}/_ctl/tick?s=1")


def reset(endpoint: str) -> None:
    """Empties the server and starts its random generator anew."""
    # A reset draws numbers too, so the generator is started before and after it.
    for step in (f"seed?a={RANDOM_SEED}", "reset", f"seed?a={RANDOM_SEED}"):
        request(f"{endpoint}/moto-api/{step}")


def keep_user_settings_out() -> None:
    """Makes sure that neither a profile nor a proxy of the user gets between the seeder and the local server."""
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
    from aws_local.seed_global import seed_global
    from aws_local.seed_region import seed_region

    keep_user_settings_out()
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
    """Creates the organization and its other accounts, and returns their ids."""
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
