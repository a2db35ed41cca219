"""Linearizable reads without the log: read-index, confirmed by a quorum. No leases, since clocks are not trusted.

The leader notes its commit index when a read comes, which is right only once it has committed an entry of its own term,
and answers once a quorum has answered a heartbeat that was sent later: then no other leader had been elected before.
Reads that came since the last messages were taken share one round of heartbeats. A follower asks the leader under a
number of its own, so that a late answer is never taken for the answer to a later read. Source: Raft thesis, section
6.4; go.etcd.io/raft.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from core import limits
from core.consensus.engine import Role
from core.consensus.raft.messages import HeartbeatResponse, ReadRequest, ReadResponse
from core.consensus.raft.replication import Replication
from core.consensus.raft.settings import RaftSettings
from core.consensus.raft.state import RandomTicks
from core.errors import LimitExceeded, MalformedMessage
from core.types import NodeId, View


@dataclass(frozen=True, slots=True)
class PendingRead:
    """A read at the leader. requester: who asked, with its own number; this node itself has the context instead."""

    requester: NodeId
    number: int
    context: bytes
    index: int = 0
    round: int = 0


@dataclass(slots=True)
class ForwardedRead:
    context: bytes
    age_ticks: int = 0


class Reading(Replication):
    """See the module."""

    def __init__(
        self,
        node: NodeId,
        settings: RaftSettings,
        random_ticks: RandomTicks,
        *,
        snapshot: bytes,
        term: View | None = None,
    ) -> None:
        self._reads_early: list[PendingRead] = []
        self._reads_pending: deque[PendingRead] = deque()
        self._round = 0
        self._round_due = False
        self._round_answered: dict[NodeId, int] = {}
        self._forwarded: dict[int, ForwardedRead] = {}
        self._read_number = 0
        self._reads_ready: list[tuple[bytes, int]] = []
        self._reads_dropped: list[bytes] = []
        super().__init__(node, settings, random_ticks, snapshot=snapshot, term=term)

    def read_index(self, context: bytes) -> None:
        """Ask for a linearizable read; context comes back in `reads` or `dropped_reads`. Raises LimitExceeded."""
        if len(context) > limits.CONSENSUS_READ_CONTEXT_BYTES_MAX:
            raise LimitExceeded(f"a read's context has at most {limits.CONSENSUS_READ_CONTEXT_BYTES_MAX} bytes")
        waiting = len(self._reads_early) + len(self._reads_pending) + len(self._forwarded)
        if waiting + len(self._reads_ready) + len(self._reads_dropped) >= limits.CONSENSUS_READS_MAX:
            raise LimitExceeded(f"more than {limits.CONSENSUS_READS_MAX} reads are waiting")
        if self.role is Role.LEADER:
            self._take_read(PendingRead(self.node, 0, context))
        elif self.leader is None or self.leader == self.node:
            self._reads_dropped.append(context)
        else:
            self._read_number += 1
            self._forwarded[self._read_number] = ForwardedRead(context)
            self._send(self.leader, ReadRequest(self.term, self._read_number))

    # The leader.

    def has_committed_in_term(self) -> bool:
        """Return whether this leader's commit index is known to be no older than what was committed before it."""
        return self.log.term_at(self.log.commit) == self.term

    def _take_read(self, read: PendingRead) -> None:
        if not self.has_committed_in_term():
            self._reads_early.append(read)
            return
        self._reads_pending.append(
            PendingRead(read.requester, read.number, read.context, self.log.commit, self._round + 1)
        )
        self._round_due = True

    def _reads_may_start(self) -> None:
        if self._reads_early and self.has_committed_in_term():
            early, self._reads_early = self._reads_early, []
            for read in early:
                self._take_read(read)

    def _read_round(self) -> int:
        return self._round

    def _begin_round(self) -> None:
        """Send the heartbeats that confirm the reads that came since the last round."""
        if not self._round_due or self.role is not Role.LEADER:
            return
        self._round_due = False
        self._round += 1
        self._round_answered[self.node] = self._round
        self._send_heartbeats()
        self._confirm_reads()

    def _on_heartbeat_response(self, sender: NodeId, message: HeartbeatResponse) -> None:
        super()._on_heartbeat_response(sender, message)
        if self.role is Role.LEADER and message.round > self._round_answered.get(sender, 0):
            if message.round > self._round:
                raise MalformedMessage(f"{sender[:16]} answers a round of reads that was not begun")
            self._round_answered[sender] = message.round
            self._confirm_reads()

    def _confirm_reads(self) -> None:
        if not self._reads_pending:
            return
        confirmed = self.agreed_index(lambda node: self._round_answered.get(node, 0))
        while self._reads_pending and self._reads_pending[0].round <= confirmed:
            read = self._reads_pending.popleft()
            if read.requester == self.node:
                self._reads_ready.append((read.context, read.index))
            else:
                self._send(read.requester, ReadResponse(self.term, read.number, read.index))

    def _on_read_request(self, sender: NodeId, message: ReadRequest) -> None:
        """Take a follower's read; it asks again if this node does not lead, or has too many waiting."""
        waiting = len(self._reads_early) + len(self._reads_pending)
        if self.role is Role.LEADER and sender in self.configuration.members and waiting < limits.CONSENSUS_READS_MAX:
            self._take_read(PendingRead(sender, message.number, b""))

    # The follower.

    def _on_read_response(self, sender: NodeId, message: ReadResponse) -> None:
        read = self._forwarded.pop(message.number, None) if sender == self.leader else None
        if read is not None:
            self._reads_ready.append((read.context, message.index))

    def _age_forwarded_reads(self) -> None:
        """Give up reads that the leader has not answered for an election timeout."""
        for number, read in list(self._forwarded.items()):
            read.age_ticks += 1
            if read.age_ticks > self.settings.election_ticks:
                del self._forwarded[number]
                self._reads_dropped.append(read.context)

    def _drop_reads(self) -> None:
        own = [read for read in (*self._reads_early, *self._reads_pending) if read.requester == self.node]
        self._reads_dropped += [read.context for read in own]
        self._reads_dropped += [read.context for read in self._forwarded.values()]
        self._reads_early = []
        self._reads_pending.clear()
        self._forwarded.clear()
        self._round = 0
        self._round_due = False
        self._round_answered = {}
