"""Nodes that lack more than the leader's log holds: they fetch the ledger, verify it, and go on."""

from __future__ import annotations

import asyncio

import pytest

from core import limits
from core.consensus.engine import Role
from core.errors import InvariantBroken, LedgerDamaged
from core.node.manager_keys import load_secrets
from core.node.peer_messages import Body, CatchUp, Fetched, FetchLedger
from core.types import NodeId
from tests.support.cluster import USER, Cluster, Node, cluster


async def fill(node: Node, count: int, prefix: str = "k", size_bytes: int = 20) -> None:
    """Write so many keys."""
    for first in range(0, count, 500):
        await asyncio.gather(
            *(
                node.submit(f"{prefix}{number}=".encode() + b"v" * size_bytes)
                for number in range(first, min(count, first + 500))
            )
        )


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaders keep next to nothing."""
    monkeypatch.setattr(limits, "CONSENSUS_KEPT_ENTRIES", 3)


async def lagging(made: Cluster) -> tuple[Node, Node]:
    """Return leader and a follower that lacks much of the log."""
    await made.found()
    first, second, third = await made.grow(3)
    await made.equal()
    made.hub.cut(third.id)
    for turn in range(30):
        await fill(first, 20, f"turn{turn}.", 200)
    await made.equal(first, second)
    return first, third


async def test_a_follower_that_lags_behind_the_log_catches_up(small_log: None) -> None:
    async with cluster(chunk_bytes_min=20_000) as made:
        first, third = await lagging(made)
        made.hub.heal()
        await made.equal()
        assert any("catching up" in line for line in third.log)
        assert any("has caught up" in line for line in first.log)
        # It takes part in full again.
        second = next(node for node in made.living if node not in (first, third))
        second.crash()
        await first.submit(b"last=1")
        await made.equal()
        assert await third.client.ask("kv", b"last", USER) == b"1"
        assert not [name for name in third.disk.files if name.startswith("catchup")]


async def test_catching_up_goes_on_with_another_leader(small_log: None) -> None:
    async with cluster(chunk_bytes_min=20_000) as made:
        first, third = await lagging(made)
        pieces = 0

        def changes(sender: NodeId, to: NodeId, message: Body) -> Body | None:
            nonlocal pieces
            if isinstance(message, FetchLedger) and sender == third.id:
                pieces += 1
                if pieces == 3:
                    first.crash()
            return message

        made.hub.changes = changes
        made.hub.heal()
        await made.until(lambda: first.crashed)
        await made.until(made.elected)
        await made.leader().submit(b"last=1")
        await made.equal()
        assert any("catching up failed" in line for line in third.log)


async def test_a_node_that_was_ahead_of_what_is_committed_catches_up_too(small_log: None) -> None:
    """Its own blocks as a leader, which nobody has, give way to the ledger it fetches."""
    async with cluster(chunk_bytes_min=20_000) as made:
        await made.found()
        first, second, third = await made.grow(3)
        made.hub.cut(first.id)
        lost = [asyncio.create_task(first.submit(b"lost%d=1" % number)) for number in range(5)]
        await made.until(lambda: second.leads or third.leads)
        for turn in range(20):
            await fill(made.leader(), 10, f"turn{turn}.", 200)
        made.hub.heal()
        await made.equal()
        assert any("catching up" in line for line in first.log)
        await asyncio.gather(*lost, return_exceptions=True)
        assert await first.client.ask("kv", b"lost0", USER) == b""


async def test_a_node_that_catches_up_over_a_new_epoch_has_its_key(small_log: None) -> None:
    """A slot is removed while it lags: the key is in the ledger, wrapped to it, and sealed on its disk."""
    async with cluster(chunk_bytes_min=20_000) as made:
        await made.found()
        first, second, third, fourth = await made.grow(4)
        await made.equal()
        made.hub.cut(third.id)
        await made.remove("node4")
        await made.until(lambda: len(first.core.head.keyring.epochs) == 2)
        for turn in range(10):
            await fill(first, 10, f"turn{turn}.")
        made.hub.heal()
        await made.equal(first, second, third)
        assert any("catching up" in line for line in third.log)
        sealed = await load_secrets(third.disk, third.manager._sealer)
        assert sealed is not None
        assert sealed.epochs == first.core.secrets().epochs
        assert len(fourth.core.head.keyring.epochs) == 1


@pytest.mark.parametrize("place", ["tag", "root", "cut"])
async def test_a_ledger_that_is_wrong_stops_the_node_that_fetches_it(small_log: None, place: str) -> None:
    async with cluster(chunk_bytes_min=20_000) as made:
        first, third = await lagging(made)

        async def bad(request: FetchLedger) -> Fetched:
            reply = await good(request)
            data = bytearray(reply.data)
            if request.offset == 8:
                at = {"tag": 200, "root": len(data) // 2, "cut": -1}[place]
                data[at] ^= 1
            return Fetched(bytes(data))

        server = first.core._server
        assert server is not None
        good = server._ledger
        server._ledger = bad  # type: ignore[method-assign]
        made.hub.heal()
        with pytest.raises((InvariantBroken, LedgerDamaged)):
            await made.until(lambda: False, third)
        third.crash()
        await made.equal()


async def test_a_node_joins_a_long_ledger_by_a_snapshot() -> None:
    async with cluster(chunk_bytes_min=100_000, snapshot_entries=1_000) as made:
        first = await made.found()
        await first.client.ask("coco", b'{"kind":"status"}', USER)
        await fill(first, 3_000)
        await made.until(lambda: any(name.endswith(".committed") for name in first.disk.files if "snapshots/" in name))
        await made.grow(2)
        second = made.nodes[1]
        assert second.role is Role.FOLLOWER
        await fill(first, 50, "after")
        await made.equal()
        assert any("started from snapshots/" in line for line in second.log)
        for key in (b"k0", b"k2999", b"after49"):
            assert await second.client.ask("kv", key, USER) == b"v" * 20
        # What stood before the snapshot is verified beside its work.
        await made.until(lambda: any("before the snapshot are verified" in line for line in second.log), second)


async def test_a_node_that_joins_asks_anew_when_the_fetching_fails() -> None:
    async with cluster() as made:
        first = await made.found()
        await fill(first, 200)
        failed = 0

        def changes(sender: NodeId, to: NodeId, message: Body) -> Body | None:
            nonlocal failed
            if isinstance(message, FetchLedger) and failed < 2:
                failed += 1
                return FetchLedger(999_999, 0, 10)
            return message

        made.hub.changes = changes
        await made.grow(2)
        await made.equal()
        assert any("fetching failed" in line for line in made.nodes[1].log)


async def test_nothing_is_served_that_is_not_committed() -> None:
    async with cluster() as made:
        await made.found()
        first, second, _ = await made.grow(3)
        await made.equal()
        server = first.core._server
        assert server is not None
        committed = first.core._disk_log.committed_end
        assert committed is not None
        made.hub.changes = lambda sender, to, message: None if to == first.id else message
        waiting = asyncio.create_task(first.submit(b"not yet=1"))
        await made.until(lambda: first.core.driver.uncommitted > 0 and second.core.driver.uncommitted > 0)
        chunk, end = committed
        assert (await server._ledger(FetchLedger(chunk, end, 100))).failure == "not_committed"
        assert len((await server._ledger(FetchLedger(chunk, end - 10, 100))).data) == 10
        assert (await server._ledger(FetchLedger(chunk + 1, 0, 100))).failure == "no_such_file"
        made.hub.changes = None
        await waiting


async def test_an_offer_of_who_does_not_lead_is_ignored() -> None:
    async with cluster() as made:
        await made.found()
        first, second, third = await made.grow(3)
        await made.equal()
        offer = CatchUp(b"", 10_000, 5, ())
        made.hub.nodes[third.id].inject(second.id, offer)
        await first.submit(b"goes on=1")
        await made.equal()
        assert not any("catching up" in line for line in third.log)
