"""docs/ledger-format.md: its example is what the code writes, and its parser reads what a manager wrote."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.ledger.entry import parse_entry
from core.ledger.files import Chunk, read_records
from core.types import Seqno
from tests.support.documents import fences, text_of
from tests.support.ledger_bench import store_ledger, write_ledger
from tests.support.ledger_example import build, render
from tests.support.memory_disk import MemoryDisk

PAGE = "docs/ledger-format.md"


def test_the_worked_example_is_what_the_code_writes() -> None:
    """To renew it: python -m tests.support.ledger_example"""
    assert fences(text_of(PAGE), "text") == [render()]


async def test_the_worked_example_is_a_file_that_the_code_reads() -> None:
    data, parts, computed = build()
    assert b"".join(part for _, part in parts) == data
    chunk = Chunk(Seqno(1), Seqno(2))
    records = [record async for record in read_records(MemoryDisk({chunk.file: data}), chunk)]
    first, second = (parse_entry(record.data) for record in records)
    assert (first.is_signature, second.is_signature) == (False, True)
    assert (first.leaf.hex(), second.leaf.hex()) == (computed["entry 1, leaf"], computed["entry 2, leaf"])


def parser() -> dict[str, Any]:
    [shown] = fences(text_of(PAGE), "python")
    names: dict[str, Any] = {}
    exec(compile(shown, PAGE, "exec"), names)
    return names


def test_the_parser_shown_verifies_a_ledger_and_rejects_a_changed_one(tmp_path: Path) -> None:
    machine = asyncio.run(write_ledger(starts=2, blocks=3, transactions=3, chunk_bytes_min=4_000))
    directory = store_ledger(machine.disk, tmp_path / "ledger")
    check = parser()["check"]
    entries = len(asyncio.run(machine.record_bounds()))
    assert check(directory) == (entries, 2 * (1 + 3 + 2))
    first = min(directory.iterdir())
    data = bytearray(first.read_bytes())
    data[500] ^= 1
    first.write_bytes(data)
    with pytest.raises(AssertionError, match="signs another root"):
        check(directory)
