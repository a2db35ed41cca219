"""The state of a Raft node and its changes of role and term: figure 2 of the Raft paper, and what every part needs.

The engine is one object in layers, each a class on top of the one before: state, replication, reading, membership,
elections, engine. Invariants: the term never falls; there is at most one vote in a term, and **becoming a follower in
the same term keeps it**: with pre-vote, a node steps back to follower in its own term, and one that forgot its vote
then could vote twice and make two leaders of one term.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping

from core.consensus.configuration import Configuration, decode_snapshot
from core.consensus.engine import LogEntry, PeerMessage, Role, SnapshotNeeded
from core.consensus.raft import quorum
from core.consensus.raft.log import Log
from core.consensus.raft.messages import RaftMessage, encode_message
from core.consensus.raft.progress import Progress
from core.consensus.raft.quorum import VoteResult
from core.consensus.raft.settings import RaftSettings
from core.errors import InvariantBroken
from core.types import NodeId, View

RandomTicks = Callable[[int, int], int]
"""Returns a number from low to high, both included; by it the caller gives randomness to election timeouts."""


class RaftState(ABC):
    """Attributes without underscore may be read by tests and by the caller's metrics, and set by the layers only.

    node: this node. snapshot: the reference to go on from, which for a new network is at index 0. term: above any
    seen, when a network is restarted.
    """

    def __init__(
        self,
        node: NodeId,
        settings: RaftSettings,
        random_ticks: RandomTicks,
        *,
        snapshot: bytes,
        term: View | None = None,
    ) -> None:
        reference = decode_snapshot(snapshot)
        self.node = node
        self.settings = settings
        self.term = View(max(reference.term, term or 0))
        self.vote: NodeId | None = None
        self.leader: NodeId | None = None
        self.role = Role.FOLLOWER
        self.log = Log(reference.index, reference.term)
        self.configuration: Configuration = reference.configuration
        self.progress: dict[NodeId, Progress] = {}
        self.votes: dict[NodeId, bool] = {}
        self.transferring_to: NodeId | None = None
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.verified = 0
        """Up to where this log is known to be that of the leader of this term."""
        self._random_ticks = random_ticks
        self._outbox: list[PeerMessage] = []
        self._snapshots_needed: list[SnapshotNeeded] = []
        self._changes_handed: deque[LogEntry] = deque()
        self._pending_change_index = 0
        """At or above the index of the newest configuration entry that may not be applied; a leader's only."""
        self._uncommitted_bytes = 0
        self._due = False
        """Whether some follower may have to be sent an append; done when messages are taken, so that many make one."""
        self.election_timeout = self._draw_timeout()

    # Collaborators of the layers above, and what a test replaces to show that its absence is found.

    def agreed_index(self, value: Callable[[NodeId], int]) -> int:
        """Return the highest number that a quorum of the configuration has reached."""
        return quorum.agreed_index(self.configuration, value)

    def election_result(self, votes: dict[NodeId, bool]) -> VoteResult:
        return quorum.vote_result(self.configuration, votes)

    def may_commit(self, index: int) -> bool:
        """Return whether a quorum that has index commits it: only in an entry of the leader's own term.

        An entry of an earlier term may be on a majority and still be replaced. Raft, section 5.4.2 and figure 8.
        """
        return self.log.term_at(index) == self.term

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Return whether a candidate's log has all that may be committed in this one. Raft, section 5.4.1."""
        return self.log.is_up_to_date(last_index, last_term)

    # Messages.

    def _send(self, to: NodeId, message: RaftMessage) -> None:
        self._send_encoded(to, encode_message(message))

    def _send_encoded(self, to: NodeId, payload: bytes) -> None:
        if to == self.node:
            raise InvariantBroken("a message to the node itself")
        self._outbox.append(PeerMessage(to, payload))

    # Roles and terms.

    def _draw_timeout(self) -> int:
        low = self.settings.election_ticks
        drawn = self._random_ticks(low, 2 * low - 1)
        if not low <= drawn < 2 * low:
            raise InvariantBroken(f"an election timeout of {drawn} ticks, but {low} to {2 * low - 1} were asked for")
        return drawn

    def _begin(self, term: View) -> None:
        """Forget what belongs to a role, and with a new term what belongs to the old one."""
        if term < self.term:
            raise InvariantBroken(f"the term would fall from {self.term} to {term}")
        if term != self.term:
            self.term = term
            self.vote = None
            self.verified = 0
        self.leader = None
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = self._draw_timeout()
        self.transferring_to = None
        self.votes = {}
        self.progress = {}
        self._pending_change_index = 0
        self._uncommitted_bytes = 0
        self._due = False

    def become_follower(self, term: View, leader: NodeId | None) -> None:
        self._begin(term)
        self._drop_reads()
        self.role = Role.FOLLOWER
        self.leader = leader

    def _become_pre_candidate(self) -> None:
        """Ask around without touching term and vote."""
        self._require_not_leader()
        self._begin(self.term)
        self._drop_reads()
        self.role = Role.PRE_CANDIDATE

    def _become_candidate(self) -> None:
        self._require_not_leader()
        self._begin(View(self.term + 1))
        self._drop_reads()
        self.role = Role.CANDIDATE
        self.vote = self.node

    def _require_not_leader(self) -> None:
        if self.role is Role.LEADER:
            raise InvariantBroken("a leader stands for election")

    @abstractmethod
    def _drop_reads(self) -> None:
        """Tell that reads under way cannot be confirmed; see the layer `reading`."""

    def is_promotable(self) -> bool:
        """Return whether this node votes in its own configuration, so that it may stand for election."""
        return self.node in self.configuration.voters or self.node in self.configuration.outgoing

    def _matches(self, progress: Mapping[NodeId, Progress]) -> Callable[[NodeId], int]:
        def match(node: NodeId) -> int:
            known = progress.get(node)
            return known.match if known is not None else 0

        return match
