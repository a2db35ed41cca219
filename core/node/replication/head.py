"""The newest end of the ledger in memory, committed or not: every block goes through here before it is written.

A leader's own blocks are adopted as they were sealed; another leader's are verified, entry by entry, as a ledger that
is read back is. Invariant: whoever goes back to a mark knows nothing of what came after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.errors import AuthenticationFailed, InvariantBroken, LedgerDamaged, MalformedMessage
from core.kv.write_set import table_names
from core.ledger.entry import HEADER_BYTES, OpenedEntry, framed_bytes
from core.ledger.epoch_records import EPOCHS
from core.ledger.merkle import MerkleFrontier
from core.ledger.secrets import EpochSecret, Keyring
from core.ledger.verify import LedgerVerifier, Place
from core.node.manager_tables import SystemState
from core.node.messages import ReplayedEntry
from core.node.replication.blocks import Mark, SealedBlock
from core.node.system_tables import SystemTables, is_system_table
from core.types import Seqno, View

OpenEpochs = Callable[[bytes], Sequence[EpochSecret]]
"""Takes an entry's public write set that records epochs; returns the secrets of those this node does not have yet."""


def no_new_epochs(public: bytes) -> Sequence[EpochSecret]:
    """For a node to which no epoch key is ever given."""
    del public
    return ()


class LedgerHead:
    """See the module. verifier, state and tables stand at the same signature."""

    def __init__(self, verifier: LedgerVerifier, keyring: Keyring, state: SystemState, tables: SystemTables) -> None:
        self.keyring = keyring
        self.state = state
        self.tables = tables
        self.open_epochs: OpenEpochs = no_new_epochs
        self._verifier = verifier

    @property
    def seqno(self) -> Seqno:
        return self._verifier.signed.seqno

    @property
    def view(self) -> View:
        """Of the newest entry."""
        return self._verifier.signed.view

    @property
    def frontier(self) -> MerkleFrontier:
        """Of the Merkle tree; to be copied before it grows."""
        return self._verifier.signed.frontier

    @property
    def views(self) -> tuple[tuple[View, Seqno], ...]:
        return self._verifier.signed.views

    @property
    def time_s(self) -> int:
        """Of the newest block, 0 where none is known."""
        return self._verifier.signed.time_s

    def mark(self) -> Mark:
        """Return what `go_back` takes."""
        return Mark(self._verifier.point(), self.state)

    def go_back(self, mark: Mark) -> None:
        """Forget all that came after a mark."""
        seqno = mark.point.signed.seqno
        self._verifier.go_back(mark.point)
        self.keyring.roll_back(seqno)
        self.tables.roll_back(seqno)
        self.state = mark.state

    def changing_state(self) -> SystemState:
        """Return the state for a change by the block that is being made; marks keep the one before."""
        self.state = self.state.copy()
        return self.state

    def adopt(self, block: SealedBlock) -> None:
        """Take a block of this node's own, whose system entries are in `state` and `tables` already."""
        written = [entry.public for entry in block.entries]
        self._verifier.adopt(block.frontier, block.view, block.first, written, time_s=block.time_s)
        if self.views[-1] == (block.view, block.first):
            leader = self.keyring.leader(block.view)
            if leader is not None:
                self.keyring.learn_view(block.view, block.first, leader)

    def take(self, data: bytes, term: View) -> SealedBlock:
        """Verify the next block, of the leader of `term`. Raises InvariantBroken: that leader's code is not ours."""
        try:
            return self._take(data, term)
        except (LedgerDamaged, MalformedMessage, AuthenticationFailed) as error:
            raise InvariantBroken(f"the leader of view {term} sent a block that is wrong: {error.message}") from error

    def _take(self, data: bytes, term: View) -> SealedBlock:
        first = self._verifier.next_seqno
        opened, sizes, offset = list[OpenedEntry](), list[int](), 0
        while offset < len(data):
            size = framed_bytes(data[offset : offset + HEADER_BYTES])
            entry = self._verifier.accept(data[offset : offset + size], Place(f"a block of view {term}", offset))
            if entry.view != term:
                raise MalformedMessage(f"entry {entry.seqno} of it is of view {entry.view}")
            opened.append(entry)
            sizes.append(size)
            offset += size
        if not opened or [entry.is_signature for entry in opened] != [False] * (len(opened) - 1) + [True]:
            raise MalformedMessage("it does not end with its one signature")
        keys_changed = any([self._absorb(entry) for entry in opened[:-1]])
        return SealedBlock(
            data=data,
            first=first,
            last=opened[-1].seqno,
            view=term,
            frontier=self._verifier.signed.frontier,
            leaves=tuple((entry.leaf, size) for entry, size in zip(opened, sizes, strict=True)),
            entries=tuple(ReplayedEntry(entry.seqno, entry.public, entry.private) for entry in opened[:-1]),
            keys_changed=keys_changed,
            time_s=self._verifier.signed.time_s,
        )

    def _absorb(self, entry: OpenedEntry) -> bool:
        """Take in what a system entry writes; returns whether it brought an epoch key."""
        if not any(is_system_table(name) for name in table_names(entry.public)):
            return False
        self.changing_state().absorb(entry.public)
        self.tables.note(entry.seqno, entry.public)
        return self.learn_epochs(entry.public)

    def learn_epochs(self, public: bytes) -> bool:
        """Take the keys of the epochs that an entry records; returns whether there was a new one."""
        if EPOCHS not in table_names(public):
            return False
        found = self.open_epochs(public)
        for secret in found:
            self.keyring.add_epoch(secret)
        return bool(found)
