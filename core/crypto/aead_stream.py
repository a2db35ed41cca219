"""AES-256-GCM over a stream (NIST SP 800-38D): for what is too large to be held whole.

Associated data comes first, then the text, each in as many pieces as one likes. The caller guarantees that a nonce is
used once under a key, and takes nothing that `StreamDecryptor` returned for authentic before `finish` has passed,
unless it was authenticated otherwise.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from core.crypto.aead import KEY_BYTES, NONCE_BYTES, TAG_BYTES
from core.errors import AuthenticationFailed, InvariantBroken


def _cipher(key: bytes, nonce: bytes) -> Cipher[GCM]:
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise InvariantBroken(f"a stream needs a key of {KEY_BYTES} bytes and a nonce of {NONCE_BYTES}")
    return Cipher(AES256(key), GCM(nonce))


class StreamEncryptor:
    """See the module."""

    __slots__ = ("_context",)

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._context = _cipher(key, nonce).encryptor()

    def __repr__(self) -> str:
        return "<StreamEncryptor redacted>"

    def associate(self, data: bytes) -> None:
        """Take more of the associated data; not after the first `encrypt`."""
        self._context.authenticate_additional_data(data)

    def encrypt(self, data: bytes) -> bytes:
        return self._context.update(data)

    def finish(self) -> bytes:
        """End the stream and return its tag (16 bytes)."""
        self._context.finalize()
        return self._context.tag


class StreamDecryptor:
    """See the module."""

    __slots__ = ("_context",)

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._context = _cipher(key, nonce).decryptor()

    def __repr__(self) -> str:
        return "<StreamDecryptor redacted>"

    def associate(self, data: bytes) -> None:
        """Take more of the associated data; not after the first `decrypt`."""
        self._context.authenticate_additional_data(data)

    def decrypt(self, data: bytes) -> bytes:
        """Return plaintext that is not authenticated yet."""
        return self._context.update(data)

    def finish(self, tag: bytes) -> None:
        """End the stream; raises AuthenticationFailed when it was not what was encrypted under this key and nonce."""
        if len(tag) != TAG_BYTES:
            raise AuthenticationFailed("a tag of another length")
        try:
            self._context.finalize_with_tag(tag)
        except InvalidTag:
            raise AuthenticationFailed("the stream is not authentic under this key") from None
