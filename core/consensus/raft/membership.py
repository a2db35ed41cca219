"""Configuration changes: proposing them, putting them in force, leaving joint configurations, removed nodes.

A change is in force on a node once that node applies it, as in etcd, so that with one change at a time every quorum of
a configuration in force anywhere overlaps with every other's. This rests on three rules: a leader proposes a change
only when it has applied all that may be one before; an append that carries an entry carries a commit index at or past
every change before it; and nobody stands for election with a committed change unapplied.

A removed leader leads on, without proposals, until a quorum of the others knows that its removal is committed; any
other removed node stops standing for election when it applies its removal. The leader goes on sending it entries up to
that one, and none after it, until it knows, or for a bounded time. Source: Raft, section 6; Raft thesis, chapter 4;
go.etcd.io/raft; CCF's retirement.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from core import limits
from core.consensus.configuration import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    SnapshotReference,
    decode_change,
    decode_snapshot,
    encode_change,
    encode_configuration,
    encode_snapshot,
)
from core.consensus.engine import ChangeRefused, NotLeader, Role, TransferPending
from core.consensus.raft.changes import next_configuration
from core.consensus.raft.messages import TimeoutNow
from core.consensus.raft.progress import FollowerState, Progress
from core.consensus.raft.reading import Reading
from core.consensus.raft.settings import RaftSettings
from core.consensus.raft.state import RandomTicks
from core.errors import InvariantBroken
from core.types import NodeId, View

_NO_LIMIT = 2**62
_LEAVE = encode_change(ConfigurationChange(()))


@dataclass(slots=True)
class Departure:
    """A node that was removed by the entry at index, and may not know it."""

    index: int
    age_ticks: int = 0


class Membership(Reading):
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
        self.departed: dict[NodeId, Departure] = {}
        self.change_index = 0
        """The entry by which the configuration in force came about; 0 if it came with a snapshot."""
        super().__init__(node, settings, random_ticks, snapshot=snapshot, term=term)

    # Proposing.

    def _require_proposing(self) -> None:
        if self.role is not Role.LEADER:
            raise NotLeader(self.leader)
        if not self.is_promotable():
            raise NotLeader(None)
        if self.transferring_to is not None:
            raise TransferPending(self.transferring_to)

    def propose_conf_change(self, change: bytes, block: bytes) -> int:
        """Append a configuration change; see the interface."""
        self.check_conf_change(change)
        index = self._append_own(block, change)
        self._pending_change_index = index
        return index

    def check_conf_change(self, change: bytes) -> None:
        """Raise unless this change may be proposed now; see the interface."""
        wanted = decode_change(change)
        self._require_proposing()
        if self._pending_change_index > self.log.applied:
            raise ChangeRefused("a configuration change may be under way", hint="Propose it again shortly.")
        next_configuration(self.configuration, wanted)
        self._require_caught_up(wanted)

    def _require_caught_up(self, change: ConfigurationChange) -> None:
        """Refuse voters that would have to be waited for: they are learners first. Raft thesis, section 4.2.1."""
        for one in change.changes:
            if one.kind is not ChangeKind.ADD_VOTER or one.node in self.configuration.voters:
                continue
            progress = self.progress.get(one.node)
            if one.node not in self.configuration.members or progress is None:
                raise ChangeRefused(f"{one.node[:16]} is no learner yet", hint="Add it as a learner first.")
            behind = self.log.last_index - progress.match
            if progress.state is not FollowerState.REPLICATE or behind > self.settings.catch_up_entries_max:
                raise ChangeRefused(f"{one.node[:16]} is {behind} entries behind", hint="Wait until it has caught up.")

    def _maybe_leave_joint(self) -> None:
        """Propose to leave a joint configuration that is in force and shall be left without being asked."""
        if (
            self.role is Role.LEADER
            and self.configuration.leaves
            and self.transferring_to is None
            and self._pending_change_index <= self.log.applied
        ):
            self._pending_change_index = self._append_own(b"", _LEAVE)

    # Applying.

    def apply_conf_change(self, change: bytes) -> bytes:
        """Put the next committed change in force; see the interface."""
        if not self._changes_handed or self._changes_handed[0].change != change:
            raise InvariantBroken("a configuration change was applied that is not the next committed one")
        entry = self._changes_handed.popleft()
        try:
            configuration = next_configuration(self.configuration, decode_change(change))
        except ChangeRefused as error:
            raise InvariantBroken(f"the committed change {entry.index} does not fit: {error.message}") from error
        self.log.applied = max(self.log.applied, entry.index)
        self._switch(configuration, entry.index)
        self._maybe_leave_joint()
        self._after_change()
        return encode_configuration(self.configuration)

    @abstractmethod
    def _after_change(self) -> None:
        """Do what waited for a change to be applied; see the layer `elections`."""

    def _switch(self, configuration: Configuration, index: int) -> None:
        before, self.configuration = self.configuration, configuration
        self.change_index = index
        for node in configuration.members:
            self.departed.pop(node, None)
        for node in sorted(before.members - configuration.members):
            if node != self.node:
                self.departed[node] = Departure(index)
        while len(self.departed) > limits.CONSENSUS_NODES_MAX:
            self._forget_departed(next(iter(self.departed)))
        if self.role is not Role.LEADER:
            return
        for node in sorted(configuration.members - before.members):
            self._track(node)
        self._due = True
        self._maybe_commit()
        self._confirm_reads()
        self._maybe_hand_over()
        if self.transferring_to is not None and self.transferring_to not in configuration.all_voters:
            self.transferring_to = None

    def _track(self, node: NodeId) -> None:
        """Begin to follow what a node has. It counts as active, so that it has time to be heard."""
        self.progress[node] = Progress(self.settings, max(self.log.last_index, 1), recent_active=True)

    def is_settled(self) -> bool:
        """Return whether a quorum knows the configuration in force, so that the nodes it leaves out are not needed.

        Before, the others may not know that the change is committed, and still need the old nodes' votes.
        """

        def known(node: NodeId) -> int:
            if node == self.node:
                return self.log.commit
            progress = self.progress.get(node)
            return progress.commit if progress is not None else 0

        return self.role is Role.LEADER and self.agreed_index(known) >= self.change_index

    def _maybe_hand_over(self) -> None:
        """Step down after this node's own removal, once it is settled, and name the furthest node to lead.

        Until then it leads on without proposals: of two nodes, the one that stays could not be elected without it.
        """
        if self.role is not Role.LEADER or self.is_promotable() or not self.is_settled():
            return
        self._flush()
        successor = max(self.configuration.voters, key=lambda node: (self.progress[node].match, node))
        self._send(successor, TimeoutNow(self.term))
        self.become_follower(self.term, None)

    # Removed nodes.

    def _send_limit(self, node: NodeId) -> int:
        departure = self.departed.get(node)
        return departure.index if departure is not None else _NO_LIMIT

    def _note_follower_commit(self, node: NodeId, commit: int) -> bool:
        progress = self.progress[node]
        progress.commit = max(progress.commit, commit)
        departure = self.departed.get(node)
        if departure is None or commit < departure.index:
            self._maybe_hand_over()
            return self.role is Role.LEADER
        self._forget_departed(node)
        return False

    def _forget_departed(self, node: NodeId) -> None:
        self.departed.pop(node, None)
        self.progress.pop(node, None)

    def _age_departed(self) -> None:
        for node, departure in list(self.departed.items()):
            departure.age_ticks += 1
            if departure.age_ticks > self.settings.departing_ticks_max:
                self._forget_departed(node)

    # Snapshots.

    def snapshot(self) -> bytes:
        """Return the reference of a snapshot at the applied index."""
        term = self.log.term_at(self.log.applied)
        if term is None:
            raise InvariantBroken(f"the applied entry {self.log.applied} is not in the log")
        return encode_snapshot(SnapshotReference(self.log.applied, term, self.configuration))

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot that the caller has on disk; one that is not past what is applied changes nothing.

        What a snapshot holds is committed, whoever sent it, so that it needs no leader's word.
        """
        reference = decode_snapshot(snapshot)
        if reference.index > self.log.applied:
            if self.role is not Role.FOLLOWER or reference.term > self.term:
                self.become_follower(View(max(self.term, reference.term)), None)
            self.log.restore(reference.index, View(reference.term))
            self._switch(reference.configuration, reference.index)
            self.verified = max(self.verified, reference.index)
        if self.role is Role.FOLLOWER and self.leader is not None:
            self._acknowledge(self.leader)

    def compact(self, index: int) -> None:
        """Forget log entries up to index, which is applied. Followers that still need them will need a snapshot."""
        self.log.compact(index)

    def report_snapshot(self, node: NodeId, *, delivered: bool) -> None:
        """Go on with a follower whose snapshot was shipped, or not; in the latter case it will be asked for again."""
        progress = self.progress.get(node)
        if progress is None or progress.state is not FollowerState.SNAPSHOT:
            return
        progress.become_probe(self.log.last_index + 1 if delivered else None)
        # The next append waits for its answer to a heartbeat: it may be busy, or not be there.
        progress.paused = True

    def report_unreachable(self, node: NodeId) -> None:
        """Send less to a follower that a message to it was lost: probe until it answers."""
        progress = self.progress.get(node)
        if progress is not None and progress.state is FollowerState.REPLICATE:
            progress.become_probe()
