"""What a node tells of itself and of the others: through an executor, and what it does not understand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.errors import InvariantBroken
from core.node.messages import FROM_MANAGER, BlockApplied, Follow, LedgerNews
from core.node.node_news import KnownNode, NodeNews, read_news
from tests.support.executor_bench import VIEW, Bench, RoleBench, running

NODES = [
    {"node_id": "aa", "slot": "node1", "member": "m1", "address": "a:1", "status": "Trusted", "role": "leader"},
    {"node_id": "bb", "slot": "node2", "member": "m2", "address": "b:1", "status": "Trusted", "role": "follower"},
    {"node_id": "cc", "status": "Retired"},
]
NEWS = {"snapshot": 7, "verified": "all", "role": "follower", "leader": "aa", "nodes": NODES}


@pytest.fixture
async def bench() -> AsyncIterator[RoleBench]:
    found = RoleBench()
    await found.begin()
    async with running(found):
        yield found


async def ask(bench: Bench, **query: str) -> Any:
    return json.loads((await bench.ask(json.dumps(query).encode(), "coco")).reply)


async def tell_news(bench: Bench) -> None:
    await bench.manager.send(FROM_MANAGER.encode(LedgerNews(json.dumps(NEWS).encode())))
    for _ in range(100):
        if (await bench.status())["ledger"]:
            return


async def test_the_state_of_a_node(bench: RoleBench) -> None:
    assert await ask(bench, kind="state") == {
        "node_id": "",
        "state": "PartOfNetwork",
        "last_signed_seqno": 5,
        "startup_seqno": 2,
        "stop_notice": False,
    }


async def test_what_is_committed(bench: RoleBench) -> None:
    assert await ask(bench, kind="commit") == {"transaction_id": f"{VIEW}.5"}
    await bench.tell(Follow("aa"), BlockApplied(VIEW + 2, 6, 6, ()))
    await tell_news(bench)
    assert await ask(bench, kind="commit") == {"transaction_id": f"{VIEW + 2}.6"}
    assert await ask(bench, kind="transaction", id="3.5") == {
        "id": "3.5",
        "transaction_id": "3.5",
        "status": "Committed",
    }


async def test_the_nodes_as_the_manager_tells_them(bench: RoleBench) -> None:
    assert await ask(bench, kind="nodes") == {"nodes": []}
    await tell_news(bench)
    nodes = (await ask(bench, kind="nodes"))["nodes"]
    assert nodes[0] == {
        "node_id": "aa",
        "status": "Trusted",
        "primary": True,
        "role": "leader",
        "address": "a:1",
        "node_data": {"slot": "node1", "member": "m1"},
    }
    assert [(node["node_id"], node["primary"], node["role"]) for node in nodes[1:]] == [
        ("bb", False, "follower"),
        ("cc", False, ""),
    ]
    assert (await bench.status())["ledger"] == {"snapshot": 7, "verified": "all"}


async def test_metrics(bench: RoleBench) -> None:
    await tell_news(bench)

    async def metrics() -> dict[str, str]:
        text = (await bench.ask(b'{"kind":"metrics"}', "coco")).reply.decode()
        assert text.endswith("\n")
        lines = text.splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        described = {line.split()[2] for line in lines if line.startswith("# HELP ")}
        assert described == {line.split()[2] for line in lines if line.startswith("# TYPE ")}
        assert described == {name.partition("{")[0] for name in values}
        return values

    leading = await metrics()
    assert (leading["coco_leader"], leading["coco_view"], leading["coco_committed_seqno"]) == ("1", str(VIEW), "5")
    assert (leading['coco_commands_queued{adapter="one"}'], leading["coco_nodes"]) == ("0", "2")
    await bench.submit(b"a")
    await bench.proposed()
    assert (await metrics())["coco_blocks_in_flight"] == "1"
    await bench.tell(Follow(""))
    await bench.submit(b"b")
    following = await metrics()
    assert (following["coco_leader"], following["coco_blocks_in_flight"]) == ("0", "0")
    assert (following["coco_blocks_unresolved"], following["coco_commands_forwarded"]) == ("1", "1")
    assert following["coco_commands_unanswered"] == "2"


def test_news_are_read() -> None:
    document, news = read_news(json.dumps(NEWS).encode())
    assert document == {"snapshot": 7, "verified": "all"}
    assert (news.role, news.leader, news.nodes[2]) == ("follower", "aa", KnownNode("cc", status="Retired"))
    assert read_news(b"{}") == ({}, NodeNews())


@pytest.mark.parametrize("status", [b"", b"[]", b'{"role":"king"}', b'{"nodes":[{}]}', b'{"leader":1}'])
def test_news_that_are_not_understood(status: bytes) -> None:
    with pytest.raises(InvariantBroken):
        read_news(status)
