"""Parses the text of a query into its steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from core_local.database.changes import Insert, Remove, Replace, Update
from core_local.database.expressions import CLAUSES, Expression, ExpressionParser
from core_local.database.functions import AGGREGATES
from core_local.database.lexer import END
from core_local.database.run import Run
from core_local.database.steps import Collect, Filter, For, Let, Limit, Query, Return, Sort, Step
from core_local.database.store import Store, Writer
from core_local.database.traversal import ANY, INBOUND, OUTBOUND, Traverse
from core_local.database.values import Value

DIRECTIONS = (OUTBOUND, INBOUND, ANY)
TRAVERSAL_OPTIONS = {"bfs", "uniqueVertices", "uniqueEdges"}
CONSTANT = Run(Store(), Writer(Store()), {})
"""The run in which constant expressions are evaluated."""


class QueryParser(ExpressionParser):
    """Reads queries."""

    def whole_query(self) -> Query:
        """Reads a query up to the end of the text."""
        query = self._query()
        if self.ahead().kind != END:
            self.fail("the end expected")
        limits = [step for step in query.steps if isinstance(step, Limit)]
        if limits:
            limits[-1].counts_all = True
        return query

    def subquery(self) -> Expression:
        """Reads a query within an expression."""
        with self.mode(searching=False):
            query = self._query()
        return lambda run, row: query.execute(run, row)

    def _query(self) -> Query:
        readers: dict[str, Callable[[], Step]] = {
            "FOR": self._for,
            "FILTER": lambda: Filter(self.expression()),
            "LET": self._let,
            "SORT": self._sort,
            "LIMIT": self._limit,
            "COLLECT": self._collect,
            "INSERT": self._insert,
            "UPDATE": lambda: self._update(Update),
            "REPLACE": lambda: self._update(Replace),
            "REMOVE": self._remove,
        }
        steps: list[Step] = []
        while self.is_word(*readers):
            steps.append(readers[self.take().upper]())
        if not self.took_word("RETURN"):
            if not steps:
                self.fail("a clause expected")
            return Query(steps, None)
        result = Return(distinct=self.took_word("DISTINCT"), value=self.expression())
        self._simplify(steps, result)
        return Query(steps, result)

    @staticmethod
    def _simplify(steps: list[Step], result: Return) -> None:
        """Limits a walk to one path for each edge if duplicates are dropped anyway."""
        if result.distinct and steps and isinstance(steps[-1], Traverse):
            walk = steps[-1]
            # With one path an edge is reached at its least depth only, which would be wrong for a larger least depth.
            walk.edges_once = walk.depths[0] <= 1 and not walk.vertices_once

    # Clauses

    def _for(self) -> Step:
        names = [self.name()]
        while self.took_sign(","):
            names.append(self.name())
        self.need_word("IN")
        if self._is_traversal():
            return self._traverse(names)
        if len(names) > 1:
            self.fail("a traversal expected")
        values, search = self.expression(), None
        if self.took_word("SEARCH"):
            with self.mode(searching=True):
                search = self.expression()
        return For(names[0], values, search)

    def _is_traversal(self) -> bool:
        distance = 0
        if self.ahead().kind == "number":
            distance = 3 if self.is_sign("..", distance=1) else 1
        return self.is_word(*DIRECTIONS, distance=distance)

    def _traverse(self, names: list[str]) -> Step:
        if len(names) > 2:  # noqa: PLR2004 - vertex and edge
            self.fail("no variable for the path expected")
        least = most = self._depth() if self.ahead().kind == "number" else 1
        if self.took_sign(".."):
            most = self._depth()
        direction = self.take().upper
        start = self._path()
        ways = [(direction, self.name())]
        while self.took_sign(","):
            direction = self.take().upper if self.is_word(*DIRECTIONS) else direction
            ways.append((direction, self.name()))
        prune = self.expression() if self.took_word("PRUNE") else None
        once = self._vertices_once()
        return Traverse(names[0], names[1] if len(names) > 1 else None, (least, most), start, ways, prune, once)

    def _depth(self) -> int:
        token = self.take()
        if not token.text.isdigit():
            self.fail("a whole number expected")
        return int(token.text)

    def _vertices_once(self) -> bool:
        """Reads the options of a traversal, which must be constant."""
        options = self._options()
        given: Value = options(CONSTANT, {}) if options else {}
        if not given.keys() <= TRAVERSAL_OPTIONS or not given.get("bfs", True):
            self.fail(f"other options of a traversal than {given} expected before")
        if given.get("uniqueEdges", "path") != "path" or given.get("uniqueVertices", "none") not in ("none", "global"):
            self.fail(f"other options of a traversal than {given} expected before")
        return bool(given.get("uniqueVertices") == "global")

    def _options(self) -> Expression | None:
        return self.expression() if self.took_word("OPTIONS") else None

    def _let(self) -> Step:
        name = self.name()
        self.need_sign("=")
        return Let(name, self.subquery() if self.is_word(*CLAUSES) else self.expression())

    def _sort(self) -> Step:
        keys: list[tuple[Expression, bool]] = []
        while True:
            value = self.expression()
            down = self.took_word("DESC")
            if not down:
                self.took_word("ASC")
            keys.append((value, down))
            if not self.took_sign(","):
                return Sort(keys)

    def _limit(self) -> Step:
        first = self.expression()
        return Limit(first, self.expression()) if self.took_sign(",") else Limit(None, first)

    def _collect(self) -> Step:
        groups = [] if self.is_word("AGGREGATE", "WITH") else self._assignments(self.expression)
        aggregates = self._assignments(self._aggregate) if self.took_word("AGGREGATE") else []
        count = None
        if self.took_word("WITH"):
            self.need_word("COUNT")
            self.need_word("INTO")
            count = self.name()
        if self.is_word("INTO", "KEEP", "OPTIONS"):
            self.fail("another clause expected")
        return Collect(groups, [(name, function, value) for name, (function, value) in aggregates], count)

    def _assignments[T](self, value: Callable[[], T]) -> list[tuple[str, T]]:
        found: list[tuple[str, T]] = []
        while not found or self.took_sign(","):
            name = self.name()
            self.need_sign("=")
            found.append((name, value()))
        return found

    def _aggregate(self) -> tuple[Callable[[list[Value]], Value], Expression]:
        function = AGGREGATES.get(self.ahead().upper)
        if function is None:
            self.fail("another aggregation expected")
        self.take()
        self.need_sign("(")
        with self.mode():
            value = self.expression()
        self.need_sign(")")
        return function, value

    # Changes

    def _insert(self) -> Step:
        target = self._before_in()
        return Insert(target, self._in_collection(), self._options())

    def _remove(self) -> Step:
        target = self._before_in()
        return Remove(target, self._in_collection(), self._options())

    def _update(self, kind: type[Update]) -> Step:
        target = self._before_in()
        patch = self._before_in() if self.took_word("WITH") else None
        return kind(target, self._in_collection(), self._options(), patch)

    def _before_in(self) -> Expression:
        with self.mode(in_is_keyword=True):
            return self.expression()

    def _in_collection(self) -> str:
        self.need_word("IN", "INTO")
        return self.name()


@lru_cache(maxsize=500)
def parsed(query: str) -> Query:
    """Parses a query."""
    return QueryParser(query).whole_query()
