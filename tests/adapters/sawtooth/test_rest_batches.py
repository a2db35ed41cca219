"""REST: batches that are submitted, what becomes of them, and how long a client waits for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from adapters.sawtooth import gateway
from adapters.sawtooth.wire.messages import BatchStatus, ListStatus, MessageType, SubmitStatus
from core.adapter.interface import CommandFailed, OutcomeUnknown, Overloaded
from core.errors import CocoError, LimitExceeded
from tests.adapters.sawtooth.rest_bench import HERE, JSON, OCTETS, code, opened
from tests.adapters.sawtooth.stub_validator import (
    BOB,
    ID_A,
    ID_B,
    ID_C,
    RestClient,
    StubValidator,
    ask,
    make,
    make_batch,
)


async def test_submitted_batches_become_commands_in_order(validator: StubValidator) -> None:
    batches = [make_batch(ID_A), make_batch(ID_B)]
    body = make("BatchList", batches=batches).SerializeToString()
    answer = opened(await ask(validator, "POST", "/batches", body, OCTETS), 202)
    assert answer == {"link": f"{HERE}/batch_statuses?id={ID_A},{ID_B}"}
    assert validator.submitted == [batch.SerializeToString() for batch in batches]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"x", {}, (400, 42)),
        (b"x", JSON, (400, 42)),
        (b"", OCTETS, (400, 34)),
        (b"\x0a\xff", OCTETS, (400, 35)),
        (make("BatchList", batches=[make_batch("0" * 128)]).SerializeToString(), OCTETS, (400, 30)),
    ],
)
async def test_submissions_that_are_refused(
    validator: StubValidator, body: bytes, headers: dict[str, str], expected: tuple[int, int]
) -> None:
    assert code(await ask(validator, "POST", "/batches", body, headers)) == expected
    assert not validator.submitted


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Overloaded("full"), (429, 31)),
        (make("ClientBatchSubmitResponse", status=SubmitStatus.QUEUE_FULL).SerializeToString(), (429, 31)),
        (make("ClientBatchSubmitResponse", status=SubmitStatus.INVALID_BATCH).SerializeToString(), (400, 30)),
        (LimitExceeded("large"), (400, 30)),
        (OutcomeUnknown("stopped"), (503, 17)),
        (CommandFailed("a defect"), (500, 10)),
    ],
)
async def test_what_becomes_of_a_batch(
    validator: StubValidator, reply: bytes | CocoError, expected: tuple[int, int]
) -> None:
    validator.replies = [make("ClientBatchStatus", batch_id=ID_A, status=1).SerializeToString(), reply]
    body = make("BatchList", batches=[make_batch(ID_A), make_batch(ID_B)]).SerializeToString()
    assert code(await ask(validator, "POST", "/batches", body, OCTETS)) == expected


async def test_an_invalid_batch_is_accepted_and_says_so_later(validator: StubValidator) -> None:
    invalid = make("ClientBatchStatus", batch_id=ID_B, status=BatchStatus.INVALID)
    validator.replies = [invalid.SerializeToString()]
    body = make("BatchList", batches=[make_batch()]).SerializeToString()
    assert (await ask(validator, "POST", "/batches", body, OCTETS)).status == 202


async def test_a_held_batch_is_answered_while_it_waits(
    validator: StubValidator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "HELD_SECONDS", 0.01)
    unknown = make("ClientBatchStatus", batch_id=ID_A, status=BatchStatus.UNKNOWN)
    validator.answers[MessageType.CLIENT_BATCH_STATUS_REQUEST] = make(
        "ClientBatchStatusResponse", status=ListStatus.OK, batch_statuses=[unknown]
    )
    validator.held = asyncio.Event()
    held = make_batch(ID_A)
    held.trace = True
    body = make("BatchList", batches=[held]).SerializeToString()
    client = RestClient(validator)
    assert (await client.ask("POST", "/batches", body, OCTETS)).status == 202
    status = f"/batch_statuses?id={ID_A}"
    assert opened(await client.ask("GET", status))["data"][0]["status"] == "PENDING"
    assert opened(await client.ask("GET", status, caller=BOB))["data"][0]["status"] == "UNKNOWN"
    validator.held.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert opened(await client.ask("GET", status))["data"][0]["status"] == "UNKNOWN"


async def test_a_batch_with_dependencies_that_runs_at_once(validator: StubValidator) -> None:
    ready = make_batch(ID_A)
    ready.trace = True
    body = make("BatchList", batches=[ready]).SerializeToString()
    validator.replies = [make("ClientBatchSubmitResponse", status=SubmitStatus.QUEUE_FULL).SerializeToString()]
    assert code(await ask(validator, "POST", "/batches", body, OCTETS)) == (429, 31)
    assert (await ask(validator, "POST", "/batches", body, OCTETS)).status == 202


async def test_batch_statuses(validator: StubValidator) -> None:
    invalid = make("InvalidTransaction", transaction_id=ID_C, message="no", extended_data=b"")
    validator.answers[MessageType.CLIENT_BATCH_STATUS_REQUEST] = make(
        "ClientBatchStatusResponse",
        status=ListStatus.OK,
        batch_statuses=[
            make("ClientBatchStatus", batch_id=ID_A, status=BatchStatus.COMMITTED),
            make("ClientBatchStatus", batch_id=ID_B, status=BatchStatus.INVALID, invalid_transactions=[invalid]),
        ],
    )
    target = f"/batch_statuses?id={ID_A},{ID_B}"
    answer = opened(await ask(validator, "GET", target))
    assert answer["link"] == HERE + target
    assert answer["data"] == [
        {"id": ID_A, "status": "COMMITTED", "invalid_transactions": []},
        {"id": ID_B, "status": "INVALID", "invalid_transactions": [{"id": ID_C, "message": "no"}]},
    ]
    posted = opened(await ask(validator, "POST", "/batch_statuses", json.dumps([ID_A, ID_B]).encode(), JSON))
    assert posted == {"data": answer["data"]}
    assert all(list(request.batch_ids) == [ID_A, ID_B] for _, request in validator.asked)


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "expected"),
    [
        ("GET", "/batch_statuses", b"", {}, (400, 66)),
        ("GET", f"/batch_statuses?id={ID_A},x", b"", {}, (400, 60)),
        ("POST", "/batch_statuses", b"[]", JSON, (400, 46)),
        ("POST", "/batch_statuses", b"[", JSON, (400, 46)),
        ("POST", "/batch_statuses", b"[1]", JSON, (400, 46)),
        ("POST", "/batch_statuses", b'["x"]', JSON, (400, 60)),
        ("POST", "/batch_statuses", b"[]", OCTETS, (400, 43)),
        ("GET", "/receipts", b"", {}, (400, 83)),
        ("POST", "/receipts", b"{}", JSON, (400, 82)),
        ("POST", "/receipts", b"[]", {}, (400, 81)),
        ("GET", "/blocks?limit=0", b"", {}, (400, 53)),
        ("GET", "/blocks?limit=x", b"", {}, (400, 53)),
        ("GET", "/blocks?head=x", b"", {}, (400, 60)),
        ("GET", "/state?head=x", b"", {}, (400, 60)),
        ("GET", "/blocks/x", b"", {}, (400, 60)),
    ],
)
async def test_requests_that_are_wrong(
    *, method: str, target: str, body: bytes, headers: dict[str, str], expected: tuple[int, int]
) -> None:
    validator = StubValidator()
    assert code(await ask(validator, method, target, body, headers)) == expected
    assert not validator.asked


async def test_waiting_for_a_batch_ends_with_it(validator: StubValidator) -> None:
    states = iter([BatchStatus.PENDING, BatchStatus.COMMITTED])

    def answer(request: Any) -> Any:
        assert not request.wait
        status = next(states)
        validator.committed += 1
        one = make("ClientBatchStatus", batch_id=ID_A, status=status)
        return make("ClientBatchStatusResponse", status=ListStatus.OK, batch_statuses=[one])

    validator.answers[MessageType.CLIENT_BATCH_STATUS_REQUEST] = answer
    found = opened(await ask(validator, "GET", f"/batch_statuses?id={ID_A}&wait=30"))
    assert found["data"][0]["status"] == "COMMITTED"
    assert found["link"].endswith(f"/batch_statuses?id={ID_A}&wait=30")
    assert len(validator.asked) == 2


async def test_no_wait_means_no_wait(validator: StubValidator) -> None:
    pending = make("ClientBatchStatus", batch_id=ID_A, status=BatchStatus.PENDING)
    validator.answers[MessageType.CLIENT_BATCH_STATUS_REQUEST] = make(
        "ClientBatchStatusResponse", status=ListStatus.OK, batch_statuses=[pending]
    )
    for target in (f"/batch_statuses?id={ID_A}", f"/batch_statuses?id={ID_A}&wait=false"):
        assert opened(await ask(validator, "GET", target))["data"][0]["status"] == "PENDING"
    assert len(validator.asked) == 2
