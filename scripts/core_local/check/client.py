"""A local core in a child process, and a client of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp

GUARD_SECONDS = 60.0
"""How long a check waits for an expected event."""
NDJSON = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
TEXT = {"Content-Type": "text/plain", "Accept": "application/x-ndjson"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The content, if it is one JSON value."""
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        """The content, if each line is a JSON value."""
        return [json.loads(line) for line in self.text.splitlines() if line]


class CoreProcess:
    """`core-local up` with some options, for the duration of the context."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self.addresses: list[str] = []
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> CoreProcess:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "core_local", "up", "--exit-with-stdin", *self._options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        line = (await asyncio.wait_for(self.process.stdout.readline(), GUARD_SECONDS)).decode().split()
        assert line[:1] == ["ready"], f"the core printed {line}"
        self.addresses = line[1:]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = await asyncio.wait_for(self.process.wait(), GUARD_SECONDS)
        assert code == 0 or kind is not None, f"the core ended with {code}"


class Client:
    """A client of one core, with a graph of its own."""

    def __init__(self, address: str, graph: str = "fix") -> None:
        self.address = address
        self.graph = graph
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=GUARD_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, headers: Json | None = None) -> Reply:
        """Sends a request and returns the response; objects and lists are sent as JSON."""
        if isinstance(body, list | dict):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        async with self._session.request(method, self.address + path, data=body, headers=headers) as answer:
            return Reply(answer.status, await answer.text())

    async def merge(self, lines: Iterable[Json], query: str = "", headers: Json | None = None) -> Reply:
        """Merges nodes and edges."""
        body = "".join(json.dumps(line) + "\n" for line in lines)
        return await self.call("POST", f"/graph/{self.graph}/merge{query}", body, {**NDJSON, **(headers or {})})

    async def search(self, query: str, kind: str = "list") -> Reply:
        """Searches the graph."""
        return await self.call("POST", f"/graph/{self.graph}/search/{kind}?section=reported", query, TEXT)

    async def cli(self, command: str) -> Reply:
        """Runs a line of the core's command line."""
        return await self.call("POST", f"/cli/execute?graph={self.graph}", command, TEXT)

    async def patch(self, *lines: Json) -> Reply:
        """Changes nodes."""
        body = "".join(json.dumps(line) + "\n" for line in lines)
        return await self.call("PATCH", f"/graph/{self.graph}/nodes", body, NDJSON)

    async def stored(self) -> tuple[dict[str, Json], dict[str, set[tuple[str, str]]]]:
        """Returns the nodes by their id, and the edges by their type, as the debug endpoint shows them."""
        found = (await self.call("GET", f"/debug/graph/{self.graph}")).json
        nodes = {node["_key"]: node for node in found["nodes"]}
        return nodes, {kind: {(edge["from"], edge["to"]) for edge in edges} for kind, edges in found["edges"].items()}

    async def listen(self, path: str) -> aiohttp.ClientWebSocketResponse:
        """Opens a websocket."""
        return await self._session.ws_connect(self.address + path)


async def next_frame(socket: aiohttp.ClientWebSocketResponse) -> Json:
    """Receives the next message of a websocket."""
    found: Json = await socket.receive_json(timeout=GUARD_SECONDS)
    return found


def expect(what: str, actual: Any, wanted: Any) -> None:
    """Fails unless both values are equal."""
    assert actual == wanted, f"{what}: {actual!r} in place of {wanted!r}"
