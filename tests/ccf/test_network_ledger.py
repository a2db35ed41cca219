"""The ledger of several nodes, with leader changes, a node that came back and one that was removed: CCF's validator
reads it from first to last, and so does our own audit, from every node's copy; snapshots' receipts verify too.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from core.consensus.configuration import decode_snapshot
from core.consensus.engine import Role
from core.ledger.entry import HEADER_BYTES, framed_bytes
from core.node.audit import audit_ledgers
from tests.support.ccf_tools import CcfTools
from tests.support.cluster import Cluster, Node, cluster
from tests.support.ledger_bench import store_ledger

CONCURRENT = 200
LONG_COMMANDS = 2_600
SAMPLED_CHANGES = 100


def last_signature_at(directory: Path) -> tuple[str, int]:
    """Return the open file, and where its last signature entry begins."""
    file = next(one for one in directory.iterdir() if not one.name.endswith(".committed"))
    data, at, last = file.read_bytes(), 8, 8
    while at < len(data):
        size = framed_bytes(data[at : at + HEADER_BYTES])
        last, at = at, at + size
    return file.name, last


def sampled_changes(directory: Path, last: tuple[str, int]) -> list[tuple[str, int, int]]:
    """Return single bits to flip before the last signature entry: (file, offset, mask)."""
    chance, places = random.Random(7), list[tuple[str, int]]()
    for file in sorted(directory.iterdir()):
        end = last[1] if file.name == last[0] else file.stat().st_size
        places += [(file.name, offset) for offset in range(end)]
    return [(name, offset, 1 << chance.randrange(8)) for name, offset in chance.sample(places, SAMPLED_CHANGES)]


async def voting(made: Cluster, count: int) -> None:
    def voters() -> int:
        found = decode_snapshot(made.leader().core.driver._engine.snapshot()).configuration
        return 0 if found.is_joint else len(found.voters)

    await made.until(lambda: made.elected() and voters() == count)


async def live(made: Cluster, commands: int) -> list[Node]:
    """Three nodes; two leaders, one of which is lost and comes back in its slot; then a slot is removed.

    commands: under each leader, and after the removal.
    """

    async def write(node: Node, name: str) -> None:
        for start in range(0, commands, CONCURRENT):
            numbers = range(start, min(start + CONCURRENT, commands))
            await asyncio.gather(*(node.submit(f"{name}{number}=1".encode()) for number in numbers))

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


@pytest.mark.parametrize("commands", [30, LONG_COMMANDS], ids=["short", "long"])
async def test_the_ledger_of_several_nodes_is_sound_to_ccf_and_to_us(
    ccf_tools: CcfTools, tmp_path: Path, commands: int
) -> None:
    async with cluster(chunk_bytes_min=30_000 if commands < CONCURRENT else 1_000_000) as made:
        nodes = await live(made, commands)
        views = nodes[0].core.head.views
        report = await audit_ledgers([(node.name, node.disk) for node in nodes])
        assert report.is_sound, report
        disk, end = nodes[1].disk, nodes[1].committed
    assert len(views) >= 3
    directory = store_ledger(disk, tmp_path / "ledger")
    changes = sampled_changes(directory, last_signature_at(directory)) if commands < CONCURRENT else []
    request = {"directory": str(directory), "uncommitted": True, "changes": changes}
    answer = ccf_tools.check("validate_ledger", request)
    assert [change for change, error in zip(changes, answer["changed"], strict=True) if error is None] == []
    read = ccf_tools.read_ledger("--uncommitted", "--quiet", directory)
    assert read.code == 0, read.text
    assert "Ledger verification complete" in read.text
    said = answer["sound"]
    assert said["error"] is None
    assert commands < CONCURRENT or said["entries"] > 10_000
    assert said["entries"] == end
    assert said["verified"] == f"{views[-1][0]}.{end}"
