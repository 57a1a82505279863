"""Responses that this server makes itself: errors in each wire protocol, and whole documents."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from xml.sax.saxutils import escape

from aws_local.calls import Call

REQUEST_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Reply:
    """A whole HTTP response."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def status_line(self) -> str:
        """The status line for WSGI."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    @property
    def header_list(self) -> list[tuple[str, str]]:
        """The headers for WSGI."""
        length = str(len(self.body))
        return [("Content-Type", self.content_type), ("Content-Length", length), *self.headers.items()]


def document(value: object, status: int = 200) -> Reply:
    """Returns a response in plain JSON."""
    return Reply(status, "application/json", json.dumps(value).encode() + b"\n")


def error(call: Call, status: int, code: str, message: str) -> Reply:
    """Returns an error in the wire protocol of the call."""
    if call.protocol == "json":
        body = json.dumps({"__type": code, "message": message}).encode()
        return Reply(status, "application/x-amz-json-1.1", body)
    if call.protocol == "cbor":
        body = cbor_map({"__type": code, "message": message})
        return Reply(status, "application/cbor", body, {"smithy-protocol": "rpc-v2-cbor"})
    if call.protocol == "rest-json":
        body = json.dumps({"message": message}).encode()
        return Reply(status, "application/json", body, {"x-amzn-ErrorType": code})
    return Reply(status, "text/xml", xml_error(call.protocol, escape(code), escape(message)).encode())


def xml_error(protocol: str, code: str, message: str) -> str:
    """Returns an error in one of the XML protocols, each of which nests it differently."""
    what = f"<Code>{code}</Code><Message>{message}</Message>"
    request = f"<RequestId>{REQUEST_ID}</RequestId>"
    if protocol == "ec2":
        shape = f"<Response><Errors><Error>{what}</Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
    elif protocol == "rest-xml":
        shape = f"<Error>{what}{request}</Error>"
    else:
        shape = f"<ErrorResponse><Error><Type>Sender</Type>{what}</Error>{request}</ErrorResponse>"
    return '<?xml version="1.0" encoding="UTF-8"?>' + shape


def cbor_map(texts: dict[str, str]) -> bytes:
    """Returns a map of strings in CBOR: at most 23 entries of at most 65535 bytes, enough for an error."""
    return bytes([0xA0 | len(texts)]) + b"".join(cbor_text(text) for entry in texts.items() for text in entry)


def cbor_text(text: str) -> bytes:
    """Returns a string in CBOR."""
    raw = text.encode()
    if len(raw) < 24:
        return bytes([0x60 | len(raw)]) + raw
    return b"\x79" + len(raw).to_bytes(2, "big") + raw
