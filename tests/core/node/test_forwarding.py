"""Commands on their way to the leader and answers on their way back: through an executor, and at the bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.node.messages import (
    FROM_GATEWAY,
    Answer,
    AnswersReturned,
    CommandsForwarded,
    Follow,
    ForwardAnswers,
    FromGateway,
    Lead,
    Submit,
    WireCaller,
)
from tests.support.executor_bench import ALICE, BOB, ENTRY, MEMBER, VIEW, RoleBench, running

TOKEN = WireCaller("alice", False, "token", "the-token-itself")


@pytest.fixture
async def bench() -> AsyncIterator[RoleBench]:
    """A follower of "other"."""
    found = RoleBench()
    await found.begin()
    await found.tell(Follow("other"))
    async with running(found):
        yield found


def answer(ticket: int, reply: bytes = b"", failure: str = "", view: int = 0, seqno: int = 0) -> Answer:
    return Answer(ticket, reply, failure, view, seqno)  # type: ignore[arg-type]


async def returned(bench: RoleBench) -> list[Answer]:
    message = await bench.from_executor()
    assert isinstance(message, ForwardAnswers)
    assert message.origin == "node2"
    return list(message.items)


# The follower.


async def test_commands_go_to_the_leader_with_who_sent_them(bench: RoleBench) -> None:
    await bench.submit(b"a", b"b", caller=TOKEN)
    items = (await bench.forwarded()).items
    assert [(item.adapter, item.payload, item.caller) for item in items] == [("one", b"a", TOKEN), ("one", b"b", TOKEN)]


async def test_governance_goes_there_as_well_and_only_of_members(bench: RoleBench) -> None:
    [refused] = await bench.submit(b"signed", adapter="coco", caller=ALICE)
    assert (await bench.answer(refused)).failure == "no_such_adapter"
    await bench.submit(b"signed", adapter="coco", caller=MEMBER)
    [item] = (await bench.forwarded()).items
    assert (item.adapter, item.payload) == ("coco", b"signed")


async def test_an_answer_is_held_until_the_state_here_has_reached_it(bench: RoleBench) -> None:
    [ticket] = await bench.submit(b"foreign")
    [item] = (await bench.forwarded()).items
    await bench.tell(AnswersReturned((answer(item.ticket, b"done", view=VIEW, seqno=bench.seqno + 1),)))
    assert (await bench.status())["forwarded"] == 1
    assert ticket not in bench.answers
    await bench.apply(VIEW, ENTRY)
    found = await bench.answer(ticket)
    assert (found.reply, found.failure, found.view, found.seqno) == (b"done", "", VIEW, bench.seqno - 1)
    assert json.loads((await bench.ask(b"")).reply) == [bench.seqno, ["0001"]]


@pytest.mark.parametrize("failure", ["", "overloaded", "too_large", "failed", "unknown_outcome"])
async def test_an_answer_that_depends_on_no_entry_is_passed_on_at_once(bench: RoleBench, failure: str) -> None:
    [ticket] = await bench.submit(b"a")
    [item] = (await bench.forwarded()).items
    await bench.tell(AnswersReturned((answer(item.ticket, b"rejected", failure),)))
    assert ((await bench.answer(ticket)).reply, bench.answers[ticket].failure) == (b"rejected", failure)


async def test_answers_to_what_was_not_asked_or_twice_are_dropped(bench: RoleBench) -> None:
    [ticket] = await bench.submit(b"a")
    [item] = (await bench.forwarded()).items
    given = answer(item.ticket, b"done")
    await bench.tell(AnswersReturned((answer(item.ticket + 7), given, given, answer(item.ticket, b"other"))))
    assert (await bench.answer(ticket)).reply == b"done"
    assert (await bench.ask(b"")).failure == ""


@pytest.mark.parametrize("leader", ["third", "other", ""], ids=["another", "the same again", "none"])
async def test_what_was_sent_to_a_leader_that_is_lost_may_have_run(bench: RoleBench, leader: str) -> None:
    [ticket] = await bench.submit(b"a")
    [item] = (await bench.forwarded()).items
    await bench.tell(Follow(leader))
    assert (await bench.answer(ticket)).failure == "unknown_outcome"
    await bench.tell(AnswersReturned((answer(item.ticket, b"late"),)))
    assert (await bench.ask(b"")).failure == ""


async def test_what_the_lost_leader_has_answered_is_known(bench: RoleBench) -> None:
    [ticket] = await bench.submit(b"foreign")
    [item] = (await bench.forwarded()).items
    await bench.tell(AnswersReturned((answer(item.ticket, b"done", view=VIEW, seqno=bench.seqno + 1),)))
    await bench.tell(Follow("third"))
    await bench.apply(VIEW, ENTRY)
    assert (await bench.answer(ticket)).reply == b"done"


async def test_what_was_not_sent_goes_to_the_next_leader(bench: RoleBench) -> None:
    await bench.tell(Follow(""))
    tickets = await bench.submit(b"a", b"b")
    await bench.tell(Follow("third"))
    items = (await bench.forwarded()).items
    assert [item.payload for item in items] == [b"a", b"b"]
    await bench.tell(AnswersReturned(tuple(answer(item.ticket, item.payload) for item in items)))
    assert [(await bench.answer(ticket)).reply for ticket in tickets] == [b"a", b"b"]


async def test_without_a_leader_commands_wait_for_a_while(bench: RoleBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNLED_SECONDS_MAX", 0.02)
    await bench.tell(Follow(""))
    [ticket] = await bench.submit(b"a")
    found = await bench.answer(ticket)
    assert (found.failure, found.seqno) == ("not_leader", 0)


async def test_a_leader_that_did_not_run_a_command_is_asked_again(bench: RoleBench) -> None:
    [ticket] = await bench.submit(b"a")
    [item] = (await bench.forwarded()).items
    await bench.tell(AnswersReturned((answer(item.ticket, failure="not_leader"),)))
    [again] = (await bench.forwarded()).items
    assert again.payload == b"a"
    await bench.tell(AnswersReturned((answer(again.ticket, b"done"),)))
    assert (await bench.answer(ticket)).reply == b"done"


async def test_but_not_for_ever(bench: RoleBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNLED_SECONDS_MAX", 0)
    [ticket] = await bench.submit(b"a")
    [item] = (await bench.forwarded()).items
    await bench.tell(AnswersReturned((answer(item.ticket, failure="not_leader"),)))
    assert (await bench.answer(ticket)).failure == "not_leader"


async def test_a_leader_that_never_answers(bench: RoleBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FORWARDED_SECONDS_MAX", 0.02)
    [ticket] = await bench.submit(b"a")
    assert (await bench.answer(ticket)).failure == "unknown_outcome"


async def test_an_answer_whose_state_never_comes_is_unknown_by_its_transaction_id(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    [ticket] = await bench.submit(b"a")
    [item] = (await bench.forwarded()).items
    await bench.tell(AnswersReturned((answer(item.ticket, b"done", view=VIEW, seqno=bench.seqno + 1),)))
    await bench.status()
    monkeypatch.setattr(limits, "FORWARDED_SECONDS_MAX", 0)
    await bench.status()
    found = await bench.answer(ticket)
    assert (found.reply, found.failure, found.view, found.seqno) == (b"", "unknown_outcome", VIEW, bench.seqno + 1)


@pytest.mark.parametrize(
    ("bound", "value"),
    [("FORWARDED_COMMANDS_MAX", 2), ("FORWARDED_PER_GATEWAY_MAX", 2), ("FORWARDED_BYTES_MAX", 300)],
)
async def test_what_is_too_much_is_refused_until_something_is_answered(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(limits, bound, value)
    tickets = await bench.submit(b"a", b"b", b"c")
    assert (await bench.answer(tickets[2])).failure == "overloaded"
    items = (await bench.forwarded()).items
    await bench.tell(AnswersReturned((answer(items[0].ticket, b"done"),)))
    await bench.answer(tickets[0])
    await bench.submit(b"d")
    assert [item.payload for item in (await bench.forwarded()).items] == [b"d"]


async def test_a_leader_is_sent_no_more_than_its_share_and_callers_take_turns(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FORWARDED_IN_FLIGHT_MAX", 2)
    await bench.tell(Follow(""))
    await bench.submit(b"a1", b"a2", b"a3")
    await bench.submit(b"b1", caller=BOB)
    await bench.tell(Follow("third"))
    sent = (await bench.forwarded()).items
    assert [item.payload for item in sent] == [b"a1", b"b1"]
    await bench.tell(AnswersReturned(tuple(answer(item.ticket) for item in sent)))
    assert [item.payload for item in (await bench.forwarded()).items] == [b"a2", b"a3"]


async def test_a_command_waits_for_room_with_the_leader_for_a_while(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FORWARDED_IN_FLIGHT_MAX", 1)
    [one] = await bench.submit(b"a")
    await bench.forwarded()
    monkeypatch.setattr(limits, "FORWARD_WAIT_SECONDS_MAX", 0.02)
    [two] = await bench.submit(b"b")
    assert (await bench.answer(two)).failure == "overloaded"
    assert one not in bench.answers


async def test_batches_are_bounded(bench: RoleBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FORWARD_BATCH_BYTES_MAX", 1_000)
    monkeypatch.setattr(limits, "FORWARD_BATCH_COMMANDS_MAX", 3)
    await bench.submit(*[b"x"] * 4, bytes(900), b"y")
    assert [len((await bench.forwarded()).items) for _ in range(3)] == [3, 2, 1]


async def test_a_stop_gives_up_what_is_with_the_leader_and_refuses_the_rest(
    bench: RoleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FORWARDED_IN_FLIGHT_MAX", 1)
    monkeypatch.setattr(limits, "STOP_SECONDS_MAX", 0.05)
    sent, waiting = await bench.submit(b"a", b"b")
    await bench.forwarded()
    bench.executor.request_stop()
    assert (await bench.answer(sent)).failure == "unknown_outcome"
    assert (await bench.answer(waiting)).failure == "overloaded"
    await asyncio.wait_for(bench.run, 5)


# The leader.


@pytest.fixture
async def leader(bench: RoleBench) -> RoleBench:
    bench.seqno += 1
    await bench.tell(Lead(VIEW + 1, bench.seqno))
    return bench


async def test_forwarded_commands_run_like_those_of_gateways(leader: RoleBench) -> None:
    await leader.tell(CommandsForwarded("node2", (Submit(8, "one", b"reject", ALICE),)))
    assert await returned(leader) == [answer(8, b"rejected")]
    await leader.tell(CommandsForwarded("node2", (Submit(7, "one", b"a", ALICE),)))
    block = await leader.proposed_in(VIEW + 1)
    await leader.commit_in(VIEW + 1)
    assert await returned(leader) == [answer(7, b"1 2 1000", view=VIEW + 1, seqno=block.first_seqno)]


@pytest.mark.parametrize(
    ("item", "failure"),
    [
        (Submit(7, "three", b"", ALICE), "no_such_adapter"),
        (Submit(7, "coco", b"signed", ALICE), "no_such_adapter"),
        (Submit(7, "one", bytes(limits.COMMAND_BYTES_MAX + 1), ALICE), "too_large"),
        (Submit(7, "coco", bytes(limits.GOVERNANCE_MESSAGE_BYTES_MAX + 1), MEMBER), "too_large"),
    ],
    ids=["unknown adapter", "no member", "too large", "too large for governance"],
)
async def test_forwarded_commands_are_judged_again(leader: RoleBench, item: Submit, failure: str) -> None:
    await leader.tell(CommandsForwarded("node2", (item,)))
    assert await returned(leader) == [answer(7, failure=failure)]


async def test_forwarded_governance_is_proposed(leader: RoleBench) -> None:
    await leader.tell(CommandsForwarded("node2", (Submit(7, "coco", b"signed", MEMBER),)))
    block = await leader.proposed_in(VIEW + 1)
    assert [(entry.adapter, entry.private) for entry in block.entries] == [("coco", b"signed")]


async def test_a_node_that_does_not_lead_says_so(bench: RoleBench) -> None:
    await bench.tell(CommandsForwarded("node2", (Submit(7, "one", b"a", ALICE),)))
    assert await returned(bench) == [answer(7, failure="not_leader")]


async def test_a_deposed_leader_says_so_of_what_it_has_not_proposed(leader: RoleBench) -> None:
    await leader.tell(CommandsForwarded("node2", (Submit(7, "one", b"a", ALICE),)))
    block = await leader.proposed_in(VIEW + 1)
    await leader.tell(CommandsForwarded("node2", (Submit(8, "one", b"b", ALICE),)))
    await leader.status()
    await leader.lose(block, "third")
    assert await returned(leader) == [answer(8, failure="not_leader")]
    await leader.apply_own(block, view=VIEW + 1)
    assert await returned(leader) == [answer(7, b"1 2 1000", view=VIEW + 1, seqno=block.first_seqno)]


async def test_one_node_does_not_fill_the_leader(leader: RoleBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FORWARDED_IN_FLIGHT_MAX", 2)
    [held] = await leader.submit(b"a")
    await leader.proposed_in(VIEW + 1)
    items = tuple(Submit(number, "one", b"x", ALICE) for number in (1, 2, 3))
    await leader.tell(CommandsForwarded("node2", items))
    assert await returned(leader) == [answer(3, failure="overloaded")]
    await leader.commit_in(VIEW + 1)
    assert (await leader.answer(held)).failure == ""
    await leader.proposed_in(VIEW + 1)
    await leader.commit_in(VIEW + 1)
    assert [one.ticket for one in await returned(leader)] == [1, 2]
    await leader.tell(CommandsForwarded("node2", items[:1]))
    await leader.proposed_in(VIEW + 1)


async def test_tokens_are_shown_nowhere(bench: RoleBench) -> None:
    assert "the-token-itself" not in repr(TOKEN)
    assert "the-token-itself" not in repr(Submit(1, "one", b"", TOKEN))
    await bench.gateways[0].send(FROM_GATEWAY.encode(FromGateway((Submit(1, "one", b"a", TOKEN),))))
    await bench.forwarded()
    assert not any("the-token-itself" in line for line in bench.logged)
