"""What a gateway still asks its executor once its node was removed."""

from __future__ import annotations

import asyncio

import pytest

from core.adapter.interface import Caller, Overloaded
from core.node.executor_client import ExecutorClient
from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Answer, ToGateway
from enclave_sim.boundary.memory_transport import memory_pair

ALICE = Caller("alice", True, "certificate")


async def test_only_what_the_node_says_of_itself() -> None:
    theirs, ours = memory_pair()
    client = ExecutorClient(theirs, lambda front_end: None, lambda line: None)
    running = [asyncio.create_task(one) for one in (client.read(), client.write())]
    client.removed = "This node was removed. Ask n2:1."
    for refused in (
        client.submit("kv", b"key=1", ALICE),
        client.submit("coco", b"a vote", ALICE),
        client.ask("kv", b"key", ALICE),
        client.receipt({"seqno": 1}, ALICE),
        client.backend("kv", ALICE, "").submit(b"key=1", ALICE),
        client.backend("kv", ALICE, "").query(b"key", ALICE),
    ):
        with pytest.raises(Overloaded, match=r"Ask n2:1"):
            await refused
    asking = asyncio.create_task(client.ask("coco", b'{"kind":"status"}', ALICE))
    (item,) = FROM_GATEWAY.decode(await ours.receive()).items
    await ours.send(TO_GATEWAY.encode(ToGateway((Answer(item.ticket, b"removed", "", 0, 0),), 0)))
    assert await asking == b"removed"
    client.removed = ""
    submitting = asyncio.create_task(client.submit("kv", b"key=1", ALICE))
    (item,) = FROM_GATEWAY.decode(await ours.receive()).items
    await ours.send(TO_GATEWAY.encode(ToGateway((Answer(item.ticket, b"done", "", 1, 1),), 1)))
    assert (await submitting).reply == b"done"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
