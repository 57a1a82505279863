"""The command line: `up` runs the core, `check` tests the database behind it, `prepare` installs packages.

Readiness: one line `ready http://127.0.0.1:PORT` on stdout, with `--tls` followed by ` https://127.0.0.1:PORT`, as soon
as the core reports that it is ready. All other output goes to stderr, or to the file given by `--log`. The process ends
cleanly on TERM or INT, and with `--exit-with-stdin` also when its stdin closes, so it cannot outlive the process that
holds the other end.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from typing import TextIO

HOST = "127.0.0.1"
BACKLOG = 256
READY_POLL_SECONDS = 0.05
READY_TIMEOUT_SECONDS = 120.0
LONGEST_SHUTDOWN_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    args = parser().parse_args(arguments)
    try:
        if args.command == "prepare":
            return 0  # This code runs in the prepared environment.
        if args.command == "check":
            from core_local.check.program import run_checks

            return run_checks(args.only)
        return run_core(args)
    except OSError as error:
        print(f"core-local: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    top = argparse.ArgumentParser(prog="core-local", description="The real core 4.1.0 on a database in memory.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="run the core until TERM")
    add = up.add_argument
    add("--port", type=int, default=0, help="port to listen on at 127.0.0.1; 0 (the default) takes a free one")
    add("--psk", metavar="KEY", help="reject requests that are not signed with this key")
    add("--tls", action="store_true", help="listen on a second port with TLS and a certificate of the core's CA")
    add("--tls-port", type=int, default=0, metavar="PORT", help="the port with TLS; 0 (the default) takes a free one")
    add("--fast", action="store_true", help="check for timeouts every second, not every 5 or 10")
    add("--log", metavar="FILE", help="write the core's log here")
    add("--verbose", action="store_true", help="log everything")
    add("--exit-with-stdin", action="store_true", help="end when stdin closes")
    check = commands.add_parser("check", help="start a core and test everything that the tests of ckworker rely on")
    check.add_argument("only", nargs="*", metavar="NAME", help="check only these")
    commands.add_parser("prepare", help="install Python (if none fits) and the pinned packages, and start nothing")
    return top


def run_core(args: argparse.Namespace) -> int:
    """Runs the core until TERM, INT or the end of stdin."""
    # The core replaces these handlers by its own when it begins to serve.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    if args.exit_with_stdin:
        threading.Thread(target=watch_stdin, daemon=True).start()
    announcement = redirect_output(args.log)
    http = socket.create_server((HOST, args.port), backlog=BACKLOG)
    https = socket.create_server((HOST, args.tls_port), backlog=BACKLOG) if args.tls else None
    folder = tempfile.mkdtemp(prefix="core-local-")
    # The core keeps a cache below the home directory; each run gets an empty one.
    os.environ["HOME"] = os.environ["TMPDIR"] = folder
    tempfile.tempdir = folder
    try:
        from core_local.core import Core, Options

        core = Core(Options(args.psk, args.fast, args.verbose), http, https)
        threading.Thread(target=announce, args=(announcement, http, https), daemon=True).start()
        core.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    logging.shutdown()
    # Threads of the core may still be waiting for work.
    os._exit(0)


def redirect_output(log: str | None) -> TextIO:
    """Sends all output to the log or to stderr, and returns the original stdout."""
    stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), 2)
    os.dup2(2, 1)
    return stdout


def announce(stdout: TextIO, http: socket.socket, https: socket.socket | None) -> None:
    """Waits until the core is ready, and announces it."""
    addresses = [f"http://{HOST}:{http.getsockname()[1]}"]
    addresses += [f"https://{HOST}:{https.getsockname()[1]}"] if https else []
    end = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < end:
        with suppress(OSError):
            # Until the core accepts the connection, it waits in the backlog of the socket.
            left = end - time.monotonic()
            with urllib.request.urlopen(f"{addresses[0]}/system/ready", timeout=max(left, 1.0)) as reply:
                if reply.status == 200:  # noqa: PLR2004 - OK
                    print("ready", *addresses, file=stdout, flush=True)
                    stdout.close()
                    return
        time.sleep(READY_POLL_SECONDS)
    print("core-local: the core did not become ready", file=sys.stderr, flush=True)
    os._exit(1)


def watch_stdin() -> None:
    """Ends this process when stdin closes, with some time for the core to shut down."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LONGEST_SHUTDOWN_SECONDS)
    os._exit(0)
