"""The stored documents, and their changes.

A stored document is never changed in place but replaced, so that readers may keep the documents that they found.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from arango.exceptions import ArangoServerError, DocumentRevisionError

from core_local.database import errors
from core_local.database.errors import server_error
from core_local.database.values import merged, over_the_wire

Document = dict[str, Any]
ErrorKind = type[ArangoServerError]

LEGAL_KEY = re.compile(r"[A-Za-z0-9_\-:.@()+,=;$!*'%]{1,254}")
HANDLE = re.compile(r"[^/]+/[^/]+")
SYSTEM_MEMBERS = ("_key", "_id", "_rev")

_numbers = itertools.count(100_000)


@dataclass
class Collection:
    """Documents by their key."""

    name: str
    holds_edges: bool = False
    documents: dict[str, Document] = field(default_factory=dict)
    indexes: list[Document] = field(default_factory=lambda: [{"id": "0", "name": "primary", "type": "primary"}])
    _ends: dict[str, dict[str, list[Document]]] | None = None

    def put(self, key: str, document: Document | None) -> None:
        """Stores a document, or removes the key if it is none."""
        if document is None:
            self.documents.pop(key, None)
        else:
            self.documents[key] = document
        self._ends = None

    def edges_at(self, end: str, vertex: str) -> list[Document]:
        """Returns the edges whose `_from` or `_to` (that is `end`) is the vertex."""
        if self._ends is None:
            self._ends = {"_from": {}, "_to": {}}
            for edge in self.documents.values():
                for member, index in self._ends.items():
                    index.setdefault(edge[member], []).append(edge)
        return self._ends[end].get(vertex, [])


@dataclass
class Store:
    """The content of the database."""

    collections: dict[str, Collection] = field(default_factory=dict)
    graphs: dict[str, dict[str, bool]] = field(default_factory=dict)
    """The collections of each graph; true for those of edges."""
    views: dict[str, Document] = field(default_factory=dict)
    analyzers: dict[str, Document] = field(default_factory=dict)

    def find(self, handle: Any) -> Document | None:
        """Returns the document with this ID."""
        collection, _, key = handle.partition("/") if isinstance(handle, str) else ("", "", "")
        held = self.collections.get(collection)
        return held.documents.get(key) if held else None


class Writer:
    """Makes changes, and undoes them if they belong to a transaction."""

    def __init__(self, store: Store, *, can_undo: bool = False) -> None:
        self.store = store
        self._undo: list[tuple[str, str, Document | None]] | None = [] if can_undo else None

    def put(self, collection: Collection, key: str, document: Document | None) -> None:
        """Stores or removes a document."""
        if self._undo is not None:
            self._undo.append((collection.name, key, collection.documents.get(key)))
        collection.put(key, document)

    def commit(self) -> None:
        """Keeps the changes."""
        self._undo = None

    def abort(self) -> None:
        """Reverts all changes."""
        for name, key, before in reversed(self._undo or []):
            if name in self.store.collections:
                self.store.collections[name].put(key, before)
        self._undo = None

    def insert(
        self, collection: Collection, given: Any, kind: ErrorKind, *, mode: str = "conflict", deep: bool = True
    ) -> tuple[Document, Document | None]:
        """Stores a new document and returns it with the one that it replaced.

        `mode` is the reaction to a key in use: conflict, ignore, replace or update.
        """
        document = over_the_wire(given)
        if not isinstance(document, dict):
            raise server_error(kind, 400, errors.BAD_DOCUMENT, "invalid document type")
        key = document.get("_key", str(next(_numbers)))
        if not isinstance(key, str) or not LEGAL_KEY.fullmatch(key):
            raise server_error(kind, 400, errors.BAD_KEY, "illegal document key")
        if collection.holds_edges and not all(HANDLE.fullmatch(str(document.get(end))) for end in ("_from", "_to")):
            raise server_error(kind, 400, errors.BAD_EDGE, "edge attribute missing or invalid")
        old = collection.documents.get(key)
        if old is not None:
            if mode == "ignore":
                return old, old
            if mode == "update":
                document = merged(old, document) if deep else {**old, **document}
            elif mode != "replace":
                raise taken(kind, key)
        return self._store(collection, key, document), old

    def update(
        self, collection: Collection, key: str, given: Document, kind: ErrorKind, *, deep: bool, check_revision: bool
    ) -> tuple[Document, Document]:
        """Changes some members of a document; `deep` merges objects instead of replacing them."""
        old = existing(collection, key, kind)
        patch = over_the_wire(given)
        wanted = patch.get("_rev") if check_revision else None
        if wanted is not None and wanted != old["_rev"]:
            raise server_error(DocumentRevisionError, 412, errors.CONFLICT, "precondition failed")
        patch = {name: value for name, value in patch.items() if name not in SYSTEM_MEMBERS}
        return self._store(collection, key, merged(old, patch) if deep else {**old, **patch}), old

    def replace(self, collection: Collection, key: str, given: Document, kind: ErrorKind) -> tuple[Document, Document]:
        """Replaces the whole content of a document."""
        old = existing(collection, key, kind)
        ends = {end: old[end] for end in ("_from", "_to") if collection.holds_edges}
        return self._store(collection, key, {**ends, **over_the_wire(given)}), old

    def remove(self, collection: Collection, key: str, kind: ErrorKind) -> Document:
        """Removes a document and returns it."""
        old = existing(collection, key, kind)
        self.put(collection, key, None)
        return old

    def _store(self, collection: Collection, key: str, content: Document) -> Document:
        document = {"_key": key, "_id": f"{collection.name}/{key}", "_rev": f"_r{next(_numbers):x}"}
        document.update((name, value) for name, value in content.items() if name not in SYSTEM_MEMBERS)
        self.put(collection, key, document)
        return document


def existing(collection: Collection, key: str, kind: ErrorKind) -> Document:
    """Returns the document with this key, which must exist."""
    document = collection.documents.get(key)
    if document is None:
        raise server_error(kind, 404, errors.DOCUMENT_NOT_FOUND, "document not found")
    return document


def taken(kind: ErrorKind, key: str) -> ArangoServerError:
    """Returns the error for a key that is in use."""
    message = f"unique constraint violated - in index primary of type primary over '_key'; conflicting key: {key}"
    return server_error(kind, 409, errors.UNIQUE_VIOLATED, message)


def key_of(document: Any) -> Any:
    """Returns the key from a key, an ID, or a document with either."""
    if isinstance(document, dict):
        document = document.get("_key") or document.get("_id")
    return document.rpartition("/")[2] if isinstance(document, str) else document
