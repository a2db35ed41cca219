"""secp256k1 as Sawtooth uses it: compact signatures, 128 hexadecimal digits, over SHA-256 of the signed bytes."""

from __future__ import annotations

import re

from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

from core.errors import AuthenticationFailed

KEY_BYTES = 32
SIGNATURE_HEX = re.compile(r"[0-9a-f]{128}")
PUBLIC_KEY_HEX = re.compile(r"0[23][0-9a-f]{64}")


def verify(public_key: str, signature: str, message: bytes) -> None:
    """Verify a signature. Raises AuthenticationFailed, also for a key or signature that is none."""
    if PUBLIC_KEY_HEX.fullmatch(public_key) is None or SIGNATURE_HEX.fullmatch(signature) is None:
        raise AuthenticationFailed("not a public key of 66, or a signature of 128 hexadecimal digits")
    try:
        key = PublicKey(bytes.fromhex(public_key))
        valid = key.verify(cdata_to_der(deserialize_compact(bytes.fromhex(signature))), message)
    except ValueError:
        raise AuthenticationFailed("not a point of the curve, or not a signature") from None
    if not valid:
        raise AuthenticationFailed("the signature is not this key's over these bytes")


class Signer:
    """Signs with one key."""

    __slots__ = ("_key", "public_key")

    def __init__(self, secret: bytes) -> None:
        """secret: 32 bytes."""
        self._key = PrivateKey(secret)
        self.public_key = self._key.public_key.format().hex()

    def __repr__(self) -> str:
        return f"Signer({self.public_key})"

    def sign(self, message: bytes) -> str:
        """Return a signature over the message."""
        return self._key.sign_recoverable(message)[:64].hex()
