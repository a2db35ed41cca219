"""The executor and its manager: governance, snapshots, certificates, the end; the test plays both its sides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from core.errors import CocoError, InvariantBroken, NodeStopped
from core.kv.write_set import encode_domain
from core.node.config import ExecutorConfig
from core.node.executor import Executor
from core.node.messages import (
    FROM_MANAGER,
    BlockCommitted,
    CertificateIssued,
    CertificateRequest,
    GovernanceResult,
    LedgerNews,
    Ready,
    SnapshotBegin,
    SnapshotEnd,
    SnapshotMore,
    SnapshotRows,
    SnapshotTable,
    SnapshotWritten,
)
from enclave_sim.boundary.memory_transport import memory_pair
from tests.support.executor_bench import ALICE, MEMBER, VIEW, Bench, constitution, running


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    await found.begin()
    async with running(found):
        yield found


async def test_governance_runs_in_a_block_of_its_own_and_changes_the_front_end(bench: Bench) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    [before] = await bench.submit(b"b")
    assert (await bench.status())["blocks_in_flight"] == 1
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    [after] = await bench.submit(b"c")
    opened = await bench.proposed()
    assert [entry.adapter for entry in opened.entries] == ["one", "one"]
    await bench.commit(opened.first_seqno - 1)
    block = await bench.proposed()
    assert [(entry.adapter, entry.public, entry.private) for entry in block.entries] == [("coco", b"", b"signed")]
    await bench.commit(opened.first_seqno + 2)
    assert (await bench.answer(before)).failure == ""
    changed = encode_domain({"public:coco.settings": {b"default_adapter": b"two"}})
    await bench.commit(governance=(GovernanceResult(block.first_seqno, changed, ""),))
    reply = json.loads((await bench.answer(ticket)).reply)
    assert reply == {"accepted": True, "reason": "", "transaction": f"{VIEW}.{block.first_seqno}"}
    while len(bench.front_ends) < 2:
        await bench.hear()
    assert bench.front_ends[1].default_adapter == "two"
    assert (await bench.status())["default_adapter"] == "two"
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).failure == ""


async def test_refused_governance_changes_nothing(bench: Bench) -> None:
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    block = await bench.proposed()
    await bench.commit(governance=(GovernanceResult(block.first_seqno, b"", "bad signature"),))
    reply = json.loads((await bench.answer(ticket)).reply)
    assert (reply["accepted"], reply["reason"]) == (False, "bad signature")
    assert {front_end.default_adapter for front_end in bench.front_ends} == {"one"}


async def test_a_snapshot_is_sent_and_its_evidence_proposed_as_a_block_of_its_own(bench: Bench) -> None:
    [before] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(before)).failure == ""
    for message in (SnapshotBegin(bench.seqno), SnapshotMore(4)):
        await bench.manager.send(FROM_MANAGER.encode(message))
    parts = [await bench.from_executor()]
    while not isinstance(parts[-1], SnapshotEnd):
        parts.append(await bench.from_executor())
        if isinstance(parts[-1], SnapshotRows):
            await bench.manager.send(FROM_MANAGER.encode(SnapshotMore(4)))
    tables = [part.table for part in parts if isinstance(part, SnapshotTable)]
    assert tables == sorted(tables, key=lambda name: not name.startswith("public:"))
    assert {"one.log", "one.meta", "public:one.seen"} <= set(tables)
    assert not any(name.startswith(("public:coco.", "public:ccf.")) for name in tables)
    await bench.manager.send(FROM_MANAGER.encode(SnapshotWritten()))
    block = await bench.proposed()
    assert [(entry.adapter, entry.public, entry.private) for entry in block.entries] == [("coco.snapshot", b"", b"")]
    [after] = await bench.submit(b"b")
    evidence = encode_domain({"public:ccf.internal.snapshot_evidence": {bytes(8): b"{}"}})
    await bench.commit(governance=(GovernanceResult(block.first_seqno, evidence, ""),))
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).failure == ""
    assert len(bench.front_ends) == 1


@pytest.mark.parametrize("message", [SnapshotBegin(10_000), SnapshotBegin(1)], ids=["the future", "the past"])
async def test_a_snapshot_of_a_state_that_is_not_kept_stops_the_node(bench: Bench, message: SnapshotBegin) -> None:
    [ticket] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    await bench.answer(ticket)
    await bench.manager.send(FROM_MANAGER.encode(message))
    with pytest.raises(InvariantBroken, match="not kept"):
        await asyncio.wait_for(bench.run, 5)


async def test_what_the_manager_tells_of_the_ledger_stands_in_the_status(bench: Bench) -> None:
    await bench.manager.send(FROM_MANAGER.encode(LedgerNews(b'{"snapshot":7,"verified":"all"}')))
    for _ in range(100):
        if (await bench.status())["ledger"]:
            break
    assert (await bench.status())["ledger"] == {"snapshot": 7, "verified": "all"}


async def test_a_renewed_certificate_reaches_the_front_end(bench: Bench) -> None:
    renewal = asyncio.create_task(bench.executor._front_end_keys._request())
    assert isinstance(await bench.from_executor(), CertificateRequest)
    await renewal
    await bench.manager.send(FROM_MANAGER.encode(CertificateIssued(b"RENEWED")))
    while len(bench.front_ends) < 2:
        await bench.hear()
    first, second = bench.front_ends
    assert (first.certificate_chain, second.certificate_chain) == (b"CHAIN", b"RENEWED")
    assert first.private_key != second.private_key
    assert (first.default_adapter, first.service, first.session) == (
        second.default_adapter,
        second.service,
        second.session,
    )
    renewal = asyncio.create_task(bench.executor._front_end_keys._request())
    assert isinstance(await bench.from_executor(), CertificateRequest)
    await renewal
    await bench.manager.send(FROM_MANAGER.encode(CertificateIssued(b"AGAIN", b"NEW SERVICE")))
    while len(bench.front_ends) < 3:
        await bench.hear()
    assert bench.front_ends[-1].service == b"NEW SERVICE"
    (ticket,) = await bench.submit(b"still at work")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(ticket)).failure == ""


async def test_a_certificate_nobody_asked_for_stops_the_node(bench: Bench) -> None:
    await bench.manager.send(FROM_MANAGER.encode(CertificateIssued(b"UNASKED")))
    with pytest.raises(InvariantBroken, match="not asked for"):
        await asyncio.wait_for(bench.run, 5)


async def test_a_changed_constitution_reaches_the_front_end(bench: Bench) -> None:
    await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    block = await bench.proposed()
    changed = encode_domain({"public:coco.constitution": {b"current": constitution("two").encode()}})
    await bench.commit(governance=(GovernanceResult(block.first_seqno, changed, ""),))
    while len(bench.front_ends) < 2:
        await bench.hear()
    assert bench.front_ends[1].constitution == constitution("two").encode()
    assert bench.front_ends[1].default_adapter == "two"


async def test_governance_is_for_members(bench: Bench) -> None:
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=ALICE)
    assert (await bench.answer(ticket)).failure == "no_such_adapter"


async def test_stop_finishes_what_is_in_flight(bench: Bench) -> None:
    [running] = await bench.submit(b"a")
    await bench.proposed()
    [open_block, held] = await bench.submit(b"b", b"hold")
    await bench.status()
    bench.executor.request_stop()
    [late] = await bench.submit(b"c")
    assert (await bench.answer(late)).failure == "overloaded"
    await bench.proposed()
    await bench.commit(bench.seqno - 3)
    await bench.commit()
    assert (await bench.answer(running)).failure == ""
    assert (await bench.answer(open_block)).failure == ""
    assert bench.answers.get(held) or (await bench.answer(held)).failure in ("overloaded", "")
    await asyncio.wait_for(bench.run, 5)


async def test_the_node_stops_when_a_channel_closes(bench: Bench) -> None:
    await bench.gateways[0].close()
    with pytest.raises(NodeStopped):
        await asyncio.wait_for(bench.run, 5)


async def test_the_node_stops_when_the_manager_is_gone() -> None:
    bench = Bench()
    bench.run = asyncio.create_task(bench.executor.run())
    await bench.manager.close()
    with pytest.raises(NodeStopped):
        await asyncio.wait_for(bench.run, 5)


@pytest.mark.parametrize("view", [VIEW, VIEW + 1])
async def test_a_commit_of_what_was_not_proposed_stops_the_node(bench: Bench, view: int) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    await bench.manager.send(FROM_MANAGER.encode(BlockCommitted(view, bench.seqno + (view == VIEW), ())))
    with pytest.raises(InvariantBroken):
        await asyncio.wait_for(bench.run, 5)


async def test_malformed_messages_are_refused_and_the_executor_runs_on(bench: Bench) -> None:
    await bench.gateways[0].send(b"\x01nonsense")
    await bench.manager.send(b"\x09")
    assert (await bench.ask(b"")).failure == ""
    assert sum("refused" in line for line in bench.logged) == 2


async def test_an_adapter_that_is_not_installed_is_named() -> None:
    manager, theirs = memory_pair()
    executor = Executor(ExecutorConfig(bytes(32)), manager=theirs, gateways=[], clock=lambda: 0, log=print)
    ready = Ready(VIEW, 2, constitution().encode(), b"{}", ((VIEW, 2),))
    await manager.send(FROM_MANAGER.encode(ready))
    with pytest.raises(CocoError, match="no adapter named 'one' is installed"):
        await executor.run()
