"""Faults for tests: operations that are denied, throttled, hang, answer rubbish and the like.

A fault matches calls by service, operation, region and account, each of which may be left open. The first fault that
matches a call and is due decides. Which calls are hit under a `ratio` is not left to chance: 0.25 is every fourth. With a
`seed`, it is the probability of each call, drawn from a generator that begins with the seed.
"""

from __future__ import annotations

import random
import threading
import time
from calendar import timegm
from dataclasses import dataclass, field
from typing import Any

from aws_local import replies
from aws_local.calls import SERVICE_OF_SIGNING_NAME, Call
from aws_local.replies import Reply

MODES = {
    "deny": "the caller lacks the permission",
    "throttle": "too many requests",
    "error500": "an internal error of the service",
    "expired": "the credentials are expired",
    "garbage": "success with a body that is no document",
    "empty": "success with an empty body",
    "page": "success with a page for people, as a proxy or a portal answers",
    "redirect": "a redirect to another host, as a portal answers",
    "cut": "the first half of the right answer, as if that were all",
    "disconnect": "the connection is closed without an answer",
    "hang": "no answer until the fault is cleared or the client hangs up",
    "slow": "the right answer after `ms` milliseconds",
    "ahead": "the right answer by a clock that is `ms` milliseconds ahead; refuses what was signed for another time",
    "behind": "the right answer by a clock that is `ms` milliseconds behind; refuses what was signed for another time",
}

# Status and code of each failing mode by wire protocol; `*` is any other.
ERRORS: dict[str, dict[str, tuple[int, str]]] = {
    "deny": {
        "ec2": (403, "UnauthorizedOperation"),
        "json": (400, "AccessDeniedException"),
        "cbor": (400, "AccessDeniedException"),
        "rest-json": (403, "AccessDeniedException"),
        "*": (403, "AccessDenied"),
    },
    "throttle": {
        "ec2": (503, "RequestLimitExceeded"),
        "query": (400, "Throttling"),
        "rest-json": (429, "TooManyRequestsException"),
        "rest-xml": (503, "SlowDown"),
        "*": (400, "ThrottlingException"),
    },
    "error500": {
        "ec2": (500, "InternalError"),
        "rest-xml": (500, "InternalError"),
        "query": (500, "InternalFailure"),
        "*": (500, "InternalServerException"),
    },
    "expired": {
        "ec2": (400, "RequestExpired"),
        "query": (403, "ExpiredToken"),
        "rest-xml": (400, "ExpiredToken"),
        "*": (400, "ExpiredTokenException"),
    },
    "ahead": {
        "ec2": (400, "RequestExpired"),
        "query": (403, "SignatureDoesNotMatch"),
        "rest-xml": (403, "RequestTimeTooSkewed"),
        "*": (400, "InvalidSignatureException"),
    },
}
ERRORS["behind"] = ERRORS["ahead"]
MESSAGES = MODES | dict.fromkeys(("ahead", "behind"), "the request was signed for another time")
GARBAGE = b"\x00\xff<<< {not a document"
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in</body></html>"
SIGNATURE_SECONDS = 300
"""A request that was signed for a time further away is refused."""
SIGNED_TIME = "%Y%m%dT%H%M%SZ"
MATCHERS = ("service", "operation", "region", "account")


class BadFault(ValueError):
    """A fault was asked for that does not exist."""


@dataclass(eq=False)
class Fault:
    """One fault and how often it has struck."""

    mode: str
    service: str | None = None
    operation: str | None = None
    region: str | None = None
    account: str | None = None
    """Of the caller; for AssumeRole, of the role."""
    ratio: float = 1.0
    times: int | None = None
    """After so many strikes it is over."""
    seed: int | None = None
    """Leaves it to chance which calls are hit: to a generator that begins with this."""
    code: str | None = None
    """The error code instead of the usual one."""
    ms: float = 1000.0
    id: int = 0
    strikes: int = 0
    matches: int = 0
    cleared: threading.Event = field(default_factory=threading.Event, repr=False)
    chance: random.Random | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Makes the generator."""
        if self.seed is not None:
            self.chance = random.Random(self.seed)

    def covers(self, call: Call) -> bool:
        """Whether the call is one that it is about."""
        account = call.role_account or call.account
        wanted = (self.service, self.operation, self.region, self.account)
        given = (call.service, call.operation, call.region, account)
        return all(want is None or want == have for want, have in zip(wanted, given, strict=True))

    def is_due(self) -> bool:
        """Counts one more match and says whether this one is hit."""
        if self.times is not None and self.strikes >= self.times:
            return False
        self.matches += 1
        if self.chance is not None:
            due = self.chance.random() < self.ratio
        else:
            due = int(self.matches * self.ratio) > int((self.matches - 1) * self.ratio)
        self.strikes += due
        return due

    def error(self, call: Call) -> Reply | None:
        """The error that it answers with; none for modes that do not answer with one."""
        if self.mode not in ERRORS:
            return None
        table = ERRORS[self.mode]
        status, code = table.get(call.protocol, table["*"])
        return replies.error(call, status, self.code or code, f"{MESSAGES[self.mode]} ({call.name}, fault {self.id})")

    @property
    def clock_seconds(self) -> float:
        """How far the clock that answers is ahead of the real one."""
        return {"ahead": 1.0, "behind": -1.0}.get(self.mode, 0.0) * self.ms / 1000

    def refuses_time(self, signed: str) -> bool:
        """Whether a request with this `X-Amz-Date` was signed for another time than its clock shows."""
        try:
            at = timegm(time.strptime(signed, SIGNED_TIME))
        except ValueError:
            return False
        return abs(at - time.time() - self.clock_seconds) > SIGNATURE_SECONDS

    def report(self) -> dict[str, Any]:
        """What the control endpoint shows."""
        return {name: value for name, value in vars(self).items() if name not in ("cleared", "chance")}


class Faults:
    """All faults in force; usable from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._last_id = 0

    def add(self, wish: object) -> Fault:
        """Puts a fault in force. Raises `BadFault` if the wish makes no sense."""
        fault = parse(wish)
        with self._lock:
            self._last_id += 1
            fault.id = self._last_id
            self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Takes one fault (or all) out of force, lets go what hangs because of it, and returns how many there were."""
        with self._lock:
            gone = [fault for fault in self._faults if fault_id in (None, fault.id)]
            self._faults = [fault for fault in self._faults if fault not in gone]
        for fault in gone:
            fault.cleared.set()
        return len(gone)

    def reports(self) -> list[dict[str, Any]]:
        """All faults in force with how often each struck."""
        with self._lock:
            return [fault.report() for fault in self._faults]

    def strike(self, call: Call) -> Fault | None:
        """The fault that this call runs into."""
        with self._lock:
            return next((fault for fault in self._faults if fault.covers(call) and fault.is_due()), None)


def deny_account(account: str) -> dict[str, str]:
    """The fault that keeps everybody from assuming a role in an account."""
    return {"service": "sts", "operation": "AssumeRole", "account": account, "mode": "deny"}


def parse(wish: object) -> Fault:
    """A fault from what a test asked for."""
    if not isinstance(wish, dict):
        raise BadFault("a fault is a JSON object")
    known = {*MATCHERS, "mode", "ratio", "times", "seed", "code", "ms"}
    if unknown := sorted(set(wish) - known):
        raise BadFault(f"unknown members {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if wish.get("mode") not in MODES:
        raise BadFault(f"mode must be one of {', '.join(MODES)}")
    for name in (*MATCHERS, "code"):
        if not isinstance(wish.get(name), (str, type(None))):
            raise BadFault(f"{name} must be a text or null")
    ratio, times, ms = wish.get("ratio", 1.0), wish.get("times"), wish.get("ms", 1000.0)
    if not isinstance(ratio, (int, float)) or not 0 < ratio <= 1:
        raise BadFault("ratio must be above 0 and at most 1")
    if times is not None and (not isinstance(times, int) or times < 1):
        raise BadFault("times must be a whole number above 0, or null")
    if not isinstance(wish.get("seed"), (int, type(None))):
        raise BadFault("seed must be a whole number or null")
    if not isinstance(ms, (int, float)) or ms < 0:
        raise BadFault("ms must not be negative")
    fault = Fault(**wish)
    fault.service = SERVICE_OF_SIGNING_NAME.get(fault.service or "", fault.service)
    return fault
