"""The command line: `serve` runs the server, `seed` fills a running one, `up` does both, `prepare` installs packages.

Readiness: one line `ready http://127.0.0.1:PORT` on stdout, and the port in the file given by `--port-file`, which
is created atomically; with `up`, only when everything is seeded. All other output goes to stderr. The process ends
cleanly on TERM or INT, and with `--exit-with-stdin` also when its stdin closes, so it cannot outlive the process that
holds the other end.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    args = parser().parse_args(arguments)
    try:
        if args.command == "prepare":
            return 0  # This code runs in the prepared environment.
        if args.command == "seed":
            return run_seed(args)
        return run_server(args, fill=args.command == "up")
    except OSError as error:
        print(f"aws-local: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    top = argparse.ArgumentParser(prog="aws-local", description="A local AWS for tests and trials.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the API server until TERM")
    add_server_options(serve)
    seed = commands.add_parser("seed", help="fill a running server with an organization")
    seed.add_argument("--endpoint", required=True, metavar="URL", help="address of the server")
    add_seed_options(seed)
    both = commands.add_parser("up", help="run the API server, filled with an organization, until TERM")
    add_server_options(both)
    add_seed_options(both)
    commands.add_parser("prepare", help="install the pinned Python packages, and start nothing")
    return top


def add_server_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of the server."""
    add = command.add_argument
    add("--port", type=int, default=0, help="port to listen on at 127.0.0.1; 0 (the default) takes a free one")
    add("--port-file", type=Path, metavar="FILE", help="write the port here when ready")
    add(
        "--freeze", type=moment, metavar="ISO", help="stop the server's clock at this time, such as 2021-11-01T00:00:00"
    )
    add("--latency-ms", type=float, default=0.0, metavar="N", help="delay every response by N milliseconds")
    add("--log", metavar="FILE", help="write one JSON line here for each request (after seeding)")
    add("--record", metavar="FILE", help="write requests and responses here, a JSON line for each (after seeding)")
    add("--deny-account", nargs="+", default=[], metavar="ID", help="deny AssumeRole in these accounts")
    add("--reserved", type=int, default=0, metavar="N", help="reserved instance contracts per account and region")
    add("--exit-with-stdin", action="store_true", help="end when stdin closes")


def add_seed_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of the seeder."""
    add = command.add_argument
    add("--accounts", type=positive, default=4, metavar="N", help="accounts, the management account included (4)")
    add("--scale", type=positive, default=1, metavar="N", help="factor on the resources in each account and region (1)")
    add("--regions", nargs="+", default=["us-east-1", "us-west-2"], metavar="REGION", help="the regions to fill")
    add("--role", default="Cloudkeeper", help="the role that can be assumed in each account (Cloudkeeper)")
    add("--metrics-now", type=moment, metavar="ISO", help="time before which CloudWatch data points lie (now)")
    add("--out", type=Path, metavar="FILE", help="write a summary of the organization here, as JSON")


def moment(text: str) -> str:
    """Checks a time in ISO format and returns it unchanged."""
    datetime.datetime.fromisoformat(text)
    return text


def positive(text: str) -> int:
    """Parses a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def run_seed(args: argparse.Namespace) -> int:
    """Fills a running server."""
    from aws_local.seed_account import Plan, SeedError
    from aws_local.seeding import seed

    now = datetime.datetime.fromisoformat(args.metrics_now) if args.metrics_now else None
    plan = Plan(args.endpoint.rstrip("/"), args.accounts, args.scale, args.regions, args.role, now)
    try:
        made = seed(plan)
    except SeedError as error:
        print(f"aws-local: cannot seed: {error}", file=sys.stderr)
        return 1
    if args.out:
        args.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return 0


def run_server(args: argparse.Namespace, *, fill: bool) -> int:
    """Runs the server until TERM, INT or the end of stdin."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if args.exit_with_stdin:
        threading.Thread(target=watch_stdin, args=(stop,), daemon=True).start()
    from aws_local.server import Options, Server

    server = Server(
        Options(
            port=args.port,
            freeze=args.freeze,
            latency_ms=args.latency_ms,
            log=args.log,
            record=args.record,
            denied=list(args.deny_account),
            reserved=args.reserved,
        )
    )
    code = fill_server(args, server.endpoint, stop) if fill else 0
    if code == 0 and not stop.is_set():
        server.begin()
        announce(server.endpoint, server.port, args.port_file)
        stop.wait()
    server.stop()
    if args.port_file:
        args.port_file.unlink(missing_ok=True)
    sys.stderr.flush()
    # Threads with hanging requests still run; waiting for them has no use.
    os._exit(code)


def fill_server(args: argparse.Namespace, endpoint: str, stop: threading.Event) -> int:
    """Seeds in a child process, as the clock may be frozen in this one, and returns its exit code."""
    command = [sys.executable, "-m", "aws_local", "seed", "--endpoint", endpoint, "--role", args.role]
    command += ["--accounts", str(args.accounts), "--scale", str(args.scale), "--regions", *args.regions]
    command += ["--metrics-now", args.metrics_now] if args.metrics_now else []
    command += ["--out", str(args.out)] if args.out else []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as child:
        threading.Thread(target=end_with, args=(child, stop), daemon=True).start()
        code = child.wait()
    return 0 if stop.is_set() else code


def end_with(child: subprocess.Popen[bytes], stop: threading.Event) -> None:
    """Ends the seeding when the server stops."""
    stop.wait()
    child.terminate()


def watch_stdin(stop: threading.Event) -> None:
    """Stops the server when stdin closes."""
    while os.read(0, 4096):
        pass
    stop.set()


def announce(endpoint: str, port: int, port_file: Path | None) -> None:
    """Announces that the server is ready."""
    if port_file:
        draft = port_file.with_name(port_file.name + ".part")
        draft.write_text(f"{port}\n", encoding="utf-8")
        draft.rename(port_file)
    print(f"ready {endpoint}", flush=True)
    # moto prints now and then; the reader of the line above may not read on.
    os.dup2(2, 1)
