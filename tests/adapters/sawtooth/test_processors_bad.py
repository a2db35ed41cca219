"""Transaction processors outside the enclave that lie, hang, die or flood, and what becomes of the batches."""

from __future__ import annotations

import asyncio

import pytest

from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.requests import COMMANDS, ExternalResult, StateWrite, SubmitBatch, TransactionResult
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, ProcessStatus
from tests.adapters.sawtooth.processor_bench import FAMILY, NAMESPACE, ProcessorBench, StubProcessor, place, quick
from tests.adapters.sawtooth.support import ALICE

RUN_BOUNDS = "adapters.sawtooth.external_runs.RunBounds"
HELD = "adapters.sawtooth.gateway.HELD_SECONDS"


async def refuses(processor: StubProcessor, context_id: str) -> bool:
    """Say whether a context is none for a processor, by every message."""
    answers = [
        await processor.get(context_id, place(1)),
        await processor.set(context_id, {place(1): b"lie"}),
        await processor.delete(context_id, place(1)),
        await processor.event(context_id, "outside/event"),
        await processor.receipt_data(context_id, b"lie"),
    ]
    return not any(answers)


async def test_addresses_that_are_not_the_transactions() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        made = bench.client.transaction(FAMILY, b"", [place(1)], outputs=[place(2)])
        sent = bench.send(bench.client.batch(made))
        correlation, request = await processor.work()
        context = request.context_id
        for address in (place(2), place(3), NAMESPACE, "", "1cf126" + "0" * 64, place(1).upper(), place(1) + "00"):
            assert await processor.get(context, address) is None
            assert await processor.get(context, place(1), address) is None
        for address in (place(1), place(3), NAMESPACE, "", "1cf126" + "0" * 64, place(2).upper(), place(2) + "00"):
            assert not await processor.set(context, {place(2): b"half", address: b"lie"})
            assert not await processor.delete(context, address)
        processor.answer(correlation)
        assert await sent == 202
        assert bench.state() == {}


async def test_contexts_are_nobody_elses() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor, bench.processor() as other, bench.connected(ALICE) as client:
        sent = bench.send(bench.batch(1))
        correlation, request = await processor.work()
        for one in (other, client):
            assert await refuses(one, request.context_id)
            one.answer(correlation, ProcessStatus.INVALID_TRANSACTION, message="a lie")
            one.answer(correlation)
        for unknown in ("", "0" * 64, request.context_id[:-1], request.context_id.upper()):
            assert await refuses(processor, unknown)
        assert not sent.done()
        assert await processor.set(request.context_id, {place(1): b"a"})
        processor.answer(correlation)
        processor.answer(correlation, ProcessStatus.INVALID_TRANSACTION, message="twice")
        assert await refuses(processor, request.context_id)
        assert await sent == 202
        assert bench.state() == {place(1): b"a"}
        assert await refuses(processor, request.context_id)


async def test_answers_to_nothing_and_junk() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        for correlation in ("", "1", "x" * 1_000):
            processor.answer(correlation)
        processor.put_bytes(MESSAGES["Message"](message_type=6, content=b"\xff").SerializeToString())
        processor.put_bytes(MESSAGES["Message"](message_type=9, content=b"\xff").SerializeToString())
        processor.put_bytes(b"\xff")
        processor.put_bytes("text")
        sent = bench.send(bench.batch(1))
        await processor.serve(b"a")
        assert await sent == 202
        assert bench.state() == {place(1): b"a"}


async def test_a_processor_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(process_seconds_max=0.7))
    bench = ProcessorBench()
    async with bench.processor() as hanging:
        batch = bench.batch(1)
        sent = bench.send(batch)
        late, request = await hanging.work()
        assert await hanging.set(request.context_id, {place(1): b"late"})
        async with bench.processor() as other:
            await other.serve(b"a")
            assert await sent == 202
            assert bench.state() == {place(1): b"a"}
            sent = bench.send(bench.batch(1), bench.batch(1))
            assert [await other.serve(b"b"), await other.serve(b"c")] == [
                "a",
                "ab",
            ]  # the other has something to answer
            assert await sent == 202
        assert await refuses(hanging, request.context_id)
        hanging.answer(late)
        sent = bench.send(bench.batch(1))
        assert await hanging.serve(b"d") == "abc"
        assert await sent == 202


async def test_when_every_processor_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(process_seconds_max=0.05, processor_seconds_max=0.2))
    bench = ProcessorBench()
    async with bench.processor(), bench.processor():
        batch = bench.batch(1)
        assert await bench.post(batch) == 202
        assert await bench.ended(batch) == ("INVALID", "no transaction processor for family outside 1.0")


async def test_a_processor_that_dies_in_the_middle() -> None:
    bench = ProcessorBench()
    async with bench.processor() as other:
        async with bench.processor() as dying:
            first = bench.send(bench.batch(7))
            await other.serve(b"x")
            await first
            batch = bench.batch(1, 2)
            sent = bench.send(batch)
            await dying.serve(b"lost")
            await other.serve(b"lost")  # each transaction has its turn
            assert await sent == 202
            sent = bench.send(bench.batch(3, 3))
            _, request = await dying.work()
            assert await dying.set(request.context_id, {place(3): b"never"})
        assert [await other.serve(b"a"), await other.serve(b"b")] == ["", "a"]
        assert await sent == 202
        assert bench.state()[place(3)] == b"ab"


async def test_a_batch_that_kills_every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick())
    bench = ProcessorBench()
    batch = bench.batch(1)
    sent = bench.send(batch)
    for _ in range(3):
        async with bench.processor() as dying:
            await dying.work()
    assert await sent == 202
    assert await bench.ended(batch) == ("INVALID", "the transaction processor has gone")


@pytest.mark.parametrize("status", [ProcessStatus.INTERNAL_ERROR, 0, 4, -1])
async def test_a_processor_that_fails(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick())
    bench = ProcessorBench()
    async with bench.processor() as processor:
        batch = bench.batch(1)
        sent = bench.send(batch)
        processor.answer((await processor.work())[0], status, message="broken")
        await processor.serve(b"a")
        assert await sent == 202
        assert await bench.status(batch) == ("COMMITTED", "")
        batch = bench.batch(2)
        sent = bench.send(batch)
        for _ in range(3):
            processor.answer((await processor.work())[0], status, message="broken")
        assert await sent == 202
        assert await bench.status(batch) == ("INVALID", "broken")
        assert processor.is_quiet()


async def test_another_processor_is_tried_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick())
    bench = ProcessorBench()
    async with bench.processor() as one, bench.processor() as two:
        sent = bench.send(bench.batch(1))
        one.answer((await one.work())[0], ProcessStatus.INTERNAL_ERROR)
        two.answer((await two.work())[0], ProcessStatus.INTERNAL_ERROR)
        await one.serve(b"a")
        assert await sent == 202


async def test_a_flood_makes_its_batch_invalid() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        many = [place(1)] * 10_001

        async def events(context: str) -> bool:
            taken = [await processor.event(context, "outside/event", bytes(300_000)) for _ in range(4)]
            return taken == [True, True, True, False]

        async def writes(context: str) -> bool:
            assert await processor.set(context, {place(1): bytes(900_000)})
            return not await processor.set(context, {place(1): bytes(900_000)})

        async def reads(context: str) -> bool:
            return await processor.get(context, *many) is None

        async def receipts(context: str) -> bool:
            return not await processor.receipt_data(context, bytes(1_100_000))

        for flood in (events, writes, reads, receipts):
            batch = bench.batch(1)
            sent = bench.send(batch)
            correlation, request = await processor.work()
            assert await flood(request.context_id)
            assert await refuses(processor, request.context_id)
            processor.answer(correlation)
            assert await sent == 202
            status, message = await bench.status(batch)
            assert (status, "more than" in message) == ("INVALID", True)
        assert bench.state() == {}


async def test_what_does_not_fit_into_a_command() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        made = bench.client.transaction(FAMILY, bytes(300_000), [place(1)])
        batch = bench.client.batch(made)
        sent = bench.send(batch)
        correlation, request = await processor.work()
        assert await processor.set(request.context_id, {place(1): bytes(900_000)})
        processor.answer(correlation)
        assert await sent == 202
        assert await bench.status(batch) == ("INVALID", "batch and results are over 1048576 bytes")


async def test_what_was_read_has_changed() -> None:
    bench = ProcessorBench()
    async with bench.processor() as processor:
        batch = bench.batch(1)
        sent = bench.send(batch)
        correlation, request = await processor.work()
        assert await processor.get(request.context_id, place(1)) == {place(1): b""}
        write_elsewhere(bench, b"x")
        processor.answer(correlation, ProcessStatus.INVALID_TRANSACTION, message="there is nothing")
        assert await processor.serve(b"a") == "x"
        assert await sent == 202
        assert await bench.status(batch) == ("COMMITTED", "")
        assert bench.state() == {place(1): b"xa"}


async def test_what_was_read_changes_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(stale_max=3))
    bench = ProcessorBench()
    async with bench.processor() as processor:
        batch = bench.batch(1)
        sent = bench.send(batch)
        for number in range(3):
            correlation, request = await processor.work()
            await processor.get(request.context_id, place(1))
            write_elsewhere(bench, b"%d" % number)
            processor.answer(correlation)
        assert await sent == 429
        assert (await bench.status(batch))[0] == "UNKNOWN"
        assert bench.state() == {place(1): b"2"}


async def test_reading_in_a_batch_what_its_enclave_part_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(stale_max=2))
    bench = ProcessorBench()
    client = bench.client
    async with bench.processor() as processor:
        address = intkey_address("a")
        batch = client.batch(client.intkey("set", "a", 1), client.transaction(FAMILY, b"", [address]))
        sent = bench.send(batch)
        for _ in range(2):
            correlation, request = await processor.work()
            assert await processor.get(request.context_id, address) == {address: b""}
            processor.answer(correlation)
        assert await sent == 202
        status, message = await bench.status(batch)
        assert (status, "may not read what one inside wrote" in message) == ("INVALID", True)
        assert bench.value("a") is None


async def test_too_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HELD, 0.05)
    for bound in ("BATCHES_MAX", "BATCHES_PER_IDENTITY_MAX"):
        bench = ProcessorBench()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"adapters.sawtooth.external_runs.{bound}", 2)
            waiting = [bench.batch(number) for number in range(3)]
            assert [await bench.post(one) for one in waiting] == [202, 202, 429]
            async with bench.processor() as processor:
                for _ in range(2):
                    await processor.serve(b"a")
                assert [await bench.ended(one) for one in waiting[:2]] == [("COMMITTED", "")] * 2
                sent = bench.send(waiting[2])
                await processor.serve(b"a")
                assert await sent == 202


async def test_a_batch_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(batch_seconds_max=0.5))
    bench = ProcessorBench()
    async with bench.processor() as processor:
        batch = bench.batch(1)
        sent = bench.send(batch)
        correlation, request = await processor.work()
        assert await sent == 429
        assert await refuses(processor, request.context_id)
        processor.answer(correlation)
        assert (await bench.status(batch))[0] == "UNKNOWN"


async def test_a_silent_processor_is_pinged_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sawtooth.processor_socket.PING_SECONDS", 0.03)
    monkeypatch.setattr("adapters.sawtooth.processor_socket.SILENT_SECONDS_MAX", 1.5)
    bench = ProcessorBench()
    async with bench.connected(), bench.processor() as processor:
        for _ in range(3):
            correlation, _ = await processor.receive(MessageType.PING_REQUEST, "PingRequest")
            processor.put(MessageType.PING_RESPONSE, "PingResponse", correlation)
        assert not processor.task.done()
        await asyncio.wait_for(processor.task, 10)


async def test_a_processor_that_unregisters_gets_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN_BOUNDS, quick(processor_seconds_max=0.05))
    bench = ProcessorBench()
    async with bench.processor() as processor:
        sent = bench.send(bench.batch(1))
        correlation, request = await processor.work()
        assert (await processor.ask(MessageType.TP_UNREGISTER_REQUEST)).status == 1
        assert await processor.set(request.context_id, {place(1): b"a"})
        processor.answer(correlation)
        assert await sent == 202
        batch = bench.batch(2)
        assert await bench.post(batch) == 202
        assert (await bench.status(batch))[0] == "INVALID"
        assert processor.is_quiet()


def write_elsewhere(bench: ProcessorBench, data: bytes) -> None:
    """Commit a write of place(1) as another gateway's processor would."""
    result = TransactionResult(writes=(StateWrite(bytes.fromhex(place(1)), data),))
    bench.harness.submit(COMMANDS.encode(SubmitBatch(bench.batch(1).data, ExternalResult((result,)))), ALICE)


async def test_a_batch_that_waited_reads_the_newest_state() -> None:
    bench = ProcessorBench()
    sent = bench.send(bench.batch(1))
    await asyncio.sleep(0)
    write_elsewhere(bench, b"x")
    async with bench.processor() as processor:
        assert await processor.serve(b"a") == "x"
        assert await sent == 202
        assert processor.is_quiet()


async def test_when_the_state_that_was_read_is_not_kept_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sawtooth.scope.STATE_BLOCKS_MAX", 1)
    bench = ProcessorBench()
    async with bench.processor() as processor:
        made = bench.client.transaction(FAMILY, b"", [place(2), place(1)])
        batch = bench.client.batch(made)
        sent = bench.send(batch)
        correlation, request = await processor.work()
        assert await processor.get(request.context_id, place(2)) == {place(2): b""}
        for data in (b"x", b"y", b"z"):
            write_elsewhere(bench, data)
        assert await processor.get(request.context_id, place(1)) is None
        processor.answer(correlation, ProcessStatus.INVALID_TRANSACTION, message="not authorised")
        assert await processor.serve(b"a") == ""
        assert await sent == 202
        assert await bench.status(batch) == ("COMMITTED", "")
