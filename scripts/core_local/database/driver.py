"""The database behind the interface of python-arango: `Database` takes the place of its `StandardDatabase`.

Only the methods and parameters that the core uses exist; any other call fails. Parameters without meaning for a
database in memory (sync, timeouts, shards) are ignored.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterable
from threading import RLock
from typing import Any

from arango import exceptions
from arango.exceptions import AQLQueryExecuteError, ArangoServerError, TransactionExecuteError

from core_local.database import errors
from core_local.database.collections import Documents
from core_local.database.cursor import Cursor
from core_local.database.errors import no_collection, server_error
from core_local.database.graphs import Graph
from core_local.database.queries import parsed
from core_local.database.run import Run
from core_local.database.store import Collection, Document, Store, Writer
from core_local.database.values import over_the_wire

log = logging.getLogger("core_local.database")

LOCK = RLock()
"""The lock of every operation, as the core calls from many threads."""

STATEMENT = re.compile(r"db\._createStatement\(\{ query: `([^`]*(?:\\`[^`]*)*)` \}\)\.execute\(\)")
TRANSACTION_FRAME = re.compile(r"function \(\) \{\s*var db=require\(\"@arangodb\"\)\.db;[\s;]*\}")


class Queries:
    """The driver's `aql`: executes queries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def execute(
        self,
        query: str,
        count: bool = False,
        batch_size: int | None = None,
        ttl: Any = None,
        bind_vars: Document | None = None,
        full_count: bool | None = None,
        *_others: Any,
    ) -> Cursor:
        """Executes a query."""
        with LOCK:
            run = Run(self._database.store, self._database.writer, over_the_wire(bind_vars or {}))
            try:
                results = over_the_wire(parsed(query).execute(run, {}))
            except ArangoServerError:
                raise
            except Exception as problem:
                log.exception("cannot execute this query: %s\nwith the variables %s", query, bind_vars)
                message = f"the local database cannot execute this query: {problem}: {query}"
                raise server_error(AQLQueryExecuteError, 400, errors.QUERY_PARSE, message) from problem
        statistics = {"modified": run.changed, "ignored": run.ignored, "execution_time": 0.0}
        if full_count:
            statistics["fullCount"] = len(results) if run.full_count is None else run.full_count
        return Cursor(results, with_count=count, statistics=statistics)

    def explain(self, query: str, *_others: Any) -> Document:
        """Parses the query, and returns a plan without content."""
        parsed(query)
        return {"estimatedCost": 1.0, "estimatedNrItems": 1, "nodes": []}


class Database:
    """A database, or a transaction in it."""

    def __init__(self, store: Store | None = None, writer: Writer | None = None) -> None:
        self.store = store or Store()
        self.writer = writer or Writer(self.store)
        self.aql = Queries(self)

    # Documents

    def collection(self, name: str) -> Documents:
        """Returns a collection, which must exist."""
        found = self.store.collections.get(name)
        if found is None:
            raise no_collection(exceptions.DocumentGetError, name)
        return Documents(found, self.writer, LOCK)

    def insert_document(self, collection: str, document: Document, *arguments: Any, **named: Any) -> Any:
        """Stores a new document."""
        return self.collection(collection).insert(document, *arguments, **named)

    # Collections

    def collections(self) -> list[Document]:
        """Returns all collections."""
        return [{"name": name, "system": False} for name in self.store.collections]

    def has_collection(self, name: str) -> bool:
        """Returns whether there is such a collection."""
        return name in self.store.collections

    def create_collection(
        self, name: str, sync: bool = False, system: bool = False, *_others: Any, **_: Any
    ) -> Documents:
        """Makes a collection of documents."""
        with LOCK:
            if name in self.store.collections:
                message = f"duplicate name: {name}"
                raise server_error(exceptions.CollectionCreateError, 409, errors.DUPLICATE_NAME, message)
            self.store.collections[name] = Collection(name)
            return self.collection(name)

    def delete_collection(self, name: str, ignore_missing: bool = False, system: bool | None = None) -> bool:
        """Removes a collection with its content."""
        with LOCK:
            if self.store.collections.pop(name, None) is None and not ignore_missing:
                raise no_collection(exceptions.CollectionDeleteError, name)
            return True

    # Graphs

    def graphs(self) -> list[Document]:
        """Returns all graphs."""
        return [{"name": name} for name in self.store.graphs]

    def has_graph(self, name: str) -> bool:
        """Returns whether there is such a graph."""
        return name in self.store.graphs

    def create_graph(self, name: str, *_others: Any) -> Graph:
        """Makes a graph without collections."""
        with LOCK:
            self.store.graphs.setdefault(name, {})
            return self.graph(name)

    def graph(self, name: str) -> Graph:
        """Returns a graph."""
        return Graph(name, self.store, self.writer, LOCK)

    def delete_graph(self, name: str, ignore_missing: bool = False, drop_collections: bool | None = None) -> bool:
        """Removes a graph."""
        with LOCK:
            held = self.store.graphs.pop(name, None)
            if held is None and not ignore_missing:
                message = f"graph '{name}' not found"
                raise server_error(exceptions.GraphDeleteError, 404, errors.GRAPH_NOT_FOUND, message)
            for collection in held or {} if drop_collections else {}:
                self.store.collections.pop(collection, None)
            return held is not None

    # Views

    def views(self) -> list[Document]:
        """Returns all views."""
        return [{"name": name} for name in self.store.views]

    def create_view(self, name: str, view_type: str, properties: Document | None = None) -> Document:
        """Makes a view of collections."""
        with LOCK:
            self.store.views[name] = copy.deepcopy(properties or {})
            return {"name": name, "type": view_type}

    def delete_view(self, name: str, ignore_missing: bool = False) -> bool:
        """Removes a view."""
        return self.store.views.pop(name, None) is not None

    def analyzer(self, name: str) -> Document:
        """Returns a text analyzer. There is no full-text search, but the core requires the analyzer."""
        if name not in self.store.analyzers:
            message = f"unable to find analyzer '{name}'"
            raise server_error(exceptions.AnalyzerGetError, 404, errors.DOCUMENT_NOT_FOUND, message)
        return self.store.analyzers[name]

    def create_analyzer(self, name: str, analyzer_type: str, properties: Any = None, features: Any = None) -> Document:
        """Makes an analyzer."""
        self.store.analyzers[name] = {"name": name, "type": analyzer_type}
        return self.store.analyzers[name]

    # Transactions

    def begin_transaction(self, *_collections: Any) -> Database:
        """Begins a transaction; its changes are visible to others before it ends."""
        return Database(self.store, Writer(self.store, can_undo=True))

    def commit_transaction(self) -> bool:
        """Ends the transaction and keeps its changes."""
        self.writer.commit()
        return True

    def abort_transaction(self) -> bool:
        """Ends the transaction and reverts its changes."""
        with LOCK:
            self.writer.abort()
        return True

    def execute_transaction(self, command: str, *_others: Any, **_: Any) -> None:
        """Executes a server-side function that only executes queries."""
        frame = STATEMENT.sub("", command)
        if not TRANSACTION_FRAME.fullmatch(frame.strip()):
            log.error("cannot execute this transaction: %s", command)
            message = f"the local database cannot execute this transaction: {command}"
            raise server_error(TransactionExecuteError, 400, errors.BAD_PARAMETER, message)
        self._all_or_nothing(query.replace("\\`", "`") for query in STATEMENT.findall(command))

    def _all_or_nothing(self, queries: Iterable[str]) -> None:
        with LOCK:
            inner = self.begin_transaction()
            try:
                for query in queries:
                    inner.aql.execute(query)
            except ArangoServerError as problem:
                inner.abort_transaction()
                code, message = problem.error_code or errors.BAD_PARAMETER, problem.error_message or str(problem)
                raise server_error(TransactionExecuteError, problem.http_code or 400, code, message) from problem
