"""The errors of the database server, as its Python driver raises them."""

from __future__ import annotations

from arango.exceptions import ArangoServerError
from arango.request import Request
from arango.response import Response

BAD_PARAMETER = 10
CONFLICT = 1200
DOCUMENT_NOT_FOUND = 1202
COLLECTION_NOT_FOUND = 1203
DUPLICATE_NAME = 1207
UNIQUE_VIOLATED = 1210
BAD_KEY = 1221
BAD_DOCUMENT = 1227
BAD_EDGE = 1233
QUERY_PARSE = 1501
NO_BIND_VALUE = 1551
NO_LIST = 1563
GRAPH_NOT_FOUND = 1924


class Unsupported(Exception):
    """A query uses a feature that this database does not support."""


def server_error[E: ArangoServerError](kind: type[E], status: int, number: int, message: str) -> E:
    """Returns the driver's exception for an error answer; `number` is the server's own error code."""
    response = Response("post", "memory://database", {}, status, "", "")
    response.error_code = number
    response.error_message = message
    response.is_success = False
    return kind(response, Request("post", "/"))


def no_collection[E: ArangoServerError](kind: type[E], name: str) -> E:
    """Returns the error for a collection or view that does not exist."""
    return server_error(kind, 404, COLLECTION_NOT_FOUND, f"collection or view not found: {name}")
