"""The executor through changes of leadership, against a manager that the test plays: roles, rollback, outcomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.kv.write_set import WriteSet
from core.node.messages import (
    FROM_GATEWAY,
    Answer,
    Ask,
    CertificateIssued,
    CertificateRequest,
    Follow,
    FromGateway,
    GovernanceResult,
    Lead,
    Ready,
    Replay,
    ReplayedEntry,
    SnapshotWritten,
    SystemWork,
)
from tests.support.executor_bench import BOB, ENTRY, MEMBER, VIEW, RoleBench, constitution, running


@pytest.fixture
async def bench() -> AsyncIterator[RoleBench]:
    found = RoleBench()
    await found.begin()
    async with running(found):
        yield found


async def ready(bench: RoleBench, *replay: dict[str, dict[bytes, bytes | None]]) -> None:
    """Begin with a state of which nobody has said yet who leads it."""
    bench.run = asyncio.create_task(bench.executor.run())
    entries = tuple(ReplayedEntry(seqno, *WriteSet(writes).encode()) for seqno, writes in enumerate(replay, 3))
    bench.seqno = 3 + len(replay)
    views = ((1, 1), (VIEW, 2))
    await bench.tell(Replay(entries), Ready(VIEW, bench.seqno, constitution().encode(), b"{}", views))


async def serve(bench: RoleBench) -> None:
    assert isinstance(await bench.from_executor(), CertificateRequest)
    await bench.tell(CertificateIssued(b"CHAIN"))
    await bench.hear()
    assert len(bench.front_ends) == 1


GENESIS = {f"{name}.coco_genesis": {b"version": b"1"} for name in ("one", "two")}


async def test_ready_is_enough_to_answer_queries_and_for_nothing_else() -> None:
    async with running(RoleBench()) as bench:
        await ready(bench, {"one.coco_genesis": GENESIS["one.coco_genesis"]}, {"two.coco_genesis": {b"version": b"1"}})
        await serve(bench)
        assert await bench.log() == []
        [ticket] = await bench.submit(b"a")
        status = await bench.status()
        assert (status["role"], status["leader"], status["forwarded"]) == ("follower", "", 1)
        assert ticket not in bench.answers


async def test_a_state_without_its_beginning_is_not_served_until_it_is_applied() -> None:
    async with running(RoleBench()) as bench:
        await ready(bench, {"one.coco_genesis": {b"version": b"1"}})
        await bench.tell(Follow("other"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.manager.receive(), 0.02)
        await bench.apply(VIEW, {"two.coco_genesis": {b"version": b"1"}})
        await serve(bench)
        assert await bench.log() == []


async def test_a_follower_answers_from_what_it_has_applied(bench: RoleBench) -> None:
    await bench.tell(Follow("other"))
    await bench.apply(VIEW + 1, ENTRY)
    assert json.loads((await bench.ask(b"")).reply) == [bench.seqno, ["0001"]]
    status = await bench.status()
    assert (status["role"], status["leader"], status["view"]) == ("follower", "other", VIEW + 1)
    assert status["committed"] == status["head"] == bench.seqno


async def test_a_block_in_flight_that_commits_after_all_is_answered_as_committed(bench: RoleBench) -> None:
    [ticket] = await bench.submit(b"a")
    block = await bench.proposed()
    await bench.lose(block)
    assert await bench.log() == []
    await bench.apply_own(block)
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.failure) == (b"1 1 1000", "")
    assert (answer.view, answer.seqno) == (VIEW, block.first_seqno)
    assert await bench.log() == ["0001"]


async def test_a_block_in_flight_that_is_overtaken_is_safe_to_ask_for_again(bench: RoleBench) -> None:
    [ticket] = await bench.submit(b"a")
    await bench.lose(await bench.proposed(), "other")
    await bench.apply(VIEW + 1, ENTRY)
    answer = await bench.answer(ticket)
    assert (answer.reply, answer.failure, answer.seqno) == (b"", "not_leader", 0)


async def test_of_two_blocks_in_flight_the_first_may_commit_alone() -> None:
    bench = RoleBench(block_commands_max=1)
    await bench.begin()
    async with running(bench):
        one, two = await bench.submit(b"a", b"b")
        first, _ = await bench.proposed(), await bench.proposed()
        await bench.lose(first)
        await bench.apply_own(first)
        assert (await bench.answer(one)).failure == ""
        assert two not in bench.answers
        await bench.apply(VIEW + 1)
        assert (await bench.answer(two)).failure == "not_leader"


async def test_what_stays_unknown_is_answered_with_its_transaction_id(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNRESOLVED_SECONDS_MAX", 0.01)
    [ticket] = await bench.submit(b"a")
    block = await bench.proposed()
    await bench.lose(block)
    answer = await bench.answer(ticket)
    assert (answer.failure, answer.view, answer.seqno) == ("unknown_outcome", VIEW, block.first_seqno)
    await bench.apply_own(block)
    assert await bench.log() == ["0001"]


async def test_blocks_in_flight_of_many_leaderships_are_bounded(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNRESOLVED_BLOCKS_MAX", 0)
    [ticket] = await bench.submit(b"a")
    await bench.lose(await bench.proposed())
    assert (await bench.answer(ticket)).failure == "unknown_outcome"


async def test_what_had_run_but_was_not_proposed_goes_to_the_next_leader(bench: RoleBench) -> None:
    [in_flight] = await bench.submit(b"a")
    block = await bench.proposed()
    waiting = await bench.submit(b"b", b"c")
    await bench.status()
    await bench.lose(block, "other")
    items = (await bench.forwarded()).items
    assert [item.payload for item in items] == [b"b", b"c"]
    assert not {in_flight, *waiting} & set(bench.answers)


async def test_leading_again_goes_on_from_what_is_committed(bench: RoleBench) -> None:
    resets = bench.adapters["one"].resets  # type: ignore[attr-defined]
    await bench.submit(b"a")
    await bench.lose(await bench.proposed(), "other")
    await bench.apply(VIEW + 1, ENTRY)
    await bench.apply(VIEW + 2)
    await bench.tell(Lead(VIEW + 2, bench.seqno))
    [ticket] = await bench.submit(b"b")
    block = await bench.proposed_in(VIEW + 2)
    await bench.commit_in(VIEW + 2)
    answer = await bench.answer(ticket)
    # The second command of the log, in the block after two of others.
    assert (answer.reply, answer.view, answer.seqno) == (b"2 3 1000", VIEW + 2, block.first_seqno)
    assert bench.adapters["one"].resets == resets + 2  # type: ignore[attr-defined]
    assert await bench.log() == ["0001", "0002"]


async def test_the_signature_that_begins_a_view_need_not_be_told_of(bench: RoleBench) -> None:
    [lost] = await bench.submit(b"a")
    await bench.lose(await bench.proposed())
    bench.seqno += 1
    await bench.tell(Lead(VIEW + 1, bench.seqno))
    assert (await bench.answer(lost)).failure == "not_leader"
    [ticket] = await bench.submit(b"b")
    await bench.proposed_in(VIEW + 1)
    await bench.commit_in(VIEW + 1)
    assert (await bench.answer(ticket)).reply == b"1 2 1000"


async def test_a_later_view_may_be_led_at_once(bench: RoleBench) -> None:
    [lost] = await bench.submit(b"a")
    block = await bench.proposed()
    bench.seqno = block.first_seqno
    await bench.tell(Lead(VIEW + 1, bench.seqno))
    assert (await bench.answer(lost)).failure == "not_leader"
    await bench.submit(b"b")
    await bench.proposed_in(VIEW + 1)


async def test_commands_that_waited_for_a_leader_run_here_once_this_node_leads(bench: RoleBench) -> None:
    await bench.tell(Follow(""))
    one, two = await bench.submit(b"a", b"b")
    await bench.apply(VIEW + 1)
    await bench.tell(Lead(VIEW + 1, bench.seqno))
    await bench.proposed_in(VIEW + 1)
    await bench.commit_in(VIEW + 1)
    assert [(await bench.answer(ticket)).reply.split()[0] for ticket in (one, two)] == [b"1", b"2"]


async def test_a_genesis_that_did_not_commit_is_run_again() -> None:
    async with running(RoleBench()) as bench:
        await ready(bench)
        await bench.tell(Lead(VIEW, bench.seqno))
        block = await bench.proposed_in(VIEW)
        await bench.lose(block)
        bench.seqno += 1
        await bench.tell(Lead(VIEW + 1, bench.seqno))
        again = await bench.proposed_in(VIEW + 1)
        assert [entry.adapter for entry in again.entries] == ["one", "two"]
        await bench.commit_in(VIEW + 1)
        await serve(bench)
        assert await bench.log() == []


async def test_time_does_not_go_back_behind_a_block_of_others(bench: RoleBench) -> None:
    await bench.tell(Follow("other"))
    bench.now = 2000.5
    await bench.apply(VIEW + 1, ENTRY)
    await bench.status()
    bench.now = 1000.0
    bench.seqno += 1
    await bench.tell(Lead(VIEW + 2, bench.seqno))
    [ticket] = await bench.submit(b"a")
    await bench.proposed_in(VIEW + 2)
    await bench.commit_in(VIEW + 2)
    assert (await bench.answer(ticket)).reply.split()[2] == b"2000"


async def test_governance_of_others_changes_the_front_end(bench: RoleBench) -> None:
    await bench.tell(Follow("other"))
    await bench.apply(VIEW + 1, {"public:coco.settings": {b"default_adapter": b"two"}})
    while len(bench.front_ends) < 2:
        await bench.hear()
    assert bench.front_ends[1].default_adapter == "two"
    await bench.apply(VIEW + 1, {"public:coco.constitution": {b"current": constitution("two").encode()}})
    while len(bench.front_ends) < 3:
        await bench.hear()
    assert bench.front_ends[2].constitution == constitution("two").encode()


@pytest.mark.parametrize(
    ("written", "reply"),
    [
        ({"public:coco.governance.messages": {b"d": b"signed"}}, {"accepted": True, "reason": ""}),
        (
            {"public:coco.governance.rejected": {b"d": b'{"reason":"too old"}'}},
            {"accepted": False, "reason": "too old"},
        ),
    ],
    ids=["accepted", "rejected"],
)
async def test_a_governance_message_in_flight_that_commits_is_answered_by_what_it_wrote(
    bench: RoleBench, written: dict[str, dict[bytes, bytes | None]], reply: dict[str, object]
) -> None:
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    block = await bench.proposed()
    await bench.lose(block)
    await bench.apply(VIEW, written)
    answer = json.loads((await bench.answer(ticket)).reply)
    assert answer == reply | {"transaction": f"{VIEW}.{block.first_seqno}"}


async def test_a_governance_message_in_flight_is_unknown_when_its_entry_does_not_tell(bench: RoleBench) -> None:
    [ticket] = await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    block = await bench.proposed()
    await bench.lose(block)
    await bench.apply(VIEW, {"public:coco.unheard_of": {b"d": b""}})
    answer = await bench.answer(ticket)
    assert (answer.failure, answer.view, answer.seqno) == ("unknown_outcome", VIEW, block.first_seqno)


async def test_system_work_is_proposed_as_blocks_of_their_own(bench: RoleBench) -> None:
    await bench.tell(SystemWork(), SystemWork())
    for number in range(2):
        block = await bench.proposed()
        assert [(one.adapter, one.public, one.private, one.claims) for one in block.entries] == [
            ("coco.system", b"", b"", bytes(32))
        ]
        writes = WriteSet({"public:coco.slots": {b"node2": b"%d" % number}})
        await bench.commit(governance=(GovernanceResult(block.first_seqno, writes.encode()[0], ""),))
    [ticket] = await bench.submit(b"a")
    await bench.proposed()
    await bench.commit()
    assert (await bench.answer(ticket)).failure == ""
    table = bench.executor._state.store.begin().table("public:coco.slots")
    assert table.get(b"node2") == b"1"


async def test_system_work_ends_with_the_leadership(bench: RoleBench) -> None:
    await bench.tell(SystemWork(), SystemWork())
    block = await bench.proposed()
    await bench.lose(block)
    bench.seqno += 1
    await bench.tell(Lead(VIEW + 1, bench.seqno))
    await bench.submit(b"a")
    again = await bench.proposed_in(VIEW + 1)
    assert [entry.adapter for entry in again.entries] == ["one", "one"]


async def test_evidence_of_a_snapshot_is_not_proposed_by_a_follower(bench: RoleBench) -> None:
    await bench.tell(Follow("other"), SnapshotWritten())
    await bench.apply(VIEW + 1)
    await bench.tell(Lead(VIEW + 1, bench.seqno))
    await bench.submit(b"a")
    block = await bench.proposed_in(VIEW + 1)
    assert [entry.adapter for entry in block.entries] == ["one", "one"]


async def test_the_status_of_a_transaction_follows_the_views(bench: RoleBench) -> None:
    async def status(identifier: str) -> str:
        query = json.dumps({"kind": "transaction", "id": identifier}).encode()
        return str(json.loads((await bench.ask(query, "coco")).reply)["status"])

    await bench.submit(b"a")
    block = await bench.proposed()
    mine = f"{VIEW}.{block.first_seqno}"
    assert await status(mine) == "Pending"
    await bench.lose(block)
    assert await status(mine) == "Unknown"
    await bench.apply(VIEW + 1, ENTRY)
    assert await status(mine) == "Invalid"
    assert await status(f"{VIEW + 1}.{block.first_seqno}") == "Committed"
    assert await status(f"{VIEW + 1}.{bench.seqno + 1}") == "Unknown"


async def test_a_query_waits_for_the_state_that_it_was_promised(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.tell(Follow("other"))

    async def ask_after(seqno: int) -> int:
        bench.ticket += 1
        ask = Ask(bench.ticket, "one", b"", BOB, seqno)
        await bench.gateways[0].send(FROM_GATEWAY.encode(FromGateway((ask,))))
        return bench.ticket

    early = await ask_after(bench.seqno + 2)
    assert (await bench.ask(b"")).failure == ""
    assert early not in bench.answers
    await bench.apply(VIEW + 1, ENTRY)
    assert json.loads((await bench.answer(early)).reply)[1] == ["0001"]
    monkeypatch.setattr(limits, "QUERY_WAIT_SECONDS_MAX", 0.01)
    assert (await bench.answer(await ask_after(bench.seqno + 1))).failure == "overloaded"


async def test_a_stop_ends_though_nothing_commits(bench: RoleBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STOP_SECONDS_MAX", 0.01)
    [ticket] = await bench.submit(b"a")
    block = await bench.proposed()
    bench.executor.request_stop()
    answer: Answer = await bench.answer(ticket)
    assert (answer.failure, answer.view, answer.seqno) == ("unknown_outcome", VIEW, block.first_seqno)
    await asyncio.wait_for(bench.run, 5)
