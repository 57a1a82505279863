"""Records requests: counts for the control endpoint, and a log with a JSON line for each request."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from typing import Any, TextIO

from aws_local.calls import Call, signing_name

LONGEST_LOGGED_BODY = 3000
MOST_CHANGES = 10_000


class Record:
    """Counts and logs requests; usable from many threads."""

    def __init__(self, log: str | None, exchanges: str | None = None) -> None:
        self._lock = threading.Lock()
        self._log: TextIO | None = open(log, "a", buffering=1, encoding="utf-8") if log else None
        self._exchanges: TextIO | None = open(exchanges, "a", buffering=1, encoding="utf-8") if exchanges else None
        self._in_flight = 0
        self._forget()

    def _forget(self) -> None:
        self._by_operation: Counter[str] = Counter()
        self._by_account: Counter[str] = Counter()
        self._by_status: Counter[int] = Counter()
        self._changes: deque[dict[str, Any]] = deque(maxlen=MOST_CHANGES)
        self._peak = self._in_flight

    def reset(self) -> None:
        """Clears the counts and empties the log."""
        with self._lock:
            self._forget()
            for file in (self._log, self._exchanges):
                if file is not None:
                    file.truncate(0)

    def begin(self) -> None:
        """Counts a request that has arrived."""
        with self._lock:
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)

    def end(self, call: Call, status: int, took: float, sizes: tuple[int, int], extra: dict[str, Any]) -> None:
        """Records a request that was answered after `took` seconds, or with status 0 never."""
        with self._lock:
            self._in_flight -= 1
            self._by_operation[call.name] += 1
            self._by_account[call.account] += 1
            self._by_status[status] += 1
            line = entry(call, status, took, sizes, extra)
            if not call.only_reads:
                self._changes.append(line)
            if self._log is not None:
                self._log.write(json.dumps(line) + "\n")

    @property
    def keeps_exchanges(self) -> bool:
        """Whether requests are recorded together with their responses."""
        return self._exchanges is not None

    def keep(self, exchange: dict[str, Any]) -> None:
        """Records a request together with its response, see `exchange`."""
        with self._lock:
            if self._exchanges is not None:
                self._exchanges.write(json.dumps(exchange) + "\n")

    def changes(self) -> list[dict[str, Any]]:
        """Returns the newest calls since the last reset that change something, by the time of their responses."""
        with self._lock:
            return list(self._changes)

    def stats(self) -> dict[str, Any]:
        """Returns the counts since the last reset."""
        with self._lock:
            return {
                "total": sum(self._by_operation.values()),
                "by": dict(sorted(self._by_operation.items())),
                "by_account": dict(sorted(self._by_account.items())),
                "by_status": {str(status): count for status, count in sorted(self._by_status.items())},
                "peak_in_flight": self._peak,
            }


def entry(call: Call, status: int, took: float, sizes: tuple[int, int], extra: dict[str, Any]) -> dict[str, Any]:
    """Returns one line of the log."""
    line = {
        "time": round(time.time(), 4),
        "account": call.account,
        "region": call.region,
        "service": call.service,
        "operation": call.operation,
        "status": status,
        "ms": round(took * 1000, 2),
        "request_bytes": sizes[0],
        "response_bytes": sizes[1],
    }
    if call.role_account:
        line["role_account"] = call.role_account
    return {**line, **extra}


def details(environ: dict[str, Any], body: bytes) -> dict[str, str]:
    """Returns path and body of a call that changes something, for tests that check them."""
    return {
        "path": environ.get("RAW_URI", environ.get("PATH_INFO", "")),
        "body": body[:LONGEST_LOGGED_BODY].decode("utf-8", "replace"),
    }


def exchange(
    call: Call, environ: dict[str, Any], body: bytes, status: int, headers: list[tuple[str, str]], content: bytes
) -> dict[str, Any]:
    """Returns a whole request with its response, as `--record` writes it."""
    return {
        "service": call.service,
        "operation": call.operation,
        "account": call.account,
        "region": call.region,
        "signing": signing_name(environ.get("HTTP_AUTHORIZATION", "")),
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("RAW_URI", environ.get("PATH_INFO", "")),
        "target": environ.get("HTTP_X_AMZ_TARGET", ""),
        "request": body.decode(),
        "status": status,
        "content_type": dict((name.lower(), value) for name, value in headers).get("content-type", ""),
        "answer": content.decode(),
    }
