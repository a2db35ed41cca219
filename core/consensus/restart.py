"""Which node starts a network again when a majority of its nodes was lost at once, and so from whose disk.

Pure: no clock, no I/O. It is an election among disks. Each is known by the identity its node had when it wrote it,
which is gone; a disk is granted once, to one that holds no less. As with Raft's votes, a quorum of the last
configuration has all that was committed, and two quorums share a disk: so the disk that wins a quorum of grants holds
everything that was acknowledged, and no second one can win. Invariant: what `grants` allows is on disk before it is
answered.

A winner that is lost before it serves leaves its grants with it: it must come back, or the members must decide.
They also decide where fewer disks than a quorum's are left: those that can talk choose one among themselves, for which
the others stand back (`stands_back`), and it may start once the members accept what may be lost. To stand back gives
nothing to a start without members: it is no grant, and outlives no process.

Under the policy `sealed` a host that hands back an older disk can break both; docs/restarts.md says so.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from core.consensus.configuration import Configuration
from core.consensus.raft.quorum import VoteResult, vote_result
from core.errors import InvariantBroken
from core.types import NodeId, Seqno, View


@dataclass(frozen=True, slots=True)
class DiskReport:
    """A disk: who wrote it, its newest signed entry, and the last configuration that stands on it, committed or not."""

    node: NodeId
    view: View
    seqno: Seqno
    configuration: Configuration

    @property
    def position(self) -> tuple[View, Seqno]:
        return (self.view, self.seqno)

    def is_better(self, other: DiskReport) -> bool:
        """Whether this disk is the one to start from: it holds more; of equals, the first by name."""
        if self.position != other.position:
            return self.position > other.position
        return self.node < other.node


class Restart:
    """One node's part. own: its disk. granted: to whom it was granted, as that stands on the disk."""

    def __init__(self, own: DiskReport, granted: NodeId | None = None) -> None:
        self.own = own
        self.granted = granted
        self._reports: dict[NodeId, DiskReport] = {own.node: own}
        self._granted: dict[NodeId, NodeId] = {}
        """To whom other disks are granted, as they say."""
        self._grants: set[NodeId] = set()
        self._before: NodeId | None = None
        """For whom this disk stands back."""
        self._behind: set[NodeId] = set()
        """Those that stand back for this one."""
        self.accepts_loss = False
        """Whether this node's operator wants to do without the disks that are missing."""

    @property
    def reports(self) -> dict[NodeId, DiskReport]:
        """Every disk heard of, this one included."""
        return dict(self._reports)

    @property
    def missing(self) -> Set[NodeId]:
        """Voters of the last configuration, as far as known, whose disks nobody has reported."""
        best = self.best
        return best.configuration.all_voters - self._reports.keys()

    @property
    def best(self) -> DiskReport:
        """The disk to start from, of those heard of."""
        best = self.own
        for report in self._reports.values():
            if report.is_better(best):
                best = report
        return best

    def hear(self, report: DiskReport, granted: NodeId | None = None) -> None:
        """Take another disk's report; of two about one disk the later one counts: nothing is written meanwhile.

        granted: to whom it is granted.
        """
        if report.node == self.own.node and report != self.own:
            raise InvariantBroken("another node reports the disk that is here: one of them is a copy")
        self._reports[report.node] = report
        if granted is not None:
            self._granted[report.node] = granted

    def is_candidate(self) -> bool:
        """Whether to ask for grants: this disk is the best of a quorum."""
        return self.best is self.own and self._is_quorum(self._reports.keys())

    def grants(self, report: DiskReport) -> bool:
        """Whether this disk is granted to that one: not to two, and not to one that holds less."""
        if self.granted not in (None, report.node):
            return False
        if report.position < self.own.position:
            return False
        self.granted = report.node
        return True

    def take_grant(self, node: NodeId) -> None:
        """Take another disk's grant to this one."""
        self._grants.add(node)

    def is_won(self) -> bool:
        """Whether this node starts the network: it is granted the disks of a quorum, its own among them."""
        if self.granted != self.own.node:
            return False
        return self._is_quorum(self._grants | {self.own.node})

    # Fewer disks than a quorum's, or a quorum's that are granted to one which is lost.

    @property
    def granted_away(self) -> Set[NodeId]:
        """To whom disks are granted that nobody has heard of."""
        granted = {*self._granted.values(), self.granted or self.own.node}
        return granted - self._reports.keys()

    def stands_back(self, report: DiskReport) -> bool:
        """Whether this disk stands back for that one, whose operator would accept the loss: once, and for a better."""
        if self._before not in (None, report.node) or not report.is_better(self.own):
            return False
        self._before = report.node
        return True

    def take_standing_back(self, node: NodeId) -> None:
        """Note that another disk stands back for this one."""
        self._behind.add(node)

    @property
    def still_before(self) -> Set[NodeId]:
        """Disks heard of that do not stand back for this one yet."""
        return self._reports.keys() - self._behind - {self.own.node}

    def may_accept_loss(self) -> bool:
        """Whether the members are to be asked: this node's operator wants it, and this disk is all others' choice.

        Not where a quorum can start the network as it is.
        """
        if not self.accepts_loss or self._before is not None or self.best is not self.own or self.still_before:
            return False
        return bool(self.granted_away) or not self._is_quorum(self._reports.keys())

    def _is_quorum(self, nodes: Set[NodeId]) -> bool:
        votes = dict.fromkeys(nodes, True)
        return vote_result(self.own.configuration, votes) is VoteResult.WON
