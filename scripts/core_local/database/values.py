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
    """Returns the rank of a value's type in the order of types."""
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
    """Returns a key by which any values can be compared and sorted."""
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
    """Returns whether two values are the same; `1` is not `true`."""
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
    """Returns whether a value counts as true; lists and objects do, also empty ones."""
    return bool(value) if rank(value) < LIST_RANK else True


def number(value: Value) -> int | float:
    """Returns a value as an arithmetic operand; a value that is not a number counts as 0."""
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
    """Returns a value as a string."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def fingerprint(value: Value) -> str:
    """Returns a string that is the same for equal values."""
    return json.dumps(value, sort_keys=True)


def distinct(values: Iterable[Value]) -> list[Value]:
    """Returns the values without duplicates, in order."""
    return list({fingerprint(value): value for value in values}.values())


def flat(values: Iterable[Value]) -> list[Value]:
    """Returns the values, with all lists among them flattened."""
    result: list[Value] = []
    for value in values:
        if isinstance(value, list):
            result.extend(flat(value))
        else:
            result.append(value)
    return result


def merged(old: dict[str, Value], new: dict[str, Value]) -> dict[str, Value]:
    """Returns both objects merged; members that are objects in both are merged too, otherwise the new one wins."""
    result = dict(old)
    for name, value in new.items():
        known = result.get(name)
        result[name] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def over_the_wire(value: Value) -> Value:
    """Returns a copy as if it had been sent over a connection; a value that is not JSON is an error, as there."""
    return json.loads(json.dumps(value))
