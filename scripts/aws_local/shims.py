"""Operations that moto lacks or answers unlike AWS: prices, quotas, reserved instances, key pairs by id, parts of
clusters, and how long credentials last.

Pages are kept tiny on purpose, so that a client that does not follow them gets caught.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from aws_local.calls import Call
from aws_local.catalog import INSTANCE_TYPES, QUOTAS, VOLUME_EXTRAS, VOLUME_TYPES
from aws_local.replies import REQUEST_ID, Reply, document, error

PRODUCTS_PER_PAGE = 1
QUOTAS_PER_PAGE = 3
DEFAULT_SESSION_SECONDS = 3600
EMPTY_LISTS = {"eks:ListAddons": "addons", "eks:ListCapabilities": "capabilities"}
"""Lists of what moto cannot make, with the member that has the items."""


def answer(call: Call, body: bytes, reserved: int) -> Reply | None:
    """The answer to an operation that is not left to moto; none for all others.

    `reserved` is how many reserved instance contracts each account and region has.
    """
    if call.name == "pricing:GetProducts":
        return json_reply(products(json.loads(body or b"{}")))
    if call.name == "service-quotas:ListServiceQuotas":
        return json_reply(quotas(json.loads(body or b"{}")))
    if call.name == "ec2:DescribeReservedInstances":
        return Reply(200, "text/xml", reserved_instances(reserved).encode())
    if call.name in EMPTY_LISTS:
        return document({EMPTY_LISTS[call.name]: []})
    if call.name == "ec2:DeleteKeyPair":
        key_pair = parse_qs(body.decode()).get("KeyPairId")
        return delete_key_pair(call, key_pair[0]) if key_pair else None
    return None


def json_reply(value: dict[str, Any]) -> Reply:
    """An answer in AWS's JSON protocol."""
    return Reply(200, "application/x-amz-json-1.1", json.dumps(value).encode())


def page(name: str, items: list[Any], token: object, size: int) -> dict[str, Any]:
    """One page of a list, with the token of the next one if there is more."""
    start = int(str(token or 0))
    shown: dict[str, Any] = {name: items[start : start + size]}
    if start + size < len(items):
        shown["NextToken"] = str(start + size)
    return shown


def products(request: dict[str, Any]) -> dict[str, Any]:
    """What `GetProducts` answers: the price list of an instance type or of a volume type in a region."""
    wanted = {term["Field"]: term["Value"] for term in request.get("Filters", [])}
    found: list[str] = []
    if "instanceType" in wanted:
        found = instance_products(wanted["instanceType"], wanted)
    elif "volumeApiName" in wanted:
        found = volume_products(wanted["volumeApiName"], wanted)
    return {"FormatVersion": "aws_v1", **page("PriceList", found, request.get("NextToken"), PRODUCTS_PER_PAGE)}


def instance_products(name: str, wanted: dict[str, str]) -> list[str]:
    """The shared and the dedicated offer of an instance type."""
    kind = INSTANCE_TYPES.get(name)
    if kind is None:
        return []
    attributes = {
        "instanceType": name,
        "vcpu": str(kind.cores),
        "memory": f"{kind.memory_gib} GiB",
        "operatingSystem": "Linux",
        **place(wanted),
    }
    offers = {"Shared": kind.shared, "Dedicated": kind.dedicated}
    asked = wanted.get("tenancy")
    return [
        product("Compute Instance", {**attributes, "tenancy": tenancy}, usd, "Hrs")
        for tenancy, usd in offers.items()
        if asked in (None, tenancy)
    ]


def volume_products(name: str, wanted: dict[str, str]) -> list[str]:
    """The offers of a volume type: as at AWS, what else is sold with it comes first, and what is free before what costs."""
    if name not in VOLUME_TYPES:
        return []
    attributes = {"volumeApiName": name, "volumeType": wanted.get("volumeType", ""), **place(wanted)}
    costs = {"free-tier": 0.0, "regular": VOLUME_TYPES[name]}
    family = wanted.get("productFamily")
    extras = [
        product(sold, attributes, usd, unit)
        for sold, unit, usd in VOLUME_EXTRAS.get(name, [])
        if family in (None, sold)
    ]
    space = [product("Storage", {**attributes, "usagetype": use}, usd, "GB-Mo") for use, usd in costs.items()]
    return extras + (space if family in (None, "Storage") else [])


def place(wanted: dict[str, str]) -> dict[str, str]:
    """Where an offer holds; prices are the same everywhere."""
    return {"regionCode": wanted.get("regionCode", ""), "locationType": wanted.get("locationType", "AWS Region")}


def product(family: str, attributes: dict[str, str], usd: float, unit: str) -> str:
    """An entry of a price list; AWS sends each as a text that holds JSON."""
    sku = short_hash(json.dumps(attributes, sort_keys=True), 16)
    term = f"{sku}.JRTCKXETXF"
    price = {"unit": unit, "pricePerUnit": {"USD": f"{usd:.10f}"}}
    offer = {"sku": sku, "priceDimensions": {f"{term}.6YS6EN2CT7": price}}
    entry = {
        "product": {"productFamily": family, "attributes": attributes, "sku": sku},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {term: offer}},
    }
    return json.dumps(entry)


def quotas(request: dict[str, Any]) -> dict[str, Any]:
    """What `ListServiceQuotas` answers."""
    service = request.get("ServiceCode", "")
    listed = [
        {
            "ServiceCode": service,
            "ServiceName": service,
            "QuotaName": name,
            "QuotaCode": "L-" + short_hash(name, 8),
            "Value": float(value),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
        for name, value in QUOTAS.get(service, {}).items()
    ]
    return page("Quotas", listed, request.get("NextToken"), QUOTAS_PER_PAGE)


def reserved_instances(count: int) -> str:
    """What `DescribeReservedInstances` answers: the n-th contract is for n instances of one type."""
    items = [
        {
            "reservedInstancesId": f"ri-{number}",
            "instanceType": "m5.large",
            "instanceCount": str(number),
            "state": "active",
            "offeringType": "No Upfront",
            "scope": "Region",
        }
        for number in range(1, count + 1)
    ]
    body = "".join(
        "<item>" + "".join(f"<{name}>{escape(value)}</{name}>" for name, value in item.items()) + "</item>"
        for item in items
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<DescribeReservedInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{REQUEST_ID}</requestId><reservedInstancesSet>{body}</reservedInstancesSet>"
        "</DescribeReservedInstancesResponse>"
    )


def delete_key_pair(call: Call, key_pair: str) -> Reply:
    """What `DeleteKeyPair` answers for an id, having done it; moto knows names only."""
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[call.account][call.region]
    names = [pair.key_name for pair in backend.describe_key_pairs([]) if pair.id == key_pair]
    if not names:
        return error(call, 400, "InvalidKeyPair.NotFound", f"The key pair {key_pair} does not exist")
    backend.delete_key_pair(names[0])
    body = f"<keyPairId>{key_pair}</keyPairId><requestId>{REQUEST_ID}</requestId><return>true</return>"
    space = "http://ec2.amazonaws.com/doc/2016-11-15/"
    return Reply(200, "text/xml", f'<DeleteKeyPairResponse xmlns="{space}">{body}</DeleteKeyPairResponse>'.encode())


def with_real_expiration(request: bytes, reply: bytes, clock_seconds: float) -> bytes:
    """The answer to AssumeRole with an end that lies in the future of a clock that is so far ahead of the real one.

    Under a frozen clock moto's would lie in the past, and clients would take the credentials for expired.
    """
    asked = parse_qs(request.decode("utf-8", "replace")).get("DurationSeconds", [])
    seconds = int(asked[0]) if asked and asked[0].isdigit() else DEFAULT_SESSION_SECONDS
    # By `time`, as `datetime` is frozen for everybody.
    end = time.gmtime(time.time() + clock_seconds + seconds)
    stamp = time.strftime("<Expiration>%Y-%m-%dT%H:%M:%SZ</Expiration>", end)
    return re.sub(rb"<Expiration>[^<]*</Expiration>", stamp.encode(), reply)


def short_hash(text: str, length: int) -> str:
    """A stable code made from a text; not for security."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:length].upper()
