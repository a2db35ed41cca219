"""SHA-256, HKDF and AES-GCM against published vectors, and what they refuse."""

from __future__ import annotations

import pytest

from core.crypto.aead import AeadKey
from core.crypto.hashing import hkdf_sha256, sha256
from core.errors import AuthenticationFailed, InvariantBroken


def test_sha256_of_parts_is_that_of_their_concatenation() -> None:
    # FIPS 180-4, "abc".
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc").hex() == sha256(b"a", b"bc").hex() == expected
    assert sha256() == sha256(b"")


def test_hkdf_matches_rfc_5869_test_case_1() -> None:
    derived = hkdf_sha256(bytes([0x0B] * 22), salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), size_bytes=42)
    assert derived.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


@pytest.mark.parametrize(("key", "info"), [(bytes(15), b"x"), (bytes(32), b"")])
def test_hkdf_refuses_short_secrets_and_unnamed_purposes(key: bytes, info: bytes) -> None:
    with pytest.raises(InvariantBroken):
        hkdf_sha256(key, info=info)


def test_aead_matches_test_cases_13_and_14_of_the_gcm_specification() -> None:
    key = AeadKey(bytes(32))
    assert key.encrypt(bytes(12), b"", b"").hex() == "530f8afbc74536b9a963b4f1c4cb738b"
    sealed = key.encrypt(bytes(12), bytes(16), b"")
    assert sealed.hex() == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    assert key.decrypt(bytes(12), sealed, b"") == bytes(16)


def test_aead_refuses_what_is_not_authentic() -> None:
    key = AeadKey(bytes(32))
    sealed = key.encrypt(bytes(12), b"text", b"associated")
    for nonce, data, associated in (
        (bytes(12), sealed[:-1] + bytes([sealed[-1] ^ 1]), b"associated"),
        (bytes(12), bytes([sealed[0] ^ 1]) + sealed[1:], b"associated"),
        (bytes(12), sealed, b"other"),
        (bytes(11) + b"\1", sealed, b"associated"),
        (bytes(12), sealed[:15], b"associated"),
        (bytes(11), sealed, b"associated"),
    ):
        with pytest.raises(AuthenticationFailed):
            key.decrypt(nonce, data, associated)


def test_aead_refuses_misshapen_keys_and_nonces_and_hides_its_key() -> None:
    with pytest.raises(InvariantBroken):
        AeadKey(bytes(16))
    with pytest.raises(InvariantBroken):
        AeadKey(bytes(32)).encrypt(bytes(16), b"", b"")
    assert repr(AeadKey(bytes(32))) == "<AeadKey redacted>"
