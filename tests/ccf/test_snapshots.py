"""ccf.ledger.Snapshot reads our snapshots and verifies their receipts."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.ccf_tools import CcfTools
from tests.support.manager_bench import Machine, kv_draft, make_config
from tests.support.snapshot_bench import block_committed, listen, take_snapshot


async def two_snapshots() -> Machine:
    machine = Machine(config=make_config(snapshot_entries=8))
    async with machine.node() as node:
        await listen(node)
        for number in range(2):
            for key in range(3):
                await node.propose(kv_draft(b"key %d" % key, b"value", public=b"log %d" % number))
                await block_committed(node)
            await take_snapshot(node)
    return machine


async def test_a_snapshot_is_read_and_its_receipt_verified(ccf_tools: CcfTools, tmp_path: Path) -> None:
    machine = await two_snapshots()
    snapshots = {name: data for name, data in machine.disk.files.items() if name.startswith("snapshots/")}
    paths = []
    for name, data in sorted(snapshots.items()):
        paths.append(tmp_path / name.rpartition("/")[2])
        paths[-1].write_bytes(data)
    *found, latest = ccf_tools.check("verify_snapshot", [str(path) for path in paths])
    newest = max(paths, key=lambda path: int(path.name.split("_")[1]))
    assert latest == newest.name
    for path, said in zip(paths, found, strict=True):
        assert said["error"] is None
        assert said["seqno"] == int(path.name.split("_")[1])
        assert said["tables"]["public:kv.log"] == 1
        assert said["tables"]["public:coco.constitution"] == 1
        assert said["tables"]["public:ccf.gov.nodes.info"] == 1
        assert said["private_bytes"] > 0


async def test_a_changed_receipt_is_refused(ccf_tools: CcfTools, tmp_path: Path) -> None:
    machine = await two_snapshots()
    name, data = next(item for item in machine.disk.files.items() if item[0].startswith("snapshots/"))
    size = 8 + (int.from_bytes(data[:8], "little") >> 16)
    receipt = json.loads(data[size:])
    receipt["leaf_components"]["claims_digest"] = "00" * 32
    path, changed = (tmp_path / folder / name.rpartition("/")[2] for folder in ("sound", "changed"))
    path.parent.mkdir()
    changed.parent.mkdir()
    path.write_bytes(data)
    changed.write_bytes(data[:size] + json.dumps(receipt).encode())
    sound, refused, _ = ccf_tools.check("verify_snapshot", [str(path), str(changed)])
    assert sound["error"] is None
    assert "InvalidSignature" in refused["error"]
