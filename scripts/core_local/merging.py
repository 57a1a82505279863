"""Merges graphs in a thread of this process.

The core merges in a separate process, which would not share a database in memory. Here the core's own steps run in a
thread with an event loop of its own. The core communicates with it through the same queues, but without copying.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from dataclasses import asdict, dataclass
from threading import Thread
from typing import Any

import networkx
from fixcore.core_config import CoreConfig
from fixcore.db.db_access import DbAccess
from fixcore.model import db_updater
from fixcore.model.db_updater import DbUpdaterProcess, PoisonPill, ProcessAction, Result
from fixcore.model.graph_access import EdgeTypes, GraphBuilder
from fixcore.model.typed_model import to_js

log = logging.getLogger("core_local.merging")

MOST_RECORDS = 1000
ANCESTOR_KINDS = {"cloud", "account", "region", "zone"}
NEVER_ENDING = "Import process died or deadline exceeded. (ExitCode: None)"


@dataclass
class Record:
    """A merge that was attempted."""

    graph: str
    change_id: str
    started_at: float
    """In seconds since 1970."""
    task_id: str | None = None
    """The workflow that it belongs to."""
    finished_at: float | None = None
    result: dict[str, int] | None = None
    error: str | None = None


records: list[Record] = []
"""The merges of this core, oldest first."""


class Aborted(BaseException):
    """The core has aborted the merge."""


class EndlessMerge(Exception):
    """The merge would never end."""


class MergeThread(Thread):
    """Takes the place of the core's process that merges."""

    exitcode: int | None = None
    pid = None

    def __init__(
        self,
        read_queue: queue.Queue[ProcessAction],
        write_queue: queue.Queue[ProcessAction],
        config: CoreConfig,
        graph_name: str,
        change_id: str,
    ) -> None:
        super().__init__(name="merge", daemon=True)
        self.read_queue = read_queue
        self.write_queue = write_queue
        self.config = config
        self.graph_name = graph_name
        self.change_id = change_id
        self._record = Record(graph_name, change_id, time.time())
        records.append(self._record)
        del records[:-MOST_RECORDS]

    def next_action(self) -> ProcessAction:
        """Returns what the core sends. Raises an error if nothing arrives in time."""
        action = DbUpdaterProcess.next_action(self)
        if isinstance(action, PoisonPill):
            raise Aborted
        self._record.task_id = getattr(action, "task_id", None) or self._record.task_id
        return action

    async def merge_graph(self, database: DbAccess) -> Any:
        """Merges with the core's own steps."""
        return await DbUpdaterProcess.merge_graph(self, database)

    def run(self) -> None:
        """Merges, and sends the result to the core."""
        try:
            result = asyncio.run(DbUpdaterProcess.setup_and_merge(self))
            self._record.result = to_js(result)
            self.write_queue.put(Result(result))
        except Aborted:
            self._record.error = "aborted by the core"
        except EndlessMerge:
            self._fail(NEVER_ENDING)
        except Exception as problem:
            log.exception("merge %s of %s failed", self.change_id, self.graph_name)
            self._fail(repr(problem))
        finally:
            self._record.finished_at = time.time()

    def _fail(self, message: str) -> None:
        self._record.error = message
        self.write_queue.put(Result(message))


def check_for_cycles(graph: networkx.MultiDiGraph) -> None:
    """Rejects a graph in which the core's search for ancestors would not end.

    The core searches above each node for the kinds in `ANCESTOR_KINDS`, without remembering visited nodes. It would
    kill its process after an hour; a thread cannot be killed.
    """
    walk = networkx.DiGraph()
    walk.add_nodes_from(graph.nodes)
    walk.add_edges_from((start, end) for start, end, kind in graph.edges(data="edge_type") if kind == EdgeTypes.default)
    cycles = [nodes for nodes in networkx.strongly_connected_components(walk) if len(nodes) > 1]
    in_cycles = set().union(*cycles, networkx.nodes_with_selfloops(walk))
    for node in in_cycles.union(*(networkx.descendants(walk, one) for one in in_cycles)):
        above = networkx.ancestors(walk, node) | {node}
        kinds = {kind for one in above for kind in graph.nodes[one].get("kinds") or []}
        if not kinds >= ANCESTOR_KINDS:
            raise EndlessMerge


def install() -> None:
    """Lets the core merge in threads."""
    original = GraphBuilder.check_complete

    def check_complete(builder: GraphBuilder) -> None:
        original(builder)
        check_for_cycles(builder.graph)

    GraphBuilder.check_complete = check_complete
    db_updater.DbUpdaterProcess = MergeThread
    db_updater.Queue = queue.Queue


def report() -> list[dict[str, Any]]:
    """Returns all records as JSON."""
    return [asdict(record) for record in records]
