"""Queries of an executor that must see whatever was acknowledged before they came, on any node: linearizable reads.

They wait for a round: the manager is asked once, for all that wait, and answers once consensus has confirmed how far
the ledger is committed by now, and all of that has been sent here (replication/reading.py). One round is on its way at
a time; what comes meanwhile shares the next. A leader without other nodes needs no round: whatever is committed was
committed here; and where it has one gateway, which therefore hears of everything first, that needs to ask nobody. Both
end when the manager has something to record: another node takes part only once the gateway has heard it.

Invariants: a query is answered by no round that was asked for before it came. What waits is bounded; a round that fails
is followed by another, until nobody waits for it any more. Source: Raft thesis, section 6.4.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Literal

from core import limits
from core.node.fair_queue import FairQueue, Quota, Waiting
from core.node.gateway_link import GatewayLink
from core.node.messages import TO_MANAGER, Answer, Ask, ConfirmReads, ReadsConfirmed
from core.node.proposals import GOVERNANCE
from core.ports import Transport
from core.types import Seqno

Asked = tuple[GatewayLink, Ask]
_PAUSE_SECONDS = 0.05
"""After a round that failed: no leader is known, or it changed, or does not answer."""
_OWN_GATEWAY = ""
"""Whose turn a gateway's own question is. No identity has this name."""
_ANY_ROUND = Seqno(2**62)


class FreshReads:
    """See the module. now_s: monotonic seconds. wake: called when something can be answered or will expire."""

    def __init__(self, manager: Transport, now_s: Callable[[], float], wake: Callable[[], None]) -> None:
        self._manager = manager
        self._now_s = now_s
        self._wake = wake
        # `after` of what waits is the number of a round.
        self._queue: FairQueue[Asked] = FairQueue(quota=Quota(seconds_max=math.inf))
        self._is_alone = False
        self._links: Sequence[GatewayLink] = ()
        self._wanted = self._begun = 0
        self._confirmed = 0
        self._ended = 0
        self._something = asyncio.Event()

    def attach(self, links: Sequence[GatewayLink]) -> None:
        """Say which gateways there are; once."""
        self._links = links

    def __len__(self) -> int:
        """How many queries wait."""
        return len(self._queue)

    def push(self, link: GatewayLink, ask: Ask) -> None:
        """Take a query; raises Overloaded."""
        identity = _OWN_GATEWAY if ask.adapter == GOVERNANCE else ask.caller.identity
        self._wanted = self._begun + 1
        self._queue.push(identity, (link, ask), after=Seqno(self._wanted), now_s=self._now_s())
        self._something.set()

    def pop(self) -> Waiting[Asked] | None:
        """Remove and return the next query that may be answered from what is committed here."""
        return self._queue.pop(_ANY_ROUND if self._is_alone else Seqno(self._confirmed), 0.0)

    # Whether rounds are needed.

    def lead(self, *, alone: bool) -> None:
        """This node leads. alone: there is no other node."""
        self._is_alone = alone
        for link in self._links:
            link.sole(alone and len(self._links) == 1)
        self._something.set()

    def not_alone(self) -> None:
        """This node does not lead, or there may be another one from now on."""
        self._is_alone = False
        for link in self._links:
            link.sole(False)
        self._something.set()

    @property
    def all_know(self) -> bool:
        """Whether no gateway reads any more as if there were no other node."""
        return not any(link.awaits_heard for link in self._links)

    # Rounds.

    def confirmed(self, message: ReadsConfirmed) -> None:
        """Take the end of a round."""
        if message.number != self._begun or message.number == self._ended:
            return  # Of no round that is on its way.
        self._ended = message.number
        if message.is_confirmed:
            self._confirmed = message.number
        self._wake()
        self._something.set()

    async def run(self) -> None:
        """Begin rounds while somebody waits for one, until cancelled. Raises ChannelClosed."""
        while True:
            await self._something.wait()
            self._something.clear()
            if self._confirmed < self._ended == self._begun:
                await asyncio.sleep(_PAUSE_SECONDS)
            if self._is_alone or self._ended < self._begun or self._wanted <= self._confirmed or not self._queue:
                continue
            self._begun += 1
            await self._manager.send(TO_MANAGER.encode(ConfirmReads(self._begun)))

    # Ends.

    def expire(self) -> None:
        """Answer those for which no round was confirmed in time: they may be asked again."""
        for waiting in self._queue.expire(self._now_s() - limits.READ_CONFIRM_SECONDS_MAX):
            _fail(waiting, "not_leader")

    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do, if ever."""
        oldest_s = self._queue.oldest_s()
        return None if oldest_s is None else oldest_s + limits.READ_CONFIRM_SECONDS_MAX

    def refuse_all(self) -> None:
        """Answer all that wait, at a stop."""
        for waiting in self._queue.drain():
            _fail(waiting, "overloaded")


def _fail(waiting: Waiting[Asked], failure: Literal["overloaded", "not_leader"]) -> None:
    link, ask = waiting.item
    link.answer(Answer(ask.ticket, b"", failure, 0, 0))
