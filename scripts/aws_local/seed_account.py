"""An account that is being seeded, and the calls that make its resources."""

from __future__ import annotations

import datetime
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SECONDS_PER_CALL = 300
GLOBAL_REGION = "us-east-1"

Tags = list[dict[str, str]]


class SeedError(Exception):
    """A resource could not be made."""


@dataclass
class Plan:
    """The organization to make."""

    endpoint: str
    accounts: int = 4
    """The number of accounts, the management account included."""
    scale: int = 1
    """The factor on the number of resources in each account and region."""
    regions: list[str] = field(default_factory=lambda: ["us-east-1", "us-west-2"])
    role: str = "Cloudkeeper"
    """The role that can be assumed in each account."""
    metrics_now: datetime.datetime | None = None
    """The hour before which CloudWatch data points lie; none for the current one."""
    frozen: bool = False
    """Whether the server's clock is frozen; set when seeding begins."""


@dataclass
class Account:
    """An account that is being seeded."""

    plan: Plan
    id: str
    index: int
    """Its index in the organization; the management account is 0."""
    keys: dict[str, str]
    made: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.client = lru_cache(maxsize=None)(self._client)

    def _client(self, service: str, region: str = GLOBAL_REGION) -> Any:
        # One attempt only: a retry would draw IDs twice.
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
        """Calls an operation without counting it. Raises `SeedError` if it fails."""
        try:
            return operation(**parameters)
        except (BotoCoreError, ClientError) as error:
            raise SeedError(f"account {self.id}: {operation.__name__}: {error}") from error

    def scaled(self, count: int) -> range:
        """Returns the numbers of `count` resources at the plan's scale."""
        return range(count * self.plan.scale)


def tags(name: str, **others: str) -> Tags:
    """Returns a `Name` tag and further tags."""
    return [{"Key": "Name", "Value": name}, *({"Key": key, "Value": value} for key, value in others.items())]


def tagged(resource_type: str, name: str, **others: str) -> list[dict[str, Any]]:
    """Returns the same tags in the form in which EC2 takes them on creation."""
    return [{"ResourceType": resource_type, "Tags": tags(name, **others)}]


@lru_cache(maxsize=1)
def session() -> Any:
    """Returns the session of all clients; it keeps the service models, which take long to read."""
    return boto3.session.Session()


def request(url: str) -> bytes:
    """Sends a request to the server's control endpoints and returns the response."""
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
