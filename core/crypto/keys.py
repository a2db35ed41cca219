"""ECDSA keys on P-256 (with SHA-256) and P-384 (with SHA-384). FIPS 186-5; encodings of RFC 5280 and RFC 5958.

A private key never shows in a repr, and leaves only through `to_pkcs8_der` and `to_pkcs8_pem`, for sealing.
"""

from __future__ import annotations

from enum import Enum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from core.crypto.hashing import DIGEST_BYTES, sha256
from core.errors import AuthenticationFailed, InvariantBroken, MalformedMessage
from core.types import Digest, NodeId

_PREHASHED_SHA256 = ec.ECDSA(Prehashed(hashes.SHA256()))


class Curve(Enum):
    P256 = "P-256"
    P384 = "P-384"

    @property
    def coordinate_bytes(self) -> int:
        return 32 if self is Curve.P256 else 48


_CURVES: dict[Curve, ec.EllipticCurve] = {Curve.P256: ec.SECP256R1(), Curve.P384: ec.SECP384R1()}
_SCHEMES: dict[Curve, ec.ECDSA] = {Curve.P256: ec.ECDSA(hashes.SHA256()), Curve.P384: ec.ECDSA(hashes.SHA384())}


def _curve_of(curve: ec.EllipticCurve) -> Curve:
    match curve:
        case ec.SECP256R1():
            return Curve.P256
        case ec.SECP384R1():
            return Curve.P384
        case _:
            raise MalformedMessage(f"a key on {curve.name}", hint="Use a key on P-256 or P-384.")


class PublicKey:
    """An ECDSA public key."""

    __slots__ = ("_key", "curve")

    def __init__(self, key: object) -> None:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise MalformedMessage("not an elliptic-curve key", hint="Use a key on P-256 or P-384.")
        self._key = key
        self.curve = _curve_of(key.curve)

    @classmethod
    def from_der(cls, data: bytes) -> PublicKey:
        """Parse a SubjectPublicKeyInfo; raises MalformedMessage."""
        try:
            return cls(serialization.load_der_public_key(data))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise MalformedMessage("not a public key (SubjectPublicKeyInfo, DER)") from None

    def __repr__(self) -> str:
        return f"<PublicKey {self.curve.value} {self.node_id()[:16]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.to_der() == other.to_der()

    def __hash__(self) -> int:
        return hash(self.to_der())

    @property
    def raw(self) -> ec.EllipticCurvePublicKey:
        """The key as the cryptography package has it, for certificates."""
        return self._key

    def to_der(self) -> bytes:
        """Return the SubjectPublicKeyInfo."""
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(encoding, form)

    def to_pem(self) -> str:
        """Return the SubjectPublicKeyInfo as PEM."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(encoding, form).decode()

    def node_id(self) -> NodeId:
        """Hexadecimal SHA-256 of the SubjectPublicKeyInfo: a node's id is its key's."""
        return NodeId(sha256(self.to_der()).hex())

    def verify(self, signature: bytes, message: bytes) -> None:
        """Verify a DER-encoded signature; raises AuthenticationFailed."""
        self._verify(signature, message, _SCHEMES[self.curve])

    def verify_raw(self, signature: bytes, message: bytes) -> None:
        """Verify a signature of the form r | s, as COSE has it (RFC 9053); raises AuthenticationFailed."""
        size = self.curve.coordinate_bytes
        if len(signature) != 2 * size:
            raise AuthenticationFailed(f"a {self.curve.value} signature has {2 * size} bytes, not {len(signature)}")
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        self._verify(encode_dss_signature(r, s), message, _SCHEMES[self.curve])

    def verify_digest(self, signature: bytes, digest: Digest) -> None:
        """Verify a DER-encoded signature over a SHA-256 digest; raises AuthenticationFailed."""
        if len(digest) != DIGEST_BYTES:
            raise AuthenticationFailed("not a SHA-256 digest")
        self._verify(signature, digest, _PREHASHED_SHA256)

    def _verify(self, signature: bytes, message: bytes, scheme: ec.ECDSA) -> None:
        try:
            self._key.verify(signature, message, scheme)
        except (InvalidSignature, ValueError):
            raise AuthenticationFailed("the signature does not verify") from None


class PrivateKey:
    """An ECDSA private key."""

    __slots__ = ("_key", "curve")

    def __init__(self, key: object) -> None:
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise MalformedMessage("not an elliptic-curve private key", hint="Use a key on P-256 or P-384.")
        self._key = key
        self.curve = _curve_of(key.curve)

    @classmethod
    def generate(cls, curve: Curve = Curve.P256) -> PrivateKey:
        return cls(ec.generate_private_key(_CURVES[curve]))

    @classmethod
    def from_pkcs8_der(cls, data: bytes) -> PrivateKey:
        """Parse an unencrypted PKCS #8 key; raises MalformedMessage."""
        try:
            return cls(serialization.load_der_private_key(data, password=None))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise MalformedMessage("not a private key (PKCS #8, DER)") from None

    @classmethod
    def from_pem(cls, data: bytes) -> PrivateKey:
        """Parse an unencrypted PEM key; raises MalformedMessage."""
        try:
            return cls(serialization.load_pem_private_key(data, password=None))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise MalformedMessage("not an unencrypted private key (PEM)") from None

    def __repr__(self) -> str:
        return f"<PrivateKey {self.curve.value} redacted>"

    def __reduce__(self) -> str:
        raise InvariantBroken("private keys are not pickled")

    @property
    def raw(self) -> ec.EllipticCurvePrivateKey:
        """The key as the cryptography package has it, for certificates."""
        return self._key

    def public_key(self) -> PublicKey:
        return PublicKey(self._key.public_key())

    def to_pkcs8_der(self) -> bytes:
        """Return the key in the clear, to be sealed."""
        return self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def to_pkcs8_pem(self) -> bytes:
        """Return the key in the clear, for a file that only its owner reads."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, message: bytes) -> bytes:
        """Return a DER-encoded signature."""
        return self._key.sign(message, _SCHEMES[self.curve])

    def sign_raw(self, message: bytes) -> bytes:
        """Return a signature of the form r | s, as COSE has it (RFC 9053)."""
        r, s = decode_dss_signature(self.sign(message))
        size = self.curve.coordinate_bytes
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def sign_digest(self, digest: Digest) -> bytes:
        """Return a DER-encoded signature over a SHA-256 digest, as CCF signs Merkle roots."""
        if len(digest) != DIGEST_BYTES:
            raise InvariantBroken("not a SHA-256 digest")
        return self._key.sign(digest, _PREHASHED_SHA256)
