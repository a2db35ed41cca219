"""SHA-256 and the key derivation over it (HKDF, RFC 5869)."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import InvariantBroken
from core.types import Digest

DIGEST_BYTES = 32


def sha256(*parts: bytes) -> Digest:
    """Hash the concatenation of the parts."""
    if len(parts) == 1:
        return Digest(hashlib.sha256(parts[0]).digest())
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return Digest(state.digest())


def hkdf_sha256(key: bytes, *, info: bytes, size_bytes: int = 32, salt: bytes = b"") -> bytes:
    """Derive a key. key: at least 16 bytes of secret; info: names the purpose, and must differ between purposes."""
    if len(key) < 16 or not info:
        raise InvariantBroken("key derivation needs a secret of at least 16 bytes and a purpose")
    return HKDF(algorithm=hashes.SHA256(), length=size_bytes, salt=salt or None, info=info).derive(key)
