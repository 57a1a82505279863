"""The API server: moto behind a front that counts, logs, delays, breaks and completes what it answers.

It listens on the loopback interface only, as it takes any signature for good.
"""

from __future__ import annotations

import io
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from aws_local import control, faults, refusals, shims
from aws_local.calls import Call, Keys, identify
from aws_local.clock import Clock
from aws_local.control import Control
from aws_local.faults import Fault
from aws_local.record import Record, details, exchange
from aws_local.replies import Reply

HOST = "127.0.0.1"
BACKLOG = 256
LONGEST_HANG_SECONDS = 900.0
HANG_CHECK_SECONDS = 0.1
NO_ANSWER = 0
CLOCK_SECONDS = "aws_local.clock_seconds"
"""Where a request has how far the clock that answers it is ahead of the real one."""

StartResponse = Callable[..., Any]
Environ = dict[str, Any]


@dataclass
class Options:
    """How a server behaves."""

    port: int = 0
    """0 takes any free one."""
    freeze: str | None = None
    latency_ms: float = 0.0
    log: str | None = None
    record: str | None = None
    denied: list[str] = field(default_factory=list)
    reserved: int = 0


class Front:
    """The WSGI application in front of moto."""

    def __init__(self, options: Options) -> None:
        self._clock = Clock(options.freeze)
        self._record = Record(options.log, options.record)
        self.control = Control(self._record, self._clock)
        self._keys = Keys()
        self._reserved = options.reserved
        # Imported only now, as a frozen clock must be in place before moto is.
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._moto: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ.get("PATH_INFO", "/")
        if path.startswith(control.PREFIX):
            reply = self.control.answer(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), body)
            start_response(reply.status_line, reply.header_list)
            return [reply.body]
        if path.startswith("/moto-api/"):
            return self._moto(environ, start_response)
        return self._api(environ, body, start_response)

    def _api(self, environ: Environ, body: bytes, start_response: StartResponse) -> Iterable[bytes]:
        call = identify(environ, body, self._keys)
        self._record.begin()
        start = time.perf_counter()
        status, sent, extra = NO_ANSWER, 0, {} if call.only_reads else details(environ, body)
        try:
            time.sleep(self.control.latency)
            fault = self.control.faults.strike(call)
            if fault is not None:
                extra["fault"] = fault.mode
            answered = self._answer(environ, call, body, fault)
            if answered is None:
                return hang_up(environ, start_response)
            line, headers, content = answered
            status, sent = int(line[:3]), len(content)
            if self._record.keeps_exchanges:
                self._record.keep(exchange(call, environ, body, status, headers, content))
            start_response(line, headers)
            return [content]
        finally:
            self._record.end(call, status, time.perf_counter() - start, (len(body), sent), extra)

    def _answer(
        self, environ: Environ, call: Call, body: bytes, fault: Fault | None
    ) -> tuple[str, list[tuple[str, str]], bytes] | None:
        """Status line, headers and body; none if the client is to get no answer."""
        if fault is not None:
            if fault.mode == "hang":
                wait_for_client(fault, environ.get("werkzeug.socket"))
            if fault.mode in ("hang", "disconnect"):
                return None
            if fault.mode == "slow":
                fault.cleared.wait(fault.ms / 1000)
            if fault.clock_seconds:
                return self._by_other_clock(environ, call, body, fault)
            if fault.mode == "cut":
                return cut(self._right(environ, call, body))
        reply = broken(fault, call) if fault is not None else None
        if reply is not None:
            return reply.status_line, reply.header_list, reply.body
        return self._right(environ, call, body)

    def _by_other_clock(
        self, environ: Environ, call: Call, body: bytes, fault: Fault
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        """The right answer, or the refusal of what was signed for another time, with the time of the fault's clock."""
        environ[CLOCK_SECONDS] = fault.clock_seconds
        reply = fault.error(call) if fault.refuses_time(environ.get("HTTP_X_AMZ_DATE", "")) else None
        if reply is not None:
            return reply.status_line, reply.header_list, reply.body
        return self._right(environ, call, body, fault.clock_seconds)

    def _right(
        self, environ: Environ, call: Call, body: bytes, clock_seconds: float = 0.0
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        """What the service answers, by a clock that is so far ahead, in pages if they are asked for."""
        opened = self.control.pages.open(environ, call, body)
        if isinstance(opened, Reply):
            return opened.status_line, opened.header_list, opened.body
        if opened is None:
            return self._complete(environ, call, body, clock_seconds)
        body = environ["wsgi.input"].getvalue()
        return opened.cut(self._complete(environ, call, body, clock_seconds))

    def _complete(
        self, environ: Environ, call: Call, body: bytes, clock_seconds: float
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        """The answer to a request, whole."""
        reply = refusals.refuse(call, environ["PATH_INFO"], body) or shims.answer(call, body, self._reserved)
        if reply is not None:
            return reply.status_line, reply.header_list, reply.body
        return self._ask_moto(environ, call, body, clock_seconds)

    def _ask_moto(
        self, environ: Environ, call: Call, body: bytes, clock_seconds: float
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        given: list[Any] = ["500 Internal Server Error", []]

        def capture(line: str, headers: list[tuple[str, str]], *_: Any) -> None:
            given[:] = [line, headers]

        chunks = self._moto(environ, capture)
        content = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        line, headers = given
        if call.service == "sts" and call.role_account and line.startswith("200"):
            self._keys.learn(call, content)
            if self._clock.is_frozen or clock_seconds:
                content = shims.with_real_expiration(body, content, clock_seconds)
                headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
                headers.append(("Content-Length", str(len(content))))
        return line, headers, content


def cut(whole: tuple[str, list[tuple[str, str]], bytes]) -> tuple[str, list[tuple[str, str]], bytes]:
    """The first half of a reply, with the length of the half."""
    line, headers, content = whole
    half = content[: len(content) // 2]
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    return line, [*kept, ("Content-Length", str(len(half)))], half


def broken(fault: Fault, call: Call) -> Reply | None:
    """What a fault answers in place of the service; none for the modes that let the service answer."""
    if fault.mode == "garbage":
        return Reply(200, "text/xml", faults.GARBAGE)
    if fault.mode == "empty":
        return Reply(200, "text/xml", b"")
    if fault.mode == "page":
        return Reply(200, "text/html", faults.PAGE)
    if fault.mode == "redirect":
        return Reply(302, "text/html", faults.PAGE, {"Location": "http://portal.invalid/"})
    return fault.error(call)


def wait_for_client(fault: Fault, connection: socket.socket | None) -> None:
    """Waits until the fault is cleared or the client hangs up."""
    end = time.monotonic() + LONGEST_HANG_SECONDS
    while time.monotonic() < end and not fault.cleared.wait(HANG_CHECK_SECONDS):
        if connection is not None and select.select([connection], [], [], 0)[0]:
            # The request was read whole, so readable means closed (or a client that does not wait its turn).
            return


def hang_up(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Closes the connection without an answer."""
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        with suppress(OSError):  # The client may have been faster.
            connection.shutdown(socket.SHUT_RDWR)
    start_response("200 OK", [("Connection", "close")])
    return []


class Handler(WSGIRequestHandler):
    """Handles one connection, silently (the log is made elsewhere) and without waiting to fill packets."""

    disable_nagle_algorithm = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The time of a reply, by the clock that answers."""
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(now + self.environ.get(CLOCK_SECONDS, 0.0))

    def log(self, type: str, message: str, *args: Any) -> None:
        """Keeps werkzeug quiet."""


class Server:
    """A server that is listening."""

    def __init__(self, options: Options) -> None:
        listener = socket.create_server((HOST, options.port), backlog=BACKLOG)
        self.port: int = listener.getsockname()[1]
        os.environ["MOTO_PORT"] = str(self.port)
        self._options = options
        self._front = Front(options)
        self._server = make_server(
            HOST, self.port, self._front, threaded=True, request_handler=Handler, fd=listener.fileno()
        )
        listener.close()
        self._thread = threading.Thread(target=self._server.serve_forever, name="server", daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"http://{HOST}:{self.port}"

    def begin(self) -> None:
        """Puts latency and denials in force and starts counting; until then the seeder has its way."""
        self._front.control.begin(self._options.latency_ms, self._options.denied)

    def stop(self) -> None:
        """Takes no more requests; those under way are dropped when the process ends."""
        self._server.shutdown()
        self._server.server_close()
