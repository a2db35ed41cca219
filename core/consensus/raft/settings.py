"""What can be set of a Raft engine. Times are in ticks, which the caller gives."""

from __future__ import annotations

from dataclasses import dataclass

from core import limits
from core.errors import CocoError


@dataclass(frozen=True, slots=True)
class RaftSettings:
    """Raises CocoError for values that cannot work.

    election_ticks: a follower that hears nothing for this long, up to twice as long by chance, stands for election; a
    leader that is not heard by a quorum for this long steps down. append_bytes_max: of an append's entries, unless one
    alone is larger. inflight_*: what may be on its way to one follower. uncommitted_bytes_max: what is proposed and not
    committed; above it proposals are refused. catch_up_entries_max: how far a learner may be behind when it is to
    become a voter. departing_ticks_max: how long the leader goes on telling a removed node that it is removed.
    """

    election_ticks: int = 10
    heartbeat_ticks: int = 1
    append_bytes_max: int = 1 * limits.MEBIBYTE
    inflight_messages_max: int = 256
    inflight_bytes_max: int = 32 * limits.MEBIBYTE
    uncommitted_bytes_max: int = 64 * limits.MEBIBYTE
    committed_bytes_max: int = 64 * limits.MEBIBYTE
    """Of the committed entries of one Ready, unless one alone is larger."""
    catch_up_entries_max: int = 64
    departing_ticks_max: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat_ticks < self.election_ticks:
            raise CocoError("an election timeout must be longer than the time between heartbeats")
        sizes = (
            self.append_bytes_max,
            self.inflight_messages_max,
            self.inflight_bytes_max,
            self.uncommitted_bytes_max,
            self.committed_bytes_max,
            self.catch_up_entries_max,
            self.departing_ticks_max,
        )
        if min(sizes) < 1:
            raise CocoError("the bounds of a Raft engine are positive")
        if self.append_bytes_max > limits.CONSENSUS_ENTRY_BYTES_MAX:
            raise CocoError(f"an append holds at most {limits.CONSENSUS_ENTRY_BYTES_MAX} bytes")
