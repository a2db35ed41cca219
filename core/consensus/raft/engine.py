"""The Raft engine as its caller drives it: messages in, Readys out. See core/consensus/engine.py and docs/consensus.md.

Invariant: a call either raises before anything changed or leaves the state consistent; InvariantBroken alone stops the
node.
"""

from __future__ import annotations

from typing import assert_never

from core import limits
from core.consensus.engine import PeerMessage, Ready, Role, Status
from core.consensus.raft.elections import Elections
from core.consensus.raft.messages import (
    Append,
    AppendRejection,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    RaftMessage,
    ReadRequest,
    ReadResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    decode_message,
)
from core.errors import CocoError, InvariantBroken, MalformedMessage
from core.types import NodeId


class RaftEngine(Elections):
    """Implements ConsensusEngine. Several Readys may be outstanding, up to limits.CONSENSUS_READYS_MAX."""

    def step(self, sender: NodeId, payload: bytes) -> None:
        """Take a message of another engine. Raises MalformedMessage: the caller ignores it and counts it."""
        message = decode_message(payload)
        if sender == self.node:
            raise MalformedMessage("a consensus message from this node itself")
        if message.term > self.term:
            if not self._meet_later_term(sender, message):
                return
        elif message.term < self.term:
            self._answer_earlier_term(sender, message)
            return
        self._take(sender, message)

    def _take(self, sender: NodeId, message: RaftMessage) -> None:
        """Take a message of this term, or of a vote that is only asked about."""
        match message:
            case VoteRequest():
                self._on_vote_request(sender, message)
            case VoteResponse():
                self._on_vote_response(sender, message)
            case Append():
                self._hear_leader(sender)
                self._on_append(sender, message)
            case Heartbeat():
                self._hear_leader(sender)
                self._on_heartbeat(sender, message)
            case AppendResponse():
                self._on_append_response(sender, message)
            case AppendRejection():
                self._on_append_rejection(sender, message)
            case HeartbeatResponse():
                self._on_heartbeat_response(sender, message)
            case TimeoutNow():
                self._on_timeout_now(sender)
            case ReadRequest():
                self._on_read_request(sender, message)
            case ReadResponse():
                self._on_read_response(sender, message)
            case _:
                assert_never(message)

    def _hear_leader(self, sender: NodeId) -> None:
        """Follow the one leader of this term."""
        if self.role is Role.LEADER or (self.leader is not None and self.leader != sender):
            raise InvariantBroken(f"term {self.term} has two leaders: {sender[:16]} and {(self.leader or '')[:16]}")
        if self.role is not Role.FOLLOWER:
            self.become_follower(self.term, sender)
        self.leader = sender
        self.election_elapsed = 0

    def propose(self, data: bytes) -> int:
        """Append a block; see the interface."""
        if not data:
            raise CocoError("a block is not empty")
        self._require_proposing()
        return self._append_own(data)

    def has_ready(self) -> bool:
        """Return whether `ready` has anything to hand out."""
        if len(self.log.outstanding) >= limits.CONSENSUS_READYS_MAX:
            return False
        self._collect()
        return bool(
            self._outbox or self._snapshots_needed or self._reads_ready or self._reads_dropped or self.log.has_work()
        )

    def _collect(self) -> None:
        """Make the messages that were put off, so that many causes share one."""
        self._flush()
        self._begin_round()

    def ready(self) -> Ready:
        """Hand out what is to be done; `advance` must follow for each Ready, in the same order."""
        if len(self.log.outstanding) >= limits.CONSENSUS_READYS_MAX:
            raise InvariantBroken(f"more than {limits.CONSENSUS_READYS_MAX} Readys are outstanding")
        self._collect()
        entries, committed = self.log.hand_out(self.settings.committed_bytes_max)
        self._changes_handed.extend(entry for entry in committed if entry.change)
        messages: list[PeerMessage] = self._outbox
        ready = Ready(
            entries=entries,
            messages=messages,
            committed=committed,
            reads=self._reads_ready,
            dropped_reads=self._reads_dropped,
            snapshots=self._snapshots_needed,
        )
        self._outbox, self._reads_ready, self._reads_dropped, self._snapshots_needed = [], [], [], []
        return ready

    def advance(self) -> None:
        """Say that the oldest outstanding Ready was carried out."""
        if not self.log.outstanding:
            raise InvariantBroken("advance was called without ready")
        if self._changes_handed and self._changes_handed[0].index <= self.log.outstanding[0].applied:
            raise InvariantBroken(f"the change {self._changes_handed[0].index} was not applied before advance")
        before = self.log.stable
        self.log.complete()
        if self.role is Role.LEADER:
            own = self.progress[self.node]
            if own.acknowledged(self.log.stable, self.log.stable):
                self._maybe_commit()
            self._maybe_leave_joint()
        elif self.log.stable > before and self.leader is not None and max(self.verified, self.log.commit) > before:
            self._acknowledge(self.leader)

    def status(self) -> Status:
        """Return what the caller and its metrics want to know."""
        role = self.role
        if role is Role.FOLLOWER and not self.is_promotable():
            role = Role.LEARNER
        return Status(
            role=role,
            term=self.term,
            leader=self.leader,
            last_index=self.log.last_index,
            commit_index=self.log.commit,
            applied_index=self.log.applied,
            is_member=self.node in self.configuration.members,
            is_settled=self.is_settled(),
            transferring_to=self.transferring_to,
        )
