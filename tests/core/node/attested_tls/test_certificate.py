"""Certificates of channels: what is made is read, everything else is refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.crypto.certificates import self_signed, to_der
from core.crypto.keys import Curve, PrivateKey
from core.errors import AuthenticationFailed
from core.node.attested_tls.certificate import (
    ENDORSEMENTS_EXTENSION,
    EVIDENCE_EXTENSION,
    make_certificate,
    read_certificate,
)
from core.node.attested_tls.errors import CertificateInvalid, EvidenceRepeated
from tests.support.attested_tls import resigned, resigned_der

KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()
START = datetime(2026, 1, 1, tzinfo=UTC)


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def test_what_is_made_is_read() -> None:
    made = make_certificate(KEY, evidence=b"evidence", endorsements=b"endorsements")
    read = read_certificate(der_of(made))
    assert (read.public_key, read.evidence, read.endorsements) == (KEY.public_key(), b"evidence", b"endorsements")
    assert EVIDENCE_EXTENSION.dotted_string == "2.23.133.5.4.9"
    assert not made.extensions.get_extension_for_oid(EVIDENCE_EXTENSION).critical
    bare = read_certificate(der_of(make_certificate(KEY)))
    assert (bare.evidence, bare.endorsements) == (None, b"")
    empty = read_certificate(der_of(make_certificate(KEY, evidence=b"")))
    assert empty.evidence == b""


def test_a_self_signed_certificate_with_other_known_extensions_is_read() -> None:
    pem = self_signed("another tool's", KEY, not_before=START, days=1, ca=False, names=("localhost",))
    assert read_certificate(to_der(pem)).public_key == KEY.public_key()


def built(
    *, key: PrivateKey = KEY, signer: PrivateKey = KEY, issuer: str = "a", extension: x509.ExtensionType | None = None
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key().raw)
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START)
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return der_of(builder.sign(signer.raw, hashes.SHA256()))


def usage(**changes: bool) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    flags = dict.fromkeys([*names.split(), "crl_sign", "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(**flags | changes)


def of_another_kind() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(START).not_valid_after(START).public_key(key.public_key())
    return der_of(builder.sign(key, None))


V3 = bytes.fromhex("a003020102")
P384 = PrivateKey.generate(Curve.P384)
BAD = {
    "nothing": b"",
    "trailing bytes": built() + b"\0",
    "signed by another key under the same name": built(signer=OTHER),
    "another's certificate with our key": built(key=OTHER),
    "issued under another name": built(issuer="b"),
    "P-384": built(key=P384, signer=P384),
    "Ed25519": of_another_kind(),
    "an unknown critical extension": built(extension=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"")),
    "a known critical extension of no use here": built(extension=x509.ExtendedKeyUsage([])),
    "a key that may not sign": built(extension=usage(key_cert_sign=True)),
    "endorsements over their bound": der_of(
        make_certificate(KEY, evidence=b"e", endorsements=bytes(limits.ENDORSEMENTS_BYTES_MAX + 1))
    ),
    "version 2": resigned_der(make_certificate(KEY), KEY, lambda signed: signed.replace(V3, V3[:-1] + b"\1")),
}


@pytest.mark.parametrize("name", BAD)
def test_other_certificates_are_refused(name: str) -> None:
    with pytest.raises(CertificateInvalid):
        read_certificate(BAD[name])


def test_the_plain_form_of_these_is_read() -> None:
    assert read_certificate(built()).public_key == KEY.public_key()
    assert read_certificate(built(extension=usage(digital_signature=True))).public_key == KEY.public_key()


@pytest.mark.parametrize("extension", [EVIDENCE_EXTENSION, ENDORSEMENTS_EXTENSION])
def test_an_extension_that_stands_twice_is_refused(extension: x509.ObjectIdentifier) -> None:
    read_certificate(der_of(twice(KEY, extension, "2.23.133.5.4.8")))
    with pytest.raises(EvidenceRepeated):
        read_certificate(der_of(twice(KEY, extension, extension.dotted_string)))


def twice(key: PrivateKey, extension: x509.ObjectIdentifier, again: str) -> x509.Certificate:
    made = make_certificate(key, evidence=b"first", endorsements=b"second")
    other = ENDORSEMENTS_EXTENSION if extension == EVIDENCE_EXTENSION else EVIDENCE_EXTENSION
    last = int(again.rpartition(".")[2])
    old = b"\x67\x81\x05\x05\x04" + bytes([int(other.dotted_string.rpartition(".")[2])])
    return resigned(made, key, lambda signed: signed.replace(old, old[:-1] + bytes([last])))


def test_every_byte_is_signed_or_checked() -> None:
    """A changed byte is refused, or is in the signature, whose two integers have other encodings for nobody."""
    good = der_of(make_certificate(KEY, evidence=b"evidence"))
    for offset in range(len(good)):
        changed = bytearray(good)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises(AuthenticationFailed):
            read_certificate(bytes(changed))
        with pytest.raises(AuthenticationFailed):
            read_certificate(good[:offset])


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    with contextlib.suppress(AuthenticationFailed):
        read_certificate(data)


@given(st.integers(0, 600), st.binary(min_size=1, max_size=8))
def test_signed_again_after_a_change(offset: int, new: bytes) -> None:
    """An attacker signs whatever certificate it likes: it parses, or is refused; nothing else is raised."""
    made = make_certificate(KEY, evidence=b"evidence")
    signed = made.tbs_certificate_bytes
    changed = (signed[:offset] + new + signed[offset + len(new) :])[: len(signed)]
    with contextlib.suppress(AuthenticationFailed):
        read_certificate(resigned_der(made, KEY, lambda _: changed))
