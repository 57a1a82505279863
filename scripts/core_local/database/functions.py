"""The functions of the query language that the core uses."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from core_local.database.errors import Unsupported
from core_local.database.values import (
    LIST_RANK,
    NUMBER_RANK,
    OBJECT_RANK,
    Value,
    distinct,
    flat,
    merged,
    number,
    order_key,
    rank,
    text,
    truth,
)

Function = Callable[..., Value]


def merge(*objects: Value) -> Value:
    """Returns all members of all objects; the last wins."""
    given = objects[0] if len(objects) == 1 and isinstance(objects[0], list) else objects
    if not all(isinstance(one, dict) for one in given):
        return None
    return {name: value for one in given for name, value in one.items()}


def merge_recursive(*objects: Value) -> Value:
    """Returns the same as `merge`, but also merges nested objects."""
    result: dict[str, Value] = {}
    for one in objects:
        if not isinstance(one, dict):
            return None
        result = merged(result, one)
    return result


def unset(document: Value, *names: Value) -> Value:
    """Returns an object without some members."""
    gone = set(flat(names))
    return (
        {name: value for name, value in document.items() if name not in gone} if rank(document) == OBJECT_RANK else None
    )


def length(value: Value) -> int:
    """Returns the number of elements, members, characters or digits."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return int(value)
    return len(value) if isinstance(value, str | list | dict) else len(text(value))


def concat(*values: Value) -> str:
    """Returns all values as one string."""
    given = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return "".join(text(value) for value in given)


def union(*lists: Value) -> Value:
    """Returns the elements of all lists, in order."""
    return [value for one in lists for value in one] if all(isinstance(one, list) for one in lists) else None


def union_distinct(*lists: Value) -> Value:
    """Returns the elements of all lists, in order and without duplicates."""
    joined = union(*lists)
    return None if joined is None else distinct(joined)


def append(values: Value, more: Value) -> Value:
    """Returns a list followed by an element, or by the elements of another list."""
    return to_array(values) + (more if isinstance(more, list) else [more])


def to_array(value: Value) -> list[Value]:
    """Returns a value as a list."""
    if value is None:
        return []
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def numbers(values: list[Value]) -> list[int | float] | None:
    """Returns the numbers of a list of numbers and nulls; none if there is anything else."""
    given = [value for value in values if value is not None]
    return given if all(rank(value) == NUMBER_RANK for value in given) else None


def total(values: list[Value]) -> Value:
    """Returns the sum; null if a value is not a number."""
    given = numbers(values)
    return None if given is None else sum(given)


def average(values: list[Value]) -> Value:
    """Returns the mean; null if there is none."""
    given = numbers(values)
    return sum(given) / len(given) if given else None


def smallest(values: list[Value]) -> Value:
    """Returns the smallest value that is not null."""
    return min((value for value in values if value is not None), key=order_key, default=None)


def largest(values: list[Value]) -> Value:
    """Returns the largest value that is not null."""
    return max((value for value in values if value is not None), key=order_key, default=None)


def attributes(document: Value, without_system: Value = False) -> Value:
    """Returns the names of the members."""
    if not isinstance(document, dict):
        return None
    return [name for name in document if not (truth(without_system) and name.startswith("_"))]


def regex_test(value: Value, pattern: Value, any_case: Value = False) -> bool:
    """Returns whether a regular expression matches within a string."""
    return re.search(text(pattern), text(value), re.IGNORECASE if truth(any_case) else 0) is not None


def date_iso8601(moment: Value) -> str:
    """Returns milliseconds since 1970 as a time with milliseconds."""
    if rank(moment) != NUMBER_RANK:
        raise Unsupported("DATE_ISO8601 of a value that is not a number")
    when = datetime.fromtimestamp(int(moment) / 1000, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{int(moment) % 1000:03d}Z"


def ipv4_to_number(address: Value) -> Value:
    """Returns the number of an IPv4 address; null for any other value."""
    try:
        return int(ipaddress.IPv4Address(text(address)))
    except ValueError:
        return None


def bit_and(left: Value, right: Value) -> Value:
    """Returns the bits that both integers have; null for other values."""
    return left & right if isinstance(left, int) and isinstance(right, int) else None


FUNCTIONS: dict[str, Function] = {
    "ABS": lambda value: abs(number(value)),
    "APPEND": append,
    "ATTRIBUTES": attributes,
    "AVG": average,
    "BIT_AND": bit_and,
    "CEIL": lambda value: int(-(-number(value) // 1)),
    "CONCAT": concat,
    "COUNT": length,
    "DATE_ISO8601": date_iso8601,
    "DATE_NOW": lambda: int(time.time() * 1000),
    "FIRST": lambda values: values[0] if isinstance(values, list) and values else None,
    "FLOOR": lambda value: int(number(value) // 1),
    "HAS": lambda document, name: isinstance(document, dict) and text(name) in document,
    "IPV4_TO_NUMBER": ipv4_to_number,
    "IS_OBJECT": lambda value: isinstance(value, dict),
    "LAST": lambda values: values[-1] if isinstance(values, list) and values else None,
    "LENGTH": length,
    "MAX": largest,
    "MERGE": merge,
    "MERGE_RECURSIVE": merge_recursive,
    "MIN": smallest,
    "NOT_NULL": lambda *values: next((value for value in values if value is not None), None),
    "REGEX_TEST": regex_test,
    "REVERSE": lambda value: value[::-1] if rank(value) == LIST_RANK else text(value)[::-1],
    "SUM": total,
    "TO_ARRAY": to_array,
    "UNION": union,
    "UNION_DISTINCT": union_distinct,
    "UNSET": unset,
}

AGGREGATES: dict[str, Callable[[list[Value]], Any]] = {
    # The sum of an empty group is null; a plain SUM of an empty list is 0.
    "SUM": lambda values: total(values) if values else None,
    "AVG": average,
    "MIN": smallest,
    "MAX": largest,
    "COUNT": len,
    "LENGTH": len,
    "UNIQUE": distinct,
    "COUNT_DISTINCT": lambda values: len(distinct(values)),
}
"""Functions over all rows of a group."""
