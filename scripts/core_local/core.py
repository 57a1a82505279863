"""Starts the real core in this process, with the database in memory in place of its own.

None of the core's own code is copied or rewritten. Replaced are the connection to the database, the process that merges
(it would not share this memory) and, with `fast`, the interval of the core's timeout checks.
"""

from __future__ import annotations

import socket
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp.web_runner import AppRunner, GracefulExit, SockSite
from fixcore import __main__ as core_main
from fixcore.db import SystemData
from fixcore.db.db_access import CurrentDatabaseVersion, DbAccess
from fixcore.model.typed_model import from_js, to_js
from fixcore.task.subscribers import SubscriptionHandlerService
from fixcore.task.task_handler import TaskHandlerService
from fixcore.util import utc, uuid_str
from fixcore.web.api import Api
from fixcore.worker_task_queue import WorkerTaskQueue
from fixlib.asynchronous.web import runner as core_runner

from core_local import debug, merging
from core_local.database.driver import Database

HOST = "127.0.0.1"
FAST = timedelta(seconds=1)
CLOCK_WATCHERS = (
    # Classes, and their members that periodically check for timeouts.
    (TaskHandlerService, "timeout_watcher"),
    (WorkerTaskQueue, "outdated_checker"),
    (SubscriptionHandlerService, "cleaner"),
)


@dataclass
class Options:
    """The options of a core."""

    psk: str | None = None
    """The pre-shared key with which every request must be signed; none for no signatures."""
    fast: bool = False
    """Whether the core checks for timeouts every second, not every 5 or 10."""
    verbose: bool = False


class Core:
    """A core that listens on sockets of the loopback interface and runs in the calling thread."""

    def __init__(self, options: Options, http: socket.socket, https: socket.socket | None) -> None:
        self._options = options
        self._sockets = {port_of(one): one for one in (http, https) if one}
        self._http = http
        self._https = https
        self._database = Database()

    def run(self) -> None:
        """Serves until TERM or INT."""
        self._exchange_database()
        merging.install()
        if self._options.fast:
            for kind, watcher in CLOCK_WATCHERS:
                speed_up(kind, watcher)
        self._add_debug_endpoints()
        self._listen_on_sockets()
        try:
            core_main.run(self._arguments())
        except (GracefulExit, KeyboardInterrupt):
            return

    def _arguments(self) -> list[str]:
        """Returns the core's command line."""
        given = ["--analytics-opt-out", "--no-scheduling"]
        given += ["--psk", self._options.psk] if self._options.psk else []
        given += ["--verbose"] if self._options.verbose else []
        given += ["--override", f"fixcore.api.web_hosts={HOST}", f"fixcore.api.http_port={port_of(self._http)}"]
        return given + ([f"fixcore.api.https_port={port_of(self._https)}"] if self._https else [])

    def _exchange_database(self) -> None:
        def connect(_args: Namespace, *_: Any, **__: Any) -> tuple[bool, SystemData, Database]:
            return *system_data(self._database), self._database

        DbAccess.connect = connect

    def _add_debug_endpoints(self) -> None:
        original = Api.__init__

        def with_debug(api: Api, *arguments: Any, **named: Any) -> None:
            original(api, *arguments, **named)
            debug.add_routes(api, self._database.store)

        Api.__init__ = with_debug

    def _listen_on_sockets(self) -> None:
        """Lets the core serve on sockets that are already open, so that no other process can take their ports."""
        original: Callable[..., None] = core_runner.run_app

        def run_app(app: Any, on_shutdown: Any, **named: Any) -> None:
            https_port = port_of(self._https) if self._https else None
            original(app, on_shutdown, **{**named, "http_port": port_of(self._http), "https_port": https_port})

        def site(app_runner: AppRunner, _host: str, port: int, **named: Any) -> SockSite:
            kept = {name: named[name] for name in ("ssl_context", "backlog") if name in named}
            # Clients that stay connected must not delay the shutdown.
            return SockSite(app_runner, self._sockets[port], shutdown_timeout=1.0, **kept)

        core_runner.run_app = run_app
        core_runner.TCPSite = site


def system_data(database: Database) -> tuple[bool, SystemData]:
    """Returns whether the core's identity was created by this call, and the identity."""
    if not database.has_collection("system_data"):
        database.create_collection("system_data")
    known = database.collection("system_data").get("system")
    if known:
        return False, from_js(known, SystemData)
    made = SystemData(uuid_str(), utc(), CurrentDatabaseVersion)
    database.insert_document("system_data", {"_key": "system", **to_js(made)})
    return True, made


def speed_up(kind: type[Any], watcher: str) -> None:
    """Lets new instances of a class check for timeouts every second."""
    original = kind.__init__

    def init(service: Any, *arguments: Any, **named: Any) -> None:
        original(service, *arguments, **named)
        periodic = getattr(service, watcher)
        periodic.frequency = periodic.first_run = FAST

    kind.__init__ = init


def port_of(listener: socket.socket) -> int:
    """Returns the port of a socket."""
    return int(listener.getsockname()[1])
