"""A file of recovered epoch keys, for an auditor: which private entries its holder can read.

    {"epochs": [{"epoch": 1, "first_seqno": 1, "view": 1, "node": "<hex>", "key": "<64 hex digits>"}, ...]}

first_seqno, view and node: as the ledger's table `public:coco.epochs` has them under the epoch's number.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from core import limits
from core.errors import LimitExceeded, MalformedMessage
from core.ledger.secrets import EpochSecret
from core.types import NodeId, Seqno, View

_Positive = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
_HexKey = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    epoch: _Positive
    first_seqno: _Positive
    view: _Positive
    node: _HexKey
    key: _HexKey

    def __repr__(self) -> str:
        return f"<epoch {self.epoch}>"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    epochs: tuple[_Epoch, ...]


def decode_key_file(data: bytes) -> list[EpochSecret]:
    """Return the secrets in the order of their views; raises MalformedMessage, LimitExceeded."""
    if len(data) > limits.SEALED_BLOB_BYTES_MAX:
        raise LimitExceeded(f"a file of keys of {len(data)} bytes; the bound is {limits.SEALED_BLOB_BYTES_MAX}")
    try:
        found = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"not a file of epoch keys: {error}", hint="See docs/auditing.md.") from None
    secrets = [
        EpochSecret(one.epoch, Seqno(one.first_seqno), View(one.view), NodeId(one.node), bytes.fromhex(one.key))
        for one in found.epochs
    ]
    secrets.sort(key=lambda secret: secret.first_view)
    if not secrets or len({secret.first_view for secret in secrets}) != len(secrets):
        raise MalformedMessage("a file of epoch keys holds none, or two for one view", hint="See docs/auditing.md.")
    return secrets


def encode_key_file(secrets: list[EpochSecret]) -> bytes:
    """Return the file. Whoever holds it reads all private entries of these epochs."""
    epochs = tuple(_Epoch(one.epoch, one.first_seqno, one.first_view, one.node, one.key.hex()) for one in secrets)
    return msgspec.json.encode(_File(epochs))
