"""The interface of a consensus engine, shaped like etcd's RawNode: no clock, no I/O, no threads, no randomness.

The caller drives it: `tick` on a timer, `step` with each message of a peer, `propose` with each block; then takes what
`ready` returns, persists `entries`, sends `messages`, applies `committed`, and says so with `advance`. Bytes in, bytes
out: one entry is one Coco block, opaque to the engine. Source: go.etcd.io/raft, package documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from core.errors import CocoError
from core.types import NodeId, View


class NotLeader(CocoError):
    """Only the leader takes proposals. leader: who leads, if known."""

    def __init__(self, leader: NodeId | None) -> None:
        super().__init__("this node does not lead", hint=f"The leader is {leader or 'not known yet'}.")
        self.leader = leader


class Role(Enum):
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"
    LEARNER = "learner"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """index: position in the consensus log, from 1. data: one block, or b"" for the engine's own empty entry."""

    index: int
    term: View
    data: bytes
    is_configuration: bool = False


@dataclass(frozen=True, slots=True)
class PeerMessage:
    to: NodeId
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """What the caller must do, in this order: persist entries, send messages, apply committed."""

    entries: Sequence[LogEntry]
    messages: Sequence[PeerMessage]
    committed: Sequence[LogEntry]
    reads: Sequence[tuple[bytes, int]]
    """(context, index) of reads that may be served once `index` is applied."""


@dataclass(frozen=True, slots=True)
class Status:
    role: Role
    term: View
    leader: NodeId | None
    last_index: int
    commit_index: int


class ConsensusEngine(Protocol):
    """See the module. Implementations are pure state machines."""

    def tick(self) -> None: ...

    def step(self, sender: NodeId, payload: bytes) -> None: ...

    def propose(self, data: bytes) -> int:
        """Append a block; returns its index. Raises NotLeader."""
        ...

    def has_ready(self) -> bool: ...

    def ready(self) -> Ready: ...

    def advance(self) -> None:
        """Say that the last `ready` was carried out."""
        ...

    def apply_conf_change(self, change: bytes) -> None: ...

    def transfer_leadership(self, to: NodeId) -> None: ...

    def read_index(self, context: bytes) -> None: ...

    def snapshot(self) -> bytes:
        """Return the engine's own state, for a joiner."""
        ...

    def compact(self, index: int) -> None:
        """Forget log entries up to index."""
        ...

    def status(self) -> Status: ...
