"""Elections: timeouts, pre-votes, votes, check-quorum and handing leadership over.

A node asks first whether it would be elected (pre-vote), without touching its term, so that one that was cut off does
no harm when it comes back; who hears a leader answers no such question (stickiness), and a leader that hears no quorum
steps down (check-quorum). Any node votes when it is asked, learner or not: it may not know yet that it is a voter;
votes count only where the candidate's configuration counts them. Source: Raft, section 5.2; Raft thesis, sections 3.10,
4.2.2, 4.2.3, 6.2 and 9.6.
"""

from __future__ import annotations

from core.consensus.engine import Role
from core.consensus.raft.membership import Membership
from core.consensus.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    RaftMessage,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from core.consensus.raft.quorum import VoteResult
from core.errors import CocoError
from core.types import NodeId, View


class Elections(Membership):
    """See the module."""

    _campaign_waits: View | None = None
    """The term in which leadership was handed to this node, which had first to apply a change."""

    # Time.

    def tick(self) -> None:
        """Let one unit of time pass."""
        self._age_departed()
        self._age_forwarded_reads()
        self.election_elapsed += 1
        if self.role is Role.LEADER:
            self._tick_leader()
        elif self.election_elapsed >= self.election_timeout and self._may_campaign():
            self._campaign(pre=True)

    def _tick_leader(self) -> None:
        self.heartbeat_elapsed += 1
        if self.election_elapsed >= self.settings.election_ticks:
            self.election_elapsed = 0
            # A transfer that took this long has failed; this node leads on.
            self.transferring_to = None
            if self.is_promotable() and not self._quorum_is_active():
                self.become_follower(self.term, None)
                return
            for node, progress in self.progress.items():
                progress.recent_active = node == self.node
        self._maybe_leave_joint()
        if self.heartbeat_elapsed >= self.settings.heartbeat_ticks:
            self.heartbeat_elapsed = 0
            self._send_heartbeats()

    def _quorum_is_active(self) -> bool:
        """Return whether a quorum was heard since this was asked last."""
        heard = {node: progress.recent_active for node, progress in self.progress.items()}
        return self.election_result({**heard, self.node: True}) is VoteResult.WON

    # Standing for election.

    def _may_campaign(self) -> bool:
        return self.is_promotable() and not self.log.has_unapplied_change()

    def campaign(self) -> None:
        """Stand for election now, if this node may."""
        if self.role is not Role.LEADER and self._may_campaign():
            self._campaign(pre=True)

    def _campaign(self, *, pre: bool, transfer: bool = False) -> None:
        if pre:
            self._become_pre_candidate()
            term = View(self.term + 1)
        else:
            self._become_candidate()
            term = self.term
        request = VoteRequest(term, self.log.last_index, self.log.last_term, pre, transfer)
        for node in sorted(self.configuration.all_voters):
            if node != self.node:
                self._send(node, request)
        self._count_vote(self.node, granted=True)

    def _count_vote(self, voter: NodeId, *, granted: bool) -> None:
        self.votes.setdefault(voter, granted)
        result = self.election_result(self.votes)
        if result is VoteResult.WON and self.role is Role.PRE_CANDIDATE:
            self._campaign(pre=False)
        elif result is VoteResult.WON:
            self._become_leader()
        elif result is VoteResult.LOST:
            self.become_follower(self.term, None)

    def _become_leader(self) -> None:
        """Lead: begin with an empty entry, by which what earlier leaders left is committed."""
        self._begin(self.term)
        self.role = Role.LEADER
        self.leader = self.node
        for node in sorted(self.configuration.members.union(self.departed)):
            self._track(node)
            self.progress[node].recent_active = node == self.node
        for progress in self.progress.values():
            progress.become_probe(self.log.last_index + 1)
        own = self.progress[self.node]
        own.match = own.received = self.log.stable
        # What is in the log may be a change: until all of it is applied, no other is proposed.
        self._pending_change_index = self.log.last_index
        self._uncommitted_bytes = self.log.uncommitted_bytes()
        self._append_own(b"")

    # Voting.

    def _hears_leader(self) -> bool:
        """Return whether a leader was heard within an election timeout: then no other is wanted."""
        return self.leader is not None and self.election_elapsed < self.settings.election_ticks

    def _meet_later_term(self, sender: NodeId, message: RaftMessage) -> bool:
        """Go to a later term where the message asks for it; returns False if the message is to be ignored."""
        match message:
            case VoteRequest(transfer=False) if self._hears_leader():
                return False
            case VoteRequest(pre=True) | VoteResponse(pre=True, granted=True):
                # About a term that has not begun.
                return True
            case Append() | Heartbeat():
                self.become_follower(View(message.term), sender)
            case _:
                self.become_follower(View(message.term), None)
        return True

    def _answer_earlier_term(self, sender: NodeId, message: RaftMessage) -> None:
        """Tell a leader or pre-candidate of an earlier term that time has gone on; ignore the rest."""
        match message:
            case Append() | Heartbeat():
                # It may be stuck with us in a later term: by this it steps down.
                self._send(sender, AppendResponse(self.term, 0, 0, 0))
            case VoteRequest(pre=True):
                self._answer_vote(sender, self.term, granted=False, pre=True)
            case _:
                pass

    def _on_vote_request(self, sender: NodeId, message: VoteRequest) -> None:
        free = self.vote is None and self.leader is None
        may = self.vote == sender or free or (message.pre and message.term > self.term)
        if not may or not self.is_up_to_date(message.last_index, message.last_term):
            self._answer_vote(sender, self.term, granted=False, pre=message.pre)
            return
        # With the request's term: a pre-candidate could not use ours.
        self._answer_vote(sender, View(message.term), granted=True, pre=message.pre)
        if not message.pre:
            self.election_elapsed = 0
            self.vote = sender

    def _answer_vote(self, sender: NodeId, term: View, *, granted: bool, pre: bool) -> None:
        commit_term = self.log.term_at(self.log.commit) or 0
        self._send(sender, VoteResponse(term, granted, pre, self.log.commit, commit_term))

    def _learn_commit(self, index: int, term: int) -> None:
        """Commit what another node knows to be committed, if this log has that very entry.

        So a node that cannot be elected, since a removed one has the longer log, learns that it does not need its vote.
        """
        if term and self.log.term_at(index) == term:
            self.log.commit_to(index)

    def _on_vote_response(self, sender: NodeId, message: VoteResponse) -> None:
        if self.role is not Role.LEADER:
            self._learn_commit(message.commit, message.commit_term)
            if self.role is not Role.FOLLOWER and self.log.has_unapplied_change():
                # It was about to be elected by other voters than it has now.
                self.become_follower(self.term, self.leader)
                return
        if (self.role is Role.PRE_CANDIDATE and message.pre) or (self.role is Role.CANDIDATE and not message.pre):
            self._count_vote(sender, granted=message.granted)

    # Handing over.

    def transfer_leadership(self, to: NodeId) -> None:
        """Hand leadership over; see the interface."""
        self._require_leader()
        if to not in self.configuration.all_voters:
            raise CocoError(f"{to[:16]} has no vote, so that it cannot lead")
        if to in (self.node, self.transferring_to):
            return
        self.election_elapsed = 0
        self.transferring_to = to
        if self.progress[to].match == self.log.last_index:
            self._send(to, TimeoutNow(self.term))
        else:
            self.progress[to].nudged = True
            self._due = True

    def _require_leader(self) -> None:
        if self.role is not Role.LEADER:
            self._require_proposing()

    def _on_timeout_now(self, sender: NodeId) -> None:
        """Stand for election though the leader lives, since it asks for it."""
        if self.role is not Role.FOLLOWER or sender != self.leader or not self.is_promotable():
            return
        if self.log.has_unapplied_change():
            self._campaign_waits = self.term
        else:
            self._campaign(pre=False, transfer=True)

    def _after_change(self) -> None:
        """Stand for election if leadership was handed to this node in this term, and it waited for a change."""
        if self._campaign_waits is None or self.log.has_unapplied_change():
            return
        term, self._campaign_waits = self._campaign_waits, None
        if term == self.term and self.role is Role.FOLLOWER and self.is_promotable():
            self._campaign(pre=False, transfer=True)
