"""The manager's Dialler: connections with other nodes, which its host makes or accepts and passes as descriptors.

The host may pass anything, at any time, or nothing. What is no connected stream socket, or was not asked for, is closed
and counted; who is at the other end is for TLS to show (core/node/peers).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable

from core import limits
from core.errors import ChannelClosed, MalformedMessage
from core.node.attested_tls.transport import SocketStream
from core.node.peer_messages import PeerUnreachable
from enclave_sim.boundary.descriptors import DescriptorReceiver, Passed

_BUFFER_BYTES = 128 * limits.KIBIBYTE
"""Above so much that the system has not taken, a sender waits: what is urgent shall not stand behind it."""

AskToDial = Callable[[int, str], Awaitable[None]]
"""Asks the host, with the number under which it is to answer."""


class PassedStreams:
    """See the module. `run` takes what the host passes; `failed` takes its refusals."""

    def __init__(self, end: socket.socket, ask: AskToDial, log: Callable[[str], None]) -> None:
        self._receiver = DescriptorReceiver(end)
        self._ask = ask
        self._log = log
        self._dialling: dict[int, asyncio.Future[SocketStream]] = {}
        self._last_request = 0
        self._accepted: deque[SocketStream] = deque()
        self._something = asyncio.Event()
        self._is_over = False
        self._refused = 0

    async def run(self) -> None:
        """Take what is passed until the host is gone."""
        try:
            while True:
                try:
                    await self._take(await self._receiver.receive())
                except MalformedMessage as error:
                    self._refuse(error.message)
        except ChannelClosed:
            return
        finally:
            self._end()

    async def dial(self, address: str) -> SocketStream:
        if self._is_over:
            raise PeerUnreachable("the host passes no connections any more")
        if len(address.encode()) > limits.PEER_ADDRESS_BYTES_MAX or len(self._dialling) >= limits.PEER_DIALS_MAX:
            raise PeerUnreachable("the address is too long, or too many connections are being made")
        self._last_request = number = self._last_request + 1
        made: asyncio.Future[SocketStream] = asyncio.get_running_loop().create_future()
        self._dialling[number] = made
        try:
            await self._ask(number, address)
            return await made
        except ChannelClosed:
            raise PeerUnreachable("the host is gone") from None
        except asyncio.CancelledError:
            if made.done() and not made.cancelled() and made.exception() is None:
                made.result().abort()
            raise
        finally:
            del self._dialling[number]

    async def accept(self) -> SocketStream:
        while not self._accepted:
            if self._is_over:
                raise ChannelClosed("the host passes no connections any more")
            self._something.clear()
            await self._something.wait()
        return self._accepted.popleft()

    def failed(self, request: int, reason: str) -> bool:
        """Take the host's word that nobody was reached; returns whether that had been asked."""
        dialling = self._dialling.get(request)
        if dialling is None or dialling.done():
            return request <= self._last_request  # A request that was given up may still be answered.
        dialling.set_exception(PeerUnreachable(f"the host reached nobody: {reason}"))
        dialling.exception()  # Who asked may have been cancelled meanwhile.
        return True

    async def _take(self, passed: Passed) -> None:
        stream = await _open(passed)
        dialling = self._dialling.get(passed.number)
        if passed.peer == "accepted":
            self._accepted.append(stream)
            if len(self._accepted) > limits.PEER_ACCEPTED_MAX:
                self._accepted.popleft().abort()
            self._something.set()
        elif passed.peer == "dialled" and dialling is not None and not dialling.done():
            dialling.set_result(stream)
        else:
            stream.abort()
            if passed.peer != "dialled" or not 0 < passed.number <= self._last_request:
                raise MalformedMessage(f"a connection that was not asked for ({passed.peer} {passed.number})")

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:
            self._log(f"refused a connection that the host passed ({self._refused} so far): {reason}")

    def _end(self) -> None:
        self._is_over = True
        self._something.set()
        for dialling in self._dialling.values():
            if not dialling.done():
                dialling.set_exception(PeerUnreachable("the host passes no connections any more"))
                dialling.exception()
        while self._accepted:
            self._accepted.popleft().abort()
        self._receiver.close()


async def _open(passed: Passed) -> SocketStream:
    """Return the one connected stream socket that was passed; closes whatever else it is, raises MalformedMessage."""
    try:
        (end,) = passed.sockets
        if end.type != socket.SOCK_STREAM:
            raise MalformedMessage("not a stream socket")
        end.getpeername()
        end.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=end, limit=_BUFFER_BYTES)
        writer.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
    except (OSError, ValueError):
        passed.close()
        raise MalformedMessage("not one connected socket") from None
    except MalformedMessage:
        passed.close()
        raise
    return SocketStream(reader, writer)
