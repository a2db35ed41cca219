"""A network between the nodes of one process: streams of bytes that can be cut, slowed and broken. For tests.

What a cut holds back arrives when it is healed, as over TCP; whoever dials across a cut reaches nobody. Addresses are
names of the caller's choice.
"""

from __future__ import annotations

import asyncio
from collections import deque

from core import limits
from core.errors import ChannelClosed
from core.node.attested_tls.transport import READ_BYTES, ByteStream
from core.node.peer_messages import PeerUnreachable

BUFFER_BYTES_MAX = 256 * limits.KIBIBYTE
"""On their way in one direction, above which who sends waits."""

_GONE = "the other end of the channel is gone"


class _Way:
    """One direction between two nodes. What is sent has the time from which it may arrive."""

    def __init__(self, network: MemoryNetwork, ends: frozenset[str]) -> None:
        self._network = network
        self._ends = ends
        self._sent: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._is_ended = False
        self._is_unread = False
        self._is_broken = False
        self._changed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more."""
        return self._is_broken or (self._is_unread and self._is_ended)

    def write(self, data: bytes) -> None:
        if data and not self._is_ended and not self._is_gone:
            delay_s = self._network.delays.get(self._ends, 0.0)
            self._sent.append((asyncio.get_running_loop().time() + delay_s, bytes(data)))
            self._bytes += len(data)
            self.notify()

    async def read(self) -> bytes:
        while not self._is_broken and not self._is_unread:
            wait_s = None
            if not self._is_cut and self._sent:
                wait_s = self._sent[0][0] - asyncio.get_running_loop().time()
                if wait_s <= 0:
                    return self._take()
            elif not self._is_cut and self._is_ended:
                return b""
            await self._wait(wait_s)
        return b""

    async def drain(self) -> None:
        while self._bytes > BUFFER_BYTES_MAX and not self._is_gone:
            await self._wait(None)
        if self._is_gone:
            raise ChannelClosed(_GONE)

    def end(self, *, loses: bool = False) -> None:
        """Send nothing more. loses: not even what is on its way."""
        self._is_ended = True
        if loses:
            self._sent.clear()
            self._bytes = 0
        self.notify()

    def leave(self) -> None:
        """Read nothing more: what is sent goes nowhere."""
        self._is_unread = True
        self._sent.clear()
        self._bytes = 0
        self.notify()

    def break_off(self) -> None:
        """Lose everything; both ends notice."""
        self._is_broken = True
        self._sent.clear()
        self._bytes = 0
        self.notify()

    def notify(self) -> None:
        """Have who waits look again."""
        self._changed.set()
        self._changed.clear()

    @property
    def _is_gone(self) -> bool:
        """Whether who sends knows that nobody reads: not across a cut."""
        return self._is_broken or (self._is_unread and not self._is_cut)

    @property
    def _is_cut(self) -> bool:
        return self._ends in self._network.cuts

    def _take(self) -> bytes:
        _, data = self._sent.popleft()
        if len(data) > READ_BYTES:
            self._sent.appendleft((0.0, data[READ_BYTES:]))
            data = data[:READ_BYTES]
        self._bytes -= len(data)
        self.notify()
        return data

    async def _wait(self, seconds_max: float | None) -> None:
        try:
            async with asyncio.timeout(seconds_max):
                await self._changed.wait()
        except TimeoutError:
            return


class MemoryStream:
    """A ByteStream. Made by `MemoryNetwork`."""

    def __init__(self, incoming: _Way, outgoing: _Way) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self) -> bytes:
        return await self._incoming.read()

    def write(self, data: bytes) -> None:
        self._outgoing.write(data)

    async def drain(self) -> None:
        await self._outgoing.drain()

    async def close(self) -> None:
        self._outgoing.end()
        self._incoming.leave()

    def abort(self) -> None:
        self._outgoing.end(loses=True)
        self._incoming.leave()


class MemoryDialler:
    """The Dialler of one node. Made by `MemoryNetwork.node`."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self._network = network
        self._name = name
        self._accepted: asyncio.Queue[ByteStream] = asyncio.Queue()

    async def dial(self, address: str) -> ByteStream:
        return self._network.connect(self._name, address)

    async def accept(self) -> ByteStream:
        return await self._accepted.get()

    def reached_by(self, caller: str) -> ByteStream:
        """Return a caller's end of a new connection to this node."""
        return self._network.connect(caller, self._name)

    def take(self, stream: ByteStream) -> None:
        """Have `accept` return this stream."""
        self._accepted.put_nowait(stream)


class MemoryNetwork:
    """See the module. cuts: pairs of addresses that hear nothing of each other; delays: seconds, by pair."""

    def __init__(self) -> None:
        self.cuts: set[frozenset[str]] = set()
        self.delays: dict[frozenset[str], float] = {}
        self._nodes: dict[str, MemoryDialler] = {}
        self._ways: dict[frozenset[str], list[_Way]] = {}
        self.dials = 0

    def node(self, address: str) -> MemoryDialler:
        """Return the dialler of the node at this address; it takes the place of one that was there."""
        self._nodes[address] = dialler = MemoryDialler(self, address)
        return dialler

    def leave(self, address: str) -> None:
        """Have nobody answer at this address, and break its connections."""
        self._nodes.pop(address, None)
        for ends in [ends for ends in self._ways if address in ends]:
            self._break(ends)

    def connect(self, caller: str, address: str) -> MemoryStream:
        """Return the caller's end of a new connection; the other goes to who listens there."""
        self.dials += 1
        ends = frozenset((caller, address))
        if address not in self._nodes or ends in self.cuts:
            raise PeerUnreachable(f"nobody answers at {address}")
        there, back = _Way(self, ends), _Way(self, ends)
        self._ways[ends] = [*(way for way in self._ways.get(ends, []) if not way.is_over), there, back]
        self._nodes[address].take(MemoryStream(there, back))
        return MemoryStream(back, there)

    def cut(self, first: str, second: str) -> None:
        """Hold back everything between two nodes."""
        self.cuts.add(frozenset((first, second)))

    def heal(self, first: str, second: str) -> None:
        """Let everything pass again."""
        self.cuts.discard(frozenset((first, second)))
        self._wake(frozenset((first, second)))

    def delay(self, first: str, second: str, seconds: float) -> None:
        """Have what is sent from now on take so long."""
        self.delays[frozenset((first, second))] = seconds

    def reset(self, first: str, second: str) -> None:
        """Break every connection between two nodes."""
        self._break(frozenset((first, second)))

    def _break(self, ends: frozenset[str]) -> None:
        for way in self._ways.pop(ends, []):
            way.break_off()

    def _wake(self, ends: frozenset[str]) -> None:
        for way in self._ways.get(ends, []):
            way.notify()
