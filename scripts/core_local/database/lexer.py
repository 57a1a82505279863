"""Splits the text of a query into tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core_local.database.errors import Unsupported

TOKEN = re.compile(
    r"""
    (?P<blank>\s+)
  | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<quoted>`[^`]+`)
  | (?P<bind>@\w+)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<sign>==|!=|<=|>=|=~|!~|&&|\|\||\.\.|[-+*/%<>=!(){}\[\],:?.])
    """,
    re.VERBOSE | re.DOTALL,
)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query; `text` is without quotes and escapes."""

    kind: str
    text: str
    at: int

    @property
    def upper(self) -> str:
        """The text in capitals, to compare keywords; empty if the token is not a bare word."""
        return self.text.upper() if self.kind == "word" else ""


def tokens_of(query: str) -> list[Token]:
    """Returns the tokens of a query, followed by one of the kind `end`."""
    result: list[Token] = []
    position = 0
    while position < len(query):
        match = TOKEN.match(query, position)
        if match is None or match.lastgroup is None:
            raise Unsupported(f"unknown sign at {query[position : position + 40]!r}")
        if match.lastgroup != "blank":
            result.append(Token(match.lastgroup, bare(match.lastgroup, match.group()), position))
        position = match.end()
    return [*result, Token(END, "", position)]


def bare(kind: str, written: str) -> str:
    """Returns the text of a token without quotes, marks and escapes."""
    if kind == "quoted":
        return written[1:-1]
    if kind == "bind":
        return written[1:]
    if kind == "string":
        if "\\u" in written:
            raise Unsupported(f"an escape in {written}")
        return ESCAPED.sub(lambda match: ESCAPES.get(match.group(1), match.group(1)), written[1:-1])
    return written
