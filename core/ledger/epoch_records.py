"""What the ledger says of epochs (`public:coco.epochs`): where each begins, without its key.

Number -> JSON {"first_seqno", "node", "view"}; node: leads the view. An epoch is in force from `first_seqno` on, in its
view and those after it, until the next one is.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from core.ledger.secrets import EpochSecret
from core.types import Seqno, View

EPOCHS = "public:coco.epochs"
_DIGITS_MAX = 18


class EpochRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first_seqno: int
    node: str
    view: int


def read_epoch(tables: Mapping[str, Mapping[bytes, bytes | None]]) -> tuple[int, EpochRecord] | None:
    """Return number and record of the one epoch that an entry writes, None when it has not their form."""
    rows = tables.get(EPOCHS, {})
    if len(rows) != 1:
        return None
    ((key, value),) = rows.items()
    number = int(key) if key.isdigit() and len(key) <= _DIGITS_MAX else 0
    if value is None or str(number).encode() != key or number < 1:
        return None
    try:
        record = msgspec.json.decode(value, type=EpochRecord)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return number, record


def epoch_row(secret: EpochSecret) -> dict[bytes, bytes | None]:
    """Return what the table says of an epoch."""
    epoch = {"first_seqno": secret.first_seqno, "node": secret.node, "view": secret.first_view}
    return {str(secret.epoch).encode(): msgspec.json.encode(epoch)}


class EpochsSeen:
    """Which epoch was in force where, of those that the entries read so far have recorded."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, EpochRecord]] = []

    def take(self, tables: Mapping[str, Mapping[bytes, bytes | None]]) -> None:
        """Take note of the epoch that an entry records, if it does."""
        found = read_epoch(tables)
        if found is not None:
            self._seen.append(found)

    def number(self, view: View, seqno: Seqno) -> int:
        """Return the number of the epoch that was in force there; 0: none is known."""
        for number, record in reversed(self._seen):
            if record.first_seqno <= seqno and record.view <= view:
                return number
        return 0
