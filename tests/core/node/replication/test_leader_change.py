"""What survives a change of leadership: everything that was acknowledged, on all nodes; and what does not, nowhere."""

from __future__ import annotations

import asyncio

from core.adapter.interface import CommandFailed, OutcomeUnknown, Overloaded
from core.types import TransactionId
from tests.support.cluster import USER, Cluster, Node, cluster


async def keep_writing(node: Node, prefix: str, acknowledged: dict[bytes, TransactionId], count: int = 10_000) -> None:
    """Write one key after the other through a node, and note what is acknowledged, until it is gone."""
    for number in range(count):
        key = f"{prefix}{number}".encode()
        try:
            outcome = await node.submit(key + b"=1")
        except (CommandFailed, OutcomeUnknown, Overloaded):
            if node.crashed:
                return
            await asyncio.sleep(0.01)
            continue
        assert outcome.transaction_id is not None
        acknowledged[key] = outcome.transaction_id


async def check_acknowledged(made: Cluster, acknowledged: dict[bytes, TransactionId]) -> None:
    assert acknowledged
    for node in made.living:
        for key in acknowledged:
            assert await node.client.ask("kv", key, USER) == b"1", key


async def test_a_killed_leader_loses_nothing_that_was_acknowledged() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        acknowledged: dict[bytes, TransactionId] = {}
        writers = [
            asyncio.create_task(keep_writing(node, f"{node.name}.{number}.", acknowledged))
            for node in (first, second, third)
            for number in range(3)
        ]
        await made.until(lambda: len(acknowledged) > 100)
        first.crash()
        before = len(acknowledged)
        await made.until(made.elected)
        await made.until(lambda: len(acknowledged) > before + 100)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        assert made.leader() in (second, third)
        await made.equal(second, third)
        await check_acknowledged(made, acknowledged)
        views = {transaction.view for transaction in acknowledged.values()}
        assert len(views) >= 2


async def test_a_leader_that_is_cut_off_rolls_back_what_nobody_else_has() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await first.submit(b"before=1")
        await made.equal()
        old_view = first.core.leadership.view
        made.hub.cut(first.id)
        lost = [asyncio.create_task(first.submit(b"lost%d=1" % number)) for number in range(5)]
        await made.until(lambda: first.core.driver.uncommitted > 0)
        await made.until(lambda: second.leads or third.leads)
        assert made.leader().core.leadership.view > old_view
        await made.leader().submit(b"after=1")
        await made.until(lambda: not first.core.leadership.view)
        made.hub.heal()
        await made.equal()
        results = await asyncio.gather(*lost, return_exceptions=True)
        assert all(isinstance(one, OutcomeUnknown | CommandFailed | Overloaded) for one in results), results
        for node in made.living:
            assert await node.client.ask("kv", b"after", USER) == b"1"
            assert await node.client.ask("kv", b"lost0", USER) == b""
        assert any("was not committed" in line for line in first.log)


async def test_blocks_of_a_deposed_leader_may_be_committed_by_the_next() -> None:
    """The followers have the block when the leader is cut off before it hears of that: its client is answered."""
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await made.equal()
        # Nothing comes back to the leader, but its appends arrive.
        made.hub.changes = lambda sender, to, message: None if to == first.id else message
        waiting = asyncio.create_task(first.submit(b"in flight=1"))
        await made.until(
            lambda: second.core.head.seqno == third.core.head.seqno == first.core.head.seqno > first.committed
        )
        await made.until(lambda: second.leads or third.leads)
        made.hub.changes = None
        outcome = await waiting
        assert outcome.reply == b"1"
        await made.equal()
        for node in made.living:
            assert await node.client.ask("kv", b"in flight", USER) == b"1"


async def test_leadership_goes_round_and_each_leader_takes_commands() -> None:
    async with cluster(chunk_bytes_min=20_000) as made:
        await made.found()
        nodes = await made.grow(3)
        for turn in range(6):
            leader = made.leader()
            await asyncio.gather(*(node.submit(b"%d=%d" % (turn, turn)) for node in nodes for _ in range(5)))
            successor = nodes[(nodes.index(leader) + 1) % 3]
            leader.core.driver.transfer_leadership(successor.id)
            await made.until(lambda successor=successor: successor.leads)  # type: ignore[misc]
        await made.equal()
        assert sum(name.endswith(".committed") for name in nodes[0].disk.files if name.startswith("ledger/")) > 1


async def test_a_leader_that_stops_hands_over_first() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await made.until(lambda: not first.core.driver.uncommitted)
        first.executor.request_stop()
        await first.tasks[1]
        for channel in first.channels:
            await channel.close()
        await asyncio.wait_for(first.tasks[0], 30)
        assert any("hands over" in line for line in first.log)
        first.crashed = True
        await made.until(lambda: second.leads or third.leads)
        await made.leader().submit(b"after=1")
        await made.equal(second, third)
