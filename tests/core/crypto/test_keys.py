"""ECDSA keys: what verifies, what does not, and what stays hidden."""

from __future__ import annotations

import hashlib
import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from core.crypto.hashing import sha256
from core.crypto.keys import Curve, PrivateKey, PublicKey
from core.errors import AuthenticationFailed, InvariantBroken, MalformedMessage
from core.types import Digest


@pytest.mark.parametrize("curve", Curve)
def test_signatures_verify_under_their_key_only(curve: Curve) -> None:
    key, other = PrivateKey.generate(curve), PrivateKey.generate(curve)
    digest = sha256(b"message")
    signature, raw, over_digest = key.sign(b"message"), key.sign_raw(b"message"), key.sign_digest(digest)
    public = key.public_key()
    public.verify(signature, b"message")
    public.verify_raw(raw, b"message")
    public.verify_digest(over_digest, digest)
    assert len(raw) == 2 * curve.coordinate_bytes
    flipped = bytes([raw[0] ^ 1]) + raw[1:]
    for refused in (
        lambda: public.verify(signature, b"massage"),
        lambda: public.verify(b"", b"message"),
        lambda: public.verify(signature + b"\0", b"message"),
        lambda: public.verify(raw, b"message"),
        lambda: public.verify_raw(raw, b"massage"),
        lambda: public.verify_raw(flipped, b"message"),
        lambda: public.verify_raw(raw[:-1], b"message"),
        lambda: public.verify_raw(bytes(len(raw)), b"message"),
        lambda: public.verify_raw(signature, b"message"),
        lambda: public.verify_digest(over_digest, sha256(b"massage")),
        lambda: public.verify_digest(over_digest, Digest(b"short")),
        lambda: other.public_key().verify(signature, b"message"),
        lambda: other.public_key().verify_raw(raw, b"message"),
        lambda: other.public_key().verify_digest(over_digest, digest),
    ):
        with pytest.raises(AuthenticationFailed):
            refused()


@pytest.mark.parametrize("curve", Curve)
def test_keys_survive_their_encodings(curve: Curve) -> None:
    key = PrivateKey.generate(curve)
    for again in (PrivateKey.from_pkcs8_der(key.to_pkcs8_der()), PrivateKey.from_pem(key.to_pkcs8_pem())):
        assert again.public_key() == key.public_key()
        assert again.curve is curve
    public = PublicKey.from_der(key.public_key().to_der())
    assert public == key.public_key()
    assert hash(public) == hash(key.public_key())
    assert public.node_id() == hashlib.sha256(public.to_der()).hexdigest()
    assert public != PrivateKey.generate(curve).public_key()


def test_foreign_keys_and_garbage_are_refused() -> None:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    foreign = ec.generate_private_key(ec.SECP256K1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    for data in (
        b"",
        b"garbage",
        foreign.public_key().public_bytes(encoding, form),
        edwards.public_key().public_bytes(encoding, form),
    ):
        with pytest.raises(MalformedMessage):
            PublicKey.from_der(data)
    for load in (PrivateKey.from_pkcs8_der, PrivateKey.from_pem):
        with pytest.raises(MalformedMessage):
            load(b"garbage")
    with pytest.raises(MalformedMessage):
        PrivateKey(edwards)
    with pytest.raises(InvariantBroken):
        PrivateKey.generate().sign_digest(Digest(b"short"))


def test_private_keys_show_nothing_and_are_not_pickled() -> None:
    key = PrivateKey.generate()
    assert repr(key) == "<PrivateKey P-256 redacted>"
    with pytest.raises(InvariantBroken):
        pickle.dumps(key)
