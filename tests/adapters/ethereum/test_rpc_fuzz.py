"""Any parameters for any method: an answer in JSON-RPC's form, and the node unharmed."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.ethereum.method_table import make_methods
from adapters.ethereum.settings import parse_settings
from tests.adapters.ethereum.rpc_support import CHAIN_ID, SENDER, RpcNetwork, account

METHODS = make_methods(parse_settings({"chain_id": CHAIN_ID}), "x").names
ALLOWED_CODES = {3, -32000, -32001, -32003, -32601, -32602}
"""-32601: a subscription over HTTP, or of an unknown kind."""

TEXTS = st.sampled_from(
    [
        *("", "0x", "0x0", "0x00", "0x1", "0xg", "0x" + "f" * 16, "0x" + "f" * 17, "0x" + "f" * 64, "0x" + "f" * 65),
        *("latest", "earliest", "pending", "0x" + "00" * 20, account(1).address, account(2).address, "5", "-1"),
        *("0x" + "00" * 32, "0x7fffffffffffffff", "0x8000000000000000", "0x" + "60" * 100, "\x00", "é"),
    ]
)
NUMBERS = st.sampled_from([0, 1, -1, 2**63, 2**64 - 1, -(2**63), 1.5, 1e308, -0.0])
KEYS = st.sampled_from(
    [
        *("from", "to", "data", "input", "value", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"),
        *("accessList", "authorizationList", "chainId", "fromBlock", "toBlock", "blockHash", "blockNumber"),
        *("address", "topics", "storageKeys", "nonce", "yParity", "r", "s", "blobVersionedHashes"),
        *("balance", "code", "state", "stateDiff", account(1).address, account(2).address, "0x" + "00" * 32),
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def network() -> RpcNetwork:
    return asyncio.run(RpcNetwork().ready())


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), params=st.lists(VALUES, max_size=4))
def test_any_parameters(network: RpcNetwork, method: str, params: list[Any]) -> None:
    answer = asyncio.run(network.ask(method, *params))
    if "error" in answer:
        assert answer["error"]["code"] in ALLOWED_CODES
        assert answer["error"]["message"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.dictionaries(KEYS, VALUES, max_size=6), method=st.sampled_from(["eth_call", "eth_getLogs"]))
def test_any_object(network: RpcNetwork, call: dict[str, Any], method: str) -> None:
    answer = asyncio.run(network.ask(method, call))
    assert "result" in answer or answer["error"]["code"] in ALLOWED_CODES


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(overrides=st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=2))
def test_any_overrides(network: RpcNetwork, overrides: dict[str, Any]) -> None:
    call = {"to": network.accounts[SENDER].address, "data": "0x12"}
    answer = asyncio.run(network.ask("eth_call", call, "latest", overrides))
    assert "result" in answer or answer["error"]["code"] in ALLOWED_CODES


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=120))
def test_any_raw_transaction(network: RpcNetwork, raw: bytes) -> None:
    answer = asyncio.run(network.ask("eth_sendRawTransaction", "0x" + raw.hex()))
    assert answer["error"]["code"] in (-32000, -32602)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 200), value=st.integers(0, 255))
def test_any_byte_changed_in_a_transaction(network: RpcNetwork, position: int, value: int) -> None:
    """A changed transaction is refused or is another sender's; none is executed."""
    raw = bytearray.fromhex(
        network.sign(network.accounts[SENDER], nonce=0, to=account(9).address, maxFeePerGas=1, maxPriorityFeePerGas=0)[
            2:
        ]
    )
    position %= len(raw)
    if raw[position] == value:
        return
    raw[position] = value
    answer = asyncio.run(network.ask("eth_sendRawTransaction", "0x" + raw.hex()))
    assert answer["error"]["code"] in (-32000, -32001, -32602)


async def test_the_network_still_works(network: RpcNetwork) -> None:
    assert await network.call("eth_blockNumber") == "0x0"
    sent = await network.send(SENDER, to=account(9).address, value=1)
    assert (await network.call("eth_getTransactionReceipt", sent))["status"] == "0x1"
    assert orjson.loads(await network.raw(b"{}"))["error"]["code"] == -32600
