"""Receipts that a manager makes for its executor: of what, and what comes of a host that returns something else."""

from __future__ import annotations

import asyncio

import pytest

from core import limits
from core.errors import StorageFailed
from core.ledger.receipt import Receipt, verify_receipt
from core.node.messages import TO_MANAGER, BlockCommitted, ReceiptMade, ReceiptRequest
from core.types import Digest
from tests.support.manager_bench import Machine, kv_draft
from tests.support.receipt_bench import (
    SMALL_CHUNK_BYTES,
    ask_receipts,
    claiming_draft,
    make_ledger,
    service_certificate,
)


@pytest.mark.parametrize("seqno", [0, -1, 4, 1_000, 2**63])
async def test_what_is_not_committed_has_no_receipt(seqno: int) -> None:
    async with Machine().node() as node:
        (made,) = await ask_receipts(node, [seqno])
        assert made == ReceiptMade(1, "not_committed")
        await node.commit(kv_draft(b"a", b"1"))
        (made,) = await ask_receipts(node, [4])
        assert made.failure == ""


async def test_commit_evidence_is_told_only_once_the_disk_has_the_block() -> None:
    """While the write hangs the entry is sealed, and might still be lost."""
    machine = Machine()
    async with machine.node() as node:
        gate, append = asyncio.Event(), machine.disk.append

        async def slow(name: str, offset: int, data: bytes) -> None:
            await gate.wait()
            await append(name, offset, data)

        machine.disk.append = slow  # type: ignore[method-assign]
        await node.propose(kv_draft(b"a", b"1"))
        for _ in range(10):
            await asyncio.sleep(0)
        (made,) = await ask_receipts(node, [4])
        assert made.failure == "not_committed"
        assert not made.receipt
        gate.set()
        await node.committed()
        (made,) = await ask_receipts(node, [4])
        assert b"ce:1.4:" in made.receipt


async def test_the_writes_of_an_entry_come_with_its_receipt() -> None:
    async with Machine().node() as node:
        draft = claiming_draft(7)
        await node.commit(draft)
        made, signature = await ask_receipts(node, [4, 5])
        assert (made.public, made.private, made.claims) == (draft.public, draft.private, draft.claims)
        assert not made.is_signature
        assert signature.is_signature
        assert (signature.public, signature.private, signature.cose) == (b"", b"", b"")
        verify_receipt(Receipt.decode(made.receipt), service_certificate(node), claims=Digest(draft.claims))


async def test_receipts_are_made_while_chunks_are_closed_under_them() -> None:
    machine = await make_ledger(1, 2)
    async with machine.node() as node:
        assert node.ready is not None
        first = node.ready.last_seqno
        made = 0
        for number in range(40):
            await node.propose(claiming_draft(number))
            for seqno in (1, first - 1, first + number):
                await node.executor.send(TO_MANAGER.encode(ReceiptRequest(seqno, seqno)))
        for _ in range(40 * 4):
            match await node.next():
                case ReceiptMade(failure=failure):
                    assert failure in ("", "not_committed", "overloaded")
                    made += failure == ""
                case other:
                    assert isinstance(other, BlockCommitted)
        assert made >= 40
    assert sum(name.endswith(".committed") for name in machine.disk.files) > 3


async def test_too_many_requests_at_once_are_refused() -> None:
    async with Machine().node() as node:
        count = 3 * limits.RECEIPTS_IN_FLIGHT_MAX
        for ticket in range(count):
            await node.executor.send(TO_MANAGER.encode(ReceiptRequest(ticket, 1)))
        answers = [await node.next() for _ in range(count)]
        failures = [one.failure for one in answers if isinstance(one, ReceiptMade)]
        assert len(failures) == count
        assert failures.count("overloaded") >= limits.RECEIPTS_IN_FLIGHT_MAX
        assert failures.count("") >= limits.RECEIPTS_IN_FLIGHT_MAX
        assert (await ask_receipts(node, [1]))[0].failure == ""


@pytest.mark.parametrize("how", ["altered", "short", "empty", "gone"])
async def test_a_host_that_returns_something_else_gets_no_receipt_and_the_node_goes_on(how: str) -> None:
    machine = await make_ledger()
    async with machine.node() as node:
        assert node.ready is not None
        old = "ledger/ledger_4-14.committed"
        whole = machine.disk.files[old]
        altered = bytearray(whole)
        altered[200] ^= 1
        damaged = {"altered": bytes(altered), "short": whole[:150], "empty": b""}
        if how == "gone":
            del machine.disk.files[old]
        else:
            machine.disk.files[old] = damaged[how]
        (made,) = await ask_receipts(node, [4])
        assert made == ReceiptMade(1, "unreadable")
        assert old in machine.log[-1] or "ledger_4-14" in machine.log[-1]
        assert "no receipt of entry 4" in machine.log[-1]
        lines = len(machine.log)
        assert {one.failure for one in await ask_receipts(node, [4] * 20)} == {"unreadable"}
        assert len(machine.log) - lines <= 5
        assert (await node.commit(kv_draft(b"a", b"1"))).last_seqno == node.ready.last_seqno + 2
        machine.disk.files[old] = whole
        assert (await ask_receipts(node, [4]))[0].failure == ""


async def test_a_disk_that_fails_to_read_costs_a_receipt_and_not_the_node() -> None:
    machine = await make_ledger(1)
    async with machine.node() as node:
        read = machine.disk.read

        async def broken(name: str, offset: int, size_bytes: int) -> bytes:
            raise StorageFailed("input/output error")

        machine.disk.read = broken  # type: ignore[method-assign]
        assert (await ask_receipts(node, [4]))[0].failure == "unreadable"
        machine.disk.read = read  # type: ignore[method-assign]
        assert (await ask_receipts(node, [4]))[0].failure == ""


async def test_a_cut_or_unfinished_end_does_not_disturb_the_receipts_of_the_next_start() -> None:
    machine = await make_ledger(1)
    newest = max((name for name in machine.disk.files if name.startswith("ledger/")), key=_first_seqno)
    if newest.endswith(".committed"):
        machine.disk.files[newest.rpartition("-")[0]] = machine.disk.files.pop(newest)
    else:
        machine.disk.files[newest] += b"\x01\x00torn"
    async with machine.node() as node:
        assert node.ready is not None
        made = await ask_receipts(node, range(1, node.ready.last_seqno + 1))
        assert {one.failure for one in made} == {""}
        service = service_certificate(node)
        for one in made:
            verify_receipt(Receipt.decode(one.receipt), service)
    assert machine.config.chunk_bytes_min == SMALL_CHUNK_BYTES


def _first_seqno(name: str) -> int:
    return int(name.partition("_")[2].partition("-")[0].partition(".")[0])
