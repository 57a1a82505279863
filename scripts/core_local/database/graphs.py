"""A graph, as the driver offers it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock

from arango import exceptions

from core_local.database.collections import Documents
from core_local.database.errors import no_collection
from core_local.database.store import Collection, Document, Store, Writer, key_of


class Graph:
    """A graph: collections of vertices, and of edges between them."""

    def __init__(self, name: str, store: Store, writer: Writer, lock: RLock) -> None:
        self.name = name
        self._store = store
        self._writer = writer
        self._lock = lock

    def has_vertex_collection(self, name: str) -> bool:
        """Returns whether this collection of vertices belongs to the graph."""
        return name in self._store.graphs[self.name]

    def create_vertex_collection(self, name: str) -> Documents:
        """Adds a collection of vertices."""
        return self._add(name, holds_edges=False)

    def vertex_collection(self, name: str) -> Documents:
        """Returns a collection of vertices."""
        return self._documents(name)

    def has_edge_definition(self, name: str) -> bool:
        """Returns whether this collection of edges belongs to the graph."""
        return name in self._store.graphs[self.name]

    def create_edge_definition(
        self, edge_collection: str, from_vertex_collections: Sequence[str], to_vertex_collections: Sequence[str]
    ) -> Documents:
        """Adds a collection of edges."""
        return self._add(edge_collection, holds_edges=True)

    def edge_collection(self, name: str) -> Documents:
        """Returns a collection of edges."""
        return self._documents(name)

    def delete_vertex(
        self,
        vertex: Document,
        rev: str | None = None,
        check_rev: bool = True,
        ignore_missing: bool = False,
        sync: bool | None = None,
    ) -> bool:
        """Removes a vertex with all its edges."""
        handle = vertex["_id"]
        with self._lock:
            for name in (name for name, holds_edges in self._store.graphs[self.name].items() if holds_edges):
                edges = self._store.collections[name]
                for edge in [*edges.edges_at("_from", handle), *edges.edges_at("_to", handle)]:
                    self._writer.put(edges, edge["_key"], None)
            self._documents(handle.partition("/")[0]).delete(key_of(vertex), ignore_missing=ignore_missing)
        return True

    def _add(self, name: str, *, holds_edges: bool) -> Documents:
        with self._lock:
            self._store.collections.setdefault(name, Collection(name, holds_edges))
            self._store.graphs[self.name][name] = holds_edges
            return self._documents(name)

    def _documents(self, name: str) -> Documents:
        if name not in self._store.collections:
            raise no_collection(exceptions.DocumentGetError, name)
        return Documents(self._store.collections[name], self._writer, self._lock)
