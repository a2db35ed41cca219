"""Counts, positions, raw transactions, storage, access lists, the queue, and what the node says of itself."""

from __future__ import annotations

import sys

import pytest

from adapters.ethereum.adapter import ADAPTER_VERSION
from adapters.ethereum.method_table import make_methods
from adapters.ethereum.methods import ToAsk, ToSubmit
from adapters.ethereum.settings import parse_settings
from adapters.jsonrpc import RpcCall
from tests.adapters.ethereum.rpc_support import (
    CHAIN_ID,
    COMPETITOR,
    IDENTITIES,
    RECIPIENT,
    SENDER,
    RpcNetwork,
    account,
    initcode,
)
from tests.adapters.ethereum.test_visibility import TOPIC_LOG, topic_of

UNKNOWN = "0x" + "11" * 32
IMPLEMENTATION_SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"


@pytest.fixture
async def network() -> RpcNetwork:
    return await RpcNetwork().ready()


async def test_what_the_node_says_of_itself(network: RpcNetwork) -> None:
    version = f"Coco/v{ADAPTER_VERSION}/{sys.platform}/python{sys.version_info.major}.{sys.version_info.minor}"
    assert await network.call("web3_clientVersion") == version
    assert await network.call("net_version") == str(CHAIN_ID)
    assert await network.call("net_listening") is True
    assert await network.call("net_peerCount") == "0x0"
    assert await network.call("hardhat_getAutomine") is True
    assert await network.call("eth_blobBaseFee") == "0x1"
    assert await network.call("web3_sha3", "0x") == (
        "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    )
    for method in ("eth_coinbase", "eth_protocolVersion", "eth_mining", "eth_getProof", "debug_traceTransaction"):
        assert await network.error(method) == (-32601, f"the method {method} does not exist/is not available")


async def test_counts_and_positions(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    to = [network.accounts[RECIPIENT].address, account(9).address, network.accounts[RECIPIENT].address]
    answers = await network.batch([("eth_sendRawTransaction", [network.sign(key, to=one, gas=21_000)]) for one in to])
    hashes = [one["result"] for one in answers]
    block = await network.call("eth_getBlockByNumber", "latest", True)
    counts = []
    for caller in IDENTITIES:
        by_number = await network.call("eth_getBlockTransactionCountByNumber", "latest", caller=caller)
        by_hash = await network.call("eth_getBlockTransactionCountByHash", block["hash"], caller=caller)
        assert by_number == by_hash
        counts.append(by_number)
    assert counts == ["0x3", "0x2", "0x0"]
    for caller, visible in ((SENDER, hashes), (RECIPIENT, [hashes[0], hashes[2]]), (COMPETITOR, [])):
        for index in range(4):
            found = await network.call("eth_getTransactionByBlockNumberAndIndex", "latest", hex(index), caller=caller)
            same = await network.call("eth_getTransactionByBlockHashAndIndex", block["hash"], hex(index), caller=caller)
            assert found == same
            assert (found and found["hash"]) == (visible[index] if index < len(visible) else None)
            assert found is None or found["transactionIndex"] == hex(index)
            raw = await network.call("eth_getRawTransactionByBlockNumberAndIndex", "latest", hex(index), caller=caller)
            assert (raw != "0x") == (found is not None)
    for method in ("eth_getBlockTransactionCountByHash", "eth_getUncleCountByBlockHash"):
        assert await network.call(method, UNKNOWN) is None
    assert await network.call("eth_getBlockTransactionCountByNumber", "0x99") is None
    assert await network.call("eth_getTransactionByBlockNumberAndIndex", "latest", "0xffffffffffffffff") is None


async def test_uncles(network: RpcNetwork) -> None:
    genesis = await network.call("eth_getBlockByNumber", "0x0", False)
    assert await network.call("eth_getUncleCountByBlockNumber", "latest") == "0x0"
    assert await network.call("eth_getUncleCountByBlockHash", genesis["hash"]) == "0x0"
    assert await network.call("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None
    assert await network.call("eth_getUncleByBlockHashAndIndex", genesis["hash"], "0x0") is None


async def test_raw_transactions(network: RpcNetwork) -> None:
    raw = network.sign(
        network.accounts[SENDER], to=account(9).address, gas=21_000, maxFeePerGas=1, maxPriorityFeePerGas=0
    )
    sent = await network.call("eth_sendRawTransaction", raw)
    block = await network.call("eth_getBlockByNumber", "latest")
    assert await network.call("eth_getRawTransactionByHash", sent) == raw
    assert await network.call("eth_getRawTransactionByBlockHashAndIndex", block["hash"], "0x0") == raw
    assert await network.call("eth_getRawTransactionByHash", UNKNOWN) == "0x"
    assert await network.call("eth_getRawTransactionByHash", sent, caller=COMPETITOR) == "0x"


async def test_a_receipt_seen_by_its_log_does_not_show_the_transaction(network: RpcNetwork) -> None:
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    await network.send(SENDER, to=contract, data=topic_of(network.accounts[COMPETITOR].address))
    assert len(await network.call("eth_getBlockReceipts", "latest", caller=COMPETITOR)) == 1
    assert await network.call("eth_getTransactionByBlockNumberAndIndex", "latest", "0x0", caller=COMPETITOR) is None
    assert await network.call("eth_getBlockTransactionCountByNumber", "latest", caller=COMPETITOR) == "0x0"


@pytest.mark.parametrize("policy", ["public", "members", "private"])
async def test_storage_is_zero_but_for_the_proxy_slots(policy: str) -> None:
    network = await RpcNetwork(policy=policy).ready()
    store = f"602a5f55602b7f{IMPLEMENTATION_SLOT[2:]}55"
    contract = await network.deploy(SENDER, "0x" + store + "60015ff3")
    zero = "0x" + "00" * 32
    for slot in ("0x0", "0x", "0x00", "0x" + "00" * 32, "1"):
        assert await network.call("eth_getStorageAt", contract, slot, "latest") == zero
    for caller in IDENTITIES:
        found = await network.call("eth_getStorageAt", contract, IMPLEMENTATION_SLOT, caller=caller)
        assert found == (zero if policy == "private" and caller is not SENDER else "0x" + "2b".rjust(64, "0"))
    assert await network.call("eth_getStorageAt", contract, IMPLEMENTATION_SLOT, "0x0") == zero
    wrong = "unable to decode storage key: hex string "
    assert await network.error("eth_getStorageAt", contract, "0xz") == (-32602, wrong + "invalid")
    assert await network.error("eth_getStorageAt", contract, "0x" + "0" * 66) == (
        -32602,
        wrong + "too long, want at most 32 bytes",
    )


READ_SLOTS = "5f54505f5f5f5f5f60aa5af15000"
"""Runtime: reads slot 0 and calls the address 0xaa."""


@pytest.mark.parametrize("policy", ["public", "members"])
async def test_access_lists(policy: str) -> None:
    network = await RpcNetwork(policy=policy).ready()
    contract = await network.deploy(SENDER, initcode(READ_SLOTS))
    made = await network.call("eth_createAccessList", {"to": contract})
    slot = "0x" + "00" * 32
    shown = [
        {"address": "0x" + "aa".rjust(40, "0"), "storageKeys": []},
        {"address": contract, "storageKeys": [slot]},
    ]
    assert made["accessList"] == (shown if policy == "public" else [])
    assert "error" not in made
    # A creation's own slots are the caller's.
    made = await network.call("eth_createAccessList", {"data": "0x5f5450" + "5f5ff3"})
    assert [entry["storageKeys"] for entry in made["accessList"]] == [[slot]]
    failed = await network.call("eth_createAccessList", {"data": "0x5f5ffd"})
    assert failed["error"] == "execution reverted"
    estimated = await network.call("eth_createAccessList", {"to": account(9).address})
    assert estimated == {"accessList": [], "gasUsed": "0x5208"}


@pytest.mark.parametrize("policy", ["public", "members"])
async def test_the_queue_shows_ones_own(policy: str) -> None:
    network = await RpcNetwork(policy=policy).ready()
    key = network.accounts[SENDER]
    methods = make_methods(parse_settings(network.harness.adapter.settings), "x")
    for nonce in (0, 1, 5):
        raw = network.sign(key, nonce=nonce, to=account(9).address, gas=21_000, gasPrice=7, value=3)
        prepared = methods.prepare(RpcCall(b"1", "eth_sendRawTransaction", (raw,)))
        assert isinstance(prepared, ToSubmit)
        network.harness.enqueue(prepared.payload, SENDER)
    assert await network.call("txpool_status") == {"pending": "0x2", "queued": "0x1"}
    content = await network.call("txpool_content")
    assert list(content["pending"][key.address]) == ["0", "1"]
    waiting = content["queued"][key.address]["5"]
    assert waiting["blockHash"] is waiting["blockNumber"] is waiting["transactionIndex"] is None
    assert await network.call("txpool_contentFrom", key.address) == {
        name: content[name][key.address] for name in ("pending", "queued")
    }
    text = f"{account(9).address}: 3 wei + 21000 gas × 7 wei"
    assert (await network.call("txpool_inspect"))["queued"] == {key.address: {"5": text}}
    empty = {"pending": {}, "queued": {}}
    for caller in (RECIPIENT, COMPETITOR):
        assert await network.call("txpool_status", caller=caller) == {"pending": "0x0", "queued": "0x0"}
        assert await network.call("txpool_content", caller=caller) == empty
        assert await network.call("txpool_inspect", caller=caller) == empty
        assert await network.call("txpool_contentFrom", key.address, caller=caller) == empty
    assert await network.call("eth_getTransactionCount", key.address, "pending") == "0x2"
    assert await network.call("eth_getTransactionCount", key.address, "pending", caller=RECIPIENT) == "0x0"
    network.harness.run()
    assert await network.call("txpool_status") == {"pending": "0x0", "queued": "0x1"}


async def test_an_omitted_block_is_the_latest_one(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    await network.send(SENDER, to=account(9).address, value=1)
    for method, params in (
        ("eth_getBalance", [key.address]),
        ("eth_getTransactionCount", [key.address]),
        ("eth_getCode", [key.address]),
        ("eth_getStorageAt", [key.address, "0x0"]),
        ("eth_call", [{"data": "0x435f5260205ff3"}]),
        ("eth_estimateGas", [{"to": account(9).address}]),
        ("eth_createAccessList", [{"to": account(9).address}]),
        ("eth_getBlockReceipts", []),
    ):
        assert await network.call(method, *params) == await network.call(method, *params, "latest"), method


async def test_fee_history_reaches_1024_blocks(network: RpcNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.ethereum import rpc_blocks

    assert rpc_blocks.FEE_HISTORY_BLOCKS_MAX == 1_024
    monkeypatch.setattr(rpc_blocks, "FEE_HISTORY_BLOCKS_MAX", 3)
    for _ in range(5):
        await network.send(SENDER, to=account(9).address, gas=21_000)
    history = await network.call("eth_feeHistory", "0x9999", "latest", [])
    assert (history["oldestBlock"], len(history["gasUsedRatio"])) == ("0x3", 3)


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("eth_getBlockByNumber", ["latest"], "lookup"),
        ("eth_getLogs", [{}], "lookup"),
        ("eth_getTransactionCount", ["0x" + "11" * 20, "latest"], "lookup"),
        ("eth_getTransactionCount", ["0x" + "11" * 20, "pending"], "live"),
        ("eth_call", [{}], "simulation"),
        ("eth_estimateGas", [{}], "simulation"),
        ("eth_createAccessList", [{}], "simulation"),
        ("eth_newFilter", [{}], "live"),
        ("eth_uninstallFilter", ["0x1"], "live"),
        ("txpool_content", [], "live"),
        ("coco_bindMessage", ["0x" + "11" * 20], "live"),
        ("coco_boundAddresses", [], "lookup"),
    ],
)
async def test_what_a_query_needs(network: RpcNetwork, method: str, params: list[object], expected: str) -> None:
    methods = make_methods(parse_settings(network.harness.adapter.settings), "x")
    prepared = methods.prepare(RpcCall(b"1", method, tuple(params)))
    assert isinstance(prepared, ToAsk)
    assert network.harness.adapter.query_class(prepared.payload) == expected
