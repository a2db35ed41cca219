"""Which time a manager puts into a block's signature: its worker's, within what its own clock and the ledger allow."""

from __future__ import annotations

import pytest

from core import limits
from core.node.messages import TO_MANAGER, BlockCommitted, ProposeBlock
from tests.support.manager_bench import Machine, Node, kv_draft

AHEAD_S = limits.BLOCK_TIME_AHEAD_SECONDS_MAX


async def commit(node: Node, time_s: int) -> int:
    """Commit a block that is proposed with this time; returns the one that it got."""
    assert node.ready is not None
    await node.executor.send(
        TO_MANAGER.encode(ProposeBlock(node.ready.view, node.next_seqno, (kv_draft(b"a", b"1"),), time_s))
    )
    node.next_seqno += 2
    assert isinstance(await node.next(), BlockCommitted)
    return node.manager.node.head.time_s


@pytest.mark.parametrize(
    ("proposed", "sealed"), [(0, 0), (-100, 0), (7, 7), (AHEAD_S, AHEAD_S), (AHEAD_S + 1, AHEAD_S), (2**62, AHEAD_S)]
)
async def test_it_is_the_workers_unless_that_is_before_the_ledgers_or_far_ahead(proposed: int, sealed: int) -> None:
    machine = Machine()
    async with machine.node() as node:
        now_s = node.manager.node.head.time_s
        assert now_s == int(machine.clock())
        assert await commit(node, now_s + proposed) == now_s + sealed


async def test_it_is_known_again_after_a_start() -> None:
    machine = Machine()
    async with machine.node() as node:
        time_s = await commit(node, int(machine.clock()) + 200)
    machine.clock.now -= 1_000
    async with machine.node() as node:
        assert node.ready is not None
        assert node.ready.time_s == time_s
        assert await commit(node, 0) == time_s
