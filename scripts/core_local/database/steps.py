"""The clauses of a query, as steps that turn input rows into output rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arango.exceptions import AQLQueryExecuteError

from core_local.database import errors
from core_local.database.errors import server_error
from core_local.database.expressions import Expression
from core_local.database.run import Row, Run
from core_local.database.values import Value, distinct, fingerprint, number, order_key, truth


class Step(ABC):
    """One clause."""

    @abstractmethod
    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns the output rows; `outer` has the variables from outside the query."""


@dataclass
class For(Step):
    """FOR variable IN values [SEARCH condition]."""

    variable: str
    values: Expression
    search: Expression | None

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns a row for each value."""
        made = ({**row, self.variable: value} for row in rows for value in self._values(run, row))
        return [row for row in made if self.search is None or truth(self.search(run, row))]

    def _values(self, run: Run, row: Row) -> list[Value]:
        values = self.values(run, row)
        if values is None or isinstance(values, list):
            return values or []
        message = "collection or array expected as operand to FOR loop"
        raise server_error(AQLQueryExecuteError, 400, errors.NO_LIST, message)


@dataclass
class Filter(Step):
    """FILTER condition."""

    condition: Expression

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns the rows for which the condition holds."""
        return [row for row in rows if truth(self.condition(run, row))]


@dataclass
class Let(Step):
    """LET variable = value."""

    variable: str
    value: Expression

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns the rows with one more variable."""
        return [{**row, self.variable: self.value(run, row)} for row in rows]


@dataclass
class Sort(Step):
    """SORT value [DESC], …"""

    keys: list[tuple[Expression, bool]]
    """The keys, each with whether it sorts in descending order."""

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns the rows in order."""
        for value, down in reversed(self.keys):
            rows = sorted(rows, key=lambda row, value=value: order_key(value(run, row)), reverse=down)
        return rows


@dataclass
class Limit(Step):
    """LIMIT [offset,] count."""

    offset: Expression | None
    count: Expression
    counts_all: bool = False
    """Whether the full count is the number of rows before this limit."""

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns some of the rows."""
        if self.counts_all:
            run.full_count = len(rows)
        start = int(number(self.offset(run, outer))) if self.offset else 0
        return rows[start : start + int(number(self.count(run, outer)))]


@dataclass
class Collect(Step):
    """COLLECT groups [AGGREGATE …] [WITH COUNT INTO variable]."""

    groups: list[tuple[str, Expression]]
    aggregates: list[tuple[str, Callable[[list[Value]], Any], Expression]]
    count: str | None

    def apply(self, run: Run, rows: list[Row], outer: Row) -> list[Row]:
        """Returns a row for each group; without grouping there is one group, even if it is empty."""
        members: dict[str, list[Row]] = {} if self.groups else {"[]": []}
        values: dict[str, list[Value]] = {"[]": []}
        for row in rows:
            group = [value(run, row) for _, value in self.groups]
            name = fingerprint(group)
            values[name] = group
            members.setdefault(name, []).append(row)
        names = sorted(members, key=lambda name: order_key(values[name]))
        return [{**outer, **self._group(run, values[name], members[name])} for name in names]

    def _group(self, run: Run, values: list[Value], members: list[Row]) -> Row:
        made: Row = {variable: value for (variable, _), value in zip(self.groups, values, strict=True)}
        for variable, function, value in self.aggregates:
            made[variable] = function([value(run, row) for row in members])
        if self.count:
            made[self.count] = len(members)
        return made


@dataclass
class Return:
    """RETURN [DISTINCT] value."""

    value: Expression
    distinct: bool

    def values(self, run: Run, rows: list[Row]) -> list[Value]:
        """Returns the results of the query."""
        values = [self.value(run, row) for row in rows]
        return distinct(values) if self.distinct else values


@dataclass
class Query:
    """A whole query, or one within another."""

    steps: list[Step]
    result: Return | None
    """None if the query returns nothing."""

    def execute(self, run: Run, outer: Row) -> list[Value]:
        """Executes the query."""
        rows = [dict(outer)]
        for step in self.steps:
            rows = step.apply(run, rows, outer)
        return self.result.values(run, rows) if self.result else []
