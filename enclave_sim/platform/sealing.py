"""Sealing, as the enclave does it itself with a key from the CPU (SGX: EGETKEY, then AES-GCM).

    sealed = "COCOSEAL" | version u8 (1) | policy u8 | security version u16 | key id 32 | nonce 12 | ciphertext and tag

The header is authenticated together with the context. The key id is fresh random per sealed blob, so each key is used
once; the nonce is random as well. Policy `signer` is the default: an update of the code still opens the node's own
data, as MRSIGNER does. `measurement` opens for the very same code only.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Awaitable, Callable
from typing import get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core import limits
from core.errors import AuthenticationFailed, LimitExceeded
from enclave_sim.platform.cpu import KEY_ID_BYTES, SECURITY_VERSION, SealPolicy

SEALED_VERSION = 1
_MAGIC = b"COCOSEAL"
_HEADER = struct.Struct(f"<8sBBH{KEY_ID_BYTES}s12s")
_POLICIES: tuple[SealPolicy, ...] = get_args(SealPolicy)
_HINT = (
    "The blob was changed, or sealed by another enclave or on another platform (in the simulation: with another fuses "
    "file). Restore the node's directory as a whole."
)

GetKey = Callable[[SealPolicy, int, bytes], Awaitable[bytes]]
"""(policy, security version, key id) -> key."""


class KeySealer:
    """The Sealer port over a source of sealing keys."""

    def __init__(self, get_key: GetKey, policy: SealPolicy = "signer") -> None:
        self._get_key = get_key
        self._policy: SealPolicy = policy

    async def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        key_id, nonce = os.urandom(KEY_ID_BYTES), os.urandom(12)
        header = _HEADER.pack(_MAGIC, SEALED_VERSION, _POLICIES.index(self._policy), SECURITY_VERSION, key_id, nonce)
        if len(header) + len(plaintext) + 16 > limits.SEALED_BLOB_BYTES_MAX:
            raise LimitExceeded(f"{len(plaintext)} bytes to seal; the bound is {limits.SEALED_BLOB_BYTES_MAX}")
        key = await self._get_key(self._policy, SECURITY_VERSION, key_id)
        return header + AESGCM(key).encrypt(nonce, plaintext, header + context)

    async def unseal(self, sealed: bytes, *, context: bytes) -> bytes:
        if len(sealed) > limits.SEALED_BLOB_BYTES_MAX:
            raise LimitExceeded(f"sealed blob of {len(sealed)} bytes; the bound is {limits.SEALED_BLOB_BYTES_MAX}")
        if len(sealed) < _HEADER.size + 16:
            raise AuthenticationFailed("the sealed blob is cut short", hint=_HINT)
        header = sealed[: _HEADER.size]
        magic, version, policy, security_version, key_id, nonce = _HEADER.unpack(header)
        if magic != _MAGIC or version != SEALED_VERSION or policy >= len(_POLICIES):
            raise AuthenticationFailed("not a sealed blob of this version", hint=_HINT)
        key = await self._get_key(_POLICIES[policy], security_version, key_id)
        try:
            return AESGCM(key).decrypt(nonce, sealed[_HEADER.size :], header + context)
        except InvalidTag:
            raise AuthenticationFailed("the sealed blob does not open", hint=_HINT) from None
