"""Certificates: who may issue, what is checked, and that TLS takes them."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from core.crypto.certificates import (
    common_name_of,
    expires_at,
    fingerprint,
    from_der,
    issue,
    public_key_of,
    self_signed,
    to_der,
    verify_issued_under,
    verify_valid_at,
)
from core.crypto.hashing import sha256
from core.crypto.keys import Curve, PrivateKey
from core.errors import AuthenticationFailed, CocoError, InvariantBroken, MalformedMessage

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=1)


def make_authority(name: str = "authority", curve: Curve = Curve.P256) -> tuple[PrivateKey, str]:
    key = PrivateKey.generate(curve)
    return key, self_signed(name, key, not_before=START, days=10)


@pytest.mark.parametrize("curve", Curve)
def test_leaf_verifies_under_its_authority_only(curve: Curve) -> None:
    key, authority = make_authority(curve=curve)
    leaf_key = PrivateKey.generate()
    leaf = issue("leaf", leaf_key.public_key(), issuer=authority, issuer_key=key, not_before=START, days=5)
    verify_issued_under(leaf, authority, at=NOW)
    verify_issued_under(leaf, authority, at=None)
    _, namesake = make_authority(curve=curve)
    sub = self_signed("authority", leaf_key, not_before=START, days=5)
    for pem, issuer in ((leaf, namesake), (authority, authority), (authority, leaf), (sub, authority), (leaf, leaf)):
        with pytest.raises(AuthenticationFailed):
            verify_issued_under(pem, issuer, at=NOW)


def test_validity_is_checked_on_both() -> None:
    key, authority = make_authority()
    leaf = issue(
        "leaf", PrivateKey.generate().public_key(), issuer=authority, issuer_key=key, not_before=START, days=20
    )
    for at in (START - timedelta(seconds=1), START + timedelta(days=10, seconds=1), START + timedelta(days=21)):
        with pytest.raises(AuthenticationFailed, match="valid from"):
            verify_issued_under(leaf, authority, at=at)
        if at > START + timedelta(days=20):
            with pytest.raises(AuthenticationFailed):
                verify_valid_at(leaf, at)
    verify_valid_at(leaf, NOW)
    assert expires_at(leaf) == START + timedelta(days=20)


def test_leaves_do_not_issue() -> None:
    key, authority = make_authority()
    leaf_key = PrivateKey.generate()
    leaf = issue("leaf", leaf_key.public_key(), issuer=authority, issuer_key=key, not_before=START, days=5)
    lone = self_signed("lone", leaf_key, not_before=START, days=5, ca=False)
    for unfit in (leaf, lone):
        with pytest.raises(CocoError, match="may not issue"):
            issue("x", leaf_key.public_key(), issuer=unfit, issuer_key=leaf_key, not_before=START, days=1)
        with pytest.raises(AuthenticationFailed):
            verify_issued_under(authority, unfit, at=NOW)
    with pytest.raises(InvariantBroken):
        issue("x", leaf_key.public_key(), issuer=authority, issuer_key=leaf_key, not_before=START, days=1)


def test_bad_names_times_and_texts_are_refused() -> None:
    key = PrivateKey.generate()
    for name in ("", "x" * 65):
        with pytest.raises(CocoError):
            self_signed(name, key, not_before=START, days=1)
    with pytest.raises(CocoError, match="not a DNS name"):
        self_signed("x", key, not_before=START, days=1, names=["münchen.example"])
    for start, days in ((datetime(2026, 1, 1), 1), (START, 0)):
        with pytest.raises(InvariantBroken):
            self_signed("x", key, not_before=start, days=days)
    for refused in (fingerprint, public_key_of, common_name_of, to_der):
        with pytest.raises(MalformedMessage):
            refused("-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n")
    with pytest.raises(MalformedMessage):
        from_der(b"garbage")


def test_what_a_certificate_says() -> None:
    key, authority = make_authority("Manufacturer")
    assert common_name_of(authority) == "Manufacturer"
    assert public_key_of(authority) == key.public_key()
    assert fingerprint(authority) == sha256(to_der(authority)).hex()
    assert from_der(to_der(authority)) == authority


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_tls_accepts_both_ends_and_refuses_a_foreign_one(tmp_path: Path, name: str) -> None:
    """A front-end leaf for the server; an actor's own authority certificate for the client."""
    start = datetime.now(UTC) - timedelta(hours=1)
    ca_key, server_key, actor_key = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
    ca = self_signed("front end authority", ca_key, not_before=start, days=10)
    leaf = issue(
        "front end", server_key.public_key(), issuer=ca, issuer_key=ca_key, not_before=start, days=5, names=[name]
    )
    actor = self_signed("actor", actor_key, not_before=start, days=5)
    (tmp_path / "server").write_bytes(server_key.to_pkcs8_pem() + leaf.encode() + ca.encode())
    (tmp_path / "actor").write_bytes(actor_key.to_pkcs8_pem() + actor.encode())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=actor)
    client = ssl.create_default_context(cadata=ca)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(tmp_path / "actor")
    peer = shake_hands(server, client, name)
    assert peer == to_der(actor)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, client, "other.example")
    foreign = ssl.create_default_context(cadata=make_authority()[1])
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, foreign, name)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = [False, False]
    while not all(done):
        for position, end in enumerate(ends):
            try:
                end.do_handshake()
                done[position] = True
            except ssl.SSLWantReadError:
                pass
    return ends[1].getpeercert(binary_form=True)


def test_no_flipped_byte_of_a_certificate_raises_anything_of_another_kind() -> None:
    """What the package raises for a version, a serial number or an algorithm that cannot be is nobody's business."""
    key, authority = make_authority()
    leaf = issue("leaf", key.public_key(), issuer=authority, issuer_key=key, not_before=START, days=5, names=("a.b",))
    der = to_der(leaf)
    for at in range(len(der)):
        for mask in (0x01, 0x20, 0x80):
            flipped = bytearray(der)
            flipped[at] ^= mask
            body = base64.b64encode(flipped).decode()
            pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
            with pytest.raises(CocoError):
                verify_whole(pem, authority)


def verify_whole(pem: str, authority: str) -> None:
    public_key_of(pem)
    verify_issued_under(pem, authority, at=None)


def test_a_signature_in_whole_bytes_is_the_only_form() -> None:
    """DER lets a bit string say that its last bits are unused where they are zero: one certificate, other bytes."""
    key, authority = make_authority()
    signature_bits = 1
    while signature_bits & 1:
        leaf = issue("leaf", key.public_key(), issuer=authority, issuer_key=key, not_before=START, days=5)
        der = bytearray(to_der(leaf))
        signature_bits = der[-1]
    size = len(x509.load_der_x509_certificate(bytes(der)).signature)
    at = len(der) - size - 1
    assert der[at] == 0
    der[at] = 1
    with pytest.raises(MalformedMessage):
        from_der(bytes(der))
