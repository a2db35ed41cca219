"""The log in memory, and how far it is handed out, on disk, committed and applied.

Invariants: snapshot_index <= applied <= commit <= last_index; committed entries are handed out once, in order, when
they are on disk; entries up to commit are never cut off. `stable` is up to where the disk holds this very log: a write
that is under way when its entries are replaced no longer counts from there on, even if the same entries come back
(etcd's ABA trap). Source: Raft, section 5.3; go.etcd.io/raft, log.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from core.consensus.engine import LogEntry
from core.errors import InvariantBroken
from core.types import View


@dataclass(slots=True)
class Outstanding:
    """A Ready that is being carried out: up to where the disk and the application will then be."""

    stable: int
    applied: int


def entry_bytes(entry: LogEntry) -> int:
    return len(entry.data) + len(entry.change)


class Log:
    """See the module. snapshot_index, snapshot_term: of the last entry before the first one that is kept."""

    def __init__(self, index: int, term: int) -> None:
        self._entries: list[LogEntry] = []
        self.outstanding: deque[Outstanding] = deque()
        self.snapshot_index = index
        self.snapshot_term = term
        self.commit = index
        self.applied = index
        self.stable = index
        self._handed = index
        self._handed_committed = index

    @property
    def first_index(self) -> int:
        return self.snapshot_index + 1

    @property
    def last_index(self) -> int:
        return self.snapshot_index + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self.snapshot_term

    def term_at(self, index: int) -> int | None:
        """Return the term at index; None where the log has nothing, or nothing any more."""
        place = index - self.snapshot_index - 1
        if 0 <= place < len(self._entries):
            return self._entries[place].term
        return self.snapshot_term if place == -1 else None

    def entry(self, index: int) -> LogEntry:
        if not self.first_index <= index <= self.last_index:
            raise InvariantBroken(f"entry {index} is not in the log ({self.first_index}..{self.last_index})")
        return self._entries[index - self.snapshot_index - 1]

    def entries(self, low: int, high: int) -> Sequence[LogEntry]:
        """Return the entries from low to high, both included, which the log must hold."""
        if high < low:
            return ()
        if low < self.first_index or high > self.last_index:
            raise InvariantBroken(f"entries {low}..{high} of a log that holds {self.first_index}..{self.last_index}")
        return self._entries[low - self.first_index : high - self.snapshot_index]

    def entries_within(self, low: int, high: int, bytes_max: int, count_max: int) -> Sequence[LogEntry]:
        """Return entries from low to high at most: what fits bytes_max, but one in any case, or none if high < low."""
        if min(high, self.last_index) < low:
            return []
        if low < self.first_index:
            raise InvariantBroken(f"entry {low} is compacted (up to {self.snapshot_index})")
        place, end = low - self.first_index, min(high, self.last_index) - self.snapshot_index
        taken: list[LogEntry] = []
        total = 0
        for entry in self._entries[place : min(end, place + count_max)]:
            total += entry_bytes(entry)
            if taken and total > bytes_max:
                break
            taken.append(entry)
        return taken

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Return whether a log that ends at (index, term) is at least as up to date as this one."""
        return term > self.last_term or (term == self.last_term and index >= self.last_index)

    def last_index_of_term(self, index: int, term: int) -> tuple[int, int]:
        """Return the last place up to index whose term is at most `term`, and its term: there another log may match."""
        index = min(index, self.last_index)
        while index > self.snapshot_index and self._entries[index - self.first_index].term > term:
            index -= 1
        return index, self.term_at(index) or 0

    def append(self, entry: LogEntry) -> None:
        if entry.index != self.last_index + 1 or entry.term < self.last_term:
            raise InvariantBroken(f"entry {entry.index} of term {entry.term} does not follow {self.last_index}")
        self._entries.append(entry)

    def merge(self, entries: Sequence[LogEntry]) -> None:
        """Take entries that follow a place where the logs match: cut off what conflicts, append what is new."""
        for entry in entries:
            if entry.index <= self.last_index:
                if self.term_at(entry.index) == entry.term:
                    continue
                self._cut(entry.index)
            self.append(entry)

    def _cut(self, index: int) -> None:
        """Remove the entries from index on."""
        if index <= self.commit:
            raise InvariantBroken(f"entry {index} conflicts with one that is committed (up to {self.commit})")
        del self._entries[index - self.first_index :]
        self.stable = min(self.stable, index - 1)
        self._handed = min(self._handed, index - 1)
        for ready in self.outstanding:
            ready.stable = min(ready.stable, index - 1)

    def commit_to(self, index: int) -> bool:
        """Move the commit index forward; returns whether it moved."""
        if index <= self.commit:
            return False
        if index > self.last_index:
            raise InvariantBroken(f"entry {index} is said to be committed, but the log ends at {self.last_index}")
        self.commit = index
        return True

    def has_unapplied_change(self) -> bool:
        """Return whether a configuration entry is committed, but not yet in force here."""
        return any(entry.change for entry in self.entries(self.applied + 1, self.commit))

    def uncommitted_bytes(self) -> int:
        return sum(map(entry_bytes, self.entries(self.commit + 1, self.last_index)))

    def has_work(self) -> bool:
        return self._handed < self.last_index or self._handed_committed < min(self.commit, self.stable)

    def hand_out(self, committed_bytes_max: int) -> tuple[Sequence[LogEntry], Sequence[LogEntry]]:
        """Return what is to be written, and what is to be applied; `complete` must follow, in the same order."""
        entries = tuple(self.entries(self._handed + 1, self.last_index))
        low, high = self._handed_committed + 1, min(self.commit, self.stable)
        committed = tuple(self.entries_within(low, high, committed_bytes_max, high)) if low <= high else ()
        self._handed = self.last_index
        self._handed_committed += len(committed)
        self.outstanding.append(Outstanding(self.last_index, self._handed_committed))
        return entries, committed

    def complete(self) -> None:
        """Note that the oldest of what was handed out is written and applied."""
        if not self.outstanding:
            raise InvariantBroken("advance was called without ready")
        done = self.outstanding.popleft()
        self.stable = max(self.stable, done.stable)
        self.applied = max(self.applied, done.applied)

    def compact(self, index: int) -> None:
        """Forget the entries up to index, which must be applied."""
        if index > self.applied:
            raise InvariantBroken(f"entry {index} is not applied yet (applied: {self.applied})")
        if index <= self.snapshot_index:
            return
        term = self.entry(index).term
        del self._entries[: index - self.snapshot_index]
        self.snapshot_index, self.snapshot_term = index, term

    def restore(self, index: int, term: View) -> None:
        """Go on from a snapshot that is past what is applied. What follows it here is kept if it is the same log."""
        if self.outstanding:
            raise InvariantBroken("a snapshot was restored before all that was handed out was carried out")
        if self.term_at(index) == term:
            kept = list(self.entries(index + 1, self.last_index))
            self.stable = max(self.stable, index)
            self._handed = max(self._handed, index)
        else:
            if index <= self.commit:
                raise InvariantBroken(f"a snapshot holds another entry {index} than the one that is committed here")
            kept = []
            self.stable = self._handed = index
        self._entries = kept
        self.snapshot_index, self.snapshot_term = index, term
        self.commit = max(self.commit, index)
        self.applied = self._handed_committed = index
