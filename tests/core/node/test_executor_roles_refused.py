"""What a manager may not say of roles and of others' blocks: each stops the executor."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.kv.write_set import WriteSet
from core.node.messages import (
    BlockApplied,
    Follow,
    Lead,
    ReplayedEntry,
    SystemWork,
)
from tests.support.executor_bench import ENTRY, VIEW, RoleBench, running


@pytest.fixture
async def bench() -> AsyncIterator[RoleBench]:
    found = RoleBench()
    await found.begin()
    async with running(found):
        yield found


async def test_a_block_of_others_while_it_leads(bench: RoleBench) -> None:
    await bench.apply(VIEW, ENTRY)
    assert "leads" in await bench.broken()


@pytest.mark.parametrize("off", [-1, 1], ids=["again", "gap"])
async def test_a_block_that_does_not_follow(bench: RoleBench, off: int) -> None:
    await bench.tell(Follow("other"))
    bench.seqno += off
    await bench.apply(VIEW + 1, ENTRY)
    assert "is here" in await bench.broken()


@pytest.mark.parametrize(
    ("seqnos", "last"), [((6,), 8), ((7,), 7), ((6, 6), 8), ((), 5)], ids=["too few", "shifted", "twice", "backwards"]
)
async def test_a_block_that_is_not_whole(bench: RoleBench, seqnos: tuple[int, ...], last: int) -> None:
    await bench.tell(Follow("other"))
    assert bench.seqno == 5
    entries = tuple(ReplayedEntry(seqno, *WriteSet(ENTRY).encode()) for seqno in seqnos)
    await bench.tell(BlockApplied(VIEW + 1, 6, last, entries))
    assert "not whole" in await bench.broken()


async def test_a_block_that_does_not_parse(bench: RoleBench) -> None:
    await bench.tell(Follow("other"), BlockApplied(VIEW, 6, 7, (ReplayedEntry(6, b"x", b""),)))
    assert "malformed" in await bench.broken()


async def test_a_block_of_an_older_view(bench: RoleBench) -> None:
    await bench.tell(Follow("other"))
    await bench.apply(VIEW - 1, ENTRY)
    assert f"view {VIEW - 1}" in await bench.broken()


async def test_another_block_in_the_place_of_the_own_in_its_view(bench: RoleBench) -> None:
    await bench.submit(b"a")
    await bench.lose(await bench.proposed())
    await bench.apply(VIEW, ENTRY)
    assert "another block" in await bench.broken()


async def test_a_commit_while_it_follows(bench: RoleBench) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    await bench.tell(Follow(""))
    await bench.commit()
    assert "does not lead" in await bench.broken()


async def test_system_work_while_it_follows(bench: RoleBench) -> None:
    await bench.tell(Follow(""), SystemWork())
    assert "does not lead" in await bench.broken()


@pytest.mark.parametrize(("view", "off"), [(VIEW + 1, 0), (VIEW + 1, 2), (VIEW, -1)], ids=["unknown", "gap", "past"])
async def test_leading_from_another_place(bench: RoleBench, view: int, off: int) -> None:
    await bench.tell(Follow(""), Lead(view, bench.seqno + off))
    assert "leads" in await bench.broken()
