"""Hypothesis against every parser of the ledger: any bytes raise what is declared, and nothing else."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import LedgerDamaged, MalformedMessage
from core.kv.write_set import decode_domain, encode_domain
from core.ledger.files import arrange_chunks, encode_positions, is_chunk_name
from core.ports import FileInfo
from tests.support.ledger_bench import audit_disks, write_ledger
from tests.support.ledger_parsers import PARSERS, parse
from tests.support.memory_disk import MemoryDisk

MACHINE = asyncio.run(write_ledger(starts=2, blocks=2, transactions=1, chunk_bytes_min=4_000))
LEDGER = {name: data for name, data in MACHINE.disk.files.items() if name.startswith("ledger/")}
NAMES = sorted(LEDGER, key=lambda name: int(name.split("_")[1].split("-")[0]))

EXAMPLES = int(os.environ.get("COCO_FUZZ_EXAMPLES", "150"))
"""Per parser. More of them: COCO_FUZZ_EXAMPLES=20000."""

several = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=max(EXAMPLES // 4, 1), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def damaged(draw: st.DrawFn, *sources: bytes) -> bytes:
    """A source with bytes overwritten, cut, doubled, or with another's middle; sometimes anything at all."""
    data = bytearray(draw(st.sampled_from(sources)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("set", "cut", "double", "insert", "swap"))):
            case "set":
                data[at : at + 8] = draw(st.binary(min_size=1, max_size=8))
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "double":
                data[at:at] = data[at : at + 64]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case _:
                other = draw(st.sampled_from(sources))
                data[at : at + 32] = other[at : at + 32]
    return draw(st.one_of(st.just(bytes(data)), st.just(bytes(data)), st.binary(max_size=300)))


@pytest.mark.parametrize("name", PARSERS)
@several
@given(st.data())
def test_a_parser_raises_what_is_declared(name: str, data: st.DataObject) -> None:
    _, sources = PARSERS[name]
    parse(name, data.draw(damaged(*sources)))


@several
@given(st.lists(st.text("ledgr_0123456789-.comit", max_size=30), max_size=6))
@example(["ledger_1", "ledger_1-2.committed"])
@example(["ledger_1-2.committed", "ledger_3"])
def test_any_file_names_are_arranged_or_refused(names: list[str]) -> None:
    try:
        chunks = arrange_chunks([FileInfo(f"ledger/{name}", 1) for name in names])
    except LedgerDamaged:
        return
    assert [chunk.first for chunk in chunks] == sorted({chunk.first for chunk in chunks})
    assert all(is_chunk_name(chunk.file) for chunk in chunks)


@given(st.binary(max_size=400))
def test_a_write_set_that_parses_is_the_one_that_is_written(data: bytes) -> None:
    try:
        tables = decode_domain(data)
    except MalformedMessage:
        return
    assert encode_domain(tables) == data


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20),
        st.dictionaries(st.binary(max_size=9), st.one_of(st.none(), st.binary(max_size=20)), min_size=1, max_size=4),
        max_size=4,
    )
)
def test_a_write_set_that_is_written_parses(tables: dict[str, dict[bytes, bytes | None]]) -> None:
    assert decode_domain(encode_domain(tables)) == tables


@few
@given(st.data())
def test_the_audit_survives_any_file_and_finds_every_change(data: st.DataObject) -> None:
    """One file of a ledger is changed anyhow: the audit ends, and calls it sound only if only a tail was cut off."""
    name = data.draw(st.sampled_from(NAMES))
    changed = data.draw(damaged(*LEDGER.values()))
    report = asyncio.run(audit_disks(MemoryDisk({**LEDGER, name: changed})))
    if changed != LEDGER[name] and report.is_sound:
        (ledger,) = report.ledgers
        assert name == NAMES[-1]
        assert not name.endswith(".committed")
        whole = LEDGER[name]
        unfinished = any("unfinished" in one.what or "never finished" in one.what for one in ledger.warnings)
        assert whole.startswith(changed) or unfinished or not changed.strip(b"\0")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_anothers_place_or_of_an_older_time_is_found(name: str) -> None:
    older = MACHINE.disk.files[NAMES[0]]
    for other in (older[: len(older) // 2], b"", LEDGER[NAMES[0]] + LEDGER[name], encode_positions([8])):
        report = asyncio.run(audit_disks(MemoryDisk({**LEDGER, name: other})))
        is_tail = name == NAMES[-1] and not name.endswith(".committed") and not other
        assert report.is_sound == is_tail
