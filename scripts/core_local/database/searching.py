"""SEARCH conditions, which have rules of their own.

A path leads through lists: `a.b` is what any element of the list `a` has as `b`, and a comparison holds if it holds for
one of the values found. Values of another type never match; a path that leads to no value does not exist.
"""

from __future__ import annotations

from typing import Any

from core_local.database.errors import Unsupported
from core_local.database.run import Run
from core_local.database.values import COMPARISONS, Value, flat, rank

NEGATIVE = {"!=": "==", "not in": "in"}


class Found(list[Any]):
    """The values that a path leads to."""

    def member(self, name: str) -> Found:
        """Returns the values of the path extended by this name."""
        return Found(value[name] for value in flat(self) if isinstance(value, dict) and name in value)

    def exists(self) -> bool:
        """Returns whether there is a value; empty lists and objects do not count."""
        return any(not isinstance(value, dict) or Found(value.values()).exists() for value in flat(self))


def holds(run: Run, sign: str, left: Value, right: Value) -> bool:
    """Returns whether a comparison of the values of a path with a given value holds."""
    if not isinstance(left, Found) or isinstance(right, Found):
        raise Unsupported(f"a comparison in a SEARCH condition that is not `path {sign} value`")
    if sign in NEGATIVE:
        return not holds(run, NEGATIVE[sign], left, right)
    if sign == "in":
        return any(run.contains(right, value) for value in flat(left))
    if sign not in COMPARISONS:
        raise Unsupported(f"{sign} in a SEARCH condition")
    return any(rank(value) == rank(right) and COMPARISONS[sign](value, right) for value in flat(left))
