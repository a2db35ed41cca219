"""Random traffic of three identities against a plain model of the rules: nothing too much, nothing missing.

The model is written from the rules alone. It knows every transaction and log as the public view of a twin network,
given the same requests, shows them.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from core.adapter.interface import Caller
from tests.adapters.ethereum.rpc_support import IDENTITIES, SENDER, RpcNetwork, account, initcode
from tests.adapters.ethereum.test_visibility import PLAIN_LOG, TOPIC_LOG, in_bloom, topic_of

STEPS = 25


async def play(network: RpcNetwork, seed: int) -> list[str]:
    """Send the seed's traffic; returns the hashes in order."""
    choose = random.Random(seed)
    contracts = [await network.deploy(SENDER, initcode(code)) for code in (PLAIN_LOG, TOPIC_LOG)]
    targets = [*contracts, *(one.address for one in network.accounts.values()), account(9).address]
    hashes = []
    for _ in range(STEPS):
        caller = choose.choice(IDENTITIES)
        calls: list[tuple[str, list[object]]] = []
        for _ in range(choose.randint(1, 4)):
            word = choose.choice([topic_of(one.address) for one in network.accounts.values()] + ["0x" + "11" * 32])
            raw = network.sign(
                network.accounts[caller], to=choose.choice(targets), data=word, gas=100_000, value=choose.choice([0, 0])
            )
            calls.append(("eth_sendRawTransaction", [raw]))
        hashes += [answer["result"] for answer in await network.batch(calls, caller)]
    return hashes


class Model:
    """Who sees what, by the rules."""

    def __init__(self, network: RpcNetwork, caller: Caller, policy: str) -> None:
        self._own = network.accounts[caller].address.lower()
        self._topic = topic_of(self._own)
        self._policy = policy

    def sees_transaction(self, one: dict[str, Any]) -> bool:
        return self._own in (one["from"], one["to"])

    def sees_log(self, receipt: dict[str, Any], log: dict[str, Any]) -> bool:
        return receipt["from"] == self._own or self._topic in log["topics"] or self._policy == "members"

    def receipts(self, receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the visible receipts of a block, numbered anew, without what differs between the twins."""
        seen: list[dict[str, Any]] = []
        gas = log_count = 0
        for receipt in receipts:
            logs = [log for log in receipt["logs"] if self.sees_log(receipt, log)]
            if not logs and not self.sees_transaction(receipt):
                continue
            gas += int(receipt["gasUsed"], 16)
            index = hex(len(seen))
            numbered = [
                {**plain(log), "logIndex": hex(log_count + place), "transactionIndex": index}
                for place, log in enumerate(logs)
            ]
            log_count += len(logs)
            changed = {"logs": numbered, "transactionIndex": index, "cumulativeGasUsed": hex(gas)}
            seen.append({**plain(receipt), **changed})
        return seen


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """Leave out hashes of blocks, in which twins differ, and blooms, which are checked by themselves."""
    return {key: one for key, one in value.items() if key not in ("blockHash", "logsBloom")}


def plain_receipt(receipt: dict[str, Any]) -> dict[str, Any]:
    return {**plain(receipt), "logs": [plain(log) for log in receipt["logs"]]}


@pytest.mark.parametrize("policy", ["members", "private"])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_random_traffic(policy: str, seed: int) -> None:
    twin, network = await RpcNetwork(policy="public").ready(), await RpcNetwork(policy=policy).ready()
    hashes = await play(twin, seed)
    assert await play(network, seed) == hashes, f"seed {seed}"
    head = int(await network.call("eth_blockNumber"), 16)
    assert hex(head) == await twin.call("eth_blockNumber")
    for caller in IDENTITIES:
        model = Model(network, caller, policy)
        every_log = []
        for number in range(head + 1):
            expected = model.receipts(await twin.call("eth_getBlockReceipts", hex(number)))
            found = await network.call("eth_getBlockReceipts", hex(number), caller=caller)
            assert [plain_receipt(one) for one in found] == expected, f"seed {seed}, block {number}, {caller}"
            await check_block(network, caller, number, found, model)
            every_log += [log for one in found for log in one["logs"]]
        assert await network.call("eth_getLogs", {"fromBlock": "0x0"}, caller=caller) == every_log
        own = [log for log in every_log if topic_of(network.accounts[caller].address) in log["topics"]]
        filter_ = {"fromBlock": "0x0", "topics": [None, topic_of(network.accounts[caller].address)]}
        assert await network.call("eth_getLogs", filter_, caller=caller) == own
        await check_by_hash(network, twin, caller, hashes, model)


async def check_block(
    network: RpcNetwork, caller: Caller, number: int, receipts: list[dict[str, Any]], model: Model
) -> None:
    block = await network.call("eth_getBlockByNumber", hex(number), True, caller=caller)
    shown = [one for one in receipts if model.sees_transaction(one)]
    assert [one["hash"] for one in block["transactions"]] == [one["transactionHash"] for one in shown]
    assert [one["transactionIndex"] for one in block["transactions"]] == [one["transactionIndex"] for one in shown]
    assert int(block["gasUsed"], 16) == sum(int(one["gasUsed"], 16) for one in receipts)
    parts = {part for one in receipts for log in one["logs"] for part in (log["address"], *log["topics"])}
    assert all(in_bloom(block["logsBloom"], part) for part in parts)
    assert int(block["logsBloom"], 16).bit_count() <= 3 * len(parts)


async def check_by_hash(network: RpcNetwork, twin: RpcNetwork, caller: Caller, hashes: list[str], model: Model) -> None:
    for one in hashes:
        real = await twin.call("eth_getTransactionByHash", one)
        found = await network.call("eth_getTransactionByHash", one, caller=caller)
        assert (found is not None) == model.sees_transaction(real)
        receipt = await network.call("eth_getTransactionReceipt", one, caller=caller)
        block = await network.call("eth_getBlockReceipts", real["blockNumber"], caller=caller)
        assert ([] if receipt is None else [receipt]) == [item for item in block if item["transactionHash"] == one]
