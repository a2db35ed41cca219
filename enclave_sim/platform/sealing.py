"""Sealing. Under SGX the enclave does it itself with a key from the processor (EGETKEY, then AES-128-GCM):

    sealed = "COCOSEAL" | version u8 (2) | policy u8 | ISVSVN u16 | CPUSVN 16 | key id 32 | nonce 12 | ciphertext, tag

The header is authenticated together with the context. The key id is fresh random per sealed blob, so each key is used
once; the nonce is random as well. Policy `signer` (MRSIGNER) is the default: an update of the code still opens the
node's own data. `enclave` (MRENCLAVE) opens for the very same code only. Both open on the same processor only, for the
same product, and under security versions no older than those that sealed. Under VSM the machine seals (vsm/sealing.py).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Awaitable, Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core import limits
from core.errors import AuthenticationFailed, IncompatibleData, LimitExceeded, OlderThanSealed
from enclave_sim.platform.machine import SealPolicy
from enclave_sim.sgx.keyrequest import KEY_ID_BYTES, KeyName, KeyPolicy, KeyRequest
from enclave_sim.vsm.report import VbsIdentity
from enclave_sim.vsm.sealing import require_not_older, sealed_by

SEALED_VERSION = 2
_MAGIC = b"COCOSEAL"
_HEADER = struct.Struct(f"<8sBBH16s{KEY_ID_BYTES}s12s")
_ATTRIBUTE_MASK = (0xFF0000000000000B).to_bytes(8, "little") + bytes(8)
"""Which attributes bind the key: those that Intel's SDK takes (TSEAL_DEFAULT_FLAGSMASK), and no XFRM."""

_POLICIES: tuple[SealPolicy, ...] = ("signer", "enclave")
_KEY_POLICY: dict[SealPolicy, KeyPolicy] = {"signer": KeyPolicy.MRSIGNER, "enclave": KeyPolicy.MRENCLAVE}
_HINT = (
    "The blob was changed, or sealed by another enclave or on another platform (in the simulation: with another fuses "
    "file). Restore the node's directory as a whole."
)

GetKey = Callable[[KeyRequest], Awaitable[bytes]]
GetVersions = Callable[[], Awaitable[tuple[int, bytes]]]
"""() -> ISVSVN and CPUSVN of this enclave."""


class KeySealer:
    """The Sealer port over EGETKEY."""

    def __init__(self, get_key: GetKey, get_versions: GetVersions, policy: SealPolicy = "signer") -> None:
        self._get_key = get_key
        self._get_versions = get_versions
        self._policy: SealPolicy = policy

    async def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        if _HEADER.size + len(plaintext) + 16 > limits.SEALED_BLOB_BYTES_MAX:
            raise LimitExceeded(f"{len(plaintext)} bytes to seal; the bound is {limits.SEALED_BLOB_BYTES_MAX}")
        key_id, nonce = os.urandom(KEY_ID_BYTES), os.urandom(12)
        isvsvn, cpusvn = await self._get_versions()
        policy = _POLICIES.index(self._policy)
        header = _HEADER.pack(_MAGIC, SEALED_VERSION, policy, isvsvn, cpusvn, key_id, nonce)
        key = await self._get_key(_request(self._policy, isvsvn, cpusvn, key_id))
        return header + AESGCM(key).encrypt(nonce, plaintext, header + context)

    async def unseal(self, sealed: bytes, *, context: bytes) -> bytes:
        """Unseal. Raises AuthenticationFailed, LimitExceeded, and IncompatibleData for what an older build sealed."""
        if len(sealed) > limits.SEALED_BLOB_BYTES_MAX:
            raise LimitExceeded(f"sealed blob of {len(sealed)} bytes; the bound is {limits.SEALED_BLOB_BYTES_MAX}")
        if sealed[:9] == _MAGIC + b"\x01":
            raise IncompatibleData(
                "the data was sealed in version 1, before keys came from SGX's EGETKEY",
                hint="Run the build that sealed it, or create a new network in another directory.",
            )
        if len(sealed) < _HEADER.size + 16:
            raise AuthenticationFailed("the sealed blob is cut short", hint=_HINT)
        header = sealed[: _HEADER.size]
        magic, version, policy, isvsvn, cpusvn, key_id, nonce = _HEADER.unpack(header)
        if magic != _MAGIC or version != SEALED_VERSION or policy >= len(_POLICIES):
            raise AuthenticationFailed("not a sealed blob of this version", hint=_HINT)
        own_isvsvn, own_cpusvn = await self._get_versions()
        if own_isvsvn < isvsvn:
            raise OlderThanSealed("enclave", own_isvsvn, isvsvn)  # EGETKEY would refuse as well, with less to tell.
        for own, theirs in zip(own_cpusvn, cpusvn, strict=True):
            if own < theirs:
                raise OlderThanSealed("processor", own, theirs)
        key = await self._get_key(_request(_POLICIES[policy], isvsvn, cpusvn, key_id))
        try:
            return AESGCM(key).decrypt(nonce, sealed[_HEADER.size :], header + context)
        except InvalidTag:
            raise AuthenticationFailed("the sealed blob does not open", hint=_HINT) from None


def _request(policy: SealPolicy, isvsvn: int, cpusvn: bytes, key_id: bytes) -> KeyRequest:
    return KeyRequest(KeyName.SEAL, cpusvn, _KEY_POLICY[policy], isvsvn, attribute_mask=_ATTRIBUTE_MASK, key_id=key_id)


MakeSealed = Callable[[bytes, SealPolicy], Awaitable[bytes]]
OpenSealed = Callable[[bytes], Awaitable[bytes]]
GetIdentity = Callable[[], Awaitable[VbsIdentity]]
_CONTEXT_BYTES = 32


class VbsSealer:
    """The Sealer port over EnclaveSealData. That binds no context, so its digest is sealed before the plaintext."""

    def __init__(
        self, seal: MakeSealed, unseal: OpenSealed, get_identity: GetIdentity, policy: SealPolicy = "signer"
    ) -> None:
        self._seal = seal
        self._unseal = unseal
        self._get_identity = get_identity
        self._policy: SealPolicy = policy

    async def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        sealed = await self._seal(hashlib.sha256(context).digest() + plaintext, self._policy)
        if len(sealed) > limits.SEALED_BLOB_BYTES_MAX:
            raise LimitExceeded(f"{len(plaintext)} bytes to seal; the bound is {limits.SEALED_BLOB_BYTES_MAX}")
        return sealed

    async def unseal(self, sealed: bytes, *, context: bytes) -> bytes:
        """Unseal; raises AuthenticationFailed, OlderThanSealed, LimitExceeded."""
        if len(sealed) > limits.SEALED_BLOB_BYTES_MAX:
            raise LimitExceeded(f"sealed blob of {len(sealed)} bytes; the bound is {limits.SEALED_BLOB_BYTES_MAX}")
        # The platform refuses as well; what it denies has no type here.
        require_not_older(await self._get_identity(), sealed_by(sealed))
        opened = await self._unseal(sealed)
        if not hmac.compare_digest(opened[:_CONTEXT_BYTES], hashlib.sha256(context).digest()):
            raise AuthenticationFailed("the sealed blob is for another purpose", hint=_HINT)
        return opened[_CONTEXT_BYTES:]
