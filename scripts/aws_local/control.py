"""The control endpoint `/_ctl/…`, with which tests inspect and disturb the server.

| request | does |
|---|---|
| `GET /_ctl/stats` | counts of requests by operation, account and status, and the highest number in flight |
| `GET /_ctl/changes` | the calls that change something, in order, as in the log |
| `POST /_ctl/reset` | restores the initial state (counts, log, faults, latency, pages); resources stay |
| `GET /_ctl/fault` | the active faults, each with the number of calls that it hit |
| `POST /_ctl/fault` | activates the fault (or list of faults) in the JSON body; `faults.Fault` has the members |
| `DELETE /_ctl/fault[?id=N]` | deactivates one fault, or all |
| `POST /_ctl/latency?ms=N` | delays every response |
| `POST /_ctl/pages?size=N` | divides every list into pages of N items; 0 turns that off. `stats` then has `pages` |
| `POST /_ctl/tick?s=N` | advances a frozen clock |
| `POST /_ctl/unfreeze` | switches to the real time |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from aws_local import faults
from aws_local.clock import Clock
from aws_local.faults import Faults
from aws_local.pages import Pages
from aws_local.record import Record
from aws_local.replies import Reply, document

PREFIX = "/_ctl/"


class BadRequest(ValueError):
    """The control request is invalid."""


class Control:
    """The state that tests may change, and the endpoint that changes it."""

    def __init__(self, record: Record, clock: Clock) -> None:
        self.faults = Faults()
        self.pages = Pages()
        self.latency = 0.0
        """The delay of every response, in seconds."""
        self._record = record
        self._clock = clock
        self._start: tuple[float, list[str]] = (0.0, [])

    def begin(self, latency_ms: float, denied: list[str]) -> None:
        """Sets the initial state and starts counting, after seeding."""
        self._start = (latency_ms / 1000, denied)
        self.reset()

    def reset(self) -> int:
        """Restores the initial state and returns the number of faults that were active."""
        cleared = self.faults.clear()
        self.latency, denied = self._start
        for account in denied:
            self.faults.add(faults.deny_account(account))
        self.pages.reset()
        self._record.reset()
        return cleared

    def answer(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """Carries out a control request."""
        actions: dict[str, Callable[[str, dict[str, str], bytes], Any]] = {
            "stats": lambda *_: {**self._record.stats(), "pages": self.pages.stats()},
            "changes": lambda *_: self._record.changes(),
            "reset": lambda *_: {"cleared": self.reset()},
            "fault": self._fault,
            "latency": self._set_latency,
            "pages": self._set_pages,
            "tick": self._tick,
            "unfreeze": self._unfreeze,
        }
        name = path.removeprefix(PREFIX)
        if name not in actions:
            return document({"error": f"no such control request; there are {', '.join(actions)}"}, 404)
        parameters = {key: values[-1] for key, values in parse_qs(query).items()}
        try:
            return document(actions[name](method, parameters, body))
        except ValueError as error:
            return document({"error": str(error)}, 400)

    def _fault(self, method: str, parameters: dict[str, str], body: bytes) -> Any:
        if method == "GET":
            return self.faults.reports()
        if method == "DELETE":
            return {"cleared": self.faults.clear(int(parameters["id"]) if "id" in parameters else None)}
        if method != "POST":
            raise BadRequest("GET, POST or DELETE is needed")
        wish = json.loads(body)
        if isinstance(wish, list):
            return [self.faults.add(one).report() for one in wish]
        return self.faults.add(wish).report()

    def _set_latency(self, _method: str, parameters: dict[str, str], _body: bytes) -> dict[str, float]:
        self.latency = number(parameters, "ms") / 1000
        return {"ms": self.latency * 1000}

    def _set_pages(self, _method: str, parameters: dict[str, str], _body: bytes) -> dict[str, int]:
        self.pages.size = int(number(parameters, "size"))
        return {"size": self.pages.size}

    def _tick(self, _method: str, parameters: dict[str, str], _body: bytes) -> dict[str, bool]:
        self._clock.tick(number(parameters, "s"))
        return {"frozen": self._clock.is_frozen}

    def _unfreeze(self, _method: str, _parameters: dict[str, str], _body: bytes) -> dict[str, bool]:
        self._clock.unfreeze()
        return {"frozen": self._clock.is_frozen}


def number(parameters: dict[str, str], name: str) -> float:
    """Returns a number of 0 or more from the query."""
    try:
        value = float(parameters[name])
    except (KeyError, ValueError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadRequest(f"`?{name}=` with a number of 0 or more is needed")
    return value
