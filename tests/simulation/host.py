"""A simulated host: an engine, and the disk its Readys are written to. It dies for good; its disk remains."""

from __future__ import annotations

from collections import deque

from core.consensus.configuration import Configuration, decode_configuration, decode_snapshot
from core.consensus.engine import LogEntry, Ready, Role
from core.consensus.raft.engine import RaftEngine
from core.types import NodeId


class LedgerDisk:
    """What a host has written: a base, up to which it has a snapshot, and entries behind it."""

    def __init__(self, index: int, term: int) -> None:
        self.base, self.base_term = index, term
        self.entries: list[LogEntry] = []

    @property
    def last_index(self) -> int:
        return self.base + len(self.entries)

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.base_term

    def write(self, entries: list[LogEntry] | tuple[LogEntry, ...]) -> None:
        if entries:
            del self.entries[entries[0].index - self.base - 1 :]
            assert entries[0].index == self.last_index + 1, "a hole on the disk"
            self.entries.extend(entries)

    def has(self, index: int, term: int) -> bool:
        """Return whether entry (index, term) is there; a snapshot holds only what is committed."""
        place = index - self.base - 1
        return place < 0 or (place < len(self.entries) and self.entries[place].term == term)


class Host:
    """See the module. period: units of time between its ticks. reads: floor of each read that waits, by context."""

    def __init__(self, node: NodeId, engine: RaftEngine, snapshot: bytes, period: int) -> None:
        reference = decode_snapshot(snapshot)
        self.node = node
        self.engine = engine
        self.period = period
        self.alive = True
        self.disk = LedgerDisk(reference.index, reference.term)
        self.slow = False
        self.queue: deque[Ready] = deque()
        self.writing = 0
        """How many of the queue are in the write that is under way."""
        self.snapshot = snapshot
        self.shipped: bytes | None = None
        """A snapshot that has arrived, and is restored once the disk is idle."""
        self.reads: dict[bytes, int] = {}
        self.reads_done = 0
        self.applied = reference.index
        self.applied_seen = reference.index
        self.commit_seen = reference.index
        self.term_seen = 0
        self.vote_seen: NodeId | None = None
        self.leading_term = 0
        self.configuration_seen: Configuration | None = None
        self.member = False
        self.was_member = False
        self.changes: list[tuple[int, Configuration]] = []

    @property
    def leads(self) -> bool:
        return self.alive and self.engine.role is Role.LEADER

    def apply(self, entry: LogEntry) -> None:
        assert entry.index == self.applied + 1, "entries are applied out of order"
        self.applied = entry.index
        if entry.change:
            encoded = self.engine.apply_conf_change(entry.change)
            self.changes.append((entry.index, decode_configuration(encoded)))

    def restore(self, snapshot: bytes) -> None:
        """Install a snapshot; the engine may keep what it has behind it."""
        self.engine.restore(snapshot)
        index = decode_snapshot(snapshot).index
        if index > self.applied:
            self.applied = index
            self.snapshot = snapshot
            log = self.engine.log
            self.disk = LedgerDisk(log.snapshot_index, log.snapshot_term)
            self.disk.entries = list(log.entries(log.first_index, log.last_index))
