"""The adapter from a client's side: routes and sockets over its test bench, and what an outsider gets from each."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.sawtooth.adapter import SawtoothAdapter
from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.front import prepare_batch
from adapters.sawtooth.requests import COMMANDS
from adapters.sawtooth.validation import InvalidBatch
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, parse
from core.adapter.harness import AdapterHarness
from core.adapter.interface import ANONYMOUS, Caller
from tests.adapters.sawtooth.stub_validator import StubSocket
from tests.adapters.sawtooth.support import ALICE, BOB, CAROL, INTKEY, Client, Signed

RULES = {"namespaces": {INTKEY: {"read": ["alice", "bob"]}}}
OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture
def harness() -> AdapterHarness:
    return AdapterHarness(SawtoothAdapter(RULES, "test"))


async def post(harness: AdapterHarness, *batches: Signed, caller: Caller = ALICE) -> int:
    parsed = [parse("Batch", one.data) for one in batches]
    body = MESSAGES["BatchList"](batches=parsed).SerializeToString()
    return (await harness.request("POST", "/batches", body, caller, OCTETS)).status


async def get(harness: AdapterHarness, path: str, caller: Caller = ALICE) -> Any:
    return json.loads((await harness.request("GET", path, caller=caller)).body)


async def test_a_batch_by_every_route(harness: AdapterHarness) -> None:
    client = Client()
    transaction = client.intkey("set", "secret", 5)
    batch = client.batch(transaction)
    assert await post(harness, batch) == 202
    status = (await get(harness, f"/batch_statuses?id={batch.id}"))["data"]
    assert status == [{"id": batch.id, "status": "COMMITTED", "invalid_transactions": []}]
    address = intkey_address("secret")
    state = await get(harness, f"/state/{address}")
    assert state["data"] == b64encode(b"\xa1fsecret\x05").decode()
    (entry,) = (await get(harness, f"/state?address={INTKEY}"))["data"]
    assert entry["address"] == address
    newest, *_ = (await get(harness, "/blocks"))["data"]
    assert newest["header"]["batch_ids"] == [batch.id]
    assert newest["header_signature"] == state["head"]
    assert (await get(harness, f"/batches/{batch.id}"))["data"]["header"]["transaction_ids"] == [transaction.id]
    assert (await get(harness, f"/transactions/{transaction.id}"))["data"]["header"]["inputs"] == [address]
    (receipt,) = (await get(harness, f"/receipts?id={transaction.id}"))["data"]
    assert receipt["id"] == transaction.id
    assert receipt["state_changes"] == [{"address": address, "value": state["data"], "type": "SET"}]
    assert (await get(harness, f"/state/{address}?head={state['head']}"))["data"] == state["data"]


def routes_of(transaction: Signed, batch: Signed, block_id: str) -> list[str]:
    address = intkey_address("secret")
    return [
        *("/state", f"/state?address={INTKEY}", f"/state/{address}", "/blocks", f"/blocks/{block_id}"),
        *("/batches", f"/batches/{batch.id}", f"/batches?id={batch.id}", f"/batch_statuses?id={batch.id}"),
        *("/transactions", f"/transactions/{transaction.id}", f"/transactions?id={transaction.id}"),
        *(f"/receipts?id={transaction.id}", "/peers", "/status", f"/state?head={block_id}"),
    ]


def secrets_of(transaction: Signed) -> list[str]:
    message = parse("Transaction", transaction.data)
    return [intkey_address("secret"), b64encode(message.payload).decode(), b64encode(b"\xa1fsecret\x05").decode()]


async def test_an_outsider_gets_nothing_by_any_route(harness: AdapterHarness) -> None:
    client = Client()
    transaction = client.intkey("set", "secret", 5)
    batch = client.batch(transaction)
    await post(harness, batch)
    block_id = (await get(harness, "/blocks"))["head"]
    seen = ""
    for path in routes_of(transaction, batch, block_id):
        answer = await harness.request("GET", path, caller=CAROL)
        body = answer.body.decode()
        link = json.loads(body).get("link", "")  # which repeats what was asked
        for secret in (*secrets_of(transaction), transaction.id):
            assert secret not in body.replace(link, ""), path
        seen += (await harness.request("GET", path, caller=BOB)).body.decode()
        assert (await harness.request("GET", path, caller=ANONYMOUS)).status == 401
    assert all(secret in seen for secret in secrets_of(transaction))


async def test_what_is_hidden_is_as_what_is_not(harness: AdapterHarness) -> None:
    client = Client()
    transaction = client.intkey("set", "secret", 5)
    batch = client.batch(transaction)
    await post(harness, batch)
    address, absent = intkey_address("secret"), intkey_address("absent")
    for hidden, missing in (
        (f"/state/{address}", f"/state/{absent}"),
        (f"/batches/{batch.id}", f"/batches/{'0' * 128}"),
        (f"/transactions/{transaction.id}", f"/transactions/{'0' * 128}"),
        (f"/receipts?id={transaction.id}", f"/receipts?id={'0' * 128}"),
        (f"/batch_statuses?id={batch.id}", f"/batch_statuses?id={'0' * 128}"),
    ):
        one, other = [await harness.request("GET", path, caller=CAROL) for path in (hidden, missing)]
        assert one.status == other.status
        assert one.body == other.body.replace(b"0" * 128, batch.id.encode()).replace(absent.encode(), address.encode())


@asynccontextmanager
async def connected(harness: AdapterHarness, path: str, caller: Caller) -> AsyncIterator[StubSocket]:
    socket = StubSocket()
    socket.caller = caller
    (handler,) = (one.handler for one in harness.adapter.web_sockets() if one.path == path)
    task = asyncio.create_task(handler(socket, harness.backend()))  # type: ignore[arg-type]
    try:
        yield socket
        socket.put(None)
        await asyncio.wait_for(task, 10)
    finally:
        task.cancel()


@pytest.mark.parametrize(("caller", "sees"), [(ALICE, True), (BOB, True), (CAROL, False)])
async def test_state_deltas(harness: AdapterHarness, caller: Caller, sees: bool) -> None:
    client = Client()
    async with connected(harness, "/subscriptions", caller) as socket:
        socket.put('{"action": "subscribe"}')
        assert json.loads(await socket.next())["block_num"] == "0"
        await post(harness, client.set("secret", 5))
        told = json.loads(await socket.next())
        assert told["block_num"] == "1"
        changes = [one for one in told["state_changes"] if one["address"].startswith(INTKEY)]
        assert [one["address"] for one in changes] == ([intkey_address("secret")] if sees else [])
        socket.put(json.dumps({"action": "get_block_deltas", "block_id": told["block_id"]}))
        assert json.loads(await socket.next()) == told


@pytest.mark.parametrize(("caller", "sees"), [(ALICE, True), (BOB, True), (CAROL, False)])
async def test_events(harness: AdapterHarness, caller: Caller, sees: bool) -> None:
    client = Client()
    types = ("sawtooth/block-commit", "sawtooth/state-delta")
    wanted = [MESSAGES["EventSubscription"](event_type=one) for one in types]
    request = MESSAGES["ClientEventsSubscribeRequest"](subscriptions=wanted).SerializeToString()
    number = MessageType.CLIENT_EVENTS_SUBSCRIBE_REQUEST
    async with connected(harness, "/validator", caller) as socket:
        socket.put(MESSAGES["Message"](message_type=number, correlation_id="1", content=request).SerializeToString())
        answer = parse("Message", await socket.next())
        assert parse("ClientEventsSubscribeResponse", answer.content).status == 1
        await post(harness, client.set("secret", 5))
        frame = await socket.next()
        assert (bytes.fromhex(client.key) in frame, intkey_address("secret").encode() in frame) == (False, sees)
        told = parse("EventList", parse("Message", frame).content)
        assert told.events[0].event_type == "sawtooth/block-commit"


async def test_a_batch_whose_dependency_comes_later(harness: AdapterHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sawtooth.gateway.HELD_SECONDS", 0.05)
    client = Client()
    first = client.intkey("set", "a", 5)
    later = client.batch(client.intkey("inc", "a", 1, dependencies=[first.id]))
    assert await post(harness, later) == 202
    waiting = asyncio.create_task(get(harness, f"/batch_statuses?id={later.id}&wait=20"))
    assert (await get(harness, f"/batch_statuses?id={later.id}"))["data"][0]["status"] == "PENDING"
    assert await post(harness, client.batch(first)) == 202
    assert (await waiting)["data"][0]["status"] == "COMMITTED"


async def test_signatures_are_checked_before_anything_runs(harness: AdapterHarness) -> None:
    client, other = Client(1), Client(2)
    good, bad = client.set("a", 1), parse("Batch", client.set("b", 1).data)
    bad.header_signature = other.signer.sign(bad.header)
    wrong = Signed(bad.header_signature, bad.SerializeToString())
    entries = len(harness.entries)
    assert await post(harness, good, wrong) == 400
    assert len(harness.entries) == entries
    with pytest.raises(InvalidBatch):
        prepare_batch(wrong.data)
    prepared = prepare_batch(good.data)
    assert (prepared.batch_id, prepared.may_wait) == (good.id, False)
    assert COMMANDS.decode(prepared.payload).batch == good.data


@pytest.mark.parametrize("size", [0, 1, 7, 100, 5_000])
async def test_arbitrary_bytes_never_break_a_route(harness: AdapterHarness, size: int) -> None:
    body = bytes(number * 37 % 251 for number in range(size))
    answer = await harness.request("POST", "/batches", body, ALICE, OCTETS)
    assert answer.status == 400
    for path in ("/batch_statuses", "/receipts"):
        answer = await harness.request("POST", path, body, ALICE, {"content-type": "application/json"})
        assert answer.status == 400
