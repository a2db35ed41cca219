"""The one channel between this node and a registered one: made, replaced when it breaks, and made again.

The node with the smaller id calls; the other calls too when that has brought no channel for a while, since the way may
be open in one direction only. A newer channel takes the place of the one before, which the other side may have lost
without our notice. Only where both have called at once, the one that the smaller id made stays, on both sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from core.errors import AuthenticationFailed, ChannelClosed, CocoError
from core.node.attested_tls.errors import NodeRemoved
from core.node.attested_tls.register import NodeRegister
from core.node.attested_tls.transport import AttestedTransport
from core.node.peer_messages import Body, PeerNode
from core.node.peers.channel import PeerChannel
from core.node.peers.errors import ChannelReplaced
from core.node.peers.inbox import Source
from core.node.peers.kinds import IsOrdered
from core.node.peers.tally import Tally
from core.node.peers.timing import PeerTiming
from core.types import NodeId

Connect = Callable[[NodeId, str], Awaitable[AttestedTransport]]
"""Opens a channel to this registered node at this address. Raises CocoError."""


class PeerLink:
    """See the module. `keep` runs for as long as the node is registered; `serve` whatever channel comes about."""

    def __init__(
        self,
        own: NodeId,
        node_id: NodeId,
        peer: PeerNode,
        *,
        source: Source,
        register: NodeRegister,
        connect: Connect,
        timing: PeerTiming,
        is_ordered: IsOrdered,
        tally: Tally,
        random: Random,
        numbers: Iterator[int],
    ) -> None:
        """numbers: of channels, each given once in this node's life."""
        self.node_id = node_id
        self._own = own
        self._peer = peer
        self._source = source
        self._register = register
        self._connect = connect
        self._timing = timing
        self._is_ordered = is_ordered
        self._tally = tally
        self._random = random
        self._numbers = numbers
        self._number = 0
        self._channel: PeerChannel | None = None
        self._dialler = own
        self._changed = asyncio.Event()

    @property
    def channel(self) -> PeerChannel | None:
        """The open channel, if there is one."""
        return self._channel

    @property
    def generation(self) -> int:
        """The number of the open channel, 0 when there is none."""
        return 0 if self._channel is None else self._number

    def move(self, peer: PeerNode) -> None:
        """Call the node at this address from now on."""
        self._peer = peer
        self._changed.set()

    def say_farewell(self, message: Body) -> None:
        """Send one last message and end the channel, if there is one."""
        if self._channel is not None:
            self._channel.say_farewell(message, NodeRemoved("the node was removed from the network"))

    def close(self) -> None:
        """Forget what came in and was not taken; the register ends the channel."""
        self._source.close()

    async def keep(self) -> None:
        """Make the channel whenever there is none, until cancelled."""
        wait_s = self._timing.retry_min
        while True:
            await self._until(lambda: self._channel is None and self._peer.address != "")
            if not self._calls_first and await self._appears():
                continue
            began_s = asyncio.get_running_loop().time()
            longest_s = self._timing.retry_max
            try:
                reason = await self.serve(await self._connect(self.node_id, self._peer.address), self._own)
            except CocoError as error:
                self._tally.refused(f"no channel to node {self.node_id[:16]}", error)
                reason = error
            if asyncio.get_running_loop().time() - began_s >= self._timing.settled:
                wait_s = self._timing.retry_min
            elif isinstance(reason, AuthenticationFailed):
                longest_s = self._timing.refused_max
            await asyncio.sleep(wait_s * self._random.uniform(0.5, 1))
            wait_s = min(2 * wait_s, longest_s)

    async def serve(self, transport: AttestedTransport, dialler: NodeId) -> CocoError:
        """Serve a new channel, which takes the place of the one before; return why it ended. dialler: who made it.

        Raises NodeUnknown or NodeRemoved for a node that has left meanwhile, ChannelReplaced.
        """
        channel = PeerChannel(transport, source=self._source, timing=self._timing, is_ordered=self._is_ordered)
        self._register.track(channel)
        before = self._channel
        if before is not None and not self._gives_way(before, dialler):
            await transport.close()
            raise ChannelReplaced("both nodes called at once")
        self._channel, self._dialler, self._number = channel, dialler, next(self._numbers)
        self._changed.set()
        if before is not None:
            before.end(ChannelReplaced("there is a newer channel with this node"))
        self._tally.tell(f"{self.node_id} open", f"channel with node {self.node_id[:16]} opened")
        try:
            reason = await channel.run()
        finally:
            if self._channel is channel:
                self._channel = None
                self._changed.set()
        self._tell_of_end(reason)
        return reason

    @property
    def _calls_first(self) -> bool:
        return self._own < self.node_id

    def _gives_way(self, before: PeerChannel, dialler: NodeId) -> bool:
        first = min(self._own, self.node_id)
        age_s = asyncio.get_running_loop().time() - before.opened_s
        return not (self._dialler == first != dialler and age_s < self._timing.settled)

    async def _appears(self) -> bool:
        """Wait for the other side to make the channel; return whether it did."""
        try:
            async with asyncio.timeout(self._timing.fallback * self._random.uniform(1, 2)):
                await self._until(lambda: self._channel is not None)
        except TimeoutError:
            return False
        return True

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def _tell_of_end(self, reason: CocoError) -> None:
        if isinstance(reason, ChannelClosed):
            text = f"channel with node {self.node_id[:16]} ended: {reason.message}"
            self._tally.tell(f"{self.node_id} closed", text)
        else:
            self._tally.refused(f"channel with node {self.node_id[:16]} ended", reason)
