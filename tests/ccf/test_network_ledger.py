"""The ledger of several nodes, with leader changes, a node that came back and one that was removed: CCF's validator
reads it from first to last, and so does our own audit, from every node's copy; snapshots' receipts verify too.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from core.consensus.configuration import decode_snapshot
from core.consensus.engine import Role
from core.node.audit import audit_ledgers
from tests.support.ccf_tools import CcfTools
from tests.support.cluster import Cluster, Node, cluster
from tests.support.ledger_bench import store_ledger


async def voting(made: Cluster, count: int) -> None:
    def voters() -> int:
        found = decode_snapshot(made.leader().core.driver._engine.snapshot()).configuration
        return 0 if found.is_joint else len(found.voters)

    await made.until(lambda: made.elected() and voters() == count)


async def write(node: Node, name: str) -> None:
    await asyncio.gather(*(node.submit(f"{name}{number}=1".encode()) for number in range(30)))


async def live(made: Cluster) -> list[Node]:
    """Three nodes; two leaders, one of which is lost and comes back in its slot; then a slot is removed."""
    await made.found()
    nodes = await made.grow(3)
    await voting(made, 3)
    await write(nodes[0], "first")
    nodes[0].crash()
    await made.until(made.elected)
    await write(made.leader(), "second")
    again = made.join("node1", contacts=("node2", "node3"), member="alpha")
    await made.until(lambda: again.ready and again.role is Role.FOLLOWER, again)
    await voting(made, 3)
    made.leader().core.driver.transfer_leadership(again.id)
    await made.until(lambda: again.leads)
    await write(again, "third")
    await made.remove("node2")
    await voting(made, 2)
    await made.until(lambda: len(made.leader().core.head.keyring.epochs) == 2)
    await write(again, "fourth")
    remaining = [nodes[2], again]
    await made.equal(*remaining)
    return remaining


async def test_the_ledger_of_several_nodes_is_sound_to_ccf_and_to_us(ccf_tools: CcfTools, tmp_path: Path) -> None:
    async with cluster(chunk_bytes_min=30_000) as made:
        nodes = await live(made)
        views = nodes[0].core.head.views
        report = await audit_ledgers([(node.name, node.disk) for node in nodes])
        assert report.is_sound, report
        disk, end = nodes[1].disk, nodes[1].committed
    assert len(views) >= 3
    directory = store_ledger(disk, tmp_path / "ledger")
    request = {"directory": str(directory), "uncommitted": True, "changes": []}
    said = ccf_tools.check("validate_ledger", request)["sound"]
    assert said["error"] is None
    assert said["entries"] == end
    assert said["verified"] == f"{views[-1][0]}.{end}"
