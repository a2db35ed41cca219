"""A network with random traffic of three organisations, and a model of who may see what of it.

The model is written from docs/visibility.md alone. What was sent, and which logs that makes, it knows from the test;
from the store it takes only what a test cannot choose: the order of transactions in a block, and their gas.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from adapters.ethereum import chain
from adapters.ethereum.keccak import keccak
from adapters.ethereum.method_table import make_methods
from adapters.ethereum.settings import parse_settings
from core.adapter.interface import Caller
from tests.adapters.ethereum.rpc_support import IDENTITIES, SENDER, RpcNetwork, account, initcode
from tests.adapters.ethereum.socket_support import Client, settle
from tests.adapters.ethereum.test_visibility import PLAIN_LOG, TOPIC_LOG, topic_of

EVENT = "0x" + "bb".rjust(64, "0")
PLAIN_DATA = "0x" + "aa".rjust(64, "0")
STRANGER = account(50).address
GAS = 120_000
_MAKES_SOMETHING = ("eth_newBlockFilter", "eth_newPendingTransactionFilter")


def checked_log() -> str:
    """Return runtime code: LOG1 with the first word as data, which only the address in it may read (ICocoAccess)."""
    may_read = keccak(b"cocoMayReadLog(address,bytes32[],bytes)")[:4].hex()
    log_code = "5f355f5260bb60205fa100"
    answer = "5b60c435600435145f5260205ff3"
    supports = "5b60043560e01c63ffffffff14155f5260205ff3"
    head = f"5f3560e01c8063{may_read}1461{{:04x}}576301ffc9a71461{{:04x}}57"
    size = len(head.format(0, 0)) // 2
    at_answer = size + len(log_code) // 2
    return head.format(at_answer, at_answer + len(answer) // 2) + log_code + answer + supports


CONTRACTS = {"plain": PLAIN_LOG, "topic": TOPIC_LOG, "checked": checked_log()}


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent. kind: of the contract called, or "pay". word: a topic or datum, 0x text of 32 bytes."""

    hash: str
    sender: str
    to: str
    kind: str
    word: str


@dataclass(slots=True)
class Told:
    """What one identity was told by filters and subscriptions, from the block after `since` on."""

    since: int
    kind: str
    filter_id: str = ""
    results: list[Any] = field(default_factory=list)


class World:
    """addresses: two of each identity. sent: by hash."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.network = RpcNetwork(policy=policy)
        self.addresses = {
            caller: (self.network.accounts[caller].address.lower(), account(20 + index).address.lower())
            for index, caller in enumerate(IDENTITIES)
        }
        self.contracts: dict[str, str] = {}
        self.sent: dict[str, Sent] = {}
        self.polled: dict[Caller, list[Told]] = {caller: [] for caller in IDENTITIES}
        self.pushed: dict[Caller, list[Told]] = {caller: [] for caller in IDENTITIES}
        self.clients: dict[Caller, Client] = {}

    async def ready(self) -> World:
        await self.network.ready()
        for index, caller in enumerate(IDENTITIES):
            await self.network.bind(caller, account(20 + index))
            self.clients[caller] = Client(self.network, caller)
        for kind, code in CONTRACTS.items():
            raw = self.network.sign(self.network.accounts[SENDER], data=initcode(code))
            sent = await self.network.call("eth_sendRawTransaction", raw)
            receipt = await self.network.call("eth_getTransactionReceipt", sent)
            self.contracts[kind] = receipt["contractAddress"]
            self.sent[sent] = Sent(sent, self.addresses[SENDER][0], "", "create", "")
        return self

    async def close(self) -> None:
        for client in self.clients.values():
            await client.close()

    def methods_without_parameters(self) -> list[str]:
        """Return the methods that can be asked without saying more."""
        table = make_methods(parse_settings(self.network.harness.adapter.settings), "x").table
        return sorted(name for name, method in table.items() if method.required == 0 and name not in _MAKES_SOMETHING)

    @property
    def head(self) -> int:
        return chain.head_number(self.network.harness.transaction())

    async def send(self, caller: Caller, calls: list[tuple[str, str, str]]) -> list[str]:
        """Send a batch of (kind, target for "pay", word) from the caller's first address."""
        key = self.network.accounts[caller]
        requests, described = [], []
        for kind, target, word in calls:
            to = self.contracts.get(kind, target)
            fields: dict[str, Any] = {"data": word} if kind in self.contracts else {}
            fields["value"] = {"pay": 1, "checked": 2}.get(kind, 0)
            raw = self.network.sign(key, to=to, gas=GAS, **fields)
            requests.append(("eth_sendRawTransaction", [raw]))
            described.append((kind, to.lower(), word))
        hashes = []
        for answer, (kind, to, word) in zip(await self.network.batch(requests, caller), described, strict=True):
            hashes.append(answer["result"])
            self.sent[hashes[-1]] = Sent(hashes[-1], key.address.lower(), to, kind, word)
        return hashes

    async def follow(self, caller: Caller, kind: str) -> None:
        """Install a filter and a subscription of one kind ("heads", "logs", "pending")."""
        method = {"heads": "eth_newBlockFilter", "logs": "eth_newFilter", "pending": "eth_newPendingTransactionFilter"}
        params: list[object] = [{}] if kind == "logs" else []
        made = await self.network.call(method[kind], *params, caller=caller)
        self.polled[caller].append(Told(self.head, kind, made))
        name = {"heads": "newHeads", "logs": "logs", "pending": "newPendingTransactions"}[kind]
        subscription = await self.clients[caller].call("eth_subscribe", name)
        self.pushed[caller].append(Told(self.head, kind, subscription))

    async def poll(self, caller: Caller) -> None:
        """Read all filters of an identity."""
        for told in self.polled[caller]:
            told.results += await self.network.call("eth_getFilterChanges", told.filter_id, caller=caller)

    async def finish(self) -> None:
        """Let everything that was to be told be told."""
        await settle()
        for caller in IDENTITIES:
            await self.poll(caller)
            for told in self.pushed[caller]:
                told.results = self.clients[caller].told(told.filter_id)

    def blocks(self) -> list[list[tuple[Sent, int]]]:
        """Return each block's transactions in their real order, with their gas."""
        state = self.network.harness.transaction()
        found = []
        for number in range(self.head + 1):
            block = chain.block_by_number(state, number)
            assert block is not None
            receipts = chain.receipts_of(state, number)
            hashes = ["0x" + one.hex() for one in block.transaction_hashes]
            found.append([(self.sent[one], receipt.gas_used) for one, receipt in zip(hashes, receipts, strict=True)])
        return found


async def play(world: World, seed: int, steps: int) -> None:
    """Random traffic, filters and polls."""
    choose = random.Random(seed)
    every = [address for own in world.addresses.values() for address in own]
    for _ in range(steps):
        caller = choose.choice(IDENTITIES)
        if choose.random() < 0.3:
            await world.follow(choose.choice(IDENTITIES), choose.choice(["heads", "logs", "pending"]))
        if choose.random() < 0.3:
            await world.poll(choose.choice(IDENTITIES))
        calls = []
        for _ in range(choose.randint(1, 4)):
            kind = choose.choice(["pay", "plain", "topic", "checked", "checked"])
            word = topic_of(choose.choice([*every, STRANGER]))
            calls.append((kind, choose.choice([*every, STRANGER]), word))
        await world.send(caller, calls)
    await world.finish()


@dataclass(frozen=True, slots=True)
class SeenLog:
    """A log as an identity sees it; the block's number instead of its hash."""

    address: str
    topics: tuple[str, ...]
    data: str
    block: int
    transaction: str
    transaction_index: int
    index: int


@dataclass(frozen=True, slots=True)
class SeenReceipt:
    sent: Sent
    shows_transaction: bool
    index: int
    gas_used: int
    cumulative_gas: int
    logs: tuple[SeenLog, ...]


class Model:
    """What one identity must see, and nothing else."""

    def __init__(self, world: World, caller: Caller) -> None:
        self._world = world
        self._own = world.addresses[caller]
        self._own_words = {topic_of(one) for one in self._own}

    def _is_party(self, sent: Sent) -> bool:
        return self._world.policy == "public" or sent.sender in self._own or sent.to in self._own

    def _logs(self, sent: Sent) -> list[tuple[str, tuple[str, ...], str]]:
        """Return the visible ones of the logs that a transaction makes: (address, topics, data)."""
        sees_all = self._world.policy == "public" or sent.sender in self._own
        match sent.kind:
            case "plain":
                visible, log = self._world.policy == "members", ((EVENT,), PLAIN_DATA)
            case "topic":
                visible = self._world.policy == "members" or sent.word in self._own_words
                log = ((EVENT, sent.word), PLAIN_DATA)
            case "checked":
                visible, log = sent.word in self._own_words, ((EVENT,), sent.word)
            case _:
                return []
        return [(self._world.contracts[sent.kind], *log)] if sees_all or visible else []

    def block(self, number: int) -> list[SeenReceipt]:
        """Return the visible receipts of a block."""
        seen: list[SeenReceipt] = []
        gas = log_count = 0
        for sent, gas_used in self._world.blocks()[number]:
            logs = self._logs(sent)
            is_party = self._is_party(sent)
            if not logs and not is_party:
                continue
            gas += gas_used
            shown = tuple(
                SeenLog(address, topics, data, number, sent.hash, len(seen), log_count + place)
                for place, (address, topics, data) in enumerate(logs)
            )
            log_count += len(logs)
            seen.append(SeenReceipt(sent, is_party, len(seen), gas_used, gas, shown))
        return seen

    def chain(self) -> list[list[SeenReceipt]]:
        return [self.block(number) for number in range(self._world.head + 1)]


def seen_log(log: dict[str, Any]) -> SeenLog:
    """Read a log that was served."""
    assert log["removed"] is False
    return SeenLog(
        log["address"],
        tuple(log["topics"]),
        log["data"],
        int(log["blockNumber"], 16),
        log["transactionHash"],
        int(log["transactionIndex"], 16),
        int(log["logIndex"], 16),
    )
