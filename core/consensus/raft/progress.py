"""What a leader knows of one follower's log, and how fast it may send to it.

PROBE: where the logs match is not known; one append at a time, none until it is answered. REPLICATE: appends are sent
ahead of their acknowledgements, within a window of messages and bytes. SNAPSHOT: the entries it needs are compacted;
nothing is sent until it has a snapshot. Invariants: match <= received < next; a window holds the last index of each
append on its way. Source: Raft thesis, section 10.2; go.etcd.io/raft, package tracker.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from core.consensus.raft.settings import RaftSettings


class FollowerState(Enum):
    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    """match: up to where the follower has our log on its disk; received: up to where it has it in memory.

    commit: up to where it says that it knows entries to be committed. nudged: answer its heartbeat with an append,
    though an empty one. sent_commit: the commit index it was told last.
    """

    __slots__ = (
        "_inflight",
        "_inflight_bytes",
        "_settings",
        "commit",
        "match",
        "next",
        "nudged",
        "paused",
        "received",
        "recent_active",
        "sent_commit",
        "state",
    )

    def __init__(self, settings: RaftSettings, next_index: int, *, recent_active: bool) -> None:
        self._settings = settings
        self._inflight: deque[tuple[int, int]] = deque()
        self._inflight_bytes = 0
        self.state = FollowerState.PROBE
        self.match = 0
        self.commit = 0
        self.received = 0
        self.next = next_index
        self.paused = False
        self.nudged = False
        self.recent_active = recent_active
        self.sent_commit = 0

    def is_full(self) -> bool:
        """Return whether the window holds no further entries."""
        return (
            len(self._inflight) >= self._settings.inflight_messages_max
            or self._inflight_bytes >= self._settings.inflight_bytes_max
        )

    @property
    def inflight(self) -> int:
        return len(self._inflight)

    def is_paused(self) -> bool:
        return self.state is FollowerState.SNAPSHOT or self.paused

    def _become(self, state: FollowerState, next_index: int) -> None:
        self.state = state
        self.paused = False
        self._inflight.clear()
        self._inflight_bytes = 0
        self.next = next_index
        self.sent_commit = min(self.sent_commit, next_index - 1)

    def become_probe(self, next_index: int | None = None) -> None:
        self._become(FollowerState.PROBE, next_index or self.received + 1)

    def become_replicate(self) -> None:
        self._become(FollowerState.REPLICATE, self.received + 1)

    def become_snapshot(self) -> None:
        self._become(FollowerState.SNAPSHOT, self.received + 1)

    def sent(self, entries: int, size_bytes: int, commit: int) -> None:
        """Note an append that was sent, with this many entries."""
        self.sent_commit = commit
        if self.state is FollowerState.PROBE:
            self.paused = self.paused or entries > 0
            return
        if entries:
            self.next += entries
            self._inflight.append((self.next - 1, size_bytes))
            self._inflight_bytes += size_bytes
        self.paused = self.is_full()

    def acknowledged(self, index: int, received: int) -> bool:
        """Note an acknowledgement; returns whether it brought anything new. Old ones may come late and repeated."""
        if index <= self.match and received <= self.received:
            return False
        self.match = max(self.match, index)
        self.received = max(self.received, received, index)
        self.next = max(self.next, self.received + 1)
        self.paused = False
        return True

    def free(self) -> None:
        """Forget appends on their way that have arrived."""
        while self._inflight and self._inflight[0][0] <= self.received:
            self._inflight_bytes -= self._inflight.popleft()[1]

    def rejected(self, index: int, hint: int) -> bool:
        """Step back after the append behind `index` did not match; returns False if the rejection is an old one."""
        if self.state is FollowerState.SNAPSHOT:
            return False
        if self.state is FollowerState.REPLICATE:
            if index <= self.received:
                return False
            self.become_probe()
            return True
        if self.next - 1 != index:
            return False
        self._become(FollowerState.PROBE, max(min(index, hint + 1), self.received + 1))
        return True

    def may_learn_commit(self, commit: int) -> bool:
        """Return whether an append now would move the follower's commit index further than what it was told."""
        return commit > self.sent_commit and self.sent_commit < self.next - 1
