"""A node that took part before and finds no network that runs: it may be the one that starts it again.

It goes on asking to join, and shows its disk with that; so do the others. When a quorum of the last configuration's
disks is known, and this one is the best, the others are asked to grant theirs (core/consensus/restart.py). Whoever wins
starts the network alone, under a new identity, in a view that no election reached; the others then join it, each by its
member's delegation. Invariant: a grant is sealed on disk before it is answered or used.

Where members take part (core/governance/restarts.py), what is won is a `Claim`, and they are asked (restart_desk.py)
while the others go on waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from core.consensus.configuration import Configuration, decode_configuration, encode_configuration, sorted_nodes
from core.consensus.restart import DiskReport, Restart
from core.errors import InvariantBroken, MalformedMessage
from core.node.manager_tables import SystemState
from core.node.peer_messages import DiskShown, JoinDenied, JoinRequest
from core.types import NodeId, Seqno, View

RETRY_SECONDS = 1
RESTARTING = "restarting"
AWAITS_MEMBERS = "restart-approval"

SealGrant = Callable[[NodeId], Awaitable[None]]
"""Seals to whom this disk is granted; returns once that is on disk."""

Log = Callable[[str], None]


def last_configuration(state: SystemState) -> Configuration:
    """Return who votes, as far as a ledger tells.

    It does not tell when a joint configuration was left: where the last change was one of two voters or more (a node
    in another's place), both majorities are asked for, which is on the safe side.
    """
    before = state.voters_before if len(state.voters ^ state.voters_before) > 1 else frozenset[NodeId]()
    return Configuration(sorted_nodes(state.voters), sorted_nodes(before))


@dataclass(frozen=True, slots=True)
class Claim:
    """That this node is the one to start the network. disks: that speak for it, its own first.

    missing: voters whose disks are not there. accept_loss: only the members can say that it may.
    """

    disks: Sequence[DiskReport]
    missing: Sequence[NodeId]
    accept_loss: bool


class Restarting:
    """See the module. own: this disk. granted: to whom it was granted before, "" for nobody."""

    def __init__(self, own: DiskReport, granted: NodeId, seal: SealGrant, log: Log) -> None:
        self._restart = Restart(own, granted or None)
        self._seal = seal
        self._log = log
        self._told = ""
        self._won: Claim | None = None
        self.awaits_members = False
        """Whether this node has asked its members, and not heard of enough of them."""

    @property
    def own(self) -> DiskReport:
        return self._restart.own

    @property
    def reports(self) -> Sequence[DiskReport]:
        """Every disk heard of, this node's first."""
        return [self.own, *(one for node, one in sorted(self._restart.reports.items()) if node != self.own.node)]

    @property
    def missing(self) -> Sequence[NodeId]:
        """Voters of the last configuration whose disks nobody has shown."""
        return sorted(self._restart.missing)

    @property
    def best(self) -> DiskReport:
        return self._restart.best

    @property
    def accepts_loss(self) -> bool:
        return self._restart.accepts_loss

    def accept_loss(self) -> None:
        """Ask the members to do without what is missing, as this node's operator wants it."""
        if not self._restart.accepts_loss:
            self._restart.accepts_loss = True
            self._log("the members are to be asked to do without the disks that are missing")

    def claim(self) -> Claim | None:
        """Return what this node may start the network by, None for nothing yet. What is won stays so."""
        if self._won is None and self._restart.is_won():
            self._won = Claim(self.reports, self.missing, accept_loss=False)
        if self._won is not None:
            return self._won
        return Claim(self.reports, self.missing, accept_loss=True) if self._restart.may_accept_loss() else None

    @property
    def asks_grant(self) -> bool:
        """Whether to ask the others for their disks."""
        return self._restart.granted == self._restart.own.node

    @property
    def is_won(self) -> bool:
        """Whether this node is to start the network."""
        return self._restart.is_won()

    @property
    def shown(self) -> DiskShown:
        """This node's disk, as others are told of it."""
        own = self._restart.own
        configuration = encode_configuration(own.configuration)
        return DiskShown(own.node, own.view, own.seqno, configuration, self._restart.granted or "")

    async def take(self, request: JoinRequest) -> JoinDenied:
        """Answer another node that waits as well: with this disk, and with its grant where that may be given."""
        is_granted = stands_back = False
        if request.disk is not None:
            report = _report(request.disk)
            self._hear(report, request.disk)
            is_granted = request.asks_grant and await self._grant(report)
            stands_back = request.accepts_loss and self._restart.stands_back(report)
        return JoinDenied(
            *self._why_not(),
            RETRY_SECONDS,
            disk=self.shown,
            is_granted=is_granted,
            stands_back=stands_back,
        )

    def _why_not(self) -> tuple[str, str, str]:
        """Return reason, message and hint for those that would join."""
        if self.awaits_members:
            return AWAITS_MEMBERS, "no network runs yet; this node waits for members to approve of its start", ""
        return RESTARTING, "no network runs yet; this node waits for one itself", "Start more of its nodes."

    def _hear(self, report: DiskReport, shown: DiskShown) -> None:
        self._restart.hear(report, NodeId(shown.granted) if shown.granted else None)

    async def hear(self, denied: JoinDenied) -> None:
        """Take what another waiting node answered; may bring this one to ask for grants, or to have won."""
        if denied.disk is None:
            return
        report = _report(denied.disk)
        self._hear(report, denied.disk)
        if denied.is_granted:
            self._restart.take_grant(report.node)
        if denied.stands_back:
            self._restart.take_standing_back(report.node)
        await self.consider()

    async def consider(self) -> None:
        """Begin to ask for grants, if what is known of the disks says that it is this node's to do."""
        if self._restart.is_candidate() and self._restart.granted is None:
            await self._grant(self._restart.own)
        self._tell()

    async def _grant(self, report: DiskReport) -> bool:
        before = self._restart.granted
        if not self._restart.grants(report):
            return False
        if self._restart.granted != before:
            await self._seal(report.node)
            whose = "itself" if report.node == self._restart.own.node else f"node {report.node[:16]}"
            self._log(f"the disk of node {self._restart.own.node[:16]} is granted to {whose}")
        return True

    def remind(self) -> None:
        """Say once more what is waited for."""
        if self._told and self._won is None:
            self._log(f"still waits: {self._told}")

    def _tell(self) -> None:
        best, missing = self._restart.best, sorted(node[:16] for node in self._restart.missing)
        line = (
            f"no network runs; of the disks known, node {best.node[:16]}'s reaches furthest: {best.view}.{best.seqno}"
        )
        line += f"; not heard of: {', '.join(missing)}" if missing else ""
        if line != self._told:
            self._told = line
            self._log(line)


def _report(shown: DiskShown) -> DiskReport:
    """Return what an attested node told of its disk; its code is ours, so that anything misshapen is a defect."""
    try:
        configuration = decode_configuration(shown.configuration)
    except MalformedMessage as error:
        raise InvariantBroken(f"a node shows its disk with a wrong configuration: {error.message}") from error
    return DiskReport(NodeId(shown.node), View(shown.view), Seqno(shown.seqno), configuration)
