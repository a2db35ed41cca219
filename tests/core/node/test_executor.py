"""The executor and its gateways: commands into blocks, their answers, queries; the test plays the other sides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.errors import InvariantBroken
from core.kv.write_set import WriteSet
from tests.support.executor_bench import BOB, VIEW, Bench, running


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    await found.begin()
    async with running(found):
        yield found


async def test_start_runs_genesis_and_sends_the_front_end(bench: Bench) -> None:
    assert [entry.adapter for entry in bench.genesis.entries] == ["one", "two"]
    writes = WriteSet.decode(bench.genesis.entries[0].public, bench.genesis.entries[0].private)
    assert writes.tables["one.coco_genesis"] == {b"version": b"1"}
    front_end = bench.front_ends[0]
    assert (front_end.certificate_chain, front_end.default_adapter, front_end.service) == (
        b"CHAIN",
        "one",
        b'{"service":1}',
    )
    assert front_end.private_key.startswith(b"-----BEGIN PRIVATE KEY-----")


async def test_restart_replays_and_runs_no_genesis() -> None:
    first = Bench()
    await first.begin()
    await first.submit(b"a")
    await first.proposed()
    await first.commit()
    await first.stop()
    second = Bench()
    await second.begin(first.entries, first.seqno + 1)
    [ticket] = await second.submit(b"b")
    await second.proposed()
    await second.commit()
    assert (await second.answer(ticket)).reply.startswith(b"2 ")
    assert json.loads((await second.ask(b"")).reply)[1] == ["0001", "0002"]
    await second.stop()


async def test_a_lone_command_is_proposed_at_once_and_answered_at_commit(bench: Bench) -> None:
    [ticket] = await bench.submit(b"a")
    block = await bench.proposed()
    assert [entry.adapter for entry in block.entries] == ["one", "one"]
    assert (await bench.status())["blocks_in_flight"] == 1
    assert ticket not in bench.answers
    await bench.commit()
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.failure) == (b"1 1 1000", "")
    assert (answer.view, answer.seqno) == (VIEW, block.first_seqno)


async def test_queries_see_committed_state_only(bench: Bench) -> None:
    await bench.submit(b"a")
    block = await bench.proposed()
    before = json.loads((await bench.ask(b"")).reply)
    assert before == [block.first_seqno - 1, []]
    await bench.commit()
    assert json.loads((await bench.ask(b"")).reply) == [bench.seqno, ["0001"]]


async def test_blocks_fill_while_one_is_in_flight(bench: Bench) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    tickets = await bench.submit(b"b", b"c")
    tickets += await bench.submit(b"d", adapter="two")
    assert (await bench.status())["blocks_in_flight"] == 1
    await bench.commit()
    block = await bench.proposed()
    assert [entry.adapter for entry in block.entries].count("one") == 3
    assert [entry.adapter for entry in block.entries].count("two") == 2
    await bench.commit()
    blocks = {(await bench.answer(ticket)).reply.split()[1] for ticket in tickets}
    assert blocks == {b"2"}


async def test_a_block_closes_at_the_count_and_at_most_two_are_in_flight() -> None:
    bench = Bench(block_commands_max=4)
    await bench.begin()
    tickets = await bench.submit(*[b"x"] * 13)
    first, second = await bench.proposed(), await bench.proposed()
    assert (len(first.entries), len(second.entries)) == (5, 5)
    assert (await bench.status())["blocks_in_flight"] == 2
    await bench.commit(first.first_seqno + 5)
    third = await bench.proposed()
    assert len(third.entries) == 5
    await bench.commit(second.first_seqno + 5)
    await bench.commit(third.first_seqno + 5)
    last = await bench.proposed()
    assert len(last.entries) == 2
    await bench.commit()
    for ticket in tickets:
        await bench.answer(ticket)
    assert [bench.answers[ticket].reply.split()[0] for ticket in tickets] == [b"%d" % n for n in range(1, 14)]
    assert bench.order[-13:] == tickets
    await bench.stop()


async def test_with_nothing_in_flight_a_block_closes_when_it_holds_enough(bench: Bench) -> None:
    await bench.submit(*[b"x"] * 40)
    first = await bench.proposed()
    assert len(first.entries) == limits.BLOCK_COMMANDS_ENOUGH + 1
    await bench.commit()
    second = await bench.proposed()
    assert len(second.entries) == 40 - limits.BLOCK_COMMANDS_ENOUGH + 1


async def test_a_full_block_closes_and_the_command_runs_in_the_next(bench: Bench) -> None:
    await bench.submit(b"a")
    await bench.proposed()
    tickets = await bench.submit(*[b"x"] * 101)
    assert len((await bench.proposed()).entries) == 101
    await bench.commit(bench.seqno - 102)
    await bench.commit()
    last = await bench.proposed()
    assert len(last.entries) == 2
    await bench.commit()
    assert (await bench.answer(tickets[-1])).reply.split()[:2] == [b"102", b"3"]


async def test_a_rejected_command_is_answered_at_once_and_leaves_no_trace(bench: Bench) -> None:
    before = await bench.status()
    [ticket] = await bench.submit(b"reject")
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.failure, answer.seqno) == (b"rejected", "", 0)
    assert await bench.status() == before
    await bench.submit(b"a")
    await bench.proposed()
    assert b"trace" not in bench.entries[-2][1].tables["one.log"]


async def test_a_bug_of_an_adapter_leaves_nothing_and_the_node_runs_on(bench: Bench) -> None:
    await bench.submit(b"in flight")
    await bench.proposed()
    good, bad, rerun = await bench.submit(b"a", b"bug", b"b")
    answer = await bench.answer(bad)
    assert (answer.reply, answer.failure, answer.seqno) == (b"", "failed", 0)
    await bench.commit()
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(good)).reply.startswith(b"2 2 ")
    assert (await bench.answer(rerun)).reply.startswith(b"3 2 ")
    assert any("ValueError" in line for line in bench.logged)
    assert not any("secret" in line for line in bench.logged)


@pytest.mark.parametrize(
    ("payload", "failure"), [(b"never fits", "failed"), (b"huge", "too_large"), (b"bug in the queue", "failed")]
)
async def test_commands_that_cannot_be_run(bench: Bench, payload: bytes, failure: str) -> None:
    [ticket] = await bench.submit(payload)
    assert (await bench.answer(ticket)).failure == failure
    [after] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).reply.startswith(b"1 ")


async def test_a_block_that_cannot_be_closed_fails_its_commands(bench: Bench) -> None:
    [ticket] = await bench.submit(b"spoils the close")
    assert (await bench.answer(ticket)).failure == "failed"
    [after] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(after)).reply.startswith(b"1 1 ")


async def test_a_broken_invariant_stops_the_node(bench: Bench) -> None:
    await bench.submit(b"broken")
    with pytest.raises(InvariantBroken):
        await asyncio.wait_for(bench.run, 5)


async def test_a_queue_that_fails_stops_the_node_and_tells_nothing(bench: Bench) -> None:
    await bench.submit(b"breaks the queue")
    with pytest.raises(InvariantBroken, match="ValueError") as broken:
        await asyncio.wait_for(bench.run, 5)
    assert "secret" not in str(broken.value)
    assert broken.value.__suppress_context__


async def test_unknown_adapters_and_oversized_commands_are_refused(bench: Bench) -> None:
    [unknown] = await bench.submit(b"", adapter="three")
    [oversized] = await bench.submit(bytes(limits.COMMAND_BYTES_MAX + 1))
    assert (await bench.answer(unknown)).failure == "no_such_adapter"
    assert (await bench.answer(oversized)).failure == "too_large"
    assert (await bench.ask(b"", "three")).failure == "no_such_adapter"


async def test_queries_that_fail(bench: Bench) -> None:
    assert (await bench.ask(b"bug")).failure == "failed"
    assert (await bench.ask(b"long")).failure == "too_large"
    assert (await bench.ask(b"ahead")).failure == "failed"
    assert not any("secret" in line for line in bench.logged)
    assert (await bench.ask(b"")).failure == ""


async def test_a_caller_that_queues_too_much_is_overloaded_and_others_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.executor._intake.queues, "_per_caller_max", 3)
    tickets = await bench.submit(*[b"x"] * 5)
    [other] = await bench.submit(b"x", caller=BOB)
    for ticket in tickets[3:]:
        assert (await bench.answer(ticket)).failure == "overloaded"
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(tickets[0])).failure == ""
    if other not in bench.answers and (await bench.status())["blocks_in_flight"]:
        await bench.proposed()
        await bench.commit()
    assert (await bench.answer(other)).failure == ""


async def test_held_commands_expire_without_other_traffic(bench: Bench) -> None:
    [ticket] = await bench.submit(b"hold")
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.seqno) == (b"expired", 0)


async def test_block_time_never_decreases(bench: Bench) -> None:
    times = []
    for now in (1005.9, 1001.0, 1006.0):
        bench.now = now
        [ticket] = await bench.submit(b"a")
        await bench.proposed()
        await bench.commit()
        times.append(int((await bench.answer(ticket)).reply.split()[2]))
    assert times == [1005, 1005, 1006]


async def test_transaction_status(bench: Bench) -> None:
    async def status(identifier: str) -> str:
        reply = json.loads(
            (await bench.ask(json.dumps({"kind": "transaction", "id": identifier}).encode(), "coco")).reply
        )
        return str(reply["status"])

    await bench.submit(b"a")
    block = await bench.proposed()
    assert await status(f"{VIEW}.{block.first_seqno}") == "Pending"
    await bench.commit()
    assert await status(f"{VIEW}.{block.first_seqno}") == "Committed"
    assert await status("1.1") == "Committed"
    assert await status("2.1") == "Invalid"
    assert await status(f"{VIEW - 1}.{bench.seqno + 5}") == "Invalid"
    assert await status(f"{VIEW}.{bench.seqno + 1}") == "Unknown"
    assert await status(f"{VIEW}.0") == "Invalid"


@pytest.mark.parametrize("query", [b"", b"{}", b'{"kind":"keys"}', b'{"kind":"transaction","id":"x"}', b"\xff"])
async def test_malformed_node_queries(bench: Bench, query: bytes) -> None:
    reply = json.loads((await bench.ask(query, "coco")).reply)
    assert set(reply) == {"error", "hint"}
