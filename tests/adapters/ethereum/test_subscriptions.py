"""eth_subscribe over a connection: what is told, to whom, in which order, and how connections end."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from adapters.ethereum.requests import NOW, QUERIES, Follow
from adapters.ethereum.subscriptions import SUBSCRIPTIONS_MAX
from core.adapter.interface import Caller, Outcome, OutcomeUnknown, Overloaded
from tests.adapters.ethereum.rpc_support import COMPETITOR, RECIPIENT, SENDER, RpcNetwork, account, initcode
from tests.adapters.ethereum.socket_support import Client, settle
from tests.adapters.ethereum.test_visibility import PLAIN_LOG, TOPIC_LOG, topic_of


@pytest.fixture
async def network() -> RpcNetwork:
    return await RpcNetwork(policy="private").ready()


async def test_new_heads_are_told_once_and_in_order(network: RpcNetwork) -> None:
    await network.send(SENDER, to=account(9).address)
    client = Client(network, SENDER)
    heads = await client.call("eth_subscribe", "newHeads")
    assert heads.startswith("0x")
    for _ in range(3):
        await network.send(SENDER, to=account(9).address)
    await settle()
    told = client.told(heads)
    assert [one["number"] for one in told] == ["0x2", "0x3", "0x4"]
    block = await network.call("eth_getBlockByNumber", "0x2", False)
    assert told[0] == {
        key: one for key, one in block.items() if key not in ("transactions", "uncles", "size", "withdrawals")
    }
    assert client.socket.sent[0]["id"] == 1  # the answer comes before the first notification
    await client.close()


async def test_headers_show_what_the_connections_identity_sees(network: RpcNetwork) -> None:
    mine, theirs = Client(network, SENDER), Client(network, COMPETITOR)
    ids = [await client.call("eth_subscribe", "newHeads") for client in (mine, theirs)]
    contract = await network.deploy(SENDER, initcode(PLAIN_LOG))
    await network.send(SENDER, to=contract)
    await settle()
    assert int(mine.told(ids[0])[1]["gasUsed"], 16) > 21_000
    assert int(mine.told(ids[0])[1]["logsBloom"], 16) != 0
    assert [one["gasUsed"] for one in theirs.told(ids[1])] == ["0x0", "0x0"]
    assert {int(one["logsBloom"], 16) for one in theirs.told(ids[1])} == {0}
    await mine.close()
    await theirs.close()


async def test_logs_by_filter_and_visibility(network: RpcNetwork) -> None:
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    clients = {caller: Client(network, caller) for caller in (SENDER, RECIPIENT, COMPETITOR)}
    every = {caller: await client.call("eth_subscribe", "logs") for caller, client in clients.items()}
    own_topic = topic_of(network.accounts[RECIPIENT].address)
    filtered = await clients[SENDER].call("eth_subscribe", "logs", {"address": contract, "topics": [None, own_topic]})
    elsewhere = await clients[SENDER].call("eth_subscribe", "logs", {"address": account(9).address})
    for owner in (RECIPIENT, SENDER, RECIPIENT):
        await network.send(SENDER, to=contract, data=topic_of(network.accounts[owner].address))
    await settle()
    told = {caller: client.told(every[caller]) for caller, client in clients.items()}
    for caller in clients:
        assert told[caller] == await network.call("eth_getLogs", {"fromBlock": "0x0"}, caller=caller)
    assert [len(told[caller]) for caller in (SENDER, RECIPIENT, COMPETITOR)] == [3, 2, 0]
    assert clients[SENDER].told(filtered) == [told[SENDER][0], told[SENDER][2]]
    assert clients[SENDER].told(elsewhere) == []
    for client in clients.values():
        await client.close()


async def test_pending_transactions_are_the_visible_ones(network: RpcNetwork) -> None:
    clients = {caller: Client(network, caller) for caller in (SENDER, RECIPIENT, COMPETITOR)}
    ids = {caller: await client.call("eth_subscribe", "newPendingTransactions") for caller, client in clients.items()}
    full = await clients[SENDER].call("eth_subscribe", "newPendingTransactions", True)
    sent = await network.send(SENDER, to=network.accounts[RECIPIENT].address)
    await settle()
    assert [clients[caller].told(ids[caller]) for caller in clients] == [[sent], [sent], []]
    assert clients[SENDER].told(full) == [await network.call("eth_getTransactionByHash", sent)]
    for client in clients.values():
        await client.close()


async def test_nothing_is_lost_between_subscribing_and_the_first_notification(network: RpcNetwork) -> None:
    """Blocks are made at every turn of the loop while the subscription begins."""
    for turns in range(12):
        client = Client(network, SENDER)
        before = int(await network.call("eth_blockNumber"), 16)
        asking = asyncio.create_task(client.ask("eth_subscribe", "newHeads"))
        for turn in range(12):
            await asyncio.sleep(0)
            if turn == turns:
                await network.send(SENDER, to=account(9).address, gas=21_000)
        subscription = (await asking)["result"]
        await network.send(SENDER, to=account(9).address, gas=21_000)
        await settle()
        numbers = [int(one["number"], 16) for one in client.told(subscription)]
        assert numbers in ([before + 1, before + 2], [before + 2])  # the first may have come before the subscription
        await client.close()


async def test_unsubscribe(network: RpcNetwork) -> None:
    client, other = Client(network, SENDER), Client(network, SENDER)
    heads = await client.call("eth_subscribe", "newHeads")
    not_found = {"code": -32000, "message": "subscription not found"}
    assert (await other.ask("eth_unsubscribe", heads))["error"] == not_found
    assert await client.call("eth_unsubscribe", heads) is True
    assert (await client.ask("eth_unsubscribe", heads))["error"] == not_found
    await network.send(SENDER, to=account(9).address)
    await settle()
    assert client.told(heads) == []
    await client.close()
    await other.close()


async def test_every_method_is_served_and_batches(network: RpcNetwork) -> None:
    client = Client(network, SENDER)
    assert await client.call("eth_blockNumber") == "0x0"
    raw = network.sign(network.accounts[SENDER], to=account(9).address)
    assert len(await client.call("eth_sendRawTransaction", raw)) == 66
    batch = [
        {"jsonrpc": "2.0", "id": 71, "method": "eth_blockNumber"},
        {"jsonrpc": "2.0", "id": 72, "method": "eth_subscribe", "params": ["newHeads"]},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
    ]
    client.socket.put(orjson.dumps(batch))
    await settle()
    (answers,) = [one for one in client.socket.sent if isinstance(one, list)]
    assert [one["id"] for one in answers] == [71, 72]
    await network.send(SENDER, to=account(9).address)
    await settle()
    assert len(client.told(answers[1]["result"])) == 1
    client.socket.put("{")
    await settle()
    assert client.socket.sent[-1] == {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}}
    client.socket.put(b'{"jsonrpc":"2.0","method":"eth_chainId"}')
    await settle()
    assert client.socket.sent[-1]["error"]["code"] == -32700  # nothing is answered
    await client.close()


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ([], -32602, "missing value for required argument 0"),
        ([5], -32602, "invalid argument 0: expected subscription name as first argument"),
        (["newStuff"], -32601, 'no "newStuff" subscription in eth namespace'),
        (
            ["logs", 5],
            -32602,
            "invalid argument 1: json: cannot unmarshal number into Go value of type filters.input",
        ),
        (
            ["logs", {"address": ["0x" + f"{number:040x}" for number in range(257)]}],
            -32000,
            "a filter may name at most 256 addresses and topics",
        ),
    ],
)
async def test_refused_subscriptions(network: RpcNetwork, params: list[Any], code: int, text: str) -> None:
    client = Client(network, SENDER)
    assert (await client.ask("eth_subscribe", *params))["error"] == {"code": code, "message": text}
    await client.close()


async def test_subscriptions_are_bounded(network: RpcNetwork) -> None:
    client = Client(network, SENDER)
    for _ in range(SUBSCRIPTIONS_MAX):
        assert "result" in await client.ask("eth_subscribe", "syncing")
    assert (await client.ask("eth_subscribe", "newHeads"))["error"]["message"].startswith("too many subscriptions")
    await client.close()


async def test_over_http_there_are_no_notifications(network: RpcNetwork) -> None:
    for method, params in (("eth_subscribe", ["newHeads"]), ("eth_unsubscribe", ["0x1"])):
        assert await network.error(method, *params) == (-32601, "notifications not supported")


async def test_a_slow_client_is_told_everything_later(network: RpcNetwork) -> None:
    client = Client(network, SENDER)
    heads = await client.call("eth_subscribe", "newHeads")
    client.socket.gate.clear()
    for _ in range(20):
        await network.send(SENDER, to=account(9).address, gas=21_000)
    await settle()
    assert client.told(heads) == []
    client.socket.gate.set()
    await settle()
    assert [int(one["number"], 16) for one in client.told(heads)] == list(range(1, 21))
    await client.close()


async def test_a_connection_that_breaks_ends_its_handler(network: RpcNetwork) -> None:
    client = Client(network, SENDER)
    await client.call("eth_subscribe", "newHeads")
    client.socket.is_open = False
    await network.send(SENDER, to=account(9).address)
    await asyncio.wait_for(client.task, 5)


class Busy:
    """A backend on which a block is committed right after each subscription has been given its place."""

    def __init__(self, network: RpcNetwork) -> None:
        self._network = network
        self._inner = network.harness.backend()

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        return await self._inner.submit(payload, caller)

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        answer = await self._inner.query(payload, caller)
        query = QUERIES.decode(payload)
        if isinstance(query, Follow) and query.items[0][1] == NOW:
            await self._network.send(SENDER, to=account(9).address, gas=21_000)
        return answer

    async def committed_after(self, seqno: int) -> int:
        return await self._inner.committed_after(seqno)


async def test_a_block_committed_while_subscribing_is_told(network: RpcNetwork) -> None:
    client = Client(network, SENDER, Busy(network))
    heads = await client.call("eth_subscribe", "newHeads")
    await settle()
    assert [one["number"] for one in client.told(heads)] == ["0x1"]
    assert client.socket.sent[0]["result"] == heads
    await network.send(SENDER, to=account(9).address)
    await settle()
    assert [one["number"] for one in client.told(heads)] == ["0x1", "0x2"]
    await client.close()


class Unwilling:
    """A backend whose queries after Follow fail `failures` times, and whose executor then may be gone."""

    def __init__(self, network: RpcNetwork, error: Exception) -> None:
        self._inner = network.harness.backend()
        self.error: Exception | None = None
        self._next = error

    def fail(self) -> None:
        self.error = self._next

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        return await self._inner.submit(payload, caller)

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        if self.error is not None and isinstance(QUERIES.decode(payload), Follow):
            error, self.error = self.error, None
            raise error
        return await self._inner.query(payload, caller)

    async def committed_after(self, seqno: int) -> int:
        return await self._inner.committed_after(seqno)


async def test_an_overloaded_node_is_asked_again(network: RpcNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.ethereum.subscriptions.RETRY_SECONDS", 0)
    backend = Unwilling(network, Overloaded("busy"))
    client = Client(network, SENDER, backend)
    heads = await client.call("eth_subscribe", "newHeads")
    backend.fail()
    await network.send(SENDER, to=account(9).address)
    await settle()
    assert len(client.told(heads)) == 1
    await client.close()


async def test_notifications_that_cannot_be_had_end_the_connection(network: RpcNetwork) -> None:
    backend = Unwilling(network, OutcomeUnknown("the executor is gone"))
    client = Client(network, SENDER, backend)
    await client.call("eth_subscribe", "newHeads")
    backend.fail()
    await network.send(SENDER, to=account(9).address)
    await asyncio.wait_for(client.task, 5)


async def test_a_subscription_that_cannot_begin_is_none(network: RpcNetwork) -> None:
    backend = Unwilling(network, Overloaded("busy"))
    client = Client(network, SENDER, backend)
    backend.fail()
    assert (await client.ask("eth_subscribe", "newHeads"))["error"] == {"code": -32000, "message": "busy"}
    await network.send(SENDER, to=account(9).address)
    await settle()
    assert len(client.socket.sent) == 1
    await client.close()
