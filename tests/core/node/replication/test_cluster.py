"""Three nodes in one process: they form by joining, agree, and lose nothing that was acknowledged."""

from __future__ import annotations

import asyncio

from tests.support.cluster import USER, cluster


async def test_three_nodes_form_by_joining_and_agree() -> None:
    async with cluster() as made:
        first = await made.found()
        for number in range(20):
            await first.submit(b"k%d=%d" % (number, number))
        nodes = await made.grow(3)
        assert [node.leads for node in nodes] == [True, False, False]
        for number in range(20, 40):
            outcome = await first.submit(b"k%d=%d" % (number, number))
            assert outcome.reply == b"%d" % (number + 1)
        await made.equal()
        await asyncio.gather(*(node.submit(b"from %d=1" % number) for number, node in enumerate(nodes)))
        await made.equal()
        for node in nodes:
            assert await node.client.ask("kv", b"k39", USER) == b"39"
