"""Builds and runs the replay server of `benches/replay`, for the scripts that collect from it."""

from __future__ import annotations

import json
import os
import resource
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CERTIFICATES = ROOT / "tests" / "certificates"
SECONDS_PER_CONTROL = 60


@dataclass(frozen=True)
class Replay:
    """A server that is running."""

    endpoint: str
    """The address of the API and of the control endpoint."""
    regions: list[str]
    """The names of all its regions."""


def build() -> Path:
    """Builds the server with cargo and returns its program."""
    command = ["cargo", "build", "--release", "--locked", "--package", "replay", "--bin", "replay"]
    command += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("cannot build the replay server; see the messages of cargo above")
    for message in map(json.loads, done.stdout.splitlines()):
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            return Path(message["executable"])
    raise SystemExit("cannot find the replay server: cargo built no program")


def raise_file_limit() -> None:
    """Raises the limit of open files for the server: a collection opens thousands of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def replay(program: Path, accounts: int, regions: int, latency_ms: int = 0, *, tls: bool = False) -> Iterator[Replay]:
    """Runs a server with this number of accounts and regions."""
    command = [str(program), "--accounts", str(accounts), "--regions", str(regions), "--latency-ms", str(latency_ms)]
    if tls:
        command += ["--tls-certificate", str(CERTIFICATES / "server.pem")]
        command += ["--tls-key", str(CERTIFICATES / "server.key")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=raise_file_limit
    ) as server:
        assert server.stdin is not None and server.stdout is not None, "both are pipes"
        try:
            word, _, endpoint = server.stdout.readline().strip().partition(" ")
            if word != "ready":
                raise SystemExit("cannot start the replay server; see its message above")
            yield Replay(endpoint, control(endpoint, "regions"))
        finally:
            server.stdin.close()


def control(endpoint: str, action: str, *, post: bool = False) -> Any:
    """Sends a request to the control endpoint of a replay server or of a local AWS."""
    request = urllib.request.Request(f"{endpoint}/_ctl/{action}", data=b"" if post else None)
    with urllib.request.urlopen(request, timeout=SECONDS_PER_CONTROL, context=tls_context(endpoint)) as reply:
        return json.load(reply)


def tls_context(endpoint: str) -> ssl.SSLContext | None:
    """Returns a context that trusts the authority of the tests; none for a plain endpoint."""
    if not endpoint.startswith("https://"):
        return None
    return ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


def environment(endpoint: str, region: str) -> dict[str, str]:
    """Returns the environment in which ckworker uses a server, without AWS settings of the user."""
    # AWS's tools read REQUESTS_CA_BUNDLE too: reading a machine's whole bundle takes each process milliseconds.
    settings = ("AWS_", "REQUESTS_CA_BUNDLE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    # Both, as an older revision of ckworker, measured for comparison, reads the first only.
    trusted = ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] if endpoint.startswith("https://") else []
    tls = dict.fromkeys(trusted, str(CERTIFICATES / "authority.pem"))
    return {
        **kept,
        **tls,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


def counted(output: Path) -> tuple[int, int]:
    """Counts nodes and edges in the output of a collection."""
    with open(output, encoding="utf-8") as lines:
        edges = [line.startswith('{"from"') for line in lines if line.strip()]
    return edges.count(False), edges.count(True)
