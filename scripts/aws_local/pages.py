"""Small pages for tests: divides the reply of every operation that botocore can page, using botocore's models.

A page has the next items of the service's own reply. The token that this module makes has the call that it continues,
the service's own token for the reply that is being divided, and the number of items already shown. A token that comes
back with another operation, account, region or other parameters is rejected, as AWS does.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import threading
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aws_local import replies
from aws_local.calls import Call
from aws_local.replies import Reply

Answer = tuple[str, list[tuple[str, str]], bytes]
Environ = dict[str, Any]

XML_PROTOCOLS = ("ec2", "query", "rest-xml")
PLACES = {"json": "json", "rest-json": "query", "rest-xml": "query"}
SIMPLE = re.compile(r"\w+")
PREFIX = "page."


class BadToken(ValueError):
    """A token of another call, or none at all."""


@dataclass(frozen=True)
class Paging:
    """How an operation pages, in the names of its wire protocol."""

    parameter: str
    """The parameter that takes the token."""
    place: str
    """Its location: `form`, `json` or `query`."""
    token: str
    """The member of the reply with the next token."""
    more: str | None
    """The member that tells whether there are more items."""
    lists: tuple[tuple[str, str | None], ...]
    """The lists: name, and the name of an item in XML; none if the items stand side by side under the list's name."""
    wrapper: str | None
    """The element around the output."""


@dataclass
class Followed:
    """Counts of the pages of an operation."""

    items: int = 0
    """The highest number of items in one reply of the service."""
    cut: int = 0
    """The number of pages that had a successor."""
    followed: int = 0
    """The number of successors that were requested."""


class Pages:
    """The size of pages, and counts of them; usable from many threads."""

    def __init__(self) -> None:
        self.size = 0
        """The highest number of items in a page; 0 leaves replies unchanged."""
        self._lock = threading.Lock()
        self._seen: dict[str, Followed] = {}

    def reset(self) -> None:
        """Turns pages off and clears the counts."""
        with self._lock:
            self.size = 0
            self._seen = {}

    def stats(self) -> dict[str, dict[str, int]]:
        """Returns the counts by operation."""
        with self._lock:
            return {name: dict(vars(followed)) for name, followed in sorted(self._seen.items())}

    def open(self, environ: Environ, call: Call, body: bytes) -> Open | Reply | None:
        """Puts the service's own token into a request. Returns how to divide its reply, a rejection, or none."""
        how = paging(call.service, call.operation, call.protocol) if self.size else None
        if how is None:
            return None
        given = parameters(environ, body, how.place)
        token = given.pop(how.parameter, None)
        key = fingerprint(call, given)
        try:
            start, own = read(token, key) if isinstance(token, str) and token.startswith(PREFIX) else (0, token)
        except BadToken as error:
            return replies.error(call, 400, "InvalidParameterValue", str(error))
        if own is not None:
            given[how.parameter] = own
        write(environ, given, how.place)
        return Open(self, call, how, key, start, own)

    def note(self, opened: Open, items: int, *, has_more: bool) -> None:
        """Counts a page."""
        with self._lock:
            seen = self._seen.setdefault(opened.call.name, Followed())
            seen.items = max(seen.items, items)
            seen.cut += has_more
            seen.followed += opened.start > 0 or opened.own is not None


@dataclass(frozen=True)
class Open:
    """A request whose reply is to be divided."""

    pages: Pages
    call: Call
    how: Paging
    key: str
    start: int
    own: Any
    """The service's own token for the reply that is being divided."""

    def cut(self, answer: Answer) -> Answer:
        """Returns the requested page."""
        line, headers, content = answer
        if not line.startswith("200"):
            return answer
        content = self._xml(content) if self.call.protocol in XML_PROTOCOLS else self._json(content)
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        return line, [*headers, ("Content-Length", str(len(content)))], content

    def _next(self, items: int, own_next: Any) -> str | None:
        """Returns the token of the next page, if there is one."""
        end = self.start + self.pages.size
        token = None
        if end < items:
            token = token_text(self.key, end, self.own)
        elif own_next is not None:
            token = token_text(self.key, 0, own_next)
        self.pages.note(self, items, has_more=token is not None)
        return token

    def _json(self, content: bytes) -> bytes:
        reply = json.loads(content)
        lists = [reply.get(name) or [] for name, _ in self.how.lists]
        token = self._next(sum(map(len, lists)), reply.pop(self.how.token, None))
        at = 0
        for (name, _), items in zip(self.how.lists, lists, strict=True):
            if name in reply:
                reply[name] = [item for place, item in enumerate(items, at) if self._shows(place)]
            at += len(items)
        if token is not None:
            reply[self.how.token] = token
        if self.how.more:
            reply[self.how.more] = token is not None
        return json.dumps(reply).encode()

    def _xml(self, content: bytes) -> bytes:
        root = ET.fromstring(re.sub(rb'\sxmlns(:\w+)?="[^"]*"', b"", content))
        output = root.find(self.how.wrapper) if self.how.wrapper else root
        if output is None:
            return content
        items = [(parent, item) for name, of in self.how.lists for parent, item in xml_items(output, name, of)]
        old = output.find(self.how.token)
        token = self._next(len(items), old.text if old is not None and old.text else None)
        for place, (parent, item) in enumerate(items):
            if not self._shows(place):
                parent.remove(item)
        put(output, self.how.token, token)
        if self.how.more:
            put(output, self.how.more, "true" if token is not None else "false")
        return b'<?xml version="1.0" encoding="UTF-8"?>' + ET.tostring(root)

    def _shows(self, place: int) -> bool:
        return self.start <= place < self.start + self.pages.size


def xml_items(output: ET.Element, name: str, of: str | None) -> list[tuple[ET.Element, ET.Element]]:
    """Returns the items of a list, each with its parent element."""
    if of is None:
        return [(output, item) for item in output.findall(name)]
    return [(whole, item) for whole in output.findall(name) for item in whole.findall(of)]


def put(output: ET.Element, name: str, value: str | None) -> None:
    """Sets the text of a member, or removes the member."""
    for old in output.findall(name):
        output.remove(old)
    if value is not None:
        ET.SubElement(output, name).text = value


@cache
def paging(service: str, operation: str, protocol: str) -> Paging | None:
    """Returns how an operation pages; none if it does not."""
    from botocore.exceptions import DataNotFoundError, UnknownServiceError
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    try:
        loader = Loader()
        paginator = loader.load_service_model(service, "paginators-1")["pagination"].get(operation)
        model = ServiceModel(loader.load_service_model(service, "service-2"), service)
    except (DataNotFoundError, UnknownServiceError):
        return None
    if paginator is None or not isinstance(paginator["input_token"], str) or not SIMPLE.fullmatch(paginator["output_token"]):
        return None
    shape = model.operation_model(operation)
    keys = paginator["result_key"]
    names = [keys] if isinstance(keys, str) else keys
    parameter = shape.input_shape.members[paginator["input_token"]]
    members = shape.output_shape.members

    def wire(name: str) -> str:
        return str(members[name].serialization.get("name", name))

    def item(name: str) -> str | None:
        if members[name].serialization.get("flattened"):
            return None
        return str(members[name].member.serialization.get("name", "member"))

    ec2_name = paginator["input_token"] if protocol == "ec2" else None
    return Paging(
        parameter=ec2_name or str(parameter.serialization.get("name", paginator["input_token"])),
        place=PLACES.get(protocol, "form"),
        token=wire(paginator["output_token"]),
        more=wire(paginator["more_results"]) if paginator.get("more_results") else None,
        lists=tuple((wire(name), item(name)) for name in names if SIMPLE.fullmatch(name)),
        wrapper=shape.output_shape.serialization.get("resultWrapper"),
    )


def parameters(environ: Environ, body: bytes, place: str) -> dict[str, Any]:
    """Returns the parameters of a request."""
    if place == "json":
        found: dict[str, Any] = json.loads(body or b"{}")
        return found
    text = environ.get("QUERY_STRING", "") if place == "query" else body.decode()
    return dict(parse_qsl(text, keep_blank_values=True))


def write(environ: Environ, given: dict[str, Any], place: str) -> None:
    """Puts parameters into a request."""
    if place == "query":
        environ["QUERY_STRING"] = urlencode(given)
        path = str(environ.get("RAW_URI", environ.get("PATH_INFO", "/"))).partition("?")[0]
        environ["RAW_URI"] = environ["REQUEST_URI"] = f"{path}?{urlencode(given)}" if given else path
        return
    body = json.dumps(given).encode() if place == "json" else urlencode(given).encode()
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


def fingerprint(call: Call, given: dict[str, Any]) -> str:
    """Returns a hash of the call that a token belongs to."""
    what = [call.name, call.account, call.region, sorted(given.items(), key=lambda item: item[0])]
    return hashlib.md5(json.dumps(what).encode(), usedforsecurity=False).hexdigest()


def token_text(key: str, start: int, own: Any) -> str:
    """Returns a token."""
    return PREFIX + base64.urlsafe_b64encode(json.dumps([key, start, own]).encode()).decode()


def read(token: str, key: str) -> tuple[int, Any]:
    """Returns the position and the service's own token in a token. Raises `BadToken` if it belongs to another call."""
    try:
        of, start, own = json.loads(base64.urlsafe_b64decode(token.removeprefix(PREFIX)))
    except ValueError as error:
        raise BadToken("the token is invalid") from error
    if of != key:
        raise BadToken("the token belongs to another call")
    return int(start), own
