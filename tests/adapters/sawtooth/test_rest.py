"""REST: each request's translation, its envelope, and the documented errors."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from adapters.sawtooth.wire.messages import ListStatus, MessageType, StateGetStatus
from core.adapter.interface import CommandFailed, OutcomeUnknown, Overloaded
from core.errors import CocoError, LimitExceeded
from tests.adapters.sawtooth.rest_bench import HERE, JSON, code, opened
from tests.adapters.sawtooth.stub_validator import (
    ID_A,
    ID_B,
    ID_C,
    ROOT,
    StubValidator,
    ask,
    make,
    make_batch,
    make_block,
    make_transaction,
)


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
