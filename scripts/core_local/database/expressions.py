"""Turns expressions into functions that compute them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from core_local.database import searching
from core_local.database.errors import Unsupported
from core_local.database.functions import FUNCTIONS
from core_local.database.lexer import END, Token, tokens_of
from core_local.database.run import Row, Run, member
from core_local.database.searching import Found
from core_local.database.values import COMPARISONS, Value, number, text, truth

Expression = Callable[[Run, Row], Value]

CLAUSES = {"FOR", "FILTER", "LET", "SORT", "LIMIT", "COLLECT", "RETURN", "INSERT", "UPDATE", "REPLACE", "REMOVE"}
CONSTANTS: dict[str, Value] = {"TRUE": True, "FALSE": False, "NULL": None}
QUANTIFIERS = {"ANY": any, "ALL": all, "NONE": lambda held: not any(held)}
PATTERN_SIGNS = ("=~", "!~")


class ExpressionParser(ABC):
    """Reads expressions, from the weakest operator down to single values."""

    def __init__(self, query: str) -> None:
        self.query = query
        self._tokens = tokens_of(query)
        self._position = 0
        self._in_is_keyword = False
        """Whether IN ends the expression, as in `INSERT … IN collection`."""
        self._searching = False
        """Whether the expression is a SEARCH condition."""

    @abstractmethod
    def subquery(self) -> Expression:
        """Reads a query within an expression."""

    # Tokens

    def ahead(self, distance: int = 0) -> Token:
        """Returns a following token without taking it."""
        return self._tokens[min(self._position + distance, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Takes the next token and returns it."""
        token = self.ahead()
        self._position += 1
        return token

    def is_sign(self, *signs: str, distance: int = 0) -> bool:
        """Returns whether one of these signs follows."""
        token = self.ahead(distance)
        return token.kind == "sign" and token.text in signs

    def is_word(self, *words: str, distance: int = 0) -> bool:
        """Returns whether one of these keywords follows."""
        return self.ahead(distance).upper in words

    def took_sign(self, *signs: str) -> bool:
        """Takes one of these signs if it follows; returns whether it did."""
        found = self.is_sign(*signs)
        self._position += found
        return found

    def took_word(self, *words: str) -> bool:
        """Takes one of these keywords if it follows; returns whether it did."""
        found = self.is_word(*words)
        self._position += found
        return found

    def need_sign(self, sign: str) -> None:
        """Takes a sign, which must follow."""
        if not self.took_sign(sign):
            self.fail(f"{sign} expected")

    def need_word(self, *words: str) -> None:
        """Takes one of these keywords, which must follow."""
        if not self.took_word(*words):
            self.fail(f"{' or '.join(words)} expected")

    def name(self) -> str:
        """Takes a name, which must follow, and returns it."""
        token = self.take()
        if token.kind not in ("word", "quoted"):
            self._position -= 1
            self.fail("a name expected")
        return token.text

    def fail(self, problem: str) -> NoReturn:
        """Raises `Unsupported` with the position."""
        token = self.ahead()
        where = "the end" if token.kind == END else repr(self.query[token.at : token.at + 60])
        raise Unsupported(f"{problem} at {where}")

    @contextmanager
    def mode(self, *, in_is_keyword: bool = False, searching: bool | None = None) -> Iterator[None]:
        """Parses the body of the context in another mode."""
        before = self._in_is_keyword, self._searching
        self._in_is_keyword = in_is_keyword
        self._searching = self._searching if searching is None else searching
        yield
        self._in_is_keyword, self._searching = before

    # Operators

    def expression(self) -> Expression:
        """Reads an expression."""
        condition = self._either()
        if not self.took_sign("?"):
            return condition
        with self.mode():
            yes = self.expression()
        self.need_sign(":")
        no = self.expression()
        return lambda run, row: yes(run, row) if truth(condition(run, row)) else no(run, row)

    def _either(self) -> Expression:
        left = self._both()
        while self.took_sign("||") or self.took_word("OR"):
            left = either(left, self._both())
        return left

    def _both(self) -> Expression:
        left = self._comparison()
        while self.took_sign("&&") or self.took_word("AND"):
            left = both(left, self._comparison())
        return left

    def _comparison(self) -> Expression:
        left = self._sum()
        while True:
            quantifier = ""
            if self.is_word(*QUANTIFIERS) and (self.is_sign(*COMPARISONS, distance=1) or self._is_in(1)):
                quantifier = self.take().upper
            sign = self._comparison_sign()
            if not sign:
                return left
            right = self._sum()
            if quantifier:
                left = quantified(quantifier, sign, left, right)
            else:
                left = (searched if self._searching else compared)(sign, left, right)

    def _is_in(self, distance: int) -> bool:
        is_not = self.is_word("NOT", distance=distance)
        return self.is_word("IN", distance=distance + is_not) and (is_not or not self._in_is_keyword)

    def _comparison_sign(self) -> str:
        if self.is_sign(*COMPARISONS, *PATTERN_SIGNS):
            return self.take().text
        if not self._is_in(0):
            return ""
        negative = self.took_word("NOT")
        self.need_word("IN")
        return "not in" if negative else "in"

    def _sum(self) -> Expression:
        left = self._product()
        while self.is_sign("+", "-"):
            left = calculated(self.take().text, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._signed()
        while self.is_sign("*", "/"):
            left = calculated(self.take().text, left, self._signed())
        return left

    def _signed(self) -> Expression:
        if self.took_sign("!") or self.took_word("NOT"):
            inner = self._signed()
            return lambda run, row: not truth(inner(run, row))
        if self.took_sign("-"):
            return calculated("-", lambda _run, _row: 0, self._signed())
        return self._path()

    # Values

    def _path(self) -> Expression:
        value = self._single()
        while self.is_sign(".", "["):
            if self.is_sign("[") and self.is_sign("*", distance=1):
                return self._each_element(value)
            value = self._step(value)
        return value

    def _step(self, value: Expression) -> Expression:
        if self.took_sign("."):
            name = self.name()
            return found_member(value, name) if self._searching else plain_member(value, name)
        self.need_sign("[")
        with self.mode():
            index = self.expression()
        self.need_sign("]")
        return indexed(value, index)

    def _each_element(self, value: Expression) -> Expression:
        """Reads `list[*]`: the rest of the path is applied to each element."""
        self.need_sign("[")
        self.need_sign("*")
        self.need_sign("]")
        if self._searching:
            self.fail("no [*] in a SEARCH condition expected")
        rest: Expression = lambda _run, row: row[""]  # noqa: E731 - a variable whose name cannot be written
        while self.is_sign(".", "["):
            if self.is_sign("[") and self.is_sign("*", distance=1):
                self.fail("only one [*] expected")
            rest = self._step(rest)

        def elements(run: Run, row: Row) -> Value:
            held = value(run, row)
            return [rest(run, {**row, "": element}) for element in held] if isinstance(held, list) else []

        return elements

    def _single(self) -> Expression:
        token = self.take()
        if token.kind in ("number", "string"):
            value: Value = token.text
            if token.kind == "number":
                value = int(value) if value.isdigit() else float(value)
            return lambda _run, _row: value
        if token.kind == "bind":
            return lambda run, _row: run.bind(token.text)
        if token.kind == "quoted":
            return self._variable(token.text)
        if token.kind == "word":
            return self._word(token)
        opened = {"(": self._parentheses, "[": self._list, "{": self._object}.get(token.text)
        if opened is None:
            self._position -= 1
            self.fail("a value expected")
        with self.mode():
            return opened()

    def _word(self, token: Token) -> Expression:
        if self.took_sign("("):
            with self.mode():
                return self._call(token.upper)
        if token.upper in CONSTANTS:
            constant = CONSTANTS[token.upper]
            return lambda _run, _row: constant
        return self._variable(token.text)

    def _variable(self, name: str) -> Expression:
        if self._searching:
            return lambda _run, row: Found([row[name]])
        # A name that is not a variable is that of a collection or a view, and means its documents.
        return lambda run, row: row[name] if name in row else run.documents(name)

    def _parentheses(self) -> Expression:
        inner = self.subquery() if self.is_word(*CLAUSES) else self.expression()
        self.need_sign(")")
        return inner

    def _list(self) -> Expression:
        elements = self._until("]")
        return lambda run, row: [element(run, row) for element in elements]

    def _object(self) -> Expression:
        members: list[tuple[str, Expression]] = []
        while not self.took_sign("}"):
            if self.ahead().kind not in ("word", "quoted", "string"):
                self.fail("the name of a member expected")
            name = self.take().text
            self.need_sign(":")
            members.append((name, self.expression()))
            if not self.took_sign(",") and not self.is_sign("}"):
                self.fail(", or } expected")
        return lambda run, row: {name: value(run, row) for name, value in members}

    def _until(self, end: str) -> list[Expression]:
        found: list[Expression] = []
        while not self.took_sign(end):
            found.append(self.subquery() if self.is_word(*CLAUSES) else self.expression())
            if not self.took_sign(",") and not self.is_sign(end):
                self.fail(f", or {end} expected")
        return found

    def _call(self, name: str) -> Expression:
        arguments = self._until(")")
        if name == "DOCUMENT" and len(arguments) in (1, 2):
            return lambda run, row: run.store.find("/".join(text(one(run, row)) for one in arguments))
        if name == "EXISTS" and self._searching and len(arguments) == 1:
            return lambda run, row: arguments[0](run, row).exists()
        function = FUNCTIONS.get(name)
        if function is None or self._searching:
            self.fail(f"another function than {name} expected")
        return lambda run, row: function(*[one(run, row) for one in arguments])


def either(left: Expression, right: Expression) -> Expression:
    """Returns the first operand if it counts as true, else the second."""

    def evaluate(run: Run, row: Row) -> Value:
        value = left(run, row)
        return value if truth(value) else right(run, row)

    return evaluate


def both(left: Expression, right: Expression) -> Expression:
    """Returns the first operand if it counts as false, else the second."""

    def evaluate(run: Run, row: Row) -> Value:
        value = left(run, row)
        return right(run, row) if truth(value) else value

    return evaluate


def holds(run: Run, sign: str, left: Value, right: Value) -> bool:
    """Returns whether a comparison holds."""
    if sign in ("in", "not in"):
        return run.contains(right, left) == (sign == "in")
    if sign in PATTERN_SIGNS:
        return (re.search(text(right), text(left)) is not None) == (sign == "=~")
    return COMPARISONS[sign](left, right)


def compared(sign: str, left: Expression, right: Expression) -> Expression:
    """Returns a comparison of two values."""
    return lambda run, row: holds(run, sign, left(run, row), right(run, row))


def searched(sign: str, left: Expression, right: Expression) -> Expression:
    """Returns a comparison in a SEARCH condition."""
    return lambda run, row: searching.holds(run, sign, left(run, row), right(run, row))


def quantified(quantifier: str, sign: str, left: Expression, right: Expression) -> Expression:
    """Returns a comparison of any, all or none of the elements of a list."""

    def evaluate(run: Run, row: Row) -> Value:
        elements, value = left(run, row), right(run, row)
        if not isinstance(elements, list):
            return False
        return QUANTIFIERS[quantifier](holds(run, sign, element, value) for element in elements)

    return evaluate


def calculated(sign: str, left: Expression, right: Expression) -> Expression:
    """Returns an arithmetic operation; a division by zero is null."""

    def evaluate(run: Run, row: Row) -> Value:
        first, second = number(left(run, row)), number(right(run, row))
        if sign == "/":
            return first / second if second else None
        return first + second if sign == "+" else first - second if sign == "-" else first * second

    return evaluate


def plain_member(value: Expression, name: str) -> Expression:
    """Returns a member of an object."""
    return lambda run, row: member(value(run, row), name)


def found_member(value: Expression, name: str) -> Expression:
    """Returns a member of everything that a path leads to."""
    return lambda run, row: value(run, row).member(name)


def indexed(value: Expression, index: Expression) -> Expression:
    """Returns `value[index]`, of a list or an object."""

    def evaluate(run: Run, row: Row) -> Value:
        held, at = value(run, row), index(run, row)
        if isinstance(held, dict):
            return held.get(text(at))
        at = int(number(at))
        return held[at] if isinstance(held, list) and -len(held) <= at < len(held) else None

    return evaluate
