"""The clauses that change documents.

All rows are computed before the first change, so a query may change what it reads.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from arango.exceptions import AQLQueryExecuteError, ArangoServerError

from core_local.database import errors
from core_local.database.errors import Unsupported, server_error
from core_local.database.expressions import Expression
from core_local.database.run import Row, Run
from core_local.database.steps import Step
from core_local.database.store import Collection, Document, key_of
from core_local.database.values import Value, truth

OPTIONS = {"ignoreErrors", "mergeObjects", "overwriteMode"}


@dataclass
class Change(Step):
    """A clause that changes documents."""

    target: Expression
    """The document, or its key."""
    collection: str
    options: Expression | None

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Changes documents; returns the rows with the document before and after the change as OLD and NEW."""
        options = self.options(run, outer) if self.options else {}
        if not options.keys() <= OPTIONS:
            raise Unsupported(f"one of the options {', '.join(options)}")
        collection = run.collection(self.collection)
        todo = [(row, self.target(run, row), self.content(run, row)) for row in rows]
        changed: list[Row] = []
        for row, target, content in todo:
            try:
                new, old = self.change(run, collection, target, content, options)
            except ArangoServerError:
                if not truth(options.get("ignoreErrors")):
                    raise
                run.ignored += 1
                continue
            run.changed += 1
            changed.append({**row, "NEW": new, "OLD": old})
        return changed

    def content(self, run: Run, row: Row) -> Value:
        """Returns the new content of the document, if that is not the target itself."""
        return None

    @abstractmethod
    def change(
        self, run: Run, collection: Collection, target: Value, content: Value, options: Document
    ) -> tuple[Document | None, Document | None]:
        """Makes the change to one document and returns the new and the old one."""


@dataclass
class Insert(Change):
    """INSERT document IN collection."""

    def change(
        self, run: Run, collection: Collection, target: Value, content: Value, options: Document
    ) -> tuple[Document | None, Document | None]:
        """Stores the document."""
        mode = options.get("overwriteMode", "conflict")
        return run.writer.insert(collection, target, AQLQueryExecuteError, mode=mode)


@dataclass
class Update(Change):
    """UPDATE document [WITH content] IN collection."""

    patch: Expression | None

    def content(self, run: Run, row: Row) -> Value:
        """Returns the members to change."""
        return self.patch(run, row) if self.patch else None

    def change(
        self, run: Run, collection: Collection, target: Value, content: Value, options: Document
    ) -> tuple[Document | None, Document | None]:
        """Changes some members of the document."""
        deep = truth(options.get("mergeObjects", True))
        patch = target if content is None else content
        return run.writer.update(
            collection, key_in(target), patch, AQLQueryExecuteError, deep=deep, check_revision=False
        )


@dataclass
class Replace(Update):
    """REPLACE document [WITH content] IN collection."""

    def change(
        self, run: Run, collection: Collection, target: Value, content: Value, options: Document
    ) -> tuple[Document | None, Document | None]:
        """Replaces the content of the document."""
        new = target if content is None else content
        return run.writer.replace(collection, key_in(target), new, AQLQueryExecuteError)


@dataclass
class Remove(Change):
    """REMOVE document IN collection."""

    def change(
        self, run: Run, collection: Collection, target: Value, content: Value, options: Document
    ) -> tuple[Document | None, Document | None]:
        """Removes the document."""
        return None, run.writer.remove(collection, key_in(target), AQLQueryExecuteError)


def key_in(target: Value) -> str:
    """Returns the key of the document to change."""
    key = key_of(target)
    if not isinstance(key, str):
        raise server_error(AQLQueryExecuteError, 400, errors.BAD_KEY, "illegal document key")
    return key
