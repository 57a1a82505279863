"""Identifies requests: service, operation, account, region and wire protocol.

Services and operations are named as in botocore (`elbv2`, `cloudwatch`, `DescribeVolumes`). Those of REST services
follow from method and path, according to botocore's service models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl

MANAGEMENT_ACCOUNT = "123456789012"

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
ROLE_ACCOUNT = re.compile(r"arn:aws[^:]*:iam::(\d{12}):role/")
CBOR_PATH = re.compile(r"/service/[^/]+/operation/(\w+)")
CLASSIC_ELB_VERSION = "2012-06-01"
SERVICE_OF_SIGNING_NAME = {"monitoring": "cloudwatch", "servicequotas": "service-quotas"}


@dataclass(frozen=True)
class Call:
    """What the headers, path and body of a request tell about it."""

    service: str
    """botocore's name of the service; `-` if the request is not signed."""
    operation: str
    """botocore's name of the operation; method and path if there is no such operation."""
    account: str
    """The account of the caller."""
    role_account: str | None
    """The account of the role that the request assumes, if it does."""
    region: str
    """The region that the request was signed for."""
    protocol: str
    """`ec2`, `query`, `json`, `cbor`, `rest-json` or `rest-xml`."""

    @property
    def name(self) -> str:
        """Service and operation as statistics name them."""
        return f"{self.service}:{self.operation}"

    @property
    def only_reads(self) -> bool:
        """Whether the operation changes nothing, judging by its name."""
        return self.operation.startswith(("Describe", "List", "Get", "Head", "AssumeRole"))


class Keys:
    """The accounts of access keys; unknown keys belong to the management account."""

    def __init__(self) -> None:
        self._accounts: dict[str, str] = {}

    def account(self, key: str) -> str:
        """Returns the account of a key."""
        return self._accounts.get(key, MANAGEMENT_ACCOUNT)

    def learn(self, call: Call, reply: bytes) -> None:
        """Remembers the key that a successful AssumeRole returned."""
        key = re.search(rb"<AccessKeyId>([^<]+)<", reply)
        if call.role_account and key:
            self._accounts[key.group(1).decode()] = call.role_account


def identify(environ: dict[str, Any], body: bytes, keys: Keys) -> Call:
    """Identifies a request by its headers, path and body."""
    signed = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    key, region, signing = signed.groups() if signed else ("-", "-", "-")
    parameters = query_parameters(environ, body)
    service = service_name(signing, parameters.get("Version", ""))
    operation, protocol = operation_name(environ, service, parameters)
    role = ROLE_ACCOUNT.match(parameters.get("RoleArn", "")) if operation.startswith("AssumeRole") else None
    return Call(
        service="sts" if role and service == "-" else service,
        operation=operation,
        account=keys.account(key),
        role_account=role.group(1) if role else None,
        region=region,
        protocol=protocol,
    )


def signing_name(authorization: str) -> str:
    """Returns the name under which a request was signed; `-` if it was not."""
    signed = CREDENTIAL.search(authorization)
    return signed.group(3) if signed else "-"


def query_parameters(environ: dict[str, Any], body: bytes) -> dict[str, str]:
    """Returns the parameters of the query protocols, from the form or from the query string."""
    form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    text = body.decode("utf-8", "replace") if form else environ.get("QUERY_STRING", "")
    return dict(parse_qsl(text, keep_blank_values=True)) if "Action=" in text else {}


def service_name(signing: str, version: str) -> str:
    """Returns botocore's name of the service with this signing name."""
    if signing == "elasticloadbalancing":
        return "elb" if version == CLASSIC_ELB_VERSION else "elbv2"
    return SERVICE_OF_SIGNING_NAME.get(signing, signing)


def operation_name(environ: dict[str, Any], service: str, parameters: dict[str, str]) -> tuple[str, str]:
    """Returns the operation and the wire protocol of a request."""
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return target.rpartition(".")[2], "json"
    path = environ.get("PATH_INFO", "/")
    cbor = CBOR_PATH.search(path)
    if cbor:
        return cbor.group(1), "cbor"
    if "Action" in parameters:
        return parameters["Action"], "ec2" if service == "ec2" else "query"
    method = environ["REQUEST_METHOD"]
    raw_path = environ.get("RAW_URI", path).partition("?")[0]
    found = rest_operation(service, method, raw_path, environ.get("QUERY_STRING", ""))
    return found or f"{method} {path}", "rest-xml" if service == "s3" else "rest-json"


@dataclass(frozen=True)
class Route:
    """Method, path and query of an operation in its service model."""

    operation: str
    method: str
    path: re.Pattern[str]
    query: dict[str, str]
    """The required parameters with their values (empty: any value)."""
    is_variant: bool
    """Whether a more usual operation has the same method and path."""

    @property
    def vagueness(self) -> tuple[int, int, bool, bool]:
        """A sort key; the most specific route comes first."""
        pattern = self.path.pattern
        return (-len(self.query), pattern.count("[^/]+"), ".+" in pattern, self.is_variant)


@cache
def routes(service: str) -> list[Route]:
    """Returns the routes of a REST service, the most specific first; none for a service that botocore lacks."""
    from botocore.exceptions import DataNotFoundError, UnknownServiceError
    from botocore.loaders import Loader

    try:
        model = Loader().load_service_model(service, "service-2")
    except (DataNotFoundError, UnknownServiceError):
        return []
    found = []
    for name, operation in model["operations"].items():
        path, _, query = operation["http"]["requestUri"].partition("?")
        pattern = re.sub(r"\\{\w+(\\\+)?\\}", lambda m: ".+" if m.group(1) else "[^/]+", re.escape(path))
        required = {key: value[0] for key, value in parse_qs(query, keep_blank_values=True).items() if key != "x-id"}
        required |= dict.fromkeys(required_in_query(model["shapes"], operation), "")
        path_pattern = re.compile(pattern.rstrip("/") + "/?")
        is_variant = operation.get("deprecated", False) or "Copy" in name
        found.append(Route(name, operation["http"]["method"], path_pattern, required, is_variant))
    return sorted(found, key=lambda route: route.vagueness)


def required_in_query(shapes: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    """Returns the names of the required parameters that an operation has in the query string."""
    shape = shapes[operation["input"]["shape"]] if "input" in operation else {}
    members = [shape["members"][name] for name in shape.get("required", [])]
    return [member["locationName"] for member in members if member.get("location") == "querystring"]


def rest_operation(service: str, method: str, raw_path: str, query: str) -> str | None:
    """Returns the operation of a REST request by its service model."""
    if service == "-":
        return None
    given = parse_qs(query, keep_blank_values=True)
    for route in routes(service):
        fits = route.method == method and route.path.fullmatch(raw_path)
        if fits and all(key in given and (not value or value in given[key]) for key, value in route.query.items()):
            return route.operation
    return None
