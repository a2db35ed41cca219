"""CCF's read_ledger and LedgerValidator verify ledgers that the manager wrote, and no longer do after any change."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.ccf_tools import CcfTools
from tests.support.ledger_bench import store_ledger, write_ledger
from tests.support.manager_bench import Machine

TRANSACTIONS = 10_000
SAMPLED_CHANGES = 300


@pytest.fixture(scope="module")
def machine() -> Machine:
    """Two restarts, so three views, and several chunks; the newest one is open."""
    return asyncio.run(write_ledger(starts=3, blocks=17, transactions=200, chunk_bytes_min=400_000))


@pytest.fixture(scope="module")
def directory(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_ledger(machine.disk, tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Path]:
    machine = asyncio.run(write_ledger(starts=2, blocks=3, transactions=2, chunk_bytes_min=9_000))
    return machine, store_ledger(machine.disk, tmp_path_factory.mktemp("small"))


def reach(files: Sequence[Path]) -> int:
    return max(int(re.split(r"[-.]", file.name)[1]) for file in files)


@pytest.mark.parametrize("script", [False, True], ids=["module", "console script"])
def test_read_ledger_verifies_what_is_committed(ccf_tools: CcfTools, directory: Path, script: bool) -> None:
    said = ccf_tools.read_ledger("--quiet", directory, script=script)
    committed = list(directory.glob("*.committed"))
    assert said.code == 0, said.text
    assert f"Contains {len(committed)} chunks" in said.text
    assert len(committed) > 3
    assert "Ledger verification complete" in said.text
    assert re.search(rf"verified until \d+\.{reach(committed)}\b", said.text), said.text


def test_read_ledger_verifies_all_of_it(ccf_tools: CcfTools, machine: Machine, directory: Path) -> None:
    said = ccf_tools.read_ledger("--uncommitted", "--quiet", directory)
    assert said.code == 0, said.text
    assert "Ledger verification complete" in said.text
    assert "verified until 3." in said.text


async def test_the_validator_counts_what_we_wrote(ccf_tools: CcfTools, machine: Machine, directory: Path) -> None:
    bounds = await machine.record_bounds()
    request = {"directory": str(directory), "uncommitted": True, "changes": []}
    said = ccf_tools.check("validate_ledger", request)["sound"]
    assert said["error"] is None
    assert said["entries"] == len(bounds) > TRANSACTIONS
    assert said["verified"] == f"3.{len(bounds)}"
    assert said["signatures"] == 3 * (1 + 17 + 2)


def test_contents_are_shown_as_text_where_they_are_text(ccf_tools: CcfTools, small: tuple[Machine, Path]) -> None:
    said = ccf_tools.read_ledger("--uncommitted", small[1])
    assert said.code == 0, said.text
    for shown in (
        'table "public:ccf.internal.signatures"',
        'table "public:ccf.gov.nodes.info"',
        'table "public:coco.governance.messages"',
        '"status": "Trusted"',
        '"status": "Open"',
        "-- private:",
        "log 1",
    ):
        assert shown in said.text


async def test_every_sampled_change_before_the_last_signature_is_rejected(
    ccf_tools: CcfTools, small: tuple[Machine, Path]
) -> None:
    """Entries, file headers and tables alike; the last signature entry is under no later root: for our audit."""
    machine, directory = small
    last_file, last_signature, _ = (await machine.record_bounds())[-1]
    chance = random.Random(7)
    places = []
    for file, data in machine.disk.files.items():
        if file.startswith("ledger/"):
            end = last_signature if file == last_file else len(data)
            places += [(file.rpartition("/")[2], offset) for offset in range(end)]
    assert len({name for name, _ in places}) > 2
    heads = [place for place in places if place[1] < 60]
    sample = sorted({*heads, *chance.sample(places, SAMPLED_CHANGES)})
    changes = [(name, offset, 1 << chance.randrange(8)) for name, offset in sample]
    said = ccf_tools.check("validate_ledger", {"directory": str(directory), "uncommitted": True, "changes": changes})
    assert said["sound"]["error"] is None
    accepted = [change for change, error in zip(changes, said["changed"], strict=True) if error is None]
    assert accepted == []


def test_a_changed_file_is_rejected_by_read_ledger(
    ccf_tools: CcfTools, small: tuple[Machine, Path], tmp_path: Path
) -> None:
    machine, _ = small
    copy = store_ledger(machine.disk, tmp_path / "copy")
    first = min(copy.glob("*.committed"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    said = ccf_tools.read_ledger("--quiet", copy)
    assert said.code == 1
    assert "Error parsing ledger" in said.text
