"""Tagged evidence and its claims, as they stand in a certificate's extension.

    extension = tag([evidence, claims-buffer])
    claims-buffer = {"nonce": nonce, "pubkey-hash": [hash algorithm, hash of SubjectPublicKeyInfo] (as a byte string)}
    report data of the evidence = SHA-256(claims-buffer), then 32 zeros

Source: Interoperable RA-TLS X.509 Cert and Evidence Formats (CCC Attestation SIG). The tag says the evidence's format
(60000: a quote of Intel's); core passes it on and knows none. Stricter than the source: canonical order, and no other
claims than these two.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from core import limits
from core.crypto.hashing import sha256
from core.crypto.keys import PublicKey
from core.node.attested_tls.cbor import (
    ARRAY,
    MAP,
    TAG,
    UNSIGNED,
    CborReader,
    MalformedCbor,
    encode_array,
    encode_bytes,
    encode_head,
    encode_text,
)
from core.node.attested_tls.errors import EvidenceShapeInvalid, KeyNotClaimed, NonceMissing, NonceStale
from core.ports import Evidence

NONCE_BYTES = 32
CLAIMS_BYTES_MAX = 256
_KEY_CLAIM, _NONCE_CLAIM = "pubkey-hash", "nonce"
_SHA256 = 1
_HASHES = {1: hashlib.sha256, 7: hashlib.sha384, 8: hashlib.sha512}
"""IANA, named information hash algorithms: those that the source has a verifier support."""
_HASH_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Claims:
    """hash_algorithm: IANA's number; key_digest: of the key (SubjectPublicKeyInfo, DER); nonce: None when absent."""

    hash_algorithm: int
    key_digest: bytes
    nonce: bytes | None

    @classmethod
    def over(cls, key: PublicKey, nonce: bytes) -> Claims:
        """Return what a node claims: its key, and the nonce of who asks (32 bytes)."""
        return cls(_SHA256, sha256(key.to_der()), nonce)

    def encode(self) -> bytes:
        """Return the claims buffer."""
        digest = encode_array(encode_head(UNSIGNED, self.hash_algorithm), encode_bytes(self.key_digest))
        pairs = [encode_text(_KEY_CLAIM) + encode_bytes(digest)]
        if self.nonce is not None:
            pairs.insert(0, encode_text(_NONCE_CLAIM) + encode_bytes(self.nonce))
        return encode_head(MAP, len(pairs)) + b"".join(pairs)


def parse_claims(buffer: bytes) -> Claims:
    """Parse a claims buffer; raises EvidenceShapeInvalid."""
    try:
        reader = CborReader(buffer)
        count = reader.take(MAP)
        if count not in (1, 2):
            raise MalformedCbor(f"{count} claims; expected a nonce and a key's hash")
        nonce = None
        if count == 2:
            _take_name(reader, _NONCE_CLAIM)
            nonce = reader.take_bytes(NONCE_BYTES)
        _take_name(reader, _KEY_CLAIM)
        entry = CborReader(reader.take_bytes(CLAIMS_BYTES_MAX))
        reader.end()
        entry.take_exactly(ARRAY, 2)
        algorithm = entry.take(UNSIGNED)
        digest = entry.take_bytes(_HASH_BYTES_MAX)
        entry.end()
    except MalformedCbor as error:
        raise EvidenceShapeInvalid(f"the claims in the certificate: {error.message}") from None
    return Claims(algorithm, digest, nonce)


def report_data(buffer: bytes) -> bytes:
    """Return the 64 bytes that evidence over this claims buffer binds."""
    return sha256(buffer) + bytes(32)


def verify_key_claimed(claims: Claims, key: PublicKey) -> None:
    """Raise KeyNotClaimed unless the claims are about this key."""
    make = _HASHES.get(claims.hash_algorithm)
    if make is None or not hmac.compare_digest(make(key.to_der()).digest(), claims.key_digest):
        raise KeyNotClaimed("the evidence is about another key than the certificate's")


def verify_nonce(claims: Claims, nonce: bytes) -> None:
    """Raise NonceMissing or NonceStale unless the claims hold this nonce."""
    if claims.nonce is None:
        raise NonceMissing("the evidence holds no nonce")
    if not hmac.compare_digest(claims.nonce, nonce):
        raise NonceStale("the evidence was made for another connection")


def encode_extension(evidence: Evidence, claims_buffer: bytes) -> bytes:
    """Return the extension's value. The endorsements have an extension of their own."""
    return encode_head(TAG, evidence.tag) + encode_array(encode_bytes(evidence.data), encode_bytes(claims_buffer))


def parse_extension(value: bytes, endorsements: bytes) -> tuple[Evidence, bytes]:
    """Return evidence and claims buffer; raises EvidenceShapeInvalid."""
    try:
        reader = CborReader(value)
        tag = reader.take(TAG)
        reader.take_exactly(ARRAY, 2)
        data = reader.take_bytes(limits.EVIDENCE_BYTES_MAX)
        buffer = reader.take_bytes(CLAIMS_BYTES_MAX)
        reader.end()
    except MalformedCbor as error:
        raise EvidenceShapeInvalid(f"the evidence in the certificate: {error.message}") from None
    return Evidence(tag, data, endorsements), buffer


def _take_name(reader: CborReader, name: str) -> None:
    found = reader.take_text(CLAIMS_BYTES_MAX)
    if found != name:
        raise MalformedCbor(f"the claim {found[:40]!r} where {name!r} belongs")
