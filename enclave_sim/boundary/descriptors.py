"""Passes open sockets from the host to a process that runs already (SCM_RIGHTS), each with a label.

That is how a reader that was started again reaches the executor and the gateways: the host makes a socket pair and
hands one end to either. What comes in is untrusted: whoever takes a channel pairs over it before it is used.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import ChannelClosed, MalformedMessage

Peer = Literal["executor", "gateway", "reader", "enclave"]
"""Who is at the other end of a channel; "enclave": the channels are for an enclave that the platform will start."""

PASSED_MAX = 2
_LABEL = struct.Struct("<8sI")
_GONE = "the other end of the channel is gone"


@dataclass(frozen=True, slots=True)
class Passed:
    """What has been passed, and now belongs to whoever received it. number: of the peer."""

    peer: Peer
    number: int
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        for each in self.sockets:
            each.close()


class DescriptorSender:
    """The host's end. Never waits: a receiver that takes nothing loses what no longer fits."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    def send(self, peer: Peer, number: int, sockets: Sequence[socket.socket]) -> bool:
        """Pass sockets on and close them here; returns whether they were taken."""
        try:
            label = _LABEL.pack(peer.encode(), number)
            return socket.send_fds(self._end, [label], [each.fileno() for each in sockets]) == _LABEL.size
        except OSError:
            return False
        finally:
            for each in sockets:
                each.close()

    def close(self) -> None:
        self._end.close()


class DescriptorReceiver:
    """The process's end. One task receives."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    async def receive(self) -> Passed:
        """Return what is passed next. Raises ChannelClosed at the end, MalformedMessage for anything odd."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, descriptors = self._take()
                break
            except BlockingIOError:
                readable = loop.create_future()
                loop.add_reader(self._end.fileno(), _resolve, readable)
                try:
                    await readable
                finally:
                    loop.remove_reader(self._end.fileno())
            except OSError:
                raise ChannelClosed(_GONE) from None
        if not data:
            raise ChannelClosed(_GONE)
        return _passed(data, descriptors)

    def close(self) -> None:
        self._end.close()

    def _take(self) -> tuple[bytes, list[int]]:
        size = array.array("i").itemsize
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        data, ancillary, _, _ = self._end.recvmsg(_LABEL.size, socket.CMSG_SPACE(PASSED_MAX * size), flags)
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % size])
        return data, list(descriptors)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _sockets(descriptors: Sequence[int]) -> tuple[socket.socket, ...]:
    """Return them as sockets; raises MalformedMessage when one is none. An isolated process may not ask by fstat."""
    sockets: list[socket.socket] = []
    try:
        for each in descriptors:
            sockets.append(socket.socket(fileno=each))
    except OSError:
        for made in sockets:
            made.detach()
        raise MalformedMessage("what was passed is not a socket") from None
    return tuple(sockets)


def _passed(data: bytes, descriptors: Sequence[int]) -> Passed:
    """Return what was received; closes everything and raises MalformedMessage unless it is as it should be."""
    try:
        if len(data) != _LABEL.size or not descriptors:
            raise MalformedMessage("not a label with descriptors")
        name, number = _LABEL.unpack(data)
        peer = name.rstrip(b"\0").decode("ascii", "replace")
        if peer not in get_args(Peer):
            raise MalformedMessage("a label that is not known")
        for each in descriptors:
            os.set_inheritable(each, False)
        return Passed(peer, number, _sockets(descriptors))
    except (MalformedMessage, OSError) as error:
        for each in descriptors:
            os.close(each)
        if isinstance(error, MalformedMessage):
            raise
        raise MalformedMessage("what was passed cannot be used") from None
