"""JSON-RPC 2.0: what is refused, with which code, and that ids go back as they came."""

from __future__ import annotations

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.jsonrpc import (
    RpcCall,
    RpcError,
    RpcFailure,
    answer,
    bound_answers,
    error_fragment,
    join_answers,
    method_not_found,
    parse,
    result_fragment,
)
from core import limits


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[",
        b"[{}",
        b"nul",
        b'{"jsonrpc":"2.0","id":1,"method":"x"} x',
        b'{"id":"\xff"}',
        b'{"params":[01]}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":["\\ud800"]}',
        b"\xef\xbb\xbf{}",
        b'{"params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_text_that_is_not_json(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        parse(body)
    assert (caught.value.code, caught.value.message) == (-32700, "parse error")


def test_empty_and_oversized_batches() -> None:
    with pytest.raises(RpcError, match="empty batch") as caught:
        parse(b"[]")
    assert caught.value.code == -32600
    item = b'{"jsonrpc":"2.0","id":1,"method":"x"}'
    assert len(parse(b"[" + b",".join([item] * limits.REQUEST_BATCH_MAX) + b"]").items) == limits.REQUEST_BATCH_MAX
    with pytest.raises(RpcError, match="batch too large"):
        parse(b"[" + b",".join([item] * (limits.REQUEST_BATCH_MAX + 1)) + b"]")


@pytest.mark.parametrize(
    ("body", "request_id", "code"),
    [
        (b"5", b"null", -32600),
        (b'"text"', b"null", -32600),
        (b"{}", b"null", -32600),
        (b'{"id":1,"method":"x"}', b"1", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"x"}', b"1", -32600),
        (b'{"jsonrpc":2.0,"id":1,"method":"x"}', b"1", -32600),
        (b'{"jsonrpc":"2.0","id":1}', b"1", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', b"1", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', b"1", -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"x"}', b"null", -32600),
        (b'{"jsonrpc":"2.0","id":[1],"method":"x"}', b"null", -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"x"}', b"null", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1}}', b"1", -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":"a"}', b"1", -32602),
    ],
)
def test_items_that_are_not_calls(body: bytes, request_id: bytes, code: int) -> None:
    (item,) = parse(body).items
    assert isinstance(item, RpcFailure)
    assert (item.id, item.error.code) == (request_id, code)


def test_a_broken_item_does_not_break_its_batch() -> None:
    request = parse(b'[1, {"jsonrpc":"2.0","id":1,"method":"x"}, []]')
    assert request.is_batch
    assert [type(item) for item in request.items] == [RpcFailure, RpcCall, RpcFailure]


@pytest.mark.parametrize(
    "request_id", [b"1", b"1.0", b"-1e400", b"123456789012345678901234567890", b'"a\\u0041"', b"null", b'""']
)
def test_id_goes_back_as_it_came(request_id: bytes) -> None:
    (item,) = parse(b'{"jsonrpc":"2.0","id": ' + request_id + b' ,"method":"x"}').items
    assert isinstance(item, RpcCall)
    assert item.expects_answer
    assert answer(item.id, b'"result":1') == b'{"jsonrpc":"2.0","id":' + request_id + b',"result":1}'


def test_notification_and_params() -> None:
    (item,) = parse(b'{"jsonrpc":"2.0","method":"x","params":null}').items
    assert item == RpcCall(b"null", "x", (), expects_answer=False)
    (item,) = parse(b'{"jsonrpc":"2.0","id":1,"method":"x","params":[1,"a"],"more":1}').items
    assert item == RpcCall(b"1", "x", (1, "a"))


def test_errors_and_envelopes() -> None:
    error = error_fragment(RpcError(3, "execution reverted", "0x12"))
    assert error == b'"error":{"code":3,"message":"execution reverted","data":"0x12"}'
    assert method_not_found("m").message == "the method m does not exist/is not available"
    assert len(method_not_found("m" * 10_000).message) < 200
    assert join_answers([], is_batch=True) == b""
    assert join_answers([b"1", b"2"], is_batch=True) == b"[1,2]"
    assert join_answers([b"1"], is_batch=False) == b"1"


def test_answers_are_bounded() -> None:
    fragment = result_fragment("x" * (limits.RESPONSE_BYTES_MAX // 2))
    first, second = bound_answers([(b"1", fragment), (b"2", fragment)])
    assert b"result" in first
    assert orjson.loads(second)["error"] == {"code": -32003, "message": "response too large"}


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_raise_rpc_error(body: bytes) -> None:
    with contextlib.suppress(RpcError):
        parse(body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_params_arrive_as_they_were(value: object) -> None:
    try:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "x", "params": [value]})
    except (orjson.JSONEncodeError, TypeError):
        return
    (item,) = parse(body).items
    assert isinstance(item, RpcCall)
    assert item.params == (value,)
