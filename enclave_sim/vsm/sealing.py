"""Sealing as a secure kernel does it for a VBS enclave (EnclaveSealData, EnclaveUnsealData).

    blob = "COCOVBS1" | policy u32 | identity of the sealing enclave 152 | key id 32 | nonce 12 | ciphertext, tag

Windows publishes the calls, not the blob: the form is ours. A blob names who sealed it and who may unseal it
(ENCLAVE_SEALING_IDENTITY_POLICY). The key derives from a secret of the host and from what the policy compares, so that
a changed header finds another key. Older enclaves, kernels and platforms open nothing that newer ones sealed.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import AuthenticationFailed, OlderThanSealed
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.vsm.report import IDENTITY_BYTES, VbsIdentity, parse_identity

KEY_ID_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_MAGIC = b"COCOVBS1"
_HEADER = struct.Struct(f"<8sI{IDENTITY_BYTES}s{KEY_ID_BYTES}s{NONCE_BYTES}s")
_HINT = "The blob was changed, or sealed by another enclave or host. Restore the node's directory as a whole."


class SealingPolicy(IntEnum):
    """Which of ENCLAVE_SEALING_IDENTITY_POLICY are offered, by their numbers there."""

    EXACT_CODE = 1
    SAME_IMAGE = 3


def seal(host_secret: bytes, identity: VbsIdentity, plaintext: bytes, policy: SealingPolicy) -> bytes:
    """Seal for enclaves related to this one by the policy. host_secret: 32 bytes that never leave the host's kernel."""
    key_id, nonce = os.urandom(KEY_ID_BYTES), os.urandom(NONCE_BYTES)
    header = _HEADER.pack(_MAGIC, policy, identity.encode(), key_id, nonce)
    return header + AESGCM(_key(host_secret, identity, policy, key_id)).encrypt(nonce, plaintext, header)


def unseal(host_secret: bytes, identity: VbsIdentity, blob: bytes) -> bytes:
    """Unseal for this enclave; raises AuthenticationFailed, OlderThanSealed."""
    policy, sealer, key_id, nonce = _parse(blob)
    require_not_older(identity, sealer)
    if _compared(identity, policy) != _compared(sealer, policy):
        raise AuthenticationFailed("the blob was sealed for another enclave", hint=_HINT)
    try:
        cipher = AESGCM(_key(host_secret, identity, policy, key_id))
        return cipher.decrypt(nonce, blob[_HEADER.size :], blob[: _HEADER.size])
    except InvalidTag:
        raise AuthenticationFailed("the sealed blob does not open", hint=_HINT) from None


def sealed_by(blob: bytes) -> VbsIdentity:
    """Return who the blob says has sealed it, which nothing proves before it opens; raises AuthenticationFailed."""
    return _parse(blob)[1]


def require_not_older(identity: VbsIdentity, sealer: VbsIdentity) -> None:
    """Raise OlderThanSealed when enclave, secure kernel or platform are older than those that sealed."""
    for what, own, theirs in (
        ("enclave", identity.enclave_svn, sealer.enclave_svn),
        ("secure kernel", identity.secure_kernel_svn, sealer.secure_kernel_svn),
        ("platform", identity.platform_svn, sealer.platform_svn),
    ):
        if own < theirs:
            raise OlderThanSealed(what, own, theirs)


def _parse(blob: bytes) -> tuple[SealingPolicy, VbsIdentity, bytes, bytes]:
    if len(blob) < _HEADER.size + TAG_BYTES:
        raise AuthenticationFailed("the sealed blob is cut short", hint=_HINT)
    magic, policy, sealer, key_id, nonce = _HEADER.unpack(blob[: _HEADER.size])
    if magic != _MAGIC or policy not in SealingPolicy.__members__.values():
        raise AuthenticationFailed("not a sealed blob of this version", hint=_HINT)
    try:
        return SealingPolicy(policy), parse_identity(sealer), key_id, nonce
    except MalformedStructure as error:
        raise AuthenticationFailed(f"not a sealed blob: {error.message}", hint=_HINT) from None


def _compared(identity: VbsIdentity, policy: SealingPolicy) -> bytes:
    """Return what both enclaves must have in common; always the debug flags, so nothing real opens under a debugger."""
    always = identity.owner_id + identity.flags.to_bytes(4, "little")
    image = identity.author_id + identity.family_id + identity.image_id
    return always + (identity.unique_id + image if policy is SealingPolicy.EXACT_CODE else image)


def _key(host_secret: bytes, identity: VbsIdentity, policy: SealingPolicy, key_id: bytes) -> bytes:
    info = b"coco simulated VBS sealing 1 " + policy.to_bytes(4, "little") + _compared(identity, policy)
    return HKDF(algorithm=SHA256(), length=32, salt=key_id, info=info).derive(host_secret)
