"""The interface of a consensus engine, shaped like etcd's RawNode: no clock, no I/O, no threads, no randomness.

The caller drives it: `tick` on a timer, `step` with each message of a peer, `propose` with each block; then, while
`has_ready`, it takes what `ready` returns, carries it out and says so with `advance`. Bytes in, bytes out: one entry is
one Coco block, opaque to the engine. Roles and leaders are read from `status` after any call.

What may overlap:

- `messages` may be sent at once, in parallel with the write of the same Ready's `entries`: what depends on a write (the
  acknowledgement of entries) is made only after `advance` said that the write is done.
- An engine may hand out further Readys while earlier ones are being written (`has_ready` is False when it will not).
  They are written in order, and each `advance` stands for the oldest that is outstanding.
- `committed` entries are on this node's disk already. They are applied in order, and may be applied before `entries` of
  the same Ready are written.

A node never restarts under its old identity (DESIGN section 5), so that term and vote are kept in memory only;
`entries` are for the ledger file. Source: go.etcd.io/raft, package documentation.
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


class TransferPending(CocoError):
    """The leader is handing over to `to`, and takes no proposals meanwhile."""

    def __init__(self, to: NodeId) -> None:
        super().__init__("leadership is being handed over", hint=f"Ask {to} shortly; this node goes on if that fails.")
        self.to = to


class ChangeRefused(CocoError):
    """A configuration change that cannot be proposed now: one is pending, or it makes no sense, or a node is behind."""


class Role(Enum):
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"
    LEARNER = "learner"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """index: position in the consensus log, from 1. data: one block, or b"" in an entry that is the engine's own and
    takes no seqno. change: of a configuration entry, the encoded ConfigurationChange; `data` is then the block that
    records it.
    """

    index: int
    term: View
    data: bytes
    change: bytes = b""

    @property
    def is_configuration(self) -> bool:
        return bool(self.change)


@dataclass(frozen=True, slots=True)
class PeerMessage:
    to: NodeId
    payload: bytes


@dataclass(frozen=True, slots=True)
class SnapshotNeeded:
    """`to` needs a snapshot at `index` or later: older entries are compacted. The caller ships it and reports."""

    to: NodeId
    index: int


@dataclass(frozen=True, slots=True)
class Ready:
    """What the caller must do: persist entries, send messages, apply committed; see the module for what may overlap.

    entries: when they begin at or below an index that was handed out before, the file is cut there first. For each
    committed configuration entry the caller calls `apply_conf_change` as it applies it.
    """

    entries: Sequence[LogEntry]
    messages: Sequence[PeerMessage]
    committed: Sequence[LogEntry]
    reads: Sequence[tuple[bytes, int]]
    """(context, index) of reads that may be served once `index` is applied."""
    dropped_reads: Sequence[bytes] = ()
    """Contexts of reads that cannot be confirmed, since the leader changed or does not answer. Ask again."""
    snapshots: Sequence[SnapshotNeeded] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """role: LEARNER is who may not stand for election, which a removed node may not either. is_member: whether this
    node is in its own configuration. is_settled: on the leader, whether a quorum knows the configuration in force:
    nodes that were removed are stopped only then, and the last one to be stopped is a removed leader, when it has
    stepped down.
    """

    role: Role
    term: View
    leader: NodeId | None
    last_index: int
    commit_index: int
    applied_index: int = 0
    is_member: bool = True
    is_settled: bool = True
    transferring_to: NodeId | None = None


class ConsensusEngine(Protocol):
    """See the module. Implementations are pure state machines."""

    def tick(self) -> None: ...

    def step(self, sender: NodeId, payload: bytes) -> None:
        """Take a message; sender is who the channel says it is. Raises MalformedMessage: ignore it and count it."""
        ...

    def campaign(self) -> None:
        """Stand for election now, if this node may: the first node of a network, and operators' tools."""
        ...

    def propose(self, data: bytes) -> int:
        """Append a block, not empty; returns its index. Raises NotLeader, TransferPending or LimitExceeded."""
        ...

    def propose_conf_change(self, change: bytes, block: bytes) -> int:
        """Append an encoded ConfigurationChange with the block that records it; returns its index.

        Raises NotLeader, TransferPending, ChangeRefused, LimitExceeded or MalformedMessage.
        """
        ...

    def has_ready(self) -> bool: ...

    def ready(self) -> Ready: ...

    def advance(self) -> None:
        """Say that the oldest outstanding Ready was carried out: its entries are on disk, its committed applied."""
        ...

    def apply_conf_change(self, change: bytes) -> bytes:
        """Put the `change` of the next committed configuration entry in force; returns the Configuration, encoded."""
        ...

    def transfer_leadership(self, to: NodeId) -> None:
        """Hand leadership over; given up after an election timeout. Raises NotLeader, or CocoError for a non-voter."""
        ...

    def read_index(self, context: bytes) -> None:
        """Ask for a linearizable read; context comes back in `reads` or `dropped_reads`. Raises LimitExceeded."""
        ...

    def snapshot(self) -> bytes:
        """Return the engine's part of a snapshot at the applied index: index, term and configuration."""
        ...

    def restore(self, snapshot: bytes) -> None:
        """Go on from another node's `snapshot`, once the caller has its state on disk. Nothing may be outstanding."""
        ...

    def compact(self, index: int) -> None:
        """Forget log entries up to index, which is applied."""
        ...

    def report_unreachable(self, node: NodeId) -> None:
        """Say that a message to node was probably lost."""
        ...

    def report_snapshot(self, node: NodeId, *, delivered: bool) -> None:
        """Say how the shipping of a snapshot that `Ready.snapshots` asked for ended."""
        ...

    def status(self) -> Status: ...
