"""What waits to be sent: bounds, order within a lane, shares between lanes, what is too old."""

from __future__ import annotations

import asyncio

import pytest

from core import limits
from core.errors import LimitExceeded
from core.node.peers.kinds import BOUNDS, Lane
from core.node.peers.packets import PACKET_BYTES_MAX, Assembler
from core.node.peers.send_queue import SendQueue


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def drain(queue: SendQueue) -> list[tuple[Lane, bytes]]:
    assembler, found = Assembler(), []
    while queue:
        packet = await queue.next_packet()
        assert len(packet) <= PACKET_BYTES_MAX
        found += list(assembler.feed(packet))
    return found


async def test_each_lane_keeps_its_order_and_urgent_goes_first() -> None:
    queue = SendQueue(Clock())
    for number in range(8):
        for lane in Lane:
            assert queue.put(lane, bytes([lane, number]) * 1_500)
    found = await drain(queue)
    for lane in Lane:
        assert [data[1] for found_lane, data in found if found_lane is lane] == list(range(8))
    assert [lane for lane, _ in found[:8]] == [Lane.URGENT] * 8


async def test_a_long_message_leaves_the_others_their_share() -> None:
    queue = SendQueue(Clock())
    assert queue.put(Lane.BULK, bytes(4_000_000))
    await queue.next_packet()
    assert queue.put(Lane.WORK, b"work")
    assert queue.put(Lane.ORDERED, b"ordered")
    assert queue.put(Lane.URGENT, b"urgent")
    found = list(Assembler().feed(await queue.next_packet()))
    assert found[0] == (Lane.URGENT, b"urgent")
    assert set(found) == {(Lane.URGENT, b"urgent"), (Lane.WORK, b"work"), (Lane.ORDERED, b"ordered")}


@pytest.mark.parametrize("lane", [lane for lane in Lane if not BOUNDS[lane].drops_oldest])
async def test_what_has_no_room_is_refused(lane: Lane) -> None:
    queue, bounds = SendQueue(Clock()), BOUNDS[lane]
    for _ in range(bounds.messages_max):
        assert queue.put(lane, b"x")
    assert not queue.put(lane, b"x")
    assert queue.dropped == 1
    assert len(await drain(queue)) == bounds.messages_max
    largest, count = bytes(bounds.message_bytes_max), 0
    while queue.put(lane, largest):
        count += 1
    assert 1 <= count <= max(1, bounds.bytes_max // len(largest))


async def test_the_oldest_urgent_message_makes_room() -> None:
    queue, bounds = SendQueue(Clock()), BOUNDS[Lane.URGENT]
    for number in range(bounds.messages_max + 3):
        assert queue.put(Lane.URGENT, number.to_bytes(4, "big"))
    found = [int.from_bytes(data, "big") for _, data in await drain(queue)]
    assert found == list(range(3, bounds.messages_max + 3))
    assert queue.dropped == 3


async def test_an_urgent_message_that_waited_too_long_is_not_sent() -> None:
    clock = Clock()
    queue = SendQueue(clock)
    assert queue.put(Lane.URGENT, b"old")
    assert queue.put(Lane.WORK, b"work")
    clock.now_s = limits.PEER_URGENT_SECONDS_MAX + 0.1
    assert queue.put(Lane.URGENT, b"new")
    assert await drain(queue) == [(Lane.URGENT, b"new"), (Lane.WORK, b"work")]


@pytest.mark.parametrize("lane", list(Lane))
async def test_a_message_above_its_lanes_bound(lane: Lane) -> None:
    queue = SendQueue(Clock())
    with pytest.raises(LimitExceeded):
        queue.put(lane, bytes(BOUNDS[lane].message_bytes_max + 1))
    assert not queue


async def test_a_sign_of_life_is_an_empty_packet() -> None:
    queue = SendQueue(Clock())
    waiting = asyncio.create_task(queue.next_packet())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.wake()
    assert await waiting == b""
    assert not list(Assembler().feed(b""))
