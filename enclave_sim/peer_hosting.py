"""The host's part in the channels between nodes: it connects and accepts for its manager, and never looks inside.

Everything is bounded, and what is over a bound is closed: the manager tries again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core import limits
from enclave_sim.boundary.descriptors import DescriptorSender
from enclave_sim.boundary.messages import FAILURE_CHARACTERS_MAX, printable
from enclave_sim.host_config import split_address
from enclave_sim.host_log import HostLog

CONNECT_SECONDS_MAX = 2.0
ACCEPT_SECONDS_MIN = 0.005
"""Between two connections that are accepted: more wait in the system's queue."""

UNSENT_BYTES_MAX = 128 * limits.KIBIBYTE
"""What the system takes of a sender before it is on its way, so that a vote does not stand behind a snapshot."""

_FULL_SECONDS = 0.1


class PeerHosting:
    """See the module. passing: to the manager. failed: tells it that a request to dial came to nothing."""

    def __init__(
        self,
        passing: DescriptorSender,
        failed: Callable[[int, str], Awaitable[None]],
        log: HostLog,
        listener: socket.socket | None = None,
    ) -> None:
        self._passing = passing
        self._failed = failed
        self._log = log
        self._listener = listener
        self._dials: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to accept, where there is a listener."""
        if self._listener is not None:
            self._listener.setblocking(False)
            self._accepting = asyncio.create_task(self._accept(self._listener))

    def dial(self, request: int, address: str) -> None:
        """Begin to connect; the manager is passed the connection, or told."""
        task = asyncio.create_task(self._dial(request, address, is_over=len(self._dials) >= limits.PEER_DIALS_MAX))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def close(self) -> None:
        """Connect and accept no more."""
        tasks = [*self._dials, *([self._accepting] if self._accepting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._passing.close()
        if self._listener is not None:
            self._listener.close()

    async def _dial(self, request: int, address: str, *, is_over: bool) -> None:
        if is_over:
            await self._failed(request, "too many connections are being made")
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                connection = await _connect(*split_address(address))
        except TimeoutError:
            await self._failed(request, "no answer")
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            await self._failed(request, printable(reason, FAILURE_CHARACTERS_MAX))
        else:
            if not self._passing.send("dialled", request, [_prepared(connection)]):
                await self._failed(request, "the manager does not take it")

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except ConnectionError:
                continue
            except OSError as error:
                # No descriptors or memory: others hold them, and give them back.
                self._log.line("host", f"a node's connection is not accepted: {error.strerror}")
                await asyncio.sleep(_FULL_SECONDS)
                continue
            self._passing.send("accepted", 0, [_prepared(connection)])
            await asyncio.sleep(ACCEPT_SECONDS_MIN)


async def _connect(host: str, port: int) -> socket.socket:
    """Return a connection with the first of the host's addresses that answers. Raises OSError."""
    loop = asyncio.get_running_loop()
    failure = OSError("the name has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


def _prepared(connection: socket.socket) -> socket.socket:
    """Set what the enclave may not: no delay for short messages, and little that waits in the system."""
    with suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    return connection
