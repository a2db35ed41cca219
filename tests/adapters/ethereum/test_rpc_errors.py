"""Every error text that the issue names, provoked through the end point. Tools match on code and text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from core.adapter.interface import ANONYMOUS
from tests.adapters.ethereum.rpc_support import COMPETITOR, RECIPIENT, SENDER, RpcNetwork, account

RETRIED = frozenset((-32603, -32005, 429, 403, -32002))
"""Codes that client libraries take for a reason to try again."""
Provoke = Callable[[RpcNetwork], Awaitable[dict[str, Any]]]
FEES = {"maxFeePerGas": 10_000, "maxPriorityFeePerGas": 10_000}


async def send(network: RpcNetwork, **fields: Any) -> dict[str, Any]:
    fields = {"nonce": 0, "to": account(9).address, **fields}
    return await network.ask("eth_sendRawTransaction", network.sign(network.accounts[SENDER], **fields))


async def held(network: RpcNetwork, **fields: Any) -> asyncio.Task[dict[str, Any]]:
    """Send a transaction whose turn does not come."""
    task = asyncio.create_task(send(network, nonce=1, **fields))
    await asyncio.sleep(0.01)
    return task


async def second_of_two(network: RpcNetwork, first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    waiting = await held(network, **first)
    answer = await send(network, nonce=1, **second)
    network.harness.advance_clock(2_000)
    await waiting
    return answer


async def after_a_gap(network: RpcNetwork) -> dict[str, Any]:
    waiting = await held(network)
    network.harness.advance_clock(2_000)
    return await waiting


async def another_of_a_nonce(network: RpcNetwork) -> dict[str, Any]:
    await send(network, **FEES)
    return await send(network, value=1, **FEES)


def unprotected(network: RpcNetwork) -> str:
    key = network.accounts[SENDER]
    fields = {"nonce": 0, "gas": 21_000, "gasPrice": 10_000, "to": bytes(20), "value": 0}
    return "0x" + bytes(key.sign_transaction(fields).raw_transaction).hex()


def with_revert(data: str) -> dict[str, Any]:
    """Return a call whose code reverts with this data."""
    size = len(data) // 2
    copy = f"61{size:04x}600d5f39" + f"61{size:04x}5ffd"
    assert len(copy) // 2 == 12
    return {"data": "0x" + copy + "00" + data}


REASON = "08c379a0" + f"{32:064x}" + f"{2:064x}" + b"no".hex().ljust(64, "0")
PANIC = "4e487b71" + f"{0x11:064x}"
CUSTOM = "c0ffee00" + "11" * 32


def reverting(data: str) -> Provoke:
    return lambda network: network.ask("eth_call", with_revert(data))


TABLE: list[tuple[str, Provoke, int, str, str | None]] = [
    ("revert", reverting(""), 3, "execution reverted", "0x"),
    ("reason", reverting(REASON), 3, "execution reverted: no", "0x" + REASON),
    ("panic", reverting(PANIC), 3, "execution reverted: arithmetic underflow or overflow", "0x" + PANIC),
    ("custom", reverting(CUSTOM), 3, "execution reverted", "0x" + CUSTOM),
    ("estimate", lambda n: n.ask("eth_estimateGas", with_revert(CUSTOM)), 3, "execution reverted", "0x" + CUSTOM),
    ("low", another_of_a_nonce, -32000, "nonce too low", None),
    ("high", after_a_gap, -32000, "nonce too high", None),
    (
        "funds",
        lambda n: send(n, value=10**22, **FEES),
        -32000,
        "insufficient funds for gas * price + value",
        None,
    ),
    ("known", lambda n: second_of_two(n, FEES, FEES), -32000, "already known", None),
    (
        "underpriced",
        lambda n: second_of_two(n, FEES, {**FEES, "value": 1}),
        -32000,
        "replacement transaction underpriced",
        None,
    ),
    ("intrinsic", lambda n: send(n, gas=20_000, **FEES), -32000, "intrinsic gas too low", None),
    ("fee", lambda n: send(n, gasPrice=1), -32000, "max fee per gas less than block base fee", None),
    (
        "eip155",
        lambda n: n.ask("eth_sendRawTransaction", unprotected(n)),
        -32000,
        "only replay-protected (EIP-155) transactions allowed over RPC",
        None,
    ),
    ("header", lambda n: n.ask("eth_call", {}, "0x9999"), -32000, "header not found", None),
    ("state", lambda n: n.ask("eth_getBalance", "0x" + "11" * 20, "0x9999"), -32000, "header not found", None),
    ("method", lambda n: n.ask("eth_mine"), -32601, "the method eth_mine does not exist/is not available", None),
    ("params", lambda n: n.ask("eth_getBalance"), -32602, "missing value for required argument 0", None),
    ("filter", lambda n: n.ask("eth_getFilterChanges", "0x1"), -32000, "filter not found", None),
    (
        "sender",
        lambda n: n.ask("eth_call", {"from": n.accounts[RECIPIENT].address}),
        -32001,
        "address 0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF is not bound to your identity; "
        "bind it first: coco account bind",
        None,
    ),
]


@pytest.mark.parametrize(("name", "provoke", "code", "text", "data"), TABLE, ids=[row[0] for row in TABLE])
async def test_each_text(name: str, provoke: Provoke, code: int, text: str, data: str | None) -> None:
    """A text may go on, after a colon, with the figures that go-ethereum gives."""
    network = await RpcNetwork(base_fee_wei=1_000).ready()
    error = (await provoke(network))["error"]
    assert error["code"] == code not in RETRIED
    assert error["message"] == text or error["message"].startswith(text + ": "), name
    if code == 3:
        assert error == {"code": 3, "message": text, "data": data}
    else:
        assert "data" not in error


async def test_text_that_is_not_json() -> None:
    network = await RpcNetwork().ready()
    assert orjson.loads(await network.raw(b"{"))["error"] == {"code": -32700, "message": "parse error"}


async def test_no_credential_is_the_gateways_401() -> None:
    network = await RpcNetwork().ready()
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    assert (await network.harness.request("POST", "/", body, ANONYMOUS)).status == 401


async def test_every_denial_is_an_answer_with_200() -> None:
    """raw() asserts the status; nothing that is refused looks like something to be tried again."""
    network = await RpcNetwork(policy="private").ready()
    theirs = network.accounts[SENDER].address
    raw = network.sign(network.accounts[SENDER], to=theirs)
    filter_id = await network.call("eth_newBlockFilter")
    denied: list[tuple[str, list[object]]] = [
        ("eth_sendRawTransaction", [raw]),
        ("eth_call", [{"from": theirs}]),
        ("eth_estimateGas", [{"from": theirs}]),
        ("eth_createAccessList", [{"from": theirs}]),
        ("eth_call", [{}, "latest", {theirs: {"balance": "0x1"}}]),
        ("eth_getFilterChanges", [filter_id]),
        ("eth_getFilterLogs", [filter_id]),
        ("coco_bind", ["not the message", "0x" + "11" * 65]),
    ]
    for method, params in denied:
        code, _ = await network.error(method, *params, caller=COMPETITOR)
        assert code in (-32000, -32001, -32602), method
