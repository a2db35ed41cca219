"""What came in and waits to be taken: bounded for each node, and taken from each in turn.

A node whose share is full is not read any further, so one that floods slows down itself only.
"""

from __future__ import annotations

import asyncio
from collections import deque

from core import limits
from core.errors import ChannelClosed
from core.node.peer_messages import Inbound

TAKEN_AT_ONCE_MAX = 32
"""After so many, what else there is to do in the process, such as to read the other channels, has a turn."""


class Source:
    """The share of one node. Made by `Inbox.source`; any number of channels fill it."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._waiting: deque[tuple[Inbound, int]] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._is_closed = False

    async def put(self, inbound: Inbound, size_bytes: int) -> None:
        """Queue a message, then wait while the share is full. Raises ChannelClosed once the source is closed."""
        if self._is_closed:
            raise ChannelClosed("nothing of this node is taken any more")
        self._waiting.append((inbound, size_bytes))
        self._bytes += size_bytes
        self._inbox._filled(self)
        if self._is_full():
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Take nothing more, and forget what waits."""
        self._is_closed = True
        self._waiting.clear()
        self._bytes = 0
        self._room.set()

    def _take(self) -> Inbound | None:
        if not self._waiting:
            return None
        inbound, size = self._waiting.popleft()
        self._bytes -= size
        if not self._is_full():
            self._room.set()
        return inbound

    def _is_full(self) -> bool:
        return len(self._waiting) >= limits.PEER_INBOUND_MESSAGES_MAX or self._bytes >= limits.PEER_INBOUND_BYTES_MAX


class Inbox:
    """See the module."""

    def __init__(self) -> None:
        self._turns: deque[Source] = deque()
        self._something = asyncio.Event()
        self._failure: BaseException | None = None
        self._taken = 0

    def source(self) -> Source:
        """Return the share of another node."""
        return Source(self)

    async def take(self) -> Inbound:
        """Wait for the next message and return it; raises what `fail` was given."""
        while True:
            if self._failure is not None:
                raise self._failure
            while self._turns:
                source = self._turns.popleft()
                inbound = source._take()
                if inbound is None:
                    continue
                if source._waiting:
                    self._turns.append(source)
                self._taken += 1
                if self._taken % TAKEN_AT_ONCE_MAX == 0:
                    await asyncio.sleep(0)
                return inbound
            self._something.clear()
            await self._something.wait()

    def fail(self, failure: BaseException) -> None:
        """Have `take` raise this from now on."""
        if self._failure is None:
            self._failure = failure
        self._something.set()

    def _filled(self, source: Source) -> None:
        if source not in self._turns:
            self._turns.append(source)
        self._something.set()
