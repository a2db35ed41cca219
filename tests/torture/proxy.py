"""A TCP proxy that stands where the other nodes reach one node, and makes that link slow, lossy or dead.

What TCP can show of a bad line is shown: a chunk comes late (delay), much later (loss: as after a retransmission), the
connection breaks (break), or nothing comes and nothing breaks (down: a pulled cable). Faults may be set for all who
come, or for those from one address, so that a pair of nodes can be parted where each node has an address of its own.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

PIECE_BYTES = 16 * 1024
RETRANSMISSION_SECONDS = 0.2
"""Linux's least retransmission time-out: what a lost segment costs at the least."""

ANY = ""
"""Whoever comes."""


@dataclass(frozen=True, slots=True)
class Line:
    """The state of a link. delay_seconds: of each piece; loss, breaking: chance per piece, from 0 to 1."""

    is_down: bool = False
    delay_seconds: float = 0.0
    loss: float = 0.0
    breaking: float = 0.0


GOOD = Line()


class FaultProxy:
    """Forwards from a port of its own to a node's. Runs in a thread of its own, between `start` and `stop`.

    seed: of its chances. The target may change: a node that starts again may listen elsewhere.
    """

    def __init__(self, address: str, port: int, target: tuple[str, int], seed: int) -> None:
        self.address = address
        self.port = port
        self.target = target
        self.connections = 0
        self._lines: dict[str, Line] = {}
        self._changed = asyncio.Event()
        self._random = random.Random(seed)
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        """Listen; port 0 takes a free one. Raises OSError."""
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """End the connections and the thread."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def set_line(self, line: Line, source: str = ANY) -> None:
        """Change the link for those who come from `source` (an address), now and for open connections."""
        self._run(self._change({**self._lines, source: line}))

    def heal(self) -> None:
        """Make every link good again."""
        self._run(self._change({}))

    async def _change(self, lines: dict[str, Line]) -> None:
        self._lines = lines
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _line(self, source: str) -> Line:
        return self._lines.get(source) or self._lines.get(ANY, GOOD)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, self.address, self.port, limit=PIECE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            pass  # Only `stop` cancels.
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = str(writer.get_extra_info("peername")[0])
        await self._until_up(source)
        try:
            to_node, from_node = await asyncio.open_connection(*self.target, limit=PIECE_BYTES)
        except OSError:
            return
        pumps = [
            asyncio.create_task(self._pump(reader, from_node, source)),
            asyncio.create_task(self._pump(to_node, writer, source)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            from_node.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> None:
        """Pass pieces on until either end is gone or the line breaks."""
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                line = self._line(source)
                if line.delay_seconds:
                    await asyncio.sleep(line.delay_seconds * self._random.uniform(0.5, 1.5))
                await asyncio.sleep(RETRANSMISSION_SECONDS * self._losses(line.loss))
                if line.breaking and self._random.random() < line.breaking:
                    return
                await self._until_up(source)
                writer.write(piece)
                await writer.drain()

    async def _until_up(self, source: str) -> None:
        while self._line(source).is_down:
            await self._changed.wait()

    def _losses(self, chance: float) -> int:
        """Return how often a piece is lost before it comes through."""
        losses = 0
        while self._random.random() < chance:
            losses += 1
        return losses
