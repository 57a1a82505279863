"""The state of a query while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from arango.exceptions import AQLQueryExecuteError

from core_local.database import errors
from core_local.database.errors import no_collection, server_error
from core_local.database.store import Collection, Document, Store, Writer
from core_local.database.values import TEXT_RANK, Value, equal, order_key, rank

Row = dict[str, Value]
"""The variables that are visible at a point of a query."""

SMALL_LIST = 16


@dataclass
class Run:
    """One execution of a query."""

    store: Store
    writer: Writer
    binds: dict[str, Value]
    changed: int = 0
    ignored: int = 0
    full_count: int | None = None
    """The number of rows before the last limit of the outermost query."""
    _members: dict[int, tuple[list[Value], set[str]]] = field(default_factory=dict)

    def bind(self, name: str) -> Value:
        """Returns the value of a bind variable."""
        if name not in self.binds:
            message = f"no value specified for declared bind parameter '{name}'"
            raise server_error(AQLQueryExecuteError, 400, errors.NO_BIND_VALUE, message)
        return self.binds[name]

    def collection(self, name: str) -> Collection:
        """Returns the collection of this name."""
        found = self.store.collections.get(name)
        if found is None:
            raise no_collection(AQLQueryExecuteError, name)
        return found

    def documents(self, name: str) -> list[Document]:
        """Returns all documents of a collection, or of a view in the view's order."""
        view = self.store.views.get(name)
        if view is None or name in self.store.collections:
            return list(self.collection(name).documents.values())
        found = [document for link in view["links"] for document in self.collection(link).documents.values()]
        paths = [part["field"].split(".") for part in view.get("primarySort", [])]
        return sorted(found, key=lambda document: [order_key(at_path(document, path)) for path in paths])

    def contains(self, values: Value, wanted: Value) -> bool:
        """Returns whether a value is in a list."""
        if not isinstance(values, list):
            return False
        if rank(wanted) != TEXT_RANK or len(values) <= SMALL_LIST:
            return any(equal(value, wanted) for value in values)
        # The list is kept with the set, so that its ID is not reused.
        known = self._members.get(id(values))
        if known is None:
            known = values, {value for value in values if isinstance(value, str)}
            self._members[id(values)] = known
        return wanted in known[1]


def member(value: Value, name: str) -> Value:
    """Returns a member of an object; null if there is none."""
    return value.get(name) if isinstance(value, dict) else None


def at_path(value: Value, path: list[str]) -> Value:
    """Returns the value at a path of members."""
    for name in path:
        value = member(value, name)
    return value
