"""The consensus engine of a network of one node: what is persisted is committed.

Same interface and same driving as Raft, so that nothing else knows the difference: a proposed block appears in
`ready().entries`; once `advance` says it is persisted, it appears in `committed`; after the next `advance` it is
forgotten. Invariant: applied <= committed = persisted <= last, and entries are handed out once each, in order.
"""

from __future__ import annotations

import struct
from collections import deque

from core import limits
from core.consensus.engine import ChangeRefused, LogEntry, Ready, Role, Status
from core.errors import CocoError, InvariantBroken, LimitExceeded
from core.types import NodeId, View

SNAPSHOT_VERSION = 1
_SNAPSHOT = struct.Struct("<BQQ")


class SingleNodeEngine:
    """Implements ConsensusEngine. term: the view this node leads, from its start to its end."""

    def __init__(self, node: NodeId, term: View) -> None:
        self._node = node
        self._term = term
        self._log: deque[LogEntry] = deque()
        self._last_index = 0
        self._persisted = 0
        self._applied = 0
        self._reads: list[tuple[bytes, int]] = []
        self._outstanding: Ready | None = None

    def tick(self) -> None:
        """Do nothing: one node has no timeouts."""

    def step(self, sender: NodeId, payload: bytes) -> None:
        """Raise CocoError: a network of one node has no peers whose messages could be meant for it."""
        del payload
        raise CocoError(f"a consensus message from {sender[:16]}, but this network has one node")

    def campaign(self) -> None:
        """Do nothing: this node leads."""

    def propose(self, data: bytes) -> int:
        """Append a block; returns its index."""
        self._last_index += 1
        self._log.append(LogEntry(self._last_index, self._term, data))
        return self._last_index

    def propose_conf_change(self, change: bytes, block: bytes) -> int:
        """Raise ChangeRefused: this engine's configuration is fixed."""
        del change, block
        raise ChangeRefused("the single-node engine takes no other nodes")

    def has_ready(self) -> bool:
        if self._outstanding is not None:
            return False
        return self._last_index > self._applied or bool(self._reads)

    def ready(self) -> Ready:
        """Return what is to be done. `advance` must follow before the next call; `propose` may come in between."""
        if self._outstanding is not None:
            raise InvariantBroken("ready was called again before advance")
        self._outstanding = Ready(
            entries=tuple(entry for entry in self._log if entry.index > self._persisted),
            messages=(),
            committed=tuple(entry for entry in self._log if entry.index <= self._persisted),
            reads=tuple(self._reads),
        )
        self._reads = []
        return self._outstanding

    def advance(self) -> None:
        """Say that the last `ready` was carried out: its entries are on disk, its committed entries applied."""
        if self._outstanding is None:
            raise InvariantBroken("advance was called without ready")
        done, self._outstanding = self._outstanding, None
        if done.entries:
            self._persisted = done.entries[-1].index
        for entry in done.committed:
            if self._log.popleft().index != entry.index:
                raise InvariantBroken(f"entry {entry.index} was committed out of order")
            self._applied = entry.index

    def apply_conf_change(self, change: bytes) -> bytes:
        """Raise CocoError: this engine's configuration is fixed."""
        del change
        raise CocoError("the single-node engine takes no other nodes")

    def transfer_leadership(self, to: NodeId) -> None:
        """Do nothing when `to` is this node; raises CocoError for any other."""
        if to != self._node:
            raise CocoError(f"leadership cannot go to {to[:16]}: this network has one node")

    def read_index(self, context: bytes) -> None:
        """Ask for a read; it may be served at the commit index of now. Raises LimitExceeded."""
        if len(self._reads) >= limits.QUEUED_COMMANDS_MAX:
            raise LimitExceeded(f"more than {limits.QUEUED_COMMANDS_MAX} reads are waiting")
        self._reads.append((context, self._persisted))

    def snapshot(self) -> bytes:
        """Return version, term and commit index."""
        return _SNAPSHOT.pack(SNAPSHOT_VERSION, self._term, self._persisted)

    def restore(self, snapshot: bytes) -> None:
        """Raise CocoError: there is no other node whose snapshot it could be."""
        del snapshot
        raise CocoError("the single-node engine takes no snapshot of another node")

    def report_unreachable(self, node: NodeId) -> None:
        """Do nothing: there are no peers."""

    def report_snapshot(self, node: NodeId, *, delivered: bool) -> None:
        """Do nothing: no snapshot is ever asked for."""

    def compact(self, index: int) -> None:
        """Check the bound; applied entries are forgotten anyway, for nobody could ask for them."""
        if index > self._applied:
            raise InvariantBroken(f"entry {index} is not applied yet (applied: {self._applied})")

    def status(self) -> Status:
        return Status(Role.LEADER, self._term, self._node, self._last_index, self._persisted, self._applied)
