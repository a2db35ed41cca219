"""REST: each request's translation, its envelope, and the documented errors."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import Any

import pytest

from adapters.sawtooth import gateway
from adapters.sawtooth.wire.messages import BatchStatus, ListStatus, MessageType, StateGetStatus, SubmitStatus
from core.adapter.interface import CommandFailed, OutcomeUnknown, Overloaded, Response
from core.errors import CocoError, LimitExceeded
from tests.adapters.sawtooth.stub_validator import (
    BOB,
    ID_A,
    ID_B,
    ID_C,
    ROOT,
    RestClient,
    StubValidator,
    ask,
    make,
    make_batch,
    make_block,
    make_transaction,
)

OCTETS = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}
HERE = "https://node.example:8000"


def opened(response: Response, status: int = 200) -> Any:
    assert response.status == status, response.body
    return json.loads(response.body)


def code(response: Response) -> tuple[int, int]:
    error = json.loads(response.body)["error"]
    assert set(error) == {"code", "title", "message"}
    return response.status, error["code"]


@pytest.fixture
def validator() -> StubValidator:
    made = StubValidator()
    made.answers[MessageType.CLIENT_BLOCK_LIST_REQUEST] = make(
        "ClientBlockListResponse",
        status=ListStatus.OK,
        blocks=[make_block(7, ID_C, make_batch())],
        head_id=ID_C,
        paging=make("ClientPagingResponse", start="0x0000000000000007", limit=100, next="0x0000000000000006"),
    )
    return made


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


async def test_a_list_of_blocks(validator: StubValidator) -> None:
    answer = opened(await ask(validator, "GET", "/blocks?limit=1&reverse", mount="/sawtooth"))
    assert answer["head"] == ID_C
    start = "0x0000000000000007"
    assert answer["link"] == f"{HERE}/sawtooth/blocks?head={ID_C}&start={start}&limit=100&reverse"
    following = "0x0000000000000006"
    assert answer["paging"] == {
        "limit": 1,
        "start": None,
        "next_position": following,
        "next": f"{HERE}/sawtooth/blocks?head={ID_C}&start={following}&limit=1&reverse",
    }
    (block,) = answer["data"]
    assert block["header"] == {
        "block_num": "7",
        "previous_block_id": "0" * 16,
        "signer_public_key": "",
        "batch_ids": [],
        "consensus": b64encode(b"Coco").decode(),
        "state_root_hash": ROOT,
    }
    (batch,) = block["batches"]
    assert batch["header"] == {"signer_public_key": "02", "transaction_ids": [ID_A]}
    assert batch["trace"] is False
    (transaction,) = batch["transactions"]
    assert transaction["payload"] == b64encode(b"set").decode()
    assert transaction["header"]["family_name"] == "intkey"
    assert transaction["header"]["outputs"] == []
    kind, asked = validator.asked[0]
    assert kind == MessageType.CLIENT_BLOCK_LIST_REQUEST
    assert asked.paging.limit == 1
    assert [(list(one.keys), one.reverse) for one in asked.sorting] == [(["block_num"], True)]


@pytest.mark.parametrize(
    ("path", "kind", "name", "field", "items"),
    [
        ("/batches", MessageType.CLIENT_BATCH_LIST_REQUEST, "ClientBatchListResponse", "batches", [make_batch()]),
        (
            *("/transactions", MessageType.CLIENT_TRANSACTION_LIST_REQUEST),
            *("ClientTransactionListResponse", "transactions", [make_transaction()]),
        ),
    ],
)
async def test_other_lists(
    *, validator: StubValidator, path: str, kind: MessageType, name: str, field: str, items: list[Any]
) -> None:
    validator.answers[kind] = make(name, status=ListStatus.OK, head_id=ID_C, **{field: items})
    target = f"{path}?head={ID_C}&id={ID_A},{ID_B}&reverse=header,nonce&start={ID_B}"
    answer = opened(await ask(validator, "GET", target))
    assert answer["paging"] == {"limit": None, "start": ID_B}
    assert answer["data"][0]["header_signature"] == items[0].header_signature
    _, asked = validator.asked[0]
    assert asked.head_id == ID_C
    assert asked.paging.start == ID_B
    assert [list(one.keys) for one in asked.sorting] == [["header", "nonce"]]
    validator.answers[kind] = make(name, status=ListStatus.NO_RESOURCE, head_id=ID_C)
    empty = opened(await ask(validator, "GET", path))
    assert empty["data"] == []
    assert empty["link"] == f"{HERE}{path}?head={ID_C}&start&limit=0"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (ListStatus.INTERNAL_ERROR, (500, 10)),
        (ListStatus.NOT_READY, (503, 15)),
        (ListStatus.NO_ROOT, (404, 50)),
        (ListStatus.INVALID_PAGING, (400, 54)),
        (ListStatus.INVALID_SORT, (400, 57)),
        (ListStatus.INVALID_ID, (400, 60)),
        (99, (500, 20)),
    ],
)
async def test_what_the_validator_refuses(validator: StubValidator, status: int, expected: tuple[int, int]) -> None:
    validator.answers[MessageType.CLIENT_BATCH_LIST_REQUEST] = make("ClientBatchListResponse", status=status)
    assert code(await ask(validator, "GET", "/batches")) == expected


async def test_one_resource(validator: StubValidator) -> None:
    for path, kind, name, field, item, missing in (
        ("/blocks", MessageType.CLIENT_BLOCK_GET_BY_ID_REQUEST, "ClientBlockGetResponse", "block", make_block(1), 70),
        ("/batches", MessageType.CLIENT_BATCH_GET_REQUEST, "ClientBatchGetResponse", "batch", make_batch(), 71),
        (
            *("/transactions", MessageType.CLIENT_TRANSACTION_GET_REQUEST),
            *("ClientTransactionGetResponse", "transaction", make_transaction(), 72),
        ),
    ):
        validator.answers[kind] = make(name, status=ListStatus.OK, **{field: item})
        answer = opened(await ask(validator, "GET", f"{path}/{ID_A}"))
        assert answer["link"] == f"{HERE}{path}/{ID_A}"
        assert isinstance(answer["data"]["header"], dict)
        validator.answers[kind] = make(name, status=ListStatus.NO_RESOURCE)
        assert code(await ask(validator, "GET", f"{path}/{ID_A}")) == (404, missing)


async def test_state_is_read_at_the_newest_block(validator: StubValidator) -> None:
    entry = make("StateEntry", address="1cf126" + "0" * 64, data=b"\xa1")
    kind = MessageType.CLIENT_STATE_LIST_REQUEST
    validator.answers[kind] = make(
        *("ClientStateListResponse",),
        status=1,
        entries=[entry],
        state_root=ROOT,
        paging=make("ClientPagingResponse", start=entry.address, limit=100),
    )
    answer = opened(await ask(validator, "GET", "/state?address=1cf126"))
    assert answer["data"] == [{"address": entry.address, "data": "oQ=="}]
    assert answer["head"] == ID_C
    assert answer["link"] == f"{HERE}/state?head={ID_C}&start={entry.address}&limit=100&address=1cf126"
    assert validator.asked[-1][1].state_root == ROOT
    assert validator.asked[-1][1].address == "1cf126"


async def test_one_address(validator: StubValidator) -> None:
    kind, address = MessageType.CLIENT_STATE_GET_REQUEST, "1cf126" + "0" * 64
    validator.answers[kind] = make("ClientStateGetResponse", status=StateGetStatus.OK, value=b"\xa1")
    answer = opened(await ask(validator, "GET", f"/state/{address}"))
    assert answer == {"data": "oQ==", "head": ID_C, "link": f"{HERE}/state/{address}?head={ID_C}"}
    for status, expected in ((StateGetStatus.NO_RESOURCE, (404, 75)), (StateGetStatus.INVALID_ADDRESS, (400, 62))):
        validator.answers[kind] = make("ClientStateGetResponse", status=status)
        assert code(await ask(validator, "GET", f"/state/{address}")) == expected


async def test_a_head_that_moved_on_is_taken_anew(validator: StubValidator) -> None:
    kind, tries = MessageType.CLIENT_STATE_GET_REQUEST, iter([StateGetStatus.NO_ROOT, StateGetStatus.OK])
    validator.answers[kind] = lambda request: make("ClientStateGetResponse", status=next(tries), value=b"")
    assert (await ask(validator, "GET", f"/state/{'0' * 70}")).status == 200
    validator.answers[kind] = make("ClientStateGetResponse", status=StateGetStatus.NO_ROOT)
    assert code(await ask(validator, "GET", f"/state/{'0' * 70}")) == (404, 50)
    validator.answers[MessageType.CLIENT_BLOCK_GET_BY_ID_REQUEST] = make("ClientBlockGetResponse", status=5)
    assert code(await ask(validator, "GET", f"/state?head={ID_A}")) == (404, 70)


async def test_a_network_without_a_block(validator: StubValidator) -> None:
    validator.blocks = 0
    for path in ("/state", f"/state/{'0' * 70}"):
        assert code(await ask(validator, "GET", path)) == (503, 15)


async def test_receipts(validator: StubValidator) -> None:
    change = make("StateChange", address="ab", value=b"1", type=1)
    event = make("Event", event_type="xo/created", attributes=[make("EventAttribute", key="name", value="g")])
    receipt = make("TransactionReceipt", transaction_id=ID_A, state_changes=[change], events=[event], data=[b"d"])
    kind = MessageType.CLIENT_RECEIPT_GET_REQUEST
    validator.answers[kind] = make("ClientReceiptGetResponse", status=ListStatus.OK, receipts=[receipt])
    answer = opened(await ask(validator, "GET", f"/receipts?id={ID_A}"))
    assert answer["link"] == f"{HERE}/receipts?id={ID_A}"
    assert answer["data"] == [
        {
            "id": ID_A,
            "state_changes": [{"address": "ab", "value": "MQ==", "type": "SET"}],
            "events": [{"event_type": "xo/created", "attributes": [{"key": "name", "value": "g"}]}],
            "data": ["ZA=="],
        }
    ]
    validator.answers[kind] = make("ClientReceiptGetResponse", status=ListStatus.NO_RESOURCE)
    assert code(await ask(validator, "POST", "/receipts", json.dumps([ID_A]).encode(), JSON)) == (404, 80)


async def test_peers_and_status(validator: StubValidator) -> None:
    assert opened(await ask(validator, "GET", "/peers")) == {"data": [], "link": f"{HERE}/peers"}
    status = {"data": {"peers": [], "endpoint": ""}, "link": f"{HERE}/status"}
    assert opened(await ask(validator, "GET", "/status")) == status


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Overloaded("busy"), (503, 18)),
        (OutcomeUnknown("stopped"), (503, 18)),
        (CommandFailed("a defect"), (500, 10)),
        (LimitExceeded("large"), (400, 54)),
    ],
)
async def test_when_the_executor_fails(validator: StubValidator, failure: CocoError, expected: tuple[int, int]) -> None:
    validator.failure = failure
    assert code(await ask(validator, "GET", "/batches")) == expected


async def test_a_resource_with_a_damaged_header(validator: StubValidator) -> None:
    damaged = make("Batch", header=b"\xff", header_signature=ID_A)
    validator.answers[MessageType.CLIENT_BATCH_GET_REQUEST] = make("ClientBatchGetResponse", status=1, batch=damaged)
    assert code(await ask(validator, "GET", f"/batches/{ID_A}")) == (500, 21)


async def test_links_name_what_the_client_called(validator: StubValidator) -> None:
    for headers, expected in (
        ({"x-forwarded-proto": "http", "x-forwarded-host": "127.0.0.1:8008"}, "http://127.0.0.1:8008/peers"),
        ({"forwarded": 'for=x; proto=http; host="api.example"; path=/saw'}, "http://api.example/saw/peers"),
    ):
        assert opened(await ask(validator, "GET", "/peers", headers=headers))["link"] == expected


async def test_links_quote_what_a_url_cannot_hold(validator: StubValidator) -> None:
    answer = opened(await ask(validator, "GET", "/peers?a%26b=%22%3D&x"))
    assert answer["link"] == f"{HERE}/peers?a%26b=%22%3D&x"
