"""Receipts through an executor: who gets which, against a manager and a gateway that the tests play."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from core import limits
from core.adapter.interface import Adapter, Disclosure, QueryContext, WrittenEntry
from core.errors import InvariantBroken
from core.kv.write_set import WriteSet
from core.node.messages import (
    FROM_GATEWAY,
    FROM_MANAGER,
    TO_MANAGER,
    Answer,
    Ask,
    FromGateway,
    ReceiptMade,
    ReceiptRequest,
    WireCaller,
)
from core.node.receipt_answer import RECEIPT_ANSWER, ReceiptAnswer
from core.types import NO_CLAIMS, Digest
from tests.support.executor_bench import ALICE, BOB, MEMBER, Bench

NOBODY = WireCaller(None, False, "none")
CLAIMS = Digest(b"c" * 32)
PRIVATE = WriteSet({"one.log": {b"0001": b"alice's", b"0002": None}, "public:one.seen": {b"count": b"1"}})
PUBLIC = WriteSet({"public:one.seen": {b"count": b"1"}})
GOVERNANCE = WriteSet({"public:coco.settings": {b"default_adapter": b"two"}})
NONE = ReceiptAnswer("none")


class Discloses:
    """Stands in for an adapter's `disclose`: what alice wrote is alice's."""

    def __init__(self) -> None:
        self.entries: list[WrittenEntry] = []

    def __call__(self, entry: WrittenEntry, context: QueryContext) -> Disclosure | None:
        self.entries.append(entry)
        if context.caller.identity == "carol":
            raise ValueError("secret")
        return Disclosure({"of": "alice"}) if context.caller.identity == "alice" else None


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    found = Bench()
    await found.begin()
    yield found
    if not found.run.done():
        await found.stop()


@pytest.fixture
def discloses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Discloses:
    made = Discloses()
    monkeypatch.setattr(bench.adapters["one"], "disclose", made)
    return made


async def send(bench: Bench, query: Mapping[str, Any], caller: WireCaller) -> int:
    bench.ticket += 1
    ask = Ask(bench.ticket, "coco", json.dumps({"kind": "receipt", **query}).encode(), caller)
    await bench.gateways[0].send(FROM_GATEWAY.encode(FromGateway((ask,))))
    return bench.ticket


async def requested(bench: Bench) -> ReceiptRequest:
    message = TO_MANAGER.decode(await asyncio.wait_for(bench.manager.receive(), 5))
    assert isinstance(message, ReceiptRequest)
    return message


async def made(bench: Bench, request: ReceiptRequest, writes: WriteSet, **fields: Any) -> None:
    public, private = writes.encode()
    message = ReceiptMade(request.ticket, "", b'{"cert":""}', b"\xd2cose", public, private, CLAIMS)
    changed = ReceiptMade(**{name: getattr(message, name) for name in message.__struct_fields__} | fields)
    await bench.manager.send(FROM_MANAGER.encode(changed))


async def ask(bench: Bench, caller: WireCaller, writes: WriteSet, query: Mapping[str, Any] | None = None) -> Answer:
    """Ask for the receipt of a committed entry that wrote this."""
    ticket = await send(bench, query or {"id": "3.3", "form": "ccf"}, caller)
    await made(bench, await requested(bench), writes)
    return await bench.answer(ticket)


def read(answer: Answer) -> ReceiptAnswer:
    assert answer.failure == ""
    return RECEIPT_ANSWER.decode(answer.reply)


@pytest.mark.parametrize("identifier", ["1.3", "3.999", "2.1", "9.9", "0.0"])
@pytest.mark.parametrize("caller", [ALICE, BOB, MEMBER], ids=["alice", "bob", "member"])
async def test_who_may_not_have_it_is_told_the_same_as_of_what_does_not_exist(
    bench: Bench, discloses: Discloses, identifier: str, caller: WireCaller
) -> None:
    unknown = await bench.answer(await send(bench, {"id": identifier, "form": "ccf"}, caller))
    for stranger in (BOB, MEMBER, NOBODY):
        hidden = await ask(bench, stranger, PRIVATE)
        assert hidden.reply == unknown.reply
        assert (hidden.failure, hidden.view, hidden.seqno) == (unknown.failure, unknown.view, unknown.seqno)
    assert read(unknown) == NONE


async def test_the_adapter_decides_on_what_it_wrote(bench: Bench, discloses: Discloses) -> None:
    assert read(await ask(bench, ALICE, PRIVATE)) == ReceiptAnswer("made", b'{"cert":""}')
    assert read(await ask(bench, BOB, PRIVATE)) == NONE
    entry = discloses.entries[0]
    assert (entry.seqno, entry.claims) == (3, CLAIMS)
    assert entry.tables == {"log": {b"0001": b"alice's", b"0002": None}, "public:seen": {b"count": b"1"}}


async def test_an_adapter_that_says_nothing_gives_nothing(bench: Bench) -> None:
    assert read(await ask(bench, ALICE, PRIVATE)) == NONE
    assert Adapter.disclose(bench.adapters["one"], None, None) is None  # type: ignore[arg-type]


async def test_the_entry_of_an_adapter_that_is_not_live_is_nobodys(bench: Bench, discloses: Discloses) -> None:
    assert read(await ask(bench, ALICE, WriteSet({"gone.log": {b"a": b"b"}}))) == NONE
    assert not discloses.entries


@pytest.mark.parametrize("caller", [ALICE, BOB, MEMBER], ids=["alice", "bob", "member"])
@pytest.mark.parametrize("writes", [GOVERNANCE, PUBLIC], ids=["governance", "public tables of an adapter"])
async def test_what_holds_public_tables_only_is_for_every_identity(
    bench: Bench, caller: WireCaller, writes: WriteSet
) -> None:
    assert read(await ask(bench, caller, writes)).state == "made"
    assert read(await ask(bench, NOBODY, writes)) == NONE


async def test_an_entry_without_writes_is_nobodys(bench: Bench) -> None:
    assert read(await ask(bench, MEMBER, WriteSet({}))) == NONE


async def test_forms(bench: Bench, discloses: Discloses) -> None:
    cose = await ask(bench, ALICE, PRIVATE, {"id": "3.3", "form": "cose"})
    assert read(cose) == ReceiptAnswer("made", b"\xd2cose")
    proof = await ask(bench, ALICE, PRIVATE, {"seqno": 3, "form": "proof"})
    assert json.loads(read(proof).body) == {
        "transactionId": "3.3",
        "receipt": {"cert": ""},
        "claims": {"of": "alice"},
        "serviceCertificate": "",
    }
    governance = await ask(bench, BOB, GOVERNANCE, {"id": "3.3", "form": "proof"})
    assert json.loads(read(governance).body)["claims"] is None
    for caller in (ALICE, BOB):
        ticket = await send(bench, {"id": "3.3", "form": "cose"}, caller)
        await made(bench, await requested(bench), WriteSet({}), cose=b"", is_signature=True, claims=NO_CLAIMS)
        assert read(await bench.answer(ticket)) == ReceiptAnswer("no_such_form")


async def test_what_is_not_committed_is_pending_and_the_manager_is_not_asked(bench: Bench) -> None:
    (command,) = await bench.submit(b"a")
    proposed = await bench.proposed()
    query = {"id": f"3.{proposed.first_seqno}", "form": "ccf"}
    assert read(await bench.answer(await send(bench, query, ALICE))) == ReceiptAnswer("pending")
    await bench.commit()
    await bench.answer(command)
    ticket = await send(bench, query, ALICE)
    assert (await requested(bench)).seqno == proposed.first_seqno
    await bench.stop()
    assert (await bench.answer(ticket)).failure == "overloaded"


async def test_what_the_disk_does_not_return_is_no_receipt(bench: Bench, discloses: Discloses) -> None:
    ticket = await send(bench, {"id": "3.3", "form": "ccf"}, ALICE)
    await made(bench, await requested(bench), PRIVATE, failure="unreadable")
    assert read(await bench.answer(ticket)) == ReceiptAnswer("unreadable")
    ticket = await send(bench, {"id": "3.3", "form": "ccf"}, ALICE)
    await made(bench, await requested(bench), PRIVATE, failure="overloaded")
    assert (await bench.answer(ticket)).failure == "overloaded"


async def test_a_proof_that_is_too_long_is_refused(bench: Bench, discloses: Discloses) -> None:
    ticket = await send(bench, {"id": "3.3", "form": "ccf"}, ALICE)
    await made(bench, await requested(bench), PRIVATE, receipt=b"x" * limits.RECEIPT_BYTES_MAX)
    assert (await bench.answer(ticket)).failure == "too_large"


async def test_a_bug_of_the_adapter_gives_nothing_and_tells_nothing(bench: Bench, discloses: Discloses) -> None:
    answer = await ask(bench, WireCaller("carol", False, "token"), PRIVATE)
    assert (answer.failure, answer.reply) == ("failed", b"")
    assert "secret" not in "".join(bench.logged)
    assert read(await ask(bench, ALICE, PRIVATE)).state == "made"


@pytest.mark.parametrize("bad", [{"id": "x"}, {"id": "3.3", "form": "pdf"}, {"id": 3}, {"id": "3.3", "more": 1}])
async def test_what_is_no_query_is_refused(bench: Bench, bad: Mapping[str, Any]) -> None:
    assert b"error" in (await bench.answer(await send(bench, bad, ALICE))).reply


async def test_so_many_are_with_the_manager_and_the_others_wait_in_turn(bench: Bench, discloses: Discloses) -> None:
    many = limits.RECEIPTS_IN_FLIGHT_MAX + 3
    tickets = [await send(bench, {"id": "3.3", "form": "ccf"}, ALICE) for _ in range(many)]
    last = await send(bench, {"id": "3.3", "form": "ccf"}, BOB)
    requests = [await requested(bench) for _ in range(limits.RECEIPTS_IN_FLIGHT_MAX)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.manager.receive(), 0.05)
    for request in requests:
        await made(bench, request, PRIVATE)
    for _ in range(4):
        await made(bench, await requested(bench), PRIVATE)
    assert [read(await bench.answer(ticket)).state for ticket in tickets] == ["made"] * many
    assert read(await bench.answer(last)) == NONE


async def test_one_callers_flood_is_refused_and_others_are_served(bench: Bench, discloses: Discloses) -> None:
    flood = limits.RECEIPTS_IN_FLIGHT_MAX + limits.QUEUED_RECEIPTS_PER_CALLER_MAX + 5
    tickets = [await send(bench, {"id": "3.3", "form": "ccf"}, BOB) for _ in range(flood)]
    assert (await bench.answer(tickets[-1])).failure == "overloaded"
    other = await send(bench, {"id": "3.3", "form": "ccf"}, ALICE)
    for _ in range(limits.RECEIPTS_IN_FLIGHT_MAX + 2):
        await made(bench, await requested(bench), PRIVATE)
    assert read(await bench.answer(other)).state == "made"


async def test_a_receipt_that_was_not_asked_for_stops_the_node(bench: Bench) -> None:
    await bench.manager.send(FROM_MANAGER.encode(ReceiptMade(99, "")))
    with pytest.raises(InvariantBroken, match="not asked for"):
        await asyncio.wait_for(bench.run, 5)


async def test_a_committed_entry_that_the_manager_denies_stops_the_node(bench: Bench) -> None:
    await send(bench, {"id": "3.3", "form": "ccf"}, ALICE)
    await made(bench, await requested(bench), PRIVATE, failure="not_committed")
    with pytest.raises(InvariantBroken, match="does not know that entry 3 is committed"):
        await asyncio.wait_for(bench.run, 5)
