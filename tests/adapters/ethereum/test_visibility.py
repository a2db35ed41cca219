"""Who sees what: three identities against every method. What may not be seen must look as if it were not there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from web3 import Web3

from adapters.ethereum.keccak import keccak
from tests.adapters.ethereum.rpc_support import (
    COMPETITOR,
    IDENTITIES,
    RECIPIENT,
    SENDER,
    RpcNetwork,
    account,
    artifact,
    initcode,
)

EMPTY_BLOOM = "0x" + "00" * 256
PLAIN_LOG = "60aa5f52" + "60bb60205fa1" + "00"
"""Runtime: LOG1 with topic 0xbb and data 0xaa."""
TOPIC_LOG = "60aa5f525f3560bb60205fa2" + "00"
"""Runtime: LOG2 with topics 0xbb and the first word of the call data."""
WEB3 = Web3()


def topic_of(address: str) -> str:
    return "0x" + "00" * 12 + address[2:].lower()


async def everything(network: RpcNetwork, caller: Any, transactions: list[str]) -> list[Any]:
    """Ask all there is to ask about blocks and these transactions."""
    answers: list[Any] = []
    head = int(await network.call("eth_blockNumber", caller=caller), 16)
    for number in range(head + 1):
        at = hex(number)
        block = await network.call("eth_getBlockByNumber", at, True, caller=caller)
        answers.append(block)
        answers.append(await network.call("eth_getBlockByNumber", at, False, caller=caller))
        answers.append(await network.call("eth_getBlockByHash", block["hash"], False, caller=caller))
        answers.append(await network.call("eth_getBlockReceipts", at, caller=caller))
        answers.append(await network.call("eth_getLogs", {"blockHash": block["hash"]}, caller=caller))
    for one in transactions:
        answers.append(await network.call("eth_getTransactionByHash", one, caller=caller))
        answers.append(await network.call("eth_getTransactionReceipt", one, caller=caller))
    answers.append(await network.call("eth_getLogs", {"fromBlock": "0x0"}, caller=caller))
    answers.append(await network.call("eth_feeHistory", 100, "latest", [0, 50, 100], caller=caller))
    for other in network.accounts.values():
        for method in ("eth_getBalance", "eth_getTransactionCount"):
            answers.append(await network.call(method, other.address, caller=caller))
        answers.append(await network.call("eth_getTransactionCount", other.address, "pending", caller=caller))
    return answers


async def test_transfer_is_seen_by_its_two_parties_only() -> None:
    network = await RpcNetwork().ready()
    to = network.accounts[RECIPIENT].address
    sent = await network.send(SENDER, to=to, value=5, data="0xc0ffee")
    for caller in (SENDER, RECIPIENT):
        assert (await network.call("eth_getTransactionByHash", sent, caller=caller))["value"] == "0x5"
        assert (await network.call("eth_getTransactionReceipt", sent, caller=caller))["status"] == "0x1"
        block = await network.call("eth_getBlockByNumber", "latest", False, caller=caller)
        assert block["transactions"] == [sent]
    assert await network.call("eth_getTransactionByHash", sent, caller=COMPETITOR) is None
    assert await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR) is None
    block = await network.call("eth_getBlockByNumber", "latest", True, caller=COMPETITOR)
    assert block["transactions"] == []
    assert block["gasUsed"] == "0x0"
    assert block["number"] == "0x1"
    assert await network.call("eth_getBlockReceipts", "latest", caller=COMPETITOR) == []


async def test_hidden_block_differs_from_an_empty_one_in_nothing_but_roots() -> None:
    network = await RpcNetwork().ready()
    await network.send(SENDER, to=network.accounts[RECIPIENT].address, data="0x" + "ab" * 500)
    seen = await network.call("eth_getBlockByNumber", "latest", True, caller=COMPETITOR)
    empty = await network.call("eth_getBlockByNumber", "0x0", True, caller=COMPETITOR)
    different = {name for name in seen if seen[name] != empty[name]}
    roots = {"hash", "parentHash", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash", "number", "timestamp"}
    assert different <= roots


async def test_competitor_learns_nothing_from_any_method() -> None:
    """What the competitor is told does not depend on what the others do, block headers and roots apart."""
    told = []
    for variant in (0, 1):
        network = await RpcNetwork(policy="private").ready()
        contract = await network.deploy(SENDER, initcode(PLAIN_LOG))
        to, data = (network.accounts[RECIPIENT].address, "0x") if variant else (contract, "0x12345678")
        sent = [await network.send(SENDER, to=to, data=data, value=variant, gas=100_000 + variant)]
        sent.append(await network.send(RECIPIENT, to=contract if variant else to, data="0x99" * variant))
        own = await network.send(COMPETITOR, to=account(9).address, gas=30_000)
        answers = await everything(network, COMPETITOR, [*sent, own])
        answers.append(await network.call("eth_getCode", contract, caller=COMPETITOR))
        told.append(scrub(answers))
    assert told[0] == told[1]


def scrub(value: Any) -> Any:
    """Leave out what everybody may see of a block and what follows from it."""
    public = ("hash", "parentHash", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash", "blockHash")
    if isinstance(value, dict):
        return {key: scrub(one) for key, one in value.items() if key not in public}
    return [scrub(one) for one in value] if isinstance(value, list) else value


async def test_positions_gas_and_bloom_count_visible_items() -> None:
    network = await RpcNetwork(policy="private").ready()
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    theirs = topic_of(network.accounts[COMPETITOR].address)
    ours = topic_of(network.accounts[RECIPIENT].address)
    key = network.accounts[SENDER]
    datas = [ours, theirs, ours, theirs]
    answers = await network.batch(
        [("eth_sendRawTransaction", [network.sign(key, to=contract, data=data, gas=100_000)]) for data in datas]
    )
    hashes = [answer["result"] for answer in answers]
    every = await network.call("eth_getBlockReceipts", "latest")
    assert [one["transactionIndex"] for one in every] == ["0x0", "0x1", "0x2", "0x3"]
    assert [one["logs"][0]["logIndex"] for one in every] == ["0x0", "0x1", "0x2", "0x3"]
    seen = await network.call("eth_getBlockReceipts", "latest", caller=COMPETITOR)
    assert [one["transactionHash"] for one in seen] == [hashes[1], hashes[3]]
    assert [one["transactionIndex"] for one in seen] == ["0x0", "0x1"]
    assert [one["logs"][0]["logIndex"] for one in seen] == ["0x0", "0x1"]
    gas = int(seen[0]["gasUsed"], 16)
    assert [int(one["cumulativeGasUsed"], 16) for one in seen] == [gas, 2 * gas]
    block = await network.call("eth_getBlockByNumber", "latest", True, caller=COMPETITOR)
    assert block["transactions"] == []  # a log lets the receipt be seen, not the transaction
    assert int(block["gasUsed"], 16) == 2 * gas
    assert block["logsBloom"] == seen[0]["logsBloom"] != EMPTY_BLOOM
    assert in_bloom(block["logsBloom"], theirs)
    assert not in_bloom(block["logsBloom"], ours)
    logs = await network.call("eth_getLogs", {"fromBlock": "0x0"}, caller=COMPETITOR)
    assert logs == [one["logs"][0] for one in seen]
    assert await network.call("eth_getLogs", {"topics": [None, ours]}, caller=COMPETITOR) == []
    for one in (hashes[0], hashes[2]):
        assert await network.call("eth_getTransactionReceipt", one, caller=COMPETITOR) is None
    assert await network.call("eth_getTransactionReceipt", hashes[3], caller=COMPETITOR) == seen[1]


def in_bloom(bloom: str, part: str) -> bool:
    digest = keccak(bytes.fromhex(part[2:]))
    bits = int(bloom, 16)
    return all(bits >> (int.from_bytes(digest[at : at + 2], "big") & 2047) & 1 for at in (0, 2, 4))


@pytest.mark.parametrize(("policy", "sees"), [("members", True), ("private", False), ("public", True)])
async def test_contract_without_check_access_follows_the_policy(policy: str, sees: bool) -> None:
    network = await RpcNetwork(policy=policy).ready()
    contract = await network.deploy(SENDER, initcode(PLAIN_LOG))
    sent = await network.send(SENDER, to=contract)
    receipt = await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR)
    assert (receipt is not None) == sees
    assert len(await network.call("eth_getLogs", {"fromBlock": "0x0"}, caller=COMPETITOR)) == sees
    transaction = await network.call("eth_getTransactionByHash", sent, caller=COMPETITOR)
    assert (transaction is not None) == (policy == "public")
    code = await network.call("eth_getCode", contract, caller=COMPETITOR)
    assert (code != "0x") == (policy != "private")
    assert await network.call("eth_getCode", contract) == "0x" + PLAIN_LOG


async def test_public_network_shows_all() -> None:
    network = await RpcNetwork(policy="public").ready()
    sent = await network.send(SENDER, to=network.accounts[RECIPIENT].address, value=3)
    views = [await everything(network, caller, [sent]) for caller in IDENTITIES]
    assert views[0] == views[1] == views[2]
    assert (await network.call("eth_getBalance", network.accounts[SENDER].address, caller=COMPETITOR)) != "0x0"


@pytest.mark.parametrize("policy", ["members", "private"])
async def test_balance_and_nonce_are_ones_own(policy: str) -> None:
    network = await RpcNetwork(policy=policy).ready()
    await network.send(SENDER, to=account(9).address, value=1)
    for other in (network.accounts[SENDER].address, account(9).address, account(10).address):
        assert await network.call("eth_getBalance", other, caller=COMPETITOR) == "0x0"
        assert await network.call("eth_getTransactionCount", other, caller=COMPETITOR) == "0x0"
        assert await network.call("eth_getTransactionCount", other, "pending", caller=COMPETITOR) == "0x0"
    assert await network.call("eth_getTransactionCount", network.accounts[SENDER].address) == "0x1"


async def test_predeployed_code_is_seen_in_a_private_network() -> None:
    network = await RpcNetwork(policy="private").ready()
    factory = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
    assert len(await network.call("eth_getCode", factory, caller=COMPETITOR)) > 2


async def test_moving_an_address_moves_what_it_saw() -> None:
    network = await RpcNetwork().ready()
    sent = await network.send(SENDER, to=network.accounts[RECIPIENT].address)
    assert await network.call("eth_getTransactionByHash", sent, caller=COMPETITOR) is None
    network.harness.advance_clock(1_000)
    await network.bind(COMPETITOR, network.accounts[RECIPIENT])
    assert await network.call("eth_getTransactionByHash", sent, caller=COMPETITOR) is not None
    assert await network.call("eth_getTransactionByHash", sent, caller=RECIPIENT) is None


# eth_call.

CALLER = "335f5260205ff3"
"""Init code that returns its caller."""


async def test_call_comes_from_ones_own_address() -> None:
    network = await RpcNetwork(bind=False).ready()
    assert await network.call("eth_call", {"data": "0x" + CALLER}) == "0x" + "00" * 32
    await network.bind(SENDER, network.accounts[SENDER])
    await network.bind(SENDER, account(40))
    own, second = topic_of(network.accounts[SENDER].address), topic_of(account(40).address)
    assert await network.call("eth_call", {"data": "0x" + CALLER}) == own
    assert await network.call("eth_call", {"data": "0x" + CALLER, "from": account(40).address}) == second
    code, _ = await network.error("eth_call", {"data": "0x" + CALLER, "from": account(41).address})
    assert code == -32001


async def test_call_leaves_nothing_behind() -> None:
    network = await RpcNetwork().ready()
    await network.send(SENDER, to=account(9).address, value=1)
    entries = len(network.harness.entries)
    await network.call("eth_call", {"to": account(9).address, "value": "0x5"})
    await network.call("eth_estimateGas", {"to": account(9).address, "value": "0x5"})
    assert len(network.harness.entries) == entries


# The check-access method, by the supply chain of examples/.

SUPPLY_CHAIN = artifact("supply_chain/artifacts/SupplyChain.json")
SHIPMENT = b"\x07" * 32


@pytest.fixture
async def shipments() -> tuple[RpcNetwork, str, str]:
    """A private network with one shipment: by SENDER, carried by RECIPIENT; account 9 is the retailer."""
    network = await RpcNetwork(policy="private").ready()
    address = await network.deploy(SENDER, SUPPLY_CHAIN["bytecode"])
    contract = WEB3.eth.contract(abi=SUPPLY_CHAIN["abi"])
    data = contract.encode_abi(
        "createShipment",
        [SHIPMENT, network.accounts[RECIPIENT].address, account(9).address, "secret goods", 3, 500, "here", "there"],
    )
    return network, address, await network.send(SENDER, to=address, data=data)


async def test_contract_decides_who_reads_its_logs(shipments: tuple[RpcNetwork, str, str]) -> None:
    network, address, sent = shipments
    every = await network.call("eth_getTransactionReceipt", sent)
    assert len(every["logs"]) == 3
    carrier = await network.call("eth_getTransactionReceipt", sent, caller=RECIPIENT)
    assert [log["topics"][0] for log in carrier["logs"]] == [every["logs"][i]["topics"][0] for i in (0, 2)]
    assert [log["logIndex"] for log in carrier["logs"]] == ["0x0", "0x1"]
    assert b"secret goods".hex() not in orjson.dumps(await everything(network, RECIPIENT, [sent])).decode()
    assert await network.call("eth_getTransactionByHash", sent, caller=RECIPIENT) is None
    assert carrier["logs"] == await network.call(
        "eth_getLogs", {"fromBlock": "0x0", "address": address}, caller=RECIPIENT
    )
    assert await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR) is None
    assert await network.call("eth_getLogs", {"fromBlock": "0x0"}, caller=COMPETITOR) == []
    await network.bind(COMPETITOR, account(9))  # the retailer's address, as a second one
    retailer = await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR)
    assert [log["topics"][0] for log in retailer["logs"]] == [every["logs"][i]["topics"][0] for i in (1, 2)]


async def test_check_access_beats_the_members_policy() -> None:
    network = await RpcNetwork(policy="members").ready()
    address = await network.deploy(SENDER, SUPPLY_CHAIN["bytecode"])
    contract = WEB3.eth.contract(abi=SUPPLY_CHAIN["abi"])
    arguments = [SHIPMENT, network.accounts[RECIPIENT].address, account(9).address, "secret", 3, 500, "here", "there"]
    sent = await network.send(SENDER, to=address, data=contract.encode_abi("createShipment", arguments))
    assert await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR) is None
    assert len((await network.call("eth_getTransactionReceipt", sent, caller=RECIPIENT))["logs"]) == 2


async def test_the_check_asks_for_the_reader_as_itself(shipments: tuple[RpcNetwork, str, str]) -> None:
    """A competitor that calls the method for somebody else gets what the contract tells it: nothing."""
    network, address, sent = shipments
    log = (await network.call("eth_getTransactionReceipt", sent))["logs"][2]
    contract = WEB3.eth.contract(abi=SUPPLY_CHAIN["abi"])
    topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    carrier = network.accounts[RECIPIENT].address
    data = contract.encode_abi("cocoMayReadLog", [carrier, topics, bytes.fromhex(log["data"][2:])])
    assert int(await network.call("eth_call", {"to": address, "data": data}, caller=RECIPIENT), 16) == 1
    assert int(await network.call("eth_call", {"to": address, "data": data}, caller=COMPETITOR), 16) == 0


LOOP = "5b586001900356"
"""Runs until the gas is gone."""


@pytest.mark.parametrize(
    "answer",
    [
        "5ffd",  # revert
        "fe",  # invalid
        LOOP,
        "5f5ff3",  # nothing returned
        "60025f5260205ff3",  # 2 is not true
        "60015f5260405ff3",  # 64 bytes
        "60015f5260015ff3",  # 1 byte
    ],
)
async def test_garbage_from_the_check_denies(answer: str) -> None:
    """A contract that says it has the method, and answers it with garbage, admits nobody."""
    network = await RpcNetwork(policy="members").ready()
    contract = await network.deploy(SENDER, initcode(checker(answer)))
    sent = await network.send(SENDER, to=contract)
    assert len((await network.call("eth_getTransactionReceipt", sent))["logs"]) == 1
    assert await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR) is None


async def test_true_from_the_check_admits() -> None:
    network = await RpcNetwork(policy="private").ready()
    contract = await network.deploy(SENDER, initcode(checker("60015f5260205ff3")))
    sent = await network.send(SENDER, to=contract)
    assert len((await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR))["logs"]) == 1


async def test_expensive_checks_fail_a_query_over_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.ethereum.access.QUERY_GAS_MAX", 500_000)
    network = await RpcNetwork(policy="members").ready()
    contract = await network.deploy(SENDER, initcode(checker(LOOP)))
    for _ in range(4):
        await network.send(SENDER, to=contract, data="0x" + "00" * 32)
    filter_ = {"fromBlock": "0x0"}
    code, text = await network.error("eth_getLogs", filter_, caller=COMPETITOR)
    assert (code, "narrow the range" in text) == (-32000, True)
    assert len(await network.call("eth_getLogs", filter_)) == 4  # its own logs need no check


async def test_expensive_contract_admits_nobody_past_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.ethereum.access.CONTRACT_GAS_MAX", 1)
    network = await RpcNetwork(policy="private").ready()
    contract = await network.deploy(SENDER, initcode(checker("60015f5260205ff3")))
    key = network.accounts[SENDER]
    raws = [network.sign(key, to=contract, gas=100_000) for _ in range(3)]
    await network.batch([("eth_sendRawTransaction", [raw]) for raw in raws])
    assert len(await network.call("eth_getBlockReceipts", "latest", caller=COMPETITOR)) == 1
    assert len(await network.call("eth_getBlockReceipts", "latest")) == 3


async def test_answers_hold_for_one_head_block_only() -> None:
    """The contract admits while its slot 0 is 1; a transaction with data writes the slot."""
    network = await RpcNetwork(policy="private").ready()
    contract = await network.deploy(SENDER, initcode(checker("5f545f5260205ff3", store=True)))
    sent = await network.send(SENDER, to=contract)
    for word, sees in ((1, True), (0, False), (1, True)):
        await network.send(SENDER, to=contract, data="0xffffffff" + word.to_bytes(32, "big").hex())
        receipt = await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR)
        assert (receipt is not None) == sees


def checker(answer: str, *, store: bool = False) -> str:
    """Return runtime code: ERC-165 for ICocoAccess, `answer` for cocoMayReadLog, LOG1 for anything else.

    store: other calls write the word after the selector to slot 0, when there is one.
    """
    may_read = keccak(b"cocoMayReadLog(address,bytes32[],bytes)")[:4].hex()
    supports = "01ffc9a7"
    # supportsInterface: true unless the interface is 0xffffffff.
    supports_code = "5b60043560e01c63ffffffff14155f5260205ff3"
    log_code = "435f5260bb60205fa100"  # its data is the block's number
    if store:
        log_code = "3615" + "60{:02x}57" + "6004355f55" + "005b" + log_code
    head = "5f3560e01c80" + "63" + may_read + "1461{:04x}57" + "63" + supports + "1461{:04x}57"
    size = len(head.format(0, 0)) // 2
    if store:
        log_code = log_code.format(size + 2 + 3 + 5 + 1)
    at_answer = size + len(log_code) // 2
    at_supports = at_answer + len("5b" + answer) // 2
    return head.format(at_answer, at_supports) + log_code + "5b" + answer + supports_code
