"""AES-256-GCM (NIST SP 800-38D). The caller guarantees that a nonce is used once under a key."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import AuthenticationFailed, InvariantBroken

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class AeadKey:
    """A secret AES-256 key. The nonce is explicit: whoever owns the key says why it never repeats."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise InvariantBroken(f"an AES-256 key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "<AeadKey redacted>"

    def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag (16 bytes), concatenated."""
        if len(nonce) != NONCE_BYTES:
            raise InvariantBroken(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        return self._cipher.encrypt(nonce, plaintext, associated)

    def decrypt(self, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Return the plaintext of ciphertext and tag; raises AuthenticationFailed."""
        if len(nonce) != NONCE_BYTES or len(ciphertext) < TAG_BYTES:
            raise AuthenticationFailed("the ciphertext is too short to be authentic")
        try:
            return self._cipher.decrypt(nonce, ciphertext, associated)
        except InvalidTag:
            raise AuthenticationFailed("the ciphertext is not authentic under this key") from None
