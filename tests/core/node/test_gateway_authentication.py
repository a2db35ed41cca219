"""Tokens and certificates, without TLS around them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from core.adapter.interface import ANONYMOUS, Caller
from core.crypto.certificates import expires_at, issue, self_signed, to_der
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed
from core.governance.constitution import Constitution, Identity
from core.node.authentication import Authenticator
from tests.support.gateway_bench import Credential, signed

NOW = datetime.now(UTC)
LATER = (NOW + timedelta(days=10)).timestamp()
KEYS = {name: PrivateKey.generate() for name in ("admin", "alice", "impostor")}
CERTIFICATES = {
    "admin": self_signed("admin", KEYS["admin"], not_before=NOW, days=5),
    "alice": self_signed("alice", KEYS["alice"], not_before=NOW, days=5),
    "impostor": self_signed("alice", KEYS["impostor"], not_before=NOW, days=5),
}


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


AUTHENTICATOR = Authenticator(
    Constitution(
        1,
        "test",
        (
            Identity("admin", "member", CERTIFICATES["admin"], (digest("one"), digest("two"))),
            Identity("alice", "participant", CERTIFICATES["alice"], (digest("three"), "not hexadecimal", "00")),
            Identity("broken", "participant", "not a certificate", (digest("four"),)),
        ),
        {"kv": {}},
        "kv",
    )
)


def leaf_under(name: str, days: int = 2) -> bytes:
    pem = issue(
        "employee",
        PrivateKey.generate().public_key(),
        issuer=CERTIFICATES[name],
        issuer_key=KEYS[name],
        not_before=NOW,
        days=days,
        usage="client",
    )
    return to_der(pem)


@pytest.mark.parametrize(
    ("header", "identity", "member"),
    [
        ("Bearer one", "admin", True),
        ("bearer  two", "admin", True),
        ("Bearer three", "alice", False),
        ("Bearer four", "broken", False),
    ],
)
def test_tokens(header: str, identity: str, member: bool) -> None:
    assert AUTHENTICATOR.verify_request(header, None, None, LATER) == Caller(identity, member, "token")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer five", f"Bearer {digest('one')}", "Basic one", "one", "Bearer " + "1" * 513],
)
def test_bad_tokens(header: str) -> None:
    with pytest.raises(AuthenticationFailed):
        AUTHENTICATOR.verify_request(header, None, None, LATER)


def test_nothing_shown_is_anonymous() -> None:
    assert AUTHENTICATOR.verify_request(None, None, None, LATER) is ANONYMOUS


def test_certificates() -> None:
    own, employee = AUTHENTICATOR.peer([to_der(CERTIFICATES["admin"])]), AUTHENTICATOR.peer([leaf_under("alice")])
    now = NOW.timestamp() + 60
    assert AUTHENTICATOR.verify_request(None, None, own, now) == Caller("admin", True, "certificate")
    assert AUTHENTICATOR.verify_request(None, None, employee, now) == Caller("alice", False, "certificate")
    assert AUTHENTICATOR.verify_request("Bearer three", "three", employee, now).credential == "token"


def test_certificates_of_nobody() -> None:
    """The impostor's certificate has the same subject as alice's."""
    for certificate in (to_der(CERTIFICATES["impostor"]), leaf_under("impostor"), b"nonsense"):
        with pytest.raises(AuthenticationFailed):
            AUTHENTICATOR.peer([certificate])


def test_an_expired_certificate_ends_the_identity_of_an_open_connection() -> None:
    for peer in (AUTHENTICATOR.peer([leaf_under("alice")]), AUTHENTICATOR.peer([leaf_under("alice", days=100)])):
        with pytest.raises(AuthenticationFailed, match="expired"):
            AUTHENTICATOR.verify_request(None, None, peer, LATER)


@pytest.mark.parametrize(
    ("header", "path_token", "with_certificate"),
    [("Bearer one", "three", False), ("Bearer one", None, True), (None, "one", True), ("Bearer three", "one", True)],
)
def test_credentials_of_different_actors(header: str | None, path_token: str | None, with_certificate: bool) -> None:
    peer = AUTHENTICATOR.peer([leaf_under("alice")]) if with_certificate else None
    with pytest.raises(AuthenticationFailed, match="different actors"):
        AUTHENTICATOR.verify_request(header, path_token, peer, NOW.timestamp() + 60)


def test_every_link_of_a_chain_is_checked() -> None:
    """TLS has checked the chain; it is checked again, so that neither alone is trusted with who somebody is."""
    alice = Credential(CERTIFICATES["alice"], KEYS["alice"])
    flags = {ca: x509.BasicConstraints(ca=ca, path_length=None) for ca in (True, False)}
    department, employee = signed("department", alice, flags[True]), signed("employee", alice, flags[False])
    for issuer, expected in ((department, "alice"), (employee, None)):
        leaf = signed("someone", issuer, flags[False])
        chain = [to_der(pem) for pem in (leaf.certificate, issuer.certificate, alice.certificate)]
        if expected is None:
            with pytest.raises(AuthenticationFailed):
                AUTHENTICATOR.peer(chain)
            continue
        assert AUTHENTICATOR.peer(chain).identity.name == expected
        for wrong in (chain[:2], chain[::2], [chain[0], to_der(employee.certificate), chain[2]], [*chain[:2]] * 4, []):
            with pytest.raises(AuthenticationFailed):
                AUTHENTICATOR.peer(wrong)


def test_a_chain_ends_with_its_first_certificate_that_expires() -> None:
    alice = Credential(CERTIFICATES["alice"], KEYS["alice"])
    authority = x509.BasicConstraints(ca=True, path_length=None)
    department = signed("department", alice, authority, days=1)
    leaf = signed("someone", department, x509.BasicConstraints(ca=False, path_length=None), days=4)
    chain = [to_der(pem) for pem in (leaf.certificate, department.certificate, alice.certificate)]
    until = AUTHENTICATOR.peer(chain).expires_at
    assert until == expires_at(department.certificate).timestamp() < expires_at(leaf.certificate).timestamp()
