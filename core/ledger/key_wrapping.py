"""An epoch's key, encrypted to one node (`public:coco.epoch_keys`): HPKE (RFC 9180), base mode, from `cryptography`.

Suite: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. A wrapped key is a version byte, the encapsulated key (65
bytes), and ciphertext with tag. What HPKE calls info binds network, epoch and recipient, so that a wrapped key opens in
no other place. Who wrapped it, HPKE does not say: the entry's signature does. The table's keys are EPOCH.NODE.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from core.crypto.aead import KEY_BYTES, TAG_BYTES
from core.crypto.keys import Curve, PrivateKey, PublicKey
from core.errors import AuthenticationFailed, InvariantBroken, MalformedMessage
from core.types import Digest, NodeId

EPOCH_KEYS = "public:coco.epoch_keys"
ENCAPSULATED_BYTES = 65
WRAPPED_BYTES = 1 + ENCAPSULATED_BYTES + KEY_BYTES + TAG_BYTES

_VERSION = b"\x01"
_PURPOSE = b"coco epoch key 1\0"


def epoch_key_row(epoch: int, node: NodeId) -> bytes:
    """Return under which key of the table a node finds an epoch's key."""
    return f"{epoch}.{node}".encode()


def parse_epoch_key_row(row: bytes) -> tuple[int, NodeId]:
    """Return epoch and node of a row; raises MalformedMessage."""
    epoch, _, node = row.partition(b".")
    if not epoch.isdigit() or len(epoch) > 18 or len(node) != 64 or not set(node) <= set(b"0123456789abcdef"):
        raise MalformedMessage("a wrapped key stands under no epoch and node")
    number, name = int(epoch), NodeId(node.decode())
    if epoch_key_row(number, name) != row:
        raise MalformedMessage("a wrapped key's epoch is not in its one canonical form")
    return number, name


def wrap_epoch_key(key: bytes, recipient: PublicKey, *, network: Digest, epoch: int) -> bytes:
    """Return the epoch's key (32 bytes) for one node (P-256). network: the constitution's digest."""
    if len(key) != KEY_BYTES or recipient.curve is not Curve.P256:
        raise InvariantBroken("an epoch's key of 32 bytes is wrapped to a node's key on P-256")
    info = _info(network, epoch, recipient.node_id())
    return _VERSION + _suite().encrypt(key, recipient.raw, info)


def unwrap_epoch_key(wrapped: bytes, own: PrivateKey, *, network: Digest, epoch: int) -> bytes:
    """Return the epoch's key (32 bytes); raises MalformedMessage, AuthenticationFailed."""
    if len(wrapped) != WRAPPED_BYTES or wrapped[:1] != _VERSION:
        raise MalformedMessage(f"a wrapped key of {len(wrapped)} bytes, version {wrapped[:1].hex() or 'missing'}")
    if own.curve is not Curve.P256:
        raise InvariantBroken("a node's key is on P-256")
    info = _info(network, epoch, own.public_key().node_id())
    try:
        return _suite().decrypt(wrapped[1:], own.raw, info)
    except (InvalidTag, ValueError):
        raise AuthenticationFailed("the wrapped key is not for this node, epoch and network, or was changed") from None


def _suite() -> Suite:
    return Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _info(network: Digest, epoch: int, node: NodeId) -> bytes:
    """Return what a wrapped key is bound to; each part has a length of its own, so that no two run together."""
    if len(network) != 32 or len(node) != 64 or not 0 < epoch < 2**62:
        raise InvariantBroken("a wrapped key is bound to a network, an epoch and a node")
    return _PURPOSE + network + epoch.to_bytes(8, "big") + bytes.fromhex(node)
