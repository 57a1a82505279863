"""The clause that walks along edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core_local.database.errors import Unsupported
from core_local.database.expressions import Expression
from core_local.database.run import Row, Run, member
from core_local.database.steps import Step
from core_local.database.store import Document
from core_local.database.values import truth

MOST_STEPS = 2_000_000
"""The limit of steps; a longer walk is assumed not to end."""

OUTBOUND, INBOUND, ANY = "OUTBOUND", "INBOUND", "ANY"


@dataclass(frozen=True)
class Place:
    """A position of a walk."""

    vertex: Document | None
    edge: Document | None
    path: tuple[str, ...]
    """The edges of the path to this position, if they are needed."""


@dataclass
class Traverse(Step):
    """FOR vertex[, edge] IN least..most DIRECTION start edges, … [PRUNE condition] [OPTIONS …]."""

    vertex: str
    edge: str | None
    depths: tuple[int, int]
    start: Expression
    ways: list[tuple[str, str]]
    """The directions and edge collections."""
    prune: Expression | None
    vertices_once: bool
    """Whether each vertex is visited once; otherwise every path without repeated edges is walked."""
    edges_once: bool = False
    """Whether one path to each edge is enough, as duplicates are dropped."""

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns a row for each position that is reached from each row."""
        return [reached for row in rows for reached in self._walk(run, row)]

    def _walk(self, run: Run, row: Row) -> Iterator[Row]:
        origin = self.start(run, row)
        first = run.store.find(member(origin, "_id") if isinstance(origin, dict) else origin)
        places = [Place(first, None, ())] if first else []
        seen = {first["_id"]} if first else set()
        steps = 0
        for depth in range(self.depths[1] + 1):
            going_on: list[Place] = []
            for place in places:
                reached = self._row(row, place)
                if depth >= self.depths[0]:
                    yield reached
                if place.vertex and not (self.prune and truth(self.prune(run, reached))):
                    going_on.append(place)
            if depth == self.depths[1]:
                return
            places = [following for place in going_on for following in self._following(run, place, seen)]
            steps += len(places)
            if steps > MOST_STEPS:
                raise Unsupported(f"a walk of more than {MOST_STEPS} steps")

    def _row(self, row: Row, place: Place) -> Row:
        made: Row = {**row, self.vertex: place.vertex}
        if self.edge:
            made[self.edge] = place.edge
        return made

    def _following(self, run: Run, place: Place, seen: set[str]) -> Iterator[Place]:
        assert place.vertex is not None
        for edge, other in self._edges(run, place.vertex["_id"]):
            if self.vertices_once or self.edges_once:
                mark = other if self.vertices_once else edge["_id"]
                if mark in seen:
                    continue
                seen.add(mark)
                yield Place(run.store.find(other), edge, ())
            elif edge["_id"] not in place.path:
                yield Place(run.store.find(other), edge, (*place.path, edge["_id"]))

    def _edges(self, run: Run, vertex: str) -> Iterator[tuple[Document, str]]:
        for direction, name in self.ways:
            collection = run.collection(name)
            if direction in (OUTBOUND, ANY):
                yield from ((edge, edge["_to"]) for edge in collection.edges_at("_from", vertex))
            if direction in (INBOUND, ANY):
                yield from ((edge, edge["_from"]) for edge in collection.edges_at("_to", vertex))
