"""The gateway: client certificates with authorities between them and the actor's."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from core.governance.constitution import Constitution, Identity
from tests.support.gateway_bench import Bench, Credential, authority, signed

LEAF = x509.BasicConstraints(ca=False, path_length=None)
PURPOSE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
ROOT = authority("a commercial root")


def ca(path_length: int | None = None) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=True, path_length=path_length)


ACME = signed("acme", ROOT, ca(1))
"""An organisation's intermediate certificate: the actor's, in the constitution."""
DEPARTMENT = signed("department", ACME, ca(0))
PERSON = signed("person", DEPARTMENT, LEAF, PURPOSE)


async def serve(bench: Bench, **actors: Credential) -> None:
    identities = tuple(Identity(name, "member", actor.certificate) for name, actor in actors.items())
    await bench.serve(Constitution(2, "test", identities, {"probe": {}, "other": {}}, "probe"), "other")
    client = await bench.connect()
    while (await client.request("GET", "/node/network")).json["default_adapter"] != "other":
        pass


async def caller(bench: Bench, credential: Credential) -> str | None:
    """Return whom the gateway takes a certificate for; None when it refuses the handshake or answers 401."""
    try:
        client = await bench.connect(credential)
        reply = await client.request("GET", "/")
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return None
    if reply.status == 401:
        return None
    name, _, kind = reply.json["caller"]
    assert kind == "certificate"
    return str(name)


async def test_people_under_an_organisations_intermediate_certificate(bench: Bench) -> None:
    await serve(bench, acme=ACME)
    assert await caller(bench, ACME) == "acme"
    assert await caller(bench, signed("director", ACME, LEAF, PURPOSE)) == "acme"
    assert await caller(bench, PERSON) == "acme"
    assert await caller(bench, signed("robot", DEPARTMENT, LEAF)) == "acme"


async def test_the_chain_must_be_shown(bench: Bench) -> None:
    await serve(bench, acme=ACME)
    assert await caller(bench, replace(PERSON, above="")) is None
    assert await caller(bench, replace(PERSON, above=DEPARTMENT.certificate)) == "acme"


async def test_what_stands_above_an_actor_admits_nobody(bench: Bench) -> None:
    await serve(bench, acme=ACME)
    rival = signed("rival", ROOT, ca())
    for credential in (ROOT, signed("stranger", ROOT, LEAF, PURPOSE), rival, signed("spy", rival, LEAF, PURPOSE)):
        assert await caller(bench, credential) is None


async def test_a_leaf_cannot_vouch_for_others(bench: Bench) -> None:
    """Only the authority flag differs between the chain that is forged and the one that is not."""
    alice = signed("alice", ROOT, ca())
    await serve(bench, alice=alice)
    for flag, expected in ((LEAF, None), (ca(), "alice")):
        employee = signed("employee", alice, flag)
        assert await caller(bench, employee) == "alice"
        assert await caller(bench, signed("someone", employee, LEAF, PURPOSE)) == expected


async def test_a_forged_signature_or_name(bench: Bench) -> None:
    await serve(bench, acme=ACME)
    impostor = replace(authority("impostor"), certificate=ACME.certificate)
    namesake = signed("acme", ROOT, ca())
    for issuer in (impostor, namesake):
        forged = signed("someone", issuer, LEAF, PURPOSE)
        assert await caller(bench, replace(forged, above=ACME.certificate)) is None
        assert await caller(bench, forged) is None


async def test_path_length_expiry_names_and_purpose_are_checked(bench: Bench) -> None:
    short = authority("short")  # Made by the command line: may issue leaves only.
    await serve(bench, acme=ACME, short=short)
    assert await caller(bench, signed("leaf", short, LEAF, PURPOSE)) == "short"
    assert await caller(bench, signed("leaf", signed("department", short, ca()), LEAF, PURPOSE)) is None
    assert await caller(bench, signed("person", signed("section", DEPARTMENT, ca()), LEAF, PURPOSE)) is None
    expired = signed("old department", ACME, ca(0), days=-1)
    assert await caller(bench, signed("person", expired, LEAF, PURPOSE)) is None
    names = x509.NameConstraints([x509.DNSName("acme.example")], None)
    confined = signed("confined", ACME, ca(0), names)
    for name, expected in (("desk.acme.example", "acme"), ("desk.rival.example", None)):
        alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
        assert await caller(bench, signed("person", confined, LEAF, PURPOSE, alternative)) == expected
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    assert await caller(bench, signed("web server", DEPARTMENT, LEAF, server)) is None


async def test_the_nearest_actor_is_the_one(bench: Bench) -> None:
    subsidiary = signed("subsidiary", ACME, ca(0))
    person = signed("person", subsidiary, LEAF, PURPOSE)
    await serve(bench, acme=ACME, subsidiary=subsidiary)
    assert await caller(bench, person) == "subsidiary"
    assert await caller(bench, subsidiary) == "subsidiary"
    alone = (Identity("acme", "member", ACME.certificate),)
    await bench.serve(Constitution(2, "test", alone, {"probe": {}, "other": {}}, "probe"))
    client = await bench.connect()
    while (await client.request("GET", "/node/network")).json["default_adapter"] != "probe":
        pass
    assert await caller(bench, person) == "acme"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_resumed_session_never_widens_who_somebody_is(bench: Bench, version: ssl.TLSVersion) -> None:
    """TLS 1.3 does not resume here; TLS 1.2 may, by its id, and then knows a certificate directly under an actor."""
    await serve(bench, acme=ACME)
    for credential, resumed_status in ((signed("director", ACME, LEAF, PURPOSE), 200), (PERSON, 401)):
        context = bench.context(credential)
        context.minimum_version = context.maximum_version = version
        session, status, reused = await asyncio.to_thread(get, context, bench.port, None)
        assert (status, reused) == (200, False)
        _, status, reused = await asyncio.to_thread(get, context, bench.port, session)
        assert reused == (version is ssl.TLSVersion.TLSv1_2)
        assert status == (resumed_status if reused else 200)


def get(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, int, bool]:
    plain = socket.create_connection(("127.0.0.1", port), 5)
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        status = int(connection.recv(4096).split()[1])
        return connection.session, status, bool(connection.session_reused)
