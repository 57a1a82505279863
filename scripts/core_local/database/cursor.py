"""The results of a query, as the driver returns them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from core_local.database.store import Document
from core_local.database.values import Value


class Cursor:
    """Results of a query; all are there from the beginning."""

    def __init__(self, results: list[Value], *, with_count: bool = False, statistics: Document | None = None) -> None:
        self._results = deque(results)
        self._count = len(results) if with_count else None
        self._statistics = statistics

    def __iter__(self) -> Iterator[Value]:
        return self

    def __next__(self) -> Value:
        if not self._results:
            raise StopIteration
        return self._results.popleft()

    next = __next__
    pop = __next__

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def empty(self) -> bool:
        """Returns whether no result is left."""
        return not self._results

    def has_more(self) -> bool:
        """Returns whether the server has more results than were fetched."""
        return False

    def count(self) -> int | None:
        """Returns the number of results, if the query asked for it."""
        return self._count

    def statistics(self) -> Document | None:
        """Returns statistics of the query."""
        return self._statistics

    def close(self, ignore_missing: bool = False) -> bool:
        """Closes the cursor, which does nothing."""
        return True
