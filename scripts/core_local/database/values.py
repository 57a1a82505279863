"""How the query language compares, orders and converts JSON values.

Strings are ordered by code point, where the server uses the rules of a language: that differs for mixed case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

Value = Any
"""Null, boolean, number, string, list or object, as Python's json has them."""

NULL_RANK, BOOL_RANK, NUMBER_RANK, TEXT_RANK, LIST_RANK, OBJECT_RANK = range(6)


def rank(value: Value) -> int:
    """Where the type of a value stands in the order of types."""
    if value is None:
        return NULL_RANK
    if isinstance(value, bool):
        return BOOL_RANK
    if isinstance(value, int | float):
        return NUMBER_RANK
    if isinstance(value, str):
        return TEXT_RANK
    return LIST_RANK if isinstance(value, list) else OBJECT_RANK


def order_key(value: Value) -> tuple[Any, ...]:
    """A key by which any values can be compared and sorted."""
    kind = rank(value)
    if kind == NULL_RANK:
        return (kind,)
    if kind == LIST_RANK:
        return (kind, [order_key(element) for element in value])
    if kind == OBJECT_RANK:
        # A member that is null and one that is missing are the same.
        return (kind, [(name, order_key(value[name])) for name in sorted(value) if value[name] is not None])
    return (kind, value)


def equal(left: Value, right: Value) -> bool:
    """Whether two values are the same; `1` is not `true`."""
    kind = rank(left)
    if kind != rank(right):
        return False
    return order_key(left) == order_key(right) if kind >= LIST_RANK else bool(left == right)


COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": lambda left, right: order_key(left) < order_key(right),
    "<=": lambda left, right: order_key(left) <= order_key(right),
    ">": lambda left, right: order_key(left) > order_key(right),
    ">=": lambda left, right: order_key(left) >= order_key(right),
}


def truth(value: Value) -> bool:
    """Whether a value counts as true; lists and objects do, also empty ones."""
    return bool(value) if rank(value) < LIST_RANK else True


def number(value: Value) -> int | float:
    """A value as an operand of arithmetic; what is no number counts as 0."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, list) and len(value) == 1:
        return number(value[0])
    try:
        parsed = float(value) if isinstance(value, str) else 0.0
    except ValueError:
        return 0
    return int(parsed) if parsed.is_integer() else parsed


def text(value: Value) -> str:
    """A value as text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def fingerprint(value: Value) -> str:
    """The same text for the same value."""
    return json.dumps(value, sort_keys=True)


def distinct(values: Iterable[Value]) -> list[Value]:
    """The values without repetitions, in their order."""
    return list({fingerprint(value): value for value in values}.values())


def flat(values: Iterable[Value]) -> list[Value]:
    """The values with all lists among them dissolved."""
    result: list[Value] = []
    for value in values:
        if isinstance(value, list):
            result.extend(flat(value))
        else:
            result.append(value)
    return result


def merged(old: dict[str, Value], new: dict[str, Value]) -> dict[str, Value]:
    """Both objects in one; members that are objects in both are merged too, else the new one wins."""
    result = dict(old)
    for name, value in new.items():
        known = result.get(name)
        result[name] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def over_the_wire(value: Value) -> Value:
    """A copy, as it would arrive on the other side of a connection; what is not JSON fails as it does there."""
    return json.loads(json.dumps(value))
