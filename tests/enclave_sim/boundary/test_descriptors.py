"""Sockets passed to a process that runs: what is as it should be arrives, whatever else is closed and refused."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct

import pytest

from core.errors import ChannelClosed, MalformedMessage
from enclave_sim.boundary.descriptors import DescriptorReceiver, DescriptorSender

LABEL = struct.pack("<8sI", b"reader", 1)


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_sockets_arrive_with_their_label_and_are_closed_here() -> None:
    host, enclave = socket.socketpair()
    sender, receiver = DescriptorSender(host), DescriptorReceiver(enclave)
    waiting = asyncio.create_task(receiver.receive())
    await asyncio.sleep(0)
    first, second = socket.socketpair()
    assert sender.send("gateway", 7, [first])
    assert first.fileno() == -1
    passed = await waiting
    assert (passed.peer, passed.number, len(passed.sockets)) == ("gateway", 7, 1)
    assert not passed.sockets[0].get_inheritable()
    second.sendall(b"through")
    assert passed.sockets[0].recv(16) == b"through"
    passed.close()
    assert second.recv(16) == b""
    pair = socket.socketpair()
    sender.send("enclave", 2, pair)
    sender.send("reader", 3, [second])
    several = [await receiver.receive() for _ in range(2)]
    assert [len(each.sockets) for each in several] == [2, 1]
    for each in several:
        each.close()
    sender.close()
    with pytest.raises(ChannelClosed):
        await receiver.receive()
    receiver.close()


async def test_a_receiver_that_is_gone_or_full_is_told_by_the_result() -> None:
    host, enclave = socket.socketpair()
    sender = DescriptorSender(host)
    taken = [sender.send("reader", 1, [socket.socket()]) for _ in range(5_000)]
    assert taken[0]
    assert not taken[-1]
    enclave.close()
    assert not sender.send("reader", 1, [socket.socket()])
    sender.close()


@pytest.mark.parametrize(
    "label", [b"", b"x", LABEL[:-1], struct.pack("<8sI", b"nobody", 1), struct.pack("<8sI", b"\xff\xfe", 1)]
)
async def test_an_odd_label_is_refused_and_the_next_one_is_taken(label: bytes) -> None:
    host, enclave = socket.socketpair()
    receiver = DescriptorReceiver(enclave)
    given = socket.socket()
    before = open_count()
    if label:
        socket.send_fds(host, [label], [given.fileno()])
        with pytest.raises(MalformedMessage):
            await receiver.receive()
        assert open_count() == before
    socket.send_fds(host, [LABEL], [given.fileno()])
    (await receiver.receive()).close()
    for end in (host, enclave, given):
        end.close()


async def test_what_is_no_socket_is_refused() -> None:
    host, enclave = socket.socketpair()
    receiver = DescriptorReceiver(enclave)
    with open(os.devnull) as file:  # noqa: ASYNC230 - to have its descriptor
        before = open_count()
        socket.send_fds(host, [LABEL], [file.fileno()])
        with pytest.raises(MalformedMessage, match="not a socket"):
            await receiver.receive()
        assert open_count() == before
    host.sendall(LABEL)
    with pytest.raises(MalformedMessage, match="not a label"):
        await receiver.receive()
    host.close()
    enclave.close()


async def test_more_than_can_be_taken_are_not_kept() -> None:
    """The kernel closes what does not fit."""
    host, enclave = socket.socketpair()
    receiver = DescriptorReceiver(enclave)
    many = [socket.socket() for _ in range(5)]
    before = open_count()
    rights = array.array("i", [each.fileno() for each in many])
    host.sendmsg([LABEL], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    (await receiver.receive()).close()
    assert open_count() <= before
    for end in (host, enclave, *many):
        end.close()
