"""A competitor's answers do not depend on what the others do: two worlds that differ in that alone, byte for byte.

Left out of the comparison is what every identity may see of a block (docs/visibility.md): its hash, its parent's, the
three roots and mixHash. Hashes of blocks are replaced by names, since they come up again in other answers, and so are
the random ids of filters and subscriptions. Everything else, errors included, must be the same bytes.
"""

from __future__ import annotations

import random
import re
from typing import Any

import orjson
import pytest

from adapters.ethereum.method_table import make_methods
from adapters.ethereum.methods import ToSubmit
from adapters.ethereum.settings import parse_settings
from adapters.jsonrpc import RpcCall
from tests.adapters.ethereum.leak_support import STRANGER, World
from tests.adapters.ethereum.rpc_support import COMPETITOR, RECIPIENT, SENDER
from tests.adapters.ethereum.test_leaks import UNKNOWN, seeds
from tests.adapters.ethereum.test_visibility import topic_of

STEPS = 12
HEAD_FIELDS = ("stateRoot", "transactionsRoot", "receiptsRoot", "mixHash", "parentHash")
CHANGED = re.compile(rb'"(' + "|".join(HEAD_FIELDS).encode() + rb')":"0x[0-9a-f]{64}"')
BIND_NONCE = re.compile(rb"Nonce: [0-9a-f]{32}")
MULTICALL = "0xcA11bde05977b3631167028862bE2a173976CA11"
GET_ETH_BALANCE = "0x4d2301cc"


async def build(policy: str, seed: int, variant: int) -> World:
    """Return a world in which the competitor does what the seed says, and the others what seed and variant say."""
    world = await World(policy).ready()
    own, others = random.Random(seed), random.Random(f"{seed} {variant}")
    mine = world.addresses[COMPETITOR]
    theirs = [*world.addresses[SENDER], *world.addresses[RECIPIENT], STRANGER]
    hidden = ["pay", "checked"] if policy == "members" else ["pay", "plain", "topic", "checked"]
    for kind in ("heads", "logs", "pending"):
        await world.follow(COMPETITOR, kind)
    for step in range(STEPS):
        if step % 3 == 0:
            calls = [(own.choice(["pay", "plain", "topic", "checked"]), own.choice(theirs), topic_of(own.choice(mine)))]
            await world.send(COMPETITOR, calls)
        calls = [
            (others.choice(hidden), others.choice(theirs), topic_of(others.choice(theirs)))
            for _ in range(others.randint(1, 4))
        ]
        await world.send(others.choice([SENDER, RECIPIENT]), calls)
        if step % 4 == 0:
            await world.poll(COMPETITOR)
            await world.follow(others.choice([SENDER, RECIPIENT]), others.choice(["heads", "logs"]))
    if variant:
        hold(world)
    await world.finish()
    return world


def hold(world: World) -> None:
    """Put transactions of others into the queue that do not run."""
    methods = make_methods(parse_settings(world.network.harness.adapter.settings), "x")
    for caller in (SENDER, RECIPIENT):
        raw = world.network.sign(world.network.accounts[caller], nonce=999, to=STRANGER)
        prepared = methods.prepare(RpcCall(b"1", "eth_sendRawTransaction", (raw,)))
        assert isinstance(prepared, ToSubmit)
        world.network.harness.enqueue(prepared.payload, caller)


def questions(world: World, count: int) -> list[tuple[str, list[object]]]:
    """Everything the competitor can think of. count: of others' transactions it asks about."""
    network, head = world.network, world.head
    theirs = [*world.addresses[SENDER], *world.addresses[RECIPIENT], STRANGER]
    mine = world.addresses[COMPETITOR][0]
    hidden = [one.hash for one in world.sent.values() if one.sender not in world.addresses[COMPETITOR]][3 : 3 + count]
    asked: list[tuple[str, list[object]]] = [(name, []) for name in world.methods_without_parameters()]
    for number in range(4, head + 2):
        at = hex(number)
        asked += [("eth_getBlockByNumber", [at, True]), ("eth_getBlockByNumber", [at, False])]
        asked += [("eth_getBlockTransactionCountByNumber", [at]), ("eth_getUncleCountByBlockNumber", [at])]
        asked += [("eth_getBlockReceipts", [at])]
        for index in ("0x0", "0x1", "0x5"):
            asked += [(f"eth_get{raw}TransactionByBlockNumberAndIndex", [at, index]) for raw in ("", "Raw")]
    for one in (*hidden, UNKNOWN):
        asked += [(f"eth_get{what}", [one]) for what in ("TransactionByHash", "TransactionReceipt")]
        asked += [("eth_getRawTransactionByHash", [one])]
    for address in (*theirs, mine, *world.contracts.values()):
        asked += [("eth_getBalance", [address]), ("eth_getTransactionCount", [address, "pending"])]
        asked += [("eth_getCode", [address]), ("eth_getStorageAt", [address, "0x0"]), ("txpool_contentFrom", [address])]
        asked += [("eth_call", [call]) for call in probes(address)]
        asked += [("eth_estimateGas", [call]) for call in probes(address)]
        asked += [("eth_createAccessList", [call]) for call in probes(address)]
        asked += [("eth_call", [{"from": address}]), ("eth_estimateGas", [{"from": address}])]
        asked += [("eth_call", [{"to": address}, "latest", {address: {"balance": "0x1"}}])]
        asked += [("eth_getLogs", [{"fromBlock": "0x4", "address": address}])]
        asked += [("eth_getLogs", [{"fromBlock": "0x4", "topics": [None, topic_of(address)]}])]
    asked += [("eth_getLogs", [{"fromBlock": "0x4"}]), ("eth_feeHistory", [hex(head - 3), "latest", [10, 90]])]
    for other in world.polled[SENDER] + world.polled[RECIPIENT]:
        asked += [
            (f"eth_{what}", [other.filter_id]) for what in ("getFilterChanges", "getFilterLogs", "uninstallFilter")
        ]
    key = network.accounts[SENDER]
    for nonce in (0, 5, 500):
        asked.append(("eth_sendRawTransaction", [network.sign(key, nonce=nonce, to=STRANGER, gas=21_000)]))
    asked += [("coco_bindMessage", [theirs[0]]), ("coco_bind", ["text", "0x" + "11" * 65])]
    return asked


def probes(address: str) -> list[dict[str, Any]]:
    """Return calls whose code looks at an account, by itself and by a contract that is there for that."""
    words = [f"0x73{address[2:]}{instruction}5f5260205ff3" for instruction in ("31", "3b", "3f")]
    pay = f"0x5f5f5f5f600173{address[2:]}5af15a5f5260205ff3"
    return [
        *({"data": code} for code in words),
        {"data": pay, "value": "0x1", "gas": "0x186a0"},
        {"to": MULTICALL, "data": GET_ETH_BALANCE + topic_of(address)[2:]},
        {"to": address, "value": "0x1"},
    ]


async def told(world: World) -> list[bytes]:
    """Return all the competitor is told, normalised."""
    head_hashes = {}
    for number in range(world.head + 1):
        block = await world.network.call("eth_getBlockByNumber", hex(number), caller=COMPETITOR)
        head_hashes[block["hash"].encode()] = b"<block %d>" % number
    answers = []
    for method, params in questions(world, 12):
        answer = await world.network.ask(method, *params, caller=COMPETITOR)
        answers.append(normal(orjson.dumps(answer), head_hashes))
    for every in (world.polled[COMPETITOR], world.pushed[COMPETITOR]):
        answers += [normal(orjson.dumps([one.kind, one.results]), head_hashes) for one in every]
    return answers


def normal(answer: bytes, head_hashes: dict[bytes, bytes]) -> bytes:
    for found, name in head_hashes.items():
        answer = answer.replace(found, name)
    return BIND_NONCE.sub(b"Nonce: -", CHANGED.sub(rb'"\1":-', answer))


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("policy", ["members", "private"])
async def test_others_traffic_makes_no_difference(policy: str, seed: int) -> None:
    worlds = [await build(policy, seed, variant) for variant in (0, 1)]
    assert set(worlds[0].sent) != set(worlds[1].sent)
    views = [await told(world) for world in worlds]
    asked = questions(worlds[0], 12)
    assert len(views[0]) == len(views[1])
    for place, (left, right) in enumerate(zip(*views, strict=True)):
        what = asked[place] if place < len(asked) else "filters and subscriptions"
        assert left == right, f"seed {seed}: {what}"
    for world in worlds:
        await world.close()


async def test_a_difference_would_be_found() -> None:
    """The same comparison, for somebody who is a party to what differs, fails."""
    worlds = [await build("members", 1, variant) for variant in (0, 1)]
    answers = [await world.network.ask("eth_getLogs", {"fromBlock": "0x4"}, caller=SENDER) for world in worlds]
    assert normal(orjson.dumps(answers[0]), {}) != normal(orjson.dumps(answers[1]), {})
    for world in worlds:
        await world.close()
