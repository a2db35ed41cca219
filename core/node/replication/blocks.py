"""A block as consensus carries it: whole sealed entries that end with a signature, and what a node knows of them."""

from __future__ import annotations

from dataclasses import dataclass

from core.ledger.merkle import MerkleFrontier
from core.ledger.verify import StartingPoint
from core.node.manager_tables import SystemState
from core.node.messages import GovernanceResult, ReplayedEntry
from core.types import Digest, Seqno, View


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """Whole entries, the last of which is the signature at `last`. leaves: of each, with its size in bytes.

    frontier: of the Merkle tree with all of them. entries: their write sets in the clear, without the signature.
    governance: what the manager put into a block that its own executor proposed. keys_changed: whether the node has
    another set of epoch keys with it, to be sealed before the block is written. time_s: as its signature states it.
    """

    data: bytes
    first: Seqno
    last: Seqno
    view: View
    frontier: MerkleFrontier
    governance: tuple[GovernanceResult, ...] = ()
    leaves: tuple[tuple[Digest, int], ...] = ()
    entries: tuple[ReplayedEntry, ...] = ()
    keys_changed: bool = False
    time_s: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """What a node knew of the ledger at a signature, to which it may have to go back."""

    point: StartingPoint
    state: SystemState


@dataclass(slots=True)
class LogBlock:
    """An entry of the consensus log that is not applied yet. block: None in an entry that is the engine's own.

    before: what the node knew before it. is_queued: whether it has been given to the disk.
    """

    index: int
    term: View
    change: bytes
    block: SealedBlock | None
    before: Mark
    is_queued: bool = False
