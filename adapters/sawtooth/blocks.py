"""Blocks as the validator has them, signed with the network's own key."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.sawtooth.records import GENESIS_ID, StoredBlock
from adapters.sawtooth.signatures import Signer
from adapters.sawtooth.wire.messages import MESSAGES

CONSENSUS = b"Coco"

_BlockHeader = MESSAGES["BlockHeader"]


def make_block(
    previous: StoredBlock | None, batch_ids: Iterable[str], root: bytes, signer: Signer, *, seqno: int, time_s: int
) -> StoredBlock:
    """Make the block after `previous`, or the first one. Its id is its header's signature."""
    number = 0 if previous is None else previous.number + 1
    header = _BlockHeader(
        block_num=number,
        previous_block_id=GENESIS_ID if previous is None else previous.id,
        signer_public_key=signer.public_key,
        batch_ids=batch_ids,
        consensus=CONSENSUS,
        state_root_hash=root.hex(),
    ).SerializeToString()
    return StoredBlock(number, signer.sign(header), header, root, seqno, time_s)
