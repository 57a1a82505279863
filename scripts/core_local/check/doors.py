"""Checks of access: signatures and TLS."""

from __future__ import annotations

import ssl

import aiohttp
from fixlib.jwt import encode_jwt_to_headers

from core_local.check.client import Client, CoreProcess, expect

PSK = "a sample of a key"


async def check_doors(_: Client) -> None:
    """With a key only signed requests are accepted, and TLS uses a certificate of the core's own authority."""
    async with CoreProcess("--psk", PSK, "--tls") as core:
        plain, secure = core.addresses
        async with Client(plain) as client:
            expect("always open", (await client.call("GET", "/system/ready")).text, "ok")
            expect("unsigned", (await client.call("GET", "/subscribers")).status, 401)
            for key, status in ((PSK, 200), ("another key", 401)):
                headers: dict[str, str] = {}
                encode_jwt_to_headers(headers, {"sub": "check"}, key)
                expect(f"signed with {key}", (await client.call("GET", "/subscribers", None, headers)).status, status)
            authority = (await client.call("GET", "/ca/cert")).text
        trust = ssl.create_default_context(cadata=authority)
        # Python 3.13 is strict by default, and the core's certificates lack an authority key identifier.
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        async with aiohttp.ClientSession() as session, session.get(f"{secure}/system/ping", ssl=trust) as reply:
            expect("over TLS", await reply.text(), "pong")
