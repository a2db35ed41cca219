"""Time limit and quota as a client meets them."""

from __future__ import annotations

from unittest.mock import patch

from adapters.ethereum.queue import EthereumQueue
from adapters.ethereum.quota import ExecutorQuota
from tests.adapters.ethereum.rpc_support import COMPETITOR, SENDER, RpcNetwork, initcode

LOOP = "5b6180005f20505f56"
"""Hashes 32 KiB, for ever."""


async def test_a_transaction_that_takes_too_long_is_refused_and_its_nonce_unused() -> None:
    network = await RpcNetwork(transaction_seconds_max=0.05).ready()
    address = await network.deploy(SENDER, initcode(LOOP))
    key = network.accounts[SENDER]
    raw = network.sign(key, nonce=1, to=address, gas=16_000_000)
    code, message = await network.error("eth_sendRawTransaction", raw)
    assert code == -32000
    assert message.startswith("execution aborted (timeout = 0.05s)")
    assert "its nonce is unused" in message
    assert await network.call("eth_getTransactionCount", key.address, "latest") == "0x1"
    again = await network.call("eth_sendRawTransaction", network.sign(key, nonce=1, to=key.address))
    receipt = await network.call("eth_getTransactionReceipt", again)
    assert receipt["status"] == "0x1"


async def test_time_is_charged_for_what_was_refused_too() -> None:
    network = await RpcNetwork(transaction_seconds_max=0.05).ready()
    address = await network.deploy(SENDER, initcode(LOOP))
    with patch.object(ExecutorQuota, "charge") as charge:
        await network.error(
            "eth_sendRawTransaction", network.sign(network.accounts[SENDER], to=address, gas=16_000_000)
        )
    ((identity, seconds, _), _) = charge.call_args
    assert identity == SENDER.identity
    assert seconds >= 0.05


async def test_who_is_over_the_quota_is_refused_while_others_wait() -> None:
    network = await RpcNetwork().ready()
    account = network.accounts[SENDER]
    other = network.accounts[COMPETITOR]
    over = patch.object(ExecutorQuota, "is_over", lambda self, identity, now: identity == SENDER.identity)
    waits = patch.object(EthereumQueue, "waits_for_another", lambda self, identity: True)
    with over:
        assert await network.call("eth_sendRawTransaction", network.sign(account, to=account.address))
        with waits:
            code, message = await network.error("eth_sendRawTransaction", network.sign(account, to=account.address))
            assert code == -32000
            assert "try again in" in message
            sent = network.sign(other, to=other.address)
            assert await network.call("eth_sendRawTransaction", sent, caller=COMPETITOR)
    assert await network.call("eth_getTransactionCount", account.address, "latest") == "0x1"
