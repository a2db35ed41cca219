"""Transaction processors outside the enclave that do what they should: who may be one, and what becomes of a batch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.sawtooth.claims import BatchClaims
from adapters.sawtooth.processors import OCCUPANCY_MAX, REGISTRATIONS_MAX
from adapters.sawtooth.wire.messages import HeaderStyle, MessageType, ProcessStatus, parse
from core.adapter.interface import Caller
from core.types import NO_CLAIMS
from tests.adapters.sawtooth.processor_bench import FAMILY, SETTINGS, ProcessorBench, place, quick
from tests.adapters.sawtooth.support import ALICE, BOB, CAROL

RUN_BOUNDS = "adapters.sawtooth.external_runs.RunBounds"


@pytest.mark.parametrize(
    ("settings", "caller", "fields"),
    [
        ({}, BOB, {}),  # nothing runs outside unless the constitution says so
        ({"external_processors": {}}, BOB, {}),
        ({"external_processors": {"another": {"identities": ["*"]}}}, BOB, {}),
        (SETTINGS, ALICE, {}),
        (SETTINGS, CAROL, {}),
        (SETTINGS, Caller("members"), {}),
        (SETTINGS | {"external_processors": {FAMILY: {"identities": ["members"]}}}, BOB, {}),
        (SETTINGS | {"external_processors": {"intkey": {"identities": ["bob"]}}}, BOB, {"family": "intkey"}),
        (SETTINGS, BOB, {"request_header_style": 3}),
        (SETTINGS, BOB, {"version": "1" * 1_000}),
    ],
)
async def test_who_may_not_be_a_processor(
    settings: dict[str, Any], caller: Caller, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(processor_seconds_max=0.05))
    bench = ProcessorBench(settings)
    async with bench.connected(caller) as processor:
        assert await processor.register(**fields) == 2
        batch = bench.batch(1)
        assert await bench.post(batch) == 202
        assert (await bench.status(batch))[0] == "INVALID"
        assert processor.is_quiet()


@pytest.mark.parametrize(("names", "caller"), [(["*"], CAROL), (["members"], ALICE), (["bob"], BOB)])
async def test_who_may_be_a_processor(names: list[str], caller: Caller) -> None:
    bench = ProcessorBench(SETTINGS | {"external_processors": {FAMILY: {"identities": names}}})
    async with bench.connected(caller) as processor:
        assert await processor.register() == 1
        answer = await processor.ask(
            MessageType.TP_REGISTER_REQUEST, family=FAMILY, version="2", protocol_version=9, request_header_style=2
        )
        assert (answer.status, answer.protocol_version) == (1, 1)
        assert (await processor.ask(MessageType.TP_UNREGISTER_REQUEST)).status == 1


async def test_registrations_are_bounded() -> None:
    bench = ProcessorBench()
    async with bench.connected() as processor:
        statuses = [await processor.register(version=str(number)) for number in range(REGISTRATIONS_MAX + 2)]
        assert statuses == [1] * REGISTRATIONS_MAX + [2, 2]
        assert await processor.register(version="0") == 1


async def test_a_batch_by_a_processor() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        batch = bench.batch(1)
        sent = bench.send(batch)
        correlation, request = await processor.work()
        transaction = parse("Batch", batch.data).transactions[0]
        assert (request.payload, request.signature) == (b"payload", transaction.header_signature)
        assert request.header.SerializeToString() == transaction.header
        assert await processor.get(request.context_id, place(1)) == {place(1): b""}
        assert await processor.set(request.context_id, {place(1): b"a"})
        assert await processor.get(request.context_id, place(1)) == {place(1): b"a"}
        assert await processor.event(request.context_id, "outside/event", b"x")
        assert await processor.receipt_data(request.context_id, b"told")
        processor.answer(correlation)
        assert await sent == 202
        assert await bench.status(batch) == ("COMMITTED", "")
        assert bench.state() == {place(1): b"a"}
        (receipt,) = bench.ask(
            MessageType.CLIENT_RECEIPT_GET_REQUEST, transaction_ids=[transaction.header_signature]
        ).receipts
        assert ([one.event_type for one in receipt.events], list(receipt.data)) == (["outside/event"], [b"told"])
        entry = next(one for one in bench.harness.entries if one.claims != NO_CLAIMS)
        disclosure = bench.harness.disclose(entry.seqno, ALICE)
        assert disclosure is not None
        assert BatchClaims.from_json(disclosure.claims).to_json()["executedBy"] == "external processor"


async def test_headers_as_they_were_signed() -> None:
    bench = ProcessorBench()
    async with bench.connected() as processor:
        assert await processor.register(request_header_style=HeaderStyle.RAW, protocol_version=1) == 1
        batch = bench.batch(1)
        sent = bench.send(batch)
        correlation, request = await processor.work()
        assert request.header_bytes == parse("Batch", batch.data).transactions[0].header
        assert not request.HasField("header")
        processor.answer(correlation)
        assert await sent == 202


async def test_the_transactions_of_a_batch_run_in_order() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        batch = bench.batch(1, 1, 2)
        sent = bench.send(batch)
        assert [await processor.serve(b"a"), await processor.serve(b"b"), await processor.serve(b"c")] == ["", "a", ""]
        assert await sent == 202
        assert bench.state() == {place(1): b"ab", place(2): b"c"}
        sent = bench.send(bench.batch(1))
        correlation, request = await processor.work()
        assert await processor.delete(request.context_id, place(1))
        processor.answer(correlation)
        assert await sent == 202
        assert bench.state() == {place(2): b"c"}


async def test_an_invalid_transaction_undoes_its_batch() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        batch = bench.batch(1, 2, 3)
        sent = bench.send(batch)
        await processor.serve(b"a")
        correlation, _ = await processor.work()
        processor.answer(correlation, ProcessStatus.INVALID_TRANSACTION, message="because", extended_data=b"why")
        assert await sent == 202
        assert await bench.status(batch) == ("INVALID", "because")
        assert bench.state() == {}
        assert processor.is_quiet()


async def test_batches_that_meet_run_one_after_another() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        first, second, other = bench.batch(1), bench.batch(1), bench.batch(2)
        sent = bench.send(first, second, other)
        work = [await processor.work(), await processor.work()]
        assert [request.header.outputs[0] for _, request in work] == [place(1), place(2)]
        for number, (correlation, request) in enumerate(work, 1):
            assert await processor.set(request.context_id, {place(number): b"a"})
            processor.answer(correlation)
        assert await processor.serve(b"b") == "a"
        assert await sent == 202
        assert bench.state() == {place(1): b"ab", place(2): b"a"}


async def test_processors_take_turns_and_have_no_more_than_they_asked_for() -> None:
    bench = ProcessorBench()
    async with bench.connected() as one, bench.connected() as two:
        assert [await each.register(max_occupancy=2) for each in (one, two)] == [1, 1]
        sent = bench.send(*[bench.batch(number) for number in range(5)])
        work = [(each, await each.work()) for each in (one, two, one, two)]
        assert one.is_quiet()
        assert two.is_quiet()
        work[1][0].answer(work[1][1][0])
        two.answer((await two.work())[0])
        for each, (correlation, _) in work:
            each.answer(correlation)
        assert await sent == 202
    assert OCCUPANCY_MAX < REGISTRATIONS_MAX


async def test_what_a_processor_may_not_see_it_does_not_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(processor_seconds_max=0.05))
    bench = ProcessorBench()
    hidden = "bbbbbb" + "0" * 64  # of alice alone
    async with bench.processor() as processor:
        for addresses in ([hidden], [place(1), hidden], ["aaaa"], []):
            batch = bench.client.batch(bench.client.transaction(FAMILY, b"secret", addresses))
            assert await bench.post(batch) == 202
            assert await bench.status(batch) == ("INVALID", "no transaction processor for family outside 1.0")
        assert processor.is_quiet()


async def test_a_processor_reads_in_its_own_name_and_the_submitters() -> None:
    """Bob's own batch names all addresses, of which he may read some; Alice's sender may use others."""
    namespaces = SETTINGS["namespaces"] | {"cccccc": {"read": ["bob"], "submit": ["bob"]}}
    namespaces["bbbbbb"] = {"read": ["alice"], "submit": ["alice", "bob"]}
    bench = ProcessorBench(SETTINGS | {"namespaces": namespaces})
    hidden, other = "bbbbbb" + "0" * 64, "cccccc" + "0" * 64
    async with bench.processor() as processor:
        made = bench.client.transaction(FAMILY, b"", [place(1), hidden, other])
        sent = bench.send(bench.client.batch(made), caller=BOB)
        correlation, request = await processor.work()
        assert await processor.get(request.context_id, hidden) is None
        assert await processor.get(request.context_id, place(1), hidden) is None
        assert await processor.get(request.context_id, other) == {other: b""}
        assert await processor.set(request.context_id, {hidden: b"h", other: b"o"})
        processor.answer(correlation)
        assert await sent == 202
        sent = bench.send(bench.client.batch(bench.client.transaction(FAMILY, b"", [place(1), other])))
        correlation, request = await processor.work()
        assert await processor.get(request.context_id, other) is None
        assert not await processor.set(request.context_id, {other: b"a"})
        processor.answer(correlation)
        assert await sent == 202
        assert bench.state(BOB)[other] == b"o"


async def test_a_batch_of_both_kinds() -> None:
    bench = ProcessorBench()
    client = bench.client
    async with bench.processor() as processor:
        made = client.transaction(FAMILY, b"", [place(1)])
        sent = bench.send(client.batch(client.intkey("set", "a", 1), made, client.intkey("inc", "a", 2)))
        await processor.serve(b"x")
        assert await sent == 202
        assert (bench.value("a"), bench.state()[place(1)]) == (3, b"x")


async def test_a_batch_without_a_processor_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sawtooth.gateway.HELD_SECONDS", 0.05)
    bench = ProcessorBench()
    batch = bench.batch(1)
    assert await bench.post(batch) == 202
    assert await bench.status(batch) == ("PENDING", "")
    assert (await bench.status(batch, caller=CAROL))[0] == "UNKNOWN"
    async with bench.processor() as processor:
        await processor.serve(b"a")
        assert await bench.ended(batch) == ("COMMITTED", "")


async def test_a_batch_that_was_invalid_and_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ProcessorBench()
    monkeypatch.setattr("adapters.sawtooth.gateway.HELD_SECONDS", 0.05)
    async with bench.processor() as processor:
        batch = bench.batch(1)
        sent = bench.send(batch)
        processor.answer((await processor.work())[0], ProcessStatus.INVALID_TRANSACTION, message="not yet")
        await sent
        assert await bench.status(batch) == ("INVALID", "not yet")
        assert await bench.post(batch) == 202
        assert await bench.status(batch) == ("PENDING", "")
        await processor.serve(b"a")
        assert await bench.ended(batch) == ("COMMITTED", "")


async def test_a_batch_that_waits_for_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sawtooth.gateway.HELD_SECONDS", 0.05)
    bench = ProcessorBench()
    client = bench.client
    first = client.transaction(FAMILY, b"", [place(1)])
    later = client.batch(client.transaction(FAMILY, b"", [place(1)], dependencies=[first.id]))
    async with bench.processor() as processor:
        assert await asyncio.gather(bench.post(later), processor.serve(b"b")) == [202, ""]
        sent = bench.send(client.batch(first))
        assert await processor.serve(b"a") == ""
        assert await sent == 202
        assert await processor.serve(b"b") == "a"
        assert await bench.ended(later) == ("COMMITTED", "")
        assert bench.state() == {place(1): b"ab"}
