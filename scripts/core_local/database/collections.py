"""A collection, as the driver offers it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

from arango import exceptions
from arango.exceptions import ArangoServerError

from core_local.database.cursor import Cursor
from core_local.database.store import SYSTEM_MEMBERS, Collection, Document, Writer, key_of

Outcome = Document | ArangoServerError


class Documents:
    """A collection of documents or edges."""

    def __init__(self, held: Collection, writer: Writer, lock: RLock) -> None:
        self.name = held.name
        self._held = held
        self._writer = writer
        self._lock = lock

    # Reading

    def get(self, document: str | Document, rev: str | None = None, check_rev: bool = True) -> Document | None:
        """Returns the document with this key."""
        with self._lock:
            return copy.deepcopy(self._held.documents.get(key_of(document)))

    def all(self, skip: int | None = None, limit: int | None = None) -> Cursor:
        """Returns all documents."""
        with self._lock:
            found = list(self._held.documents.values())[skip or 0 :]
            return Cursor(copy.deepcopy(found if limit is None else found[:limit]), with_count=True)

    def keys(self) -> Cursor:
        """Returns all keys."""
        with self._lock:
            return Cursor(list(self._held.documents), with_count=True)

    def count(self) -> int:
        """Returns the number of documents."""
        return len(self._held.documents)

    # Changing

    def insert(
        self,
        document: Document,
        return_new: bool = False,
        sync: bool | None = None,
        silent: bool = False,
        overwrite: bool = False,
        return_old: bool = False,
        overwrite_mode: str | None = None,
        keep_none: bool | None = None,
        merge: bool | None = None,
    ) -> Document:
        """Stores a new document."""
        mode = overwrite_mode or ("replace" if overwrite else "conflict")
        with self._lock:
            kind = exceptions.DocumentInsertError
            new, old = self._writer.insert(self._held, document, kind, mode=mode, deep=merge is not False)
            return outcome(new, old, return_new, return_old)

    def update(
        self,
        document: Document,
        check_rev: bool = True,
        merge: bool = True,
        keep_none: bool = True,
        return_new: bool = False,
        return_old: bool = False,
        sync: bool | None = None,
        silent: bool = False,
    ) -> Document:
        """Changes members of a document."""
        with self._lock:
            kind, key = exceptions.DocumentUpdateError, key_of(document)
            new, old = self._writer.update(self._held, key, document, kind, deep=merge, check_revision=check_rev)
            return outcome(new, old, return_new, return_old)

    def delete(
        self,
        document: str | Document,
        rev: str | None = None,
        check_rev: bool = True,
        ignore_missing: bool = False,
        *_others: Any,
    ) -> bool | Document:
        """Removes a document."""
        with self._lock:
            key = key_of(document)
            if ignore_missing and key not in self._held.documents:
                return False
            return outcome(self._writer.remove(self._held, key, exceptions.DocumentDeleteError), None, False, False)

    def insert_many(
        self,
        documents: Sequence[Document],
        return_new: bool = False,
        sync: bool | None = None,
        silent: bool = False,
        overwrite: bool = False,
        *_others: Any,
    ) -> list[Outcome]:
        """Stores many documents; the outcome of each may be an error."""
        return self._each(documents, lambda document: self.insert(document, return_new, overwrite=overwrite))

    def update_many(
        self, documents: Sequence[Document], check_rev: bool = True, merge: bool = True, *_others: Any
    ) -> list[Outcome]:
        """Changes many documents; the outcome of each may be an error."""
        return self._each(documents, lambda document: self.update(document, check_rev, merge))

    def delete_many(self, documents: Sequence[Document], *_others: Any) -> list[Outcome]:
        """Removes many documents; the outcome of each may be an error."""
        return self._each(documents, self.delete)

    def truncate(self) -> bool:
        """Removes all documents."""
        with self._lock:
            for key in list(self._held.documents):
                self._writer.put(self._held, key, None)
            return True

    def _each(self, documents: Sequence[Document], change: Callable[[Document], Any]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with self._lock:
            for document in documents:
                try:
                    outcomes.append(change(document))
                except ArangoServerError as problem:
                    outcomes.append(problem)
        return outcomes

    # Indexes: stored, as the core reads them back, but not used

    def indexes(self) -> list[Document]:
        """Returns all indexes."""
        return copy.deepcopy(self._held.indexes)

    def add_persistent_index(
        self,
        fields: Sequence[str],
        unique: bool | None = None,
        sparse: bool | None = None,
        name: str | None = None,
        storedValues: Sequence[str] | None = None,  # noqa: N803 - the driver's name
    ) -> Document:
        """Adds an index on members."""
        return self._add_index("persistent", fields, name)

    def add_ttl_index(
        self, fields: Sequence[str], expiry_time: int, name: str | None = None, in_background: bool | None = None
    ) -> Document:
        """Adds an index for expiry; nothing expires here."""
        return self._add_index("ttl", fields, name, expiry_time=expiry_time)

    def delete_index(self, index_id: str, ignore_missing: bool = False) -> bool:
        """Removes an index."""
        self._held.indexes = [index for index in self._held.indexes if index_id not in (index["id"], index["name"])]
        return True

    def _add_index(self, kind: str, fields: Sequence[str], name: str | None, **more: Any) -> Document:
        number = str(len(self._held.indexes))
        index = {"id": number, "name": name or f"index_{number}", "type": kind, "fields": list(fields), **more}
        self._held.indexes.append(index)
        return index


def outcome(new: Document, old: Document | None, with_new: bool, with_old: bool) -> Document:
    """Returns the driver's result of a change."""
    result = {name: new[name] for name in SYSTEM_MEMBERS}
    if with_new:
        result["new"] = copy.deepcopy(new)
    if with_old and old is not None:
        result["old"] = copy.deepcopy(old)
    return result
