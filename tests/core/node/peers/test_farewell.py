"""The last word to a node that leaves: it arrives, alone, and the channel is over."""

from __future__ import annotations

import pytest

from core.errors import InvariantBroken
from core.node.peer_messages import Removed
from core.node.peers.kinds import BOUNDS, Lane
from core.node.peers.packets import PIECE_BYTES_MAX, Assembler, encode_whole
from tests.support.peers import Node, consensus, nodes, receive, until


def leave(first: Node, second: Node, *others: Node) -> Removed:
    """Have the first node take the second out of its register, with a word."""
    notice = Removed(second.id, 3, 7, ("node0:1",))
    staying = {node.id: node.peer for node in (first, *others)}
    first.peers.update(staying, frozenset({second.id}), {second.id: notice})
    return notice


async def greet(first: Node, second: Node) -> None:
    """Have the channel carry something: before that, no farewell is said on it."""
    assert first.peers.send(second.id, consensus("hello"))
    assert (await receive(second)).message == consensus("hello")


async def test_the_notice_arrives_and_the_channel_ends() -> None:
    async with nodes(2) as (first, second):
        await greet(first, second)
        notice = leave(first, second)
        got = await receive(second)
        assert (got.message, got.sender, got.claims) == (notice, first.id, None)
        assert second.id not in first.peers.connected()
        await until(lambda: first.id not in second.peers.connected())
        assert not first.peers.send(second.id, consensus("more"))


async def test_nothing_that_waits_goes_with_it() -> None:
    async with nodes(2) as (first, second):
        await greet(first, second)
        for number in range(20):
            assert first.peers.send(second.id, consensus(b"ordered" + bytes([number]) * 50_000))
        notice = leave(first, second)
        assert (await receive(second)).message == notice
        await until(lambda: first.id not in second.peers.connected())


async def test_what_the_removed_node_sends_is_not_taken() -> None:
    async with nodes(2) as (first, second):
        await greet(first, second)
        leave(first, second)
        second.peers.send(first.id, consensus("too late"))
        assert (await receive(second)).message
        await until(lambda: first.id not in second.peers.connected())
        assert first.got == []


async def test_who_stays_hears_nothing() -> None:
    async with nodes(3) as (first, second, third):
        await greet(first, second)
        leave(first, second, third)
        assert (await receive(second)).message
        assert first.peers.send(third.id, consensus("to who stays"))
        assert (await receive(third)).message == consensus("to who stays")


async def test_a_farewell_to_a_node_that_stays_or_is_unknown_is_not_said() -> None:
    async with nodes(2) as (first, second):
        notice = Removed(second.id, 3, 7, ())
        everybody = {node.id: node.peer for node in (first, second)}
        first.peers.update(everybody, frozenset(), {second.id: notice, "ab" * 32: notice})  # type: ignore[dict-item]
        assert first.peers.send(second.id, consensus("the first word"))
        assert (await receive(second)).message == consensus("the first word")


def test_one_piece_is_whole() -> None:
    packet = encode_whole(Lane.URGENT, b"word")
    assert list(Assembler().feed(packet)) == [(Lane.URGENT, b"word")]
    assert BOUNDS[Lane.URGENT].message_bytes_max <= PIECE_BYTES_MAX
    for data in (b"", bytes(PIECE_BYTES_MAX + 1)):
        with pytest.raises(InvariantBroken):
            encode_whole(Lane.URGENT, data)
