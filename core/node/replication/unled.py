"""A node that runs and has had no leader for long: whether a majority of its network can still come back.

It can, as long as enough of the nodes it votes with may only be out of reach. It cannot once too many of them were
started anew: a node never goes on under an old identity, so that those votes are gone, and the others wait for this
node's disk, which it holds back while it runs (restarting.py), or have started the network without it. Then this node
ends (`MajorityLost`), and its host starts it again: it joins, or brings its disk.

That others were started anew, only they themselves say: over attested channels, with this network's code, by what their
members signed or by the disk they show. The host can keep them from saying so; then this node goes on waiting. Nothing
that it says has this node do anything; what it can bring about with copies of disks is that a node without a leader
stops. DESIGN section 5; docs/restarts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Set
from typing import Any

from core.consensus.configuration import Configuration
from core.consensus.raft.quorum import VoteResult, vote_result
from core.errors import AuthenticationFailed, CocoError
from core.governance.joining import check_join
from core.node.manager_tables import SystemState
from core.node.peer_messages import Inbound, Introduction, JoinDenied, JoinRequest, PeerNetwork, PeerUnreachable
from core.node.replication.restarting import last_configuration
from core.types import NodeId

UNLED_TICKS_MAX = 100
"""Ten election time-outs without a leader, after which a node asks itself, and others, whether there will be one."""

ASK_TICKS = 20
ASK_SECONDS_MAX = 10.0


class MajorityLost(CocoError):
    """No majority of the nodes that this one knows can come back."""

    exit_code = 3


class Unled:
    """See the module. state: as committed here. spawn: begins a task whose failure is the node's."""

    def __init__(
        self,
        node: NodeId,
        state: Callable[[], SystemState],
        peers: PeerNetwork | None,
        *,
        clock: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        log: Callable[[str], None],
    ) -> None:
        self._node = node
        self._state = state
        self._peers = peers
        self._clock = clock
        self._spawn = spawn
        self._log = log
        self._ticks = 0
        self._gone: set[NodeId] = set()
        self._is_asking = False
        self._addresses = self._next_addresses()

    def tick(self, has_leader: bool) -> None:
        """Let one tick pass."""
        if has_leader or self._peers is None:
            self._ticks = 0
            return
        self._ticks += 1
        if self._ticks == UNLED_TICKS_MAX:
            self._log(f"no node has led for {UNLED_TICKS_MAX} ticks: asks the others whether they were started anew")
        if self._ticks >= UNLED_TICKS_MAX:
            self._judge()
            if not self._is_asking and self._ticks % ASK_TICKS == 0:
                self._is_asking = True
                self._spawn(self._ask(self._peers))

    def asked(self, inbound: Inbound, request: JoinRequest) -> None:
        """Take note of who wants to join: a node in the place of another, whose vote is gone with it."""
        if inbound.claims is None:
            return
        if request.disk is not None:
            self._started_anew(NodeId(request.disk.node))
            return
        state = self._state()
        try:
            decision = check_join(
                request.authorization,
                request.address,
                claims=inbound.claims,
                node=inbound.sender,
                register=state,
                now=self._clock(),
            )
        except CocoError:
            return
        self._started_anew(*state.slots[decision.slot].voters)

    def _started_anew(self, *nodes: NodeId) -> None:
        """Take note of identities that are gone for good: of nodes that the ledger knows, so that they are bounded."""
        self._gone.update(node for node in nodes if node != self._node and self._state().was_registered(node))

    async def _ask(self, peers: PeerNetwork) -> None:
        """Ask one of the others, as if to join: who waits shows its disk, and who goes on says so."""
        try:
            address = next(self._addresses, "")
            if address:
                request = JoinRequest(b"", "")
                self.answered(await peers.introduce(address, request, seconds_max=ASK_SECONDS_MAX))
        except (PeerUnreachable, AuthenticationFailed):
            return
        finally:
            self._is_asking = False

    def answered(self, introduction: Introduction) -> None:
        """Take what an attested node answered."""
        answer = introduction.answer
        if isinstance(answer, JoinDenied) and answer.disk is not None:
            self._started_anew(NodeId(answer.disk.node))

    def _next_addresses(self) -> Iterator[str]:
        """Yield the other slots' addresses in turn, without end as long as there are any."""
        while True:
            slots = self._state().slots.values()
            addresses = sorted({one.address for one in slots if one.address and self._node not in one.nodes})
            if not addresses:
                return
            yield from addresses

    def _judge(self) -> None:
        configuration = last_configuration(self._state())
        if not may_come_back(configuration, self._gone):
            gone = ", ".join(sorted(node[:16] for node in self._gone & configuration.all_voters))
            self._end(f"the nodes {gone} were started anew, and without their votes nobody can lead")

    def _end(self, why: str) -> None:
        async def end() -> None:
            raise MajorityLost(
                f"no majority of the nodes that this one knows can come back: {why}",
                hint="Start this node again, so that it joins the network, or brings its disk: coco node start SLOT",
            )

        self._spawn(end())


def may_come_back(configuration: Configuration, gone: Set[NodeId]) -> bool:
    """Whether those that are not gone could elect a leader."""
    return vote_result(configuration, dict.fromkeys(configuration.all_voters - gone, True)) is VoteResult.WON
