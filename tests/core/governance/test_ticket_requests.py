"""What a node asks its member to sign: only what can be meant is parsed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import CocoError, LimitExceeded, MalformedMessage
from core.governance.authorizations import Measurements
from core.governance.ticket_requests import TicketRequest, parse_request

KEY = PrivateKey.generate().public_key()
REQUEST = TicketRequest(
    network="ab" * 32,
    slot="node4",
    address="node4.example.org:8543",
    node=KEY.node_id(),
    public_key=KEY.to_pem(),
    quote="cXVvdGU=",
    collateral="e30=",
    measurements=Measurements("cd" * 32, "ef" * 32),
    until=1_800_000_000,
)


def test_a_request_is_read_as_it_was_written() -> None:
    assert parse_request(REQUEST.encode()) == REQUEST
    assert (REQUEST.quote_bytes, REQUEST.collateral_bytes) == (b"quote", b"{}")
    assert REQUEST.node_id == KEY.node_id()


WRONG: dict[str, dict[str, Any]] = {
    "version": {"version": 2},
    "network": {"network": "xyz"},
    "node": {"node": "7"},
    "another node's id": {"node": "ab" * 32},
    "another node's key": {"public_key": PrivateKey.generate().public_key().to_pem()},
    "no key": {"public_key": "none"},
    "slot": {"slot": "../up"},
    "address": {"address": "nowhere"},
    "quote": {"quote": "?"},
    "collateral": {"collateral": "?"},
    "one field more": {"more": 1},
    "measurements": {"measurements": {}},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_what_means_nothing_is_refused(changes: dict[str, Any]) -> None:
    data = msgspec.json.encode(msgspec.to_builtins(REQUEST) | changes)
    with pytest.raises(MalformedMessage):
        parse_request(data)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"version":1}'])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(CocoError):
        parse_request(data)


def test_the_bound() -> None:
    with pytest.raises(LimitExceeded):
        parse_request(REQUEST.encode() + b" " * limits.TICKET_REQUEST_BYTES_MAX)
