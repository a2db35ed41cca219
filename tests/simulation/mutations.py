"""Engines with a known bug each: they show that the simulation can fail. Most of these mistakes were made somewhere."""

from __future__ import annotations

from collections.abc import Callable

from core.consensus.configuration import decode_snapshot
from core.consensus.raft import quorum
from core.consensus.raft.engine import RaftEngine
from core.consensus.raft.log import Log
from core.consensus.raft.messages import AppendResponse, HeartbeatResponse
from core.consensus.raft.progress import Progress
from core.consensus.raft.quorum import VoteResult
from core.consensus.raft.reading import PendingRead
from core.consensus.raft.settings import RaftSettings
from core.consensus.raft.state import RandomTicks
from core.types import NodeId, View


class ForgetsItsVote(RaftEngine):
    """Stepping down in the same term clears the vote (CCF, scenario pre_vote_double_leader)."""

    def become_follower(self, term: View, leader: NodeId | None) -> None:
        super().become_follower(term, leader)
        self.vote = None


class CommitsEarlierTerms(RaftEngine):
    """Entries of earlier terms are committed by counting (Raft, figure 8)."""

    def may_commit(self, index: int) -> bool:
        return True


class OneQuorumWhileJoint(RaftEngine):
    """Only the incoming voters are asked while the configuration is joint."""

    def agreed_index(self, value: Callable[[NodeId], int]) -> int:
        return quorum.majority_index(self.configuration.voters, value)

    def election_result(self, votes: dict[NodeId, bool]) -> VoteResult:
        return quorum.vote_of(self.configuration.voters, votes)


class VotesForAnyLog(RaftEngine):
    """Votes are given without a look at the candidate's log (Raft, section 5.4.1)."""

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        return True


class AcknowledgesBeforeTheDisk(RaftEngine):
    """A follower acknowledges what it has in memory only."""

    def _acknowledge(self, leader: NodeId) -> None:
        self._send(leader, AppendResponse(self.term, self.verified, self.verified, self.log.commit))


class ReadsWithoutAQuorum(RaftEngine):
    """A leader serves reads without asking whether it still leads."""

    def _take_read(self, read: PendingRead) -> None:
        super()._take_read(read)
        self._round_answered = dict.fromkeys(self.configuration.all_voters, self._round + 1)


class ReadsBeforeItsFirstCommit(RaftEngine):
    """A new leader serves reads before it has committed anything in its term (Raft, section 8)."""

    def has_committed_in_term(self) -> bool:
        return True


class SeveralChangesAtOnce(RaftEngine):
    """A change is proposed though an earlier one may not be applied."""

    def propose_conf_change(self, change: bytes, block: bytes) -> int:
        self._pending_change_index = 0
        return super().propose_conf_change(change, block)


class _LogThatTrustsOldWrites(Log):
    def _cut(self, index: int) -> None:
        waiting = [ready.stable for ready in self.outstanding]
        super()._cut(index)
        for ready, stable in zip(self.outstanding, waiting, strict=True):
            ready.stable = stable

    def complete(self) -> None:
        super().complete()
        self.stable = min(self.stable, self.last_index)


class CountsReplacedWrites(RaftEngine):
    """A write counts though its entries were replaced while it was under way (etcd, append_aba_race)."""

    def __init__(
        self,
        node: NodeId,
        settings: RaftSettings,
        random_ticks: RandomTicks,
        *,
        snapshot: bytes,
        term: View | None = None,
    ) -> None:
        super().__init__(node, settings, random_ticks, snapshot=snapshot, term=term)
        reference = decode_snapshot(snapshot)
        self.log = _LogThatTrustsOldWrites(reference.index, reference.term)


class LeavesAtOnce(RaftEngine):
    """A removed leader steps down before the others know that its removal is committed, and they do not learn it."""

    def is_settled(self) -> bool:
        return True

    def _learn_commit(self, index: int, term: int) -> None:
        pass


class TellsRemovedNodesAll(RaftEngine):
    """A removed node is sent what comes after its removal."""

    def _send_limit(self, node: NodeId) -> int:
        return self.log.last_index


class StaysJoint(RaftEngine):
    """A joint configuration is never left."""

    def _maybe_leave_joint(self) -> None:
        pass


class ForgetsLostAppends(RaftEngine):
    """Nothing is sent again when a follower answers a heartbeat."""

    def _on_heartbeat_response(self, sender: NodeId, message: HeartbeatResponse) -> None:
        known: Progress | None = self.progress.get(sender)
        paused = known.paused if known is not None else False
        super()._on_heartbeat_response(sender, message)
        if known is not None:
            known.paused, known.nudged = paused, False


class StandsWithAChangeUnapplied(RaftEngine):
    """A node stands for election under an old configuration though it knows that a newer one is committed."""

    def _may_campaign(self) -> bool:
        return self.is_promotable()


MUTATIONS: tuple[type[RaftEngine], ...] = (
    ForgetsItsVote,
    CommitsEarlierTerms,
    OneQuorumWhileJoint,
    VotesForAnyLog,
    AcknowledgesBeforeTheDisk,
    ReadsWithoutAQuorum,
    ReadsBeforeItsFirstCommit,
    SeveralChangesAtOnce,
    CountsReplacedWrites,
    LeavesAtOnce,
    TellsRemovedNodesAll,
    StaysJoint,
    ForgetsLostAppends,
    StandsWithAChangeUnapplied,
)
