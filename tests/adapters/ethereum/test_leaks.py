"""Nothing visible that should not be, nothing missing that should: every method and subscription, three identities.

Random traffic is compared with a model of the rules (leak_support.py). COCO_LEAK_SEEDS=200 runs that many seeds instead
of the few that always run, and COCO_LEAK_SEED=17 one of them again; a failure names its seed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.ethereum import chain
from core.adapter.interface import Caller
from tests.adapters.ethereum.leak_support import CONTRACTS, STRANGER, Model, SeenReceipt, World, play, seen_log
from tests.adapters.ethereum.rpc_support import IDENTITIES, SENDER
from tests.adapters.ethereum.test_visibility import in_bloom, topic_of

STEPS = 14
UNKNOWN = "0x" + "17" * 32


def seeds() -> Sequence[int]:
    if chosen := os.environ.get("COCO_LEAK_SEED"):
        return [int(chosen)]
    return range(1, int(os.environ.get("COCO_LEAK_SEEDS", "2")) + 1)


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("policy", ["members", "private", "public"])
async def test_everything_is_as_the_model_says(policy: str, seed: int) -> None:
    world = await World(policy).ready()
    await play(world, seed, STEPS)
    for caller in IDENTITIES:
        checks = _Checks(world, caller, f"seed {seed}, {caller.identity}")
        await checks.blocks()
        await checks.transactions()
        await checks.logs()
        await checks.followed()
        await checks.accounts()
    await world.close()


class _Checks:
    """Asks every method as one identity and compares with the model."""

    def __init__(self, world: World, caller: Caller, place: str) -> None:
        self.world, self.caller, self.place = world, caller, place
        self.chain = Model(world, caller).chain()
        self.by_hash = {one.sent.hash: (number, one) for number, seen in enumerate(self.chain) for one in seen}
        self.own = world.addresses[caller]

    async def ask(self, method: str, *params: object) -> Any:
        return await self.world.network.call(method, *params, caller=self.caller)

    async def blocks(self) -> None:
        history = await self.ask("eth_feeHistory", hex(len(self.chain)), "latest", [50])
        assert history["oldestBlock"] == "0x0"
        for number, seen in enumerate(self.chain):
            at = hex(number)
            block = await self.ask("eth_getBlockByNumber", at, False)
            shown = [one.sent.hash for one in seen if one.shows_transaction]
            assert block["transactions"] == shown, self.place
            gas = sum(one.gas_used for one in seen)
            assert int(block["gasUsed"], 16) == gas, self.place
            assert history["gasUsedRatio"][number] == gas / 60_000_000
            parts = {part for one in seen for log in one.logs for part in (log.address, *log.topics)}
            assert all(in_bloom(block["logsBloom"], part) for part in parts), self.place
            assert int(block["logsBloom"], 16).bit_count() <= 3 * len(parts), self.place
            full = await self.ask("eth_getBlockByHash", block["hash"], True)
            assert [one["hash"] for one in full["transactions"]] == shown
            for how, which in (("Number", at), ("Hash", block["hash"])):
                assert await self.ask(f"eth_getBlockTransactionCountBy{how}", which) == hex(len(shown)), self.place
                for index in range(len(self.world.blocks()[number]) + 1):
                    await self.position(how, which, index, seen)
            receipts = await self.ask("eth_getBlockReceipts", at)
            assert len(receipts) == len(seen), self.place
            for receipt, one in zip(receipts, seen, strict=True):
                self.receipt(receipt, one)

    async def position(self, how: str, which: str, index: int, seen: list[SeenReceipt]) -> None:
        expected = seen[index].sent.hash if index < len(seen) and seen[index].shows_transaction else None
        found = await self.ask(f"eth_getTransactionByBlock{how}AndIndex", which, hex(index))
        assert (found and found["hash"]) == expected, self.place
        raw = await self.ask(f"eth_getRawTransactionByBlock{how}AndIndex", which, hex(index))
        assert (raw != "0x") == (expected is not None), self.place

    def receipt(self, receipt: dict[str, Any], one: SeenReceipt) -> None:
        assert receipt["transactionHash"] == one.sent.hash, self.place
        assert int(receipt["transactionIndex"], 16) == one.index, self.place
        assert int(receipt["gasUsed"], 16) == one.gas_used
        assert int(receipt["cumulativeGasUsed"], 16) == one.cumulative_gas, self.place
        assert tuple(seen_log(log) for log in receipt["logs"]) == one.logs, self.place

    async def transactions(self) -> None:
        for one in (*self.world.sent, UNKNOWN):
            _, seen = self.by_hash.get(one, (0, None))
            shown = seen is not None and seen.shows_transaction
            transaction = await self.ask("eth_getTransactionByHash", one)
            assert (transaction is not None) == shown, self.place
            assert (await self.ask("eth_getRawTransactionByHash", one) != "0x") == shown, self.place
            # A call of any of the contracts logs once. Whoever does not see that gets no proof of the transaction.
            proven = shown and seen is not None and len(seen.logs) == (seen.sent.kind in CONTRACTS)
            assert (await self.ask("coco_getTransactionReceiptProof", one) is not None) == proven, self.place
            receipt = await self.ask("eth_getTransactionReceipt", one)
            assert (receipt is not None) == (seen is not None), self.place
            if seen is not None:
                self.receipt(receipt, seen)
            if transaction is not None and seen is not None:
                assert int(transaction["transactionIndex"], 16) == seen.index

    async def logs(self) -> None:
        expected = [log for seen in self.chain for one in seen for log in one.logs]
        found = [seen_log(log) for log in await self.ask("eth_getLogs", {"fromBlock": "0x0"})]
        assert found == expected, self.place
        for kind in CONTRACTS:
            address = self.world.contracts[kind]
            found = [seen_log(log) for log in await self.ask("eth_getLogs", {"fromBlock": "0x0", "address": address})]
            assert found == [log for log in expected if log.address == address], self.place
        for owner in (*(one for own in self.world.addresses.values() for one in own), STRANGER):
            topic = topic_of(owner)
            asked = {"fromBlock": "0x0", "topics": [None, [topic]]}
            found = [seen_log(log) for log in await self.ask("eth_getLogs", asked)]
            assert found == [log for log in expected if topic in log.topics], self.place
        for number in range(0, len(self.chain), 3):
            block = await self.ask("eth_getBlockByNumber", hex(number), False)
            found = [seen_log(log) for log in await self.ask("eth_getLogs", {"blockHash": block["hash"]})]
            assert found == [log for log in expected if log.block == number], self.place

    async def followed(self) -> None:
        """What filters and subscriptions told, from where they began: all of it, once, in order."""
        hashes = [(await self.ask("eth_getBlockByNumber", hex(one)))["hash"] for one in range(len(self.chain))]
        for pushed, every in ((False, self.world.polled[self.caller]), (True, self.world.pushed[self.caller])):
            for told in every:
                after = self.chain[told.since + 1 :]
                found: list[Any] = told.results
                expected: list[Any]
                match told.kind:
                    case "heads" if pushed:
                        found = [(one["hash"], int(one["gasUsed"], 16)) for one in found]
                        gas = [sum(one.gas_used for one in seen) for seen in after]
                        expected = list(zip(hashes[told.since + 1 :], gas, strict=True))
                    case "heads":
                        expected = hashes[told.since + 1 :]
                    case "pending":
                        expected = [one.sent.hash for seen in after for one in seen if one.shows_transaction]
                    case _:
                        found = [seen_log(log) for log in found]
                        expected = [log for seen in after for one in seen for log in one.logs]
                assert found == expected, f"{self.place}, {told.kind}"

    async def accounts(self) -> None:
        """Balances and nonces, by look-up and from inside of calls; code and storage; the queue."""
        state = self.world.network.harness.transaction()
        public = self.world.policy == "public"
        for owner in (*(one for own in self.world.addresses.values() for one in own), STRANGER):
            real = chain.account(state, bytes.fromhex(owner[2:]))
            seen = public or owner in self.own
            assert await self.ask("eth_getBalance", owner) == hex(real.balance if seen else 0), self.place
            for tag in ("latest", "pending"):
                assert await self.ask("eth_getTransactionCount", owner, tag) == hex(real.nonce if seen else 0)
            probe = await self.ask("eth_call", {"data": f"0x73{owner[2:]}315f5260205ff3"})
            assert int(probe, 16) == (real.balance if seen else 0), self.place
        for kind, code in CONTRACTS.items():
            visible = self.world.policy != "private" or self.caller is SENDER
            address = self.world.contracts[kind]
            real = chain.account(state, bytes.fromhex(address[2:]))
            probe = await self.ask("eth_call", {"data": f"0x73{address[2:]}315f5260205ff3"})
            assert int(probe, 16) == (real.balance if public else 0), self.place
            assert await self.ask("eth_getCode", address) == ("0x" + code if visible else "0x"), self.place
            assert int(await self.ask("eth_getStorageAt", address, "0x0"), 16) == 0
        assert await self.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}


async def test_the_model_is_not_blind() -> None:
    """A log that the model hides would be noticed: the model of one policy fails on a network of another."""
    world = await World("members").ready()
    await play(world, 1, STEPS)
    world.policy = "private"
    with pytest.raises(AssertionError):
        await _Checks(world, IDENTITIES[2], "").logs()
    await world.close()
