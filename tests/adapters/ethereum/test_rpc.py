"""JSON-RPC end to end in the harness: formats, errors, batches, malformed requests."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from adapters.ethereum.method_table import make_methods
from adapters.ethereum.methods import ToSubmit
from adapters.ethereum.settings import parse_settings
from adapters.jsonrpc import RpcCall
from tests.adapters.ethereum.rpc_support import (
    CHAIN_ID,
    COMPETITOR,
    RECIPIENT,
    SENDER,
    RpcNetwork,
    artifact,
    sign_text,
)


@pytest.fixture
async def network() -> RpcNetwork:
    return await RpcNetwork().ready()


async def test_constants(network: RpcNetwork) -> None:
    assert await network.call("eth_chainId") == hex(CHAIN_ID)
    assert await network.call("net_version") == str(CHAIN_ID)
    assert await network.call("eth_accounts") == []
    assert await network.call("eth_syncing") is False
    assert (await network.call("web3_clientVersion")).startswith("Coco/")
    assert await network.call("eth_gasPrice") == "0x0"
    assert await network.call("eth_maxPriorityFeePerGas") == "0x0"
    assert await network.call("eth_blockNumber") == "0x0"


async def test_transfer_and_its_formats(network: RpcNetwork) -> None:
    to = network.accounts[RECIPIENT].address
    sent = await network.send(SENDER, to=to, value=5, gas=21_000, maxFeePerGas=7, maxPriorityFeePerGas=3)
    receipt = await network.call("eth_getTransactionReceipt", sent)
    block = await network.call("eth_getBlockByNumber", "latest", True)
    assert receipt == {
        "blockHash": block["hash"],
        "blockNumber": "0x1",
        "transactionHash": sent,
        "transactionIndex": "0x0",
        "from": network.accounts[SENDER].address.lower(),
        "to": to.lower(),
        "gasUsed": "0x5208",
        "cumulativeGasUsed": "0x5208",
        "contractAddress": None,
        "logs": [],
        "logsBloom": "0x" + "00" * 256,
        "type": "0x2",
        "effectiveGasPrice": "0x0",
        "status": "0x1",
    }
    assert set(block) == {
        *("number", "hash", "parentHash", "nonce", "mixHash", "sha3Uncles", "logsBloom", "stateRoot", "miner"),
        *("difficulty", "extraData", "gasLimit", "gasUsed", "timestamp", "transactionsRoot", "receiptsRoot"),
        *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "size"),
        *("uncles", "transactions", "withdrawals"),
    }
    assert block["gasUsed"] == "0x5208"
    assert block["difficulty"] == "0x0"
    transaction = await network.call("eth_getTransactionByHash", sent)
    assert block["transactions"] == [transaction]
    assert transaction["gasPrice"] == "0x0"
    assert transaction["maxFeePerGas"] == "0x7"
    assert transaction["value"] == "0x5"
    assert transaction["accessList"] == []
    by_hash = await network.call("eth_getBlockByHash", block["hash"], False)
    assert by_hash["transactions"] == [sent]
    assert await network.call("eth_getBlockReceipts", "latest") == [receipt]
    assert await network.call("eth_getBalance", to, caller=RECIPIENT) == hex(10**21 + 5)
    assert await network.call("eth_getBalance", to, "0x0", caller=RECIPIENT) == hex(10**21)


async def test_prague_header_has_a_requests_hash() -> None:
    network = await RpcNetwork(fork="prague").ready()
    block = await network.call("eth_getBlockByNumber", "0x0", False)
    assert len(block["requestsHash"]) == 66


async def test_legacy_transaction_shows_chain_id(network: RpcNetwork) -> None:
    sent = await network.send(SENDER, to=network.accounts[RECIPIENT].address)
    transaction = await network.call("eth_getTransactionByHash", sent)
    assert transaction["type"] == "0x0"
    assert transaction["chainId"] == hex(CHAIN_ID)
    assert "yParity" not in transaction
    assert int(transaction["v"], 16) in (2 * CHAIN_ID + 35, 2 * CHAIN_ID + 36)


async def test_reverted_transaction_returns_its_hash_and_status_0(network: RpcNetwork) -> None:
    token = await network.deploy(SENDER, _token_code())
    data = "0xa9059cbb" + "11" * 64
    sent = await network.send(SENDER, to=token, data=data)
    receipt = await network.call("eth_getTransactionReceipt", sent)
    assert receipt["status"] == "0x0"


async def test_call_gives_revert_data_with_code_3(network: RpcNetwork) -> None:
    token = await network.deploy(SENDER, _token_code())
    to = network.accounts[RECIPIENT].address
    request = {"to": token, "data": "0xa9059cbb" + "00" * 12 + to[2:] + "ff" * 32}
    for method in ("eth_call", "eth_estimateGas"):
        answer = await network.ask(method, request)
        assert answer["error"]["code"] == 3
        assert answer["error"]["message"] == "execution reverted"
        assert answer["error"]["data"].startswith("0xe450d38c")  # ERC20InsufficientBalance
    revert = "0x08c379a0" + "20".rjust(64, "0") + "2".rjust(64, "0") + "6e6f".ljust(64, "0")
    code = "0x7f" + revert[2:66] + "5f52" + "7f" + revert[66:130] + "602052" + "7f" + revert[130:194] + "604052"
    code += "63" + revert[194:202] + "60e01b606052" + "60645ffd"
    answer = await network.ask("eth_call", {"data": code})
    assert answer["error"] == {"code": 3, "message": "execution reverted: no", "data": revert}


async def test_estimate_is_enough(network: RpcNetwork) -> None:
    token = await network.deploy(SENDER, _token_code())
    to = network.accounts[RECIPIENT].address
    data = "0xa9059cbb" + "00" * 12 + to[2:] + (5).to_bytes(32, "big").hex()
    gas = int(await network.call("eth_estimateGas", {"to": token, "input": data}), 16)
    receipt = await network.call("eth_getTransactionReceipt", await network.send(SENDER, to=token, data=data, gas=gas))
    assert receipt["status"] == "0x1"


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("eth_getBalance", [], "missing value for required argument 0"),
        ("eth_getBalance", [None], "missing value for required argument 0"),
        ("eth_getBalance", ["0x12"], "invalid argument 0: hex string has length 2, want 40 for common.Address"),
        (
            "eth_getBalance",
            ["12" * 20],
            "invalid argument 0: json: cannot unmarshal hex string without 0x prefix into Go value of type "
            "common.Address",
        ),
        (
            "eth_getBalance",
            [5],
            "invalid argument 0: json: cannot unmarshal non-string into Go value of type common.Address",
        ),
        ("eth_getBalance", ["0x" + "12" * 20, "0x01"], "invalid argument 1: hex number with leading zero digits"),
        ("eth_getBalance", ["0x" + "12" * 20, "0x"], 'invalid argument 1: hex string "0x"'),
        ("eth_getBalance", ["0x" + "12" * 20, "newest"], "invalid argument 1: hex string without 0x prefix"),
        ("eth_getBalance", ["0x" + "12" * 20, "latest", 1], "too many arguments, want at most 2"),
        (
            "eth_getBlockByNumber",
            ["latest", "yes"],
            "invalid argument 1: json: cannot unmarshal string into Go value of type bool",
        ),
        (
            "eth_getBalance",
            ["0x" + "12" * 20, {"blockNumber": "0x0", "blockHash": "0x" + "00" * 32}],
            "invalid argument 1: cannot specify both BlockHash and BlockNumber, choose one or the other",
        ),
        (
            "eth_call",
            [{"value": "0x01"}],
            "invalid argument 0: json: cannot unmarshal hex number with leading zero digits into Go struct field "
            "TransactionArgs.value of type *hexutil.Big",
        ),
        (
            "eth_call",
            [{}, "latest", {}, {"number": "0x5"}],
            "invalid argument 3: block overrides are not supported by this network",
        ),
        (
            "eth_call",
            ["0x"],
            "invalid argument 0: json: cannot unmarshal string into Go value of type ethapi.TransactionArgs",
        ),
        (
            "eth_sendRawTransaction",
            ["0xzz"],
            "invalid argument 0: json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes",
        ),
        ("eth_getLogs", [{"topics": [["0x"]]}], "invalid argument 0: hex string has length 0, want 64 for common.Hash"),
        ("eth_getLogs", [{"topics": [None] * 5}], "invalid argument 0: exceed max topics"),
        ("eth_feeHistory", ["x", "latest"], 'invalid argument 0: invalid hex or decimal integer "x"'),
    ],
)
async def test_wrong_parameters(network: RpcNetwork, method: str, params: list[object], text: str) -> None:
    assert await network.error(method, *params) == (-32602, text)


async def test_method_that_does_not_exist(network: RpcNetwork) -> None:
    assert await network.error("eth_mine") == (-32601, "the method eth_mine does not exist/is not available")


@pytest.mark.parametrize(
    ("raw", "code"),
    [("0x", -32602), ("0xff", -32602), ("0x03" + "00" * 90, -32000), ("0xc0", -32602), ("0x02c0", -32602)],
)
async def test_raw_transactions_that_do_not_decode(network: RpcNetwork, raw: str, code: int) -> None:
    assert (await network.error("eth_sendRawTransaction", raw))[0] == code


async def test_wrong_chain_id(network: RpcNetwork) -> None:
    raw = network.sign(network.accounts[SENDER], chainId=5)
    assert (await network.error("eth_sendRawTransaction", raw))[0] == -32000
    assert await network.error("eth_call", {"chainId": "0x5"}) == (
        -32000,
        "chainId does not match node's (have=5, want=1337)",
    )


async def test_nonce_errors(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    raw = network.sign(key, nonce=0, to=key.address)
    await network.call("eth_sendRawTransaction", raw)
    other = network.sign(key, nonce=0, to=key.address, data="0x01")
    assert await network.error("eth_sendRawTransaction", other) == (-32000, "nonce too low")
    assert await network.call("eth_getTransactionCount", key.address) == "0x1"
    assert await network.call("eth_getTransactionCount", key.address, "earliest") == "0x0"


async def test_a_committed_transaction_that_is_sent_again_is_answered_as_before(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    raw = network.sign(key, nonce=0, to=key.address)
    committed = await network.call("eth_sendRawTransaction", raw)
    await network.send(SENDER, nonce=1, to=key.address)
    head = network.harness.committed
    assert await network.call("eth_sendRawTransaction", raw) == committed
    network.harness.restart()
    assert await network.call("eth_sendRawTransaction", raw) == committed
    assert network.harness.committed == head
    refused = await network.error("eth_sendRawTransaction", raw, caller=RECIPIENT)
    assert refused[0] == -32001


async def test_blocks_by_tag_number_and_hash(network: RpcNetwork) -> None:
    await network.send(SENDER, to=network.accounts[RECIPIENT].address)
    latest = await network.call("eth_getBlockByNumber", "latest", False)
    for tag in ("pending", "safe", "finalized", "0x1"):
        assert await network.call("eth_getBlockByNumber", tag) == latest
    assert (await network.call("eth_getBlockByNumber", "earliest"))["number"] == "0x0"
    own = network.accounts[SENDER].address
    for at in (latest["hash"], {"blockHash": latest["hash"], "requireCanonical": True}, {"blockNumber": "0x1"}):
        assert await network.call("eth_getTransactionCount", own, at) == "0x1"
    assert await network.call("eth_getBlockByNumber", "0x5", False) is None
    assert await network.call("eth_getBlockByHash", "0x" + "11" * 32, False) is None
    assert await network.call("eth_getBlockReceipts", "0x5") is None
    assert await network.error("eth_getBalance", own, "0x5") == (-32000, "header not found")
    assert await network.error("eth_call", {}, "0x" + "11" * 32) == (-32000, "header not found")


async def test_state_of_the_last_128_blocks_only(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    for _ in range(130):
        await network.send(SENDER, to=key.address, gas=21_000)
    assert await network.call("eth_blockNumber") == hex(130)
    assert await network.call("eth_getTransactionCount", key.address, "0x3") == "0x3"
    for method, first in (("eth_getTransactionCount", key.address), ("eth_call", {})):
        assert await network.error(method, first, "0x2") == (-32000, "historical state not available")
    assert len((await network.call("eth_getBlockByNumber", "0x1", False))["transactions"]) == 1
    network.harness.restart()
    assert await network.call("eth_getTransactionCount", key.address) == "0x82"


async def test_fee_history(network: RpcNetwork) -> None:
    await network.send(SENDER, to=network.accounts[RECIPIENT].address, gas=21_000)
    history = await network.call("eth_feeHistory", "0x5", "latest", [10, 90])
    assert history == {
        "oldestBlock": "0x0",
        "baseFeePerGas": ["0x0"] * 3,
        "gasUsedRatio": [0.0, 21_000 / 60_000_000],
        "baseFeePerBlobGas": ["0x1"] * 3,
        "blobGasUsedRatio": [0.0, 0.0],
        "reward": [["0x0", "0x0"]] * 2,
    }
    hidden = await network.call("eth_feeHistory", 2, "latest", caller=COMPETITOR)
    assert hidden["gasUsedRatio"] == [0.0, 0.0]
    assert (await network.error("eth_feeHistory", 1, "0x9"))[0] == -32000
    assert (await network.error("eth_feeHistory", 1, "latest", [90, 10]))[0] == -32000


async def test_priced_network_quotes_its_base_fee() -> None:
    network = await RpcNetwork(base_fee_wei=1_000).ready()
    assert await network.call("eth_gasPrice") == hex(1_000)
    sent = await network.send(
        SENDER, to=network.accounts[RECIPIENT].address, maxFeePerGas=3_000, maxPriorityFeePerGas=5
    )
    assert (await network.call("eth_getTransactionReceipt", sent))["effectiveGasPrice"] == hex(1_005)
    assert (await network.call("eth_feeHistory", 1, "latest", [50]))["reward"] == [["0x5"]]
    raw = network.sign(network.accounts[SENDER], to=network.accounts[RECIPIENT].address)
    assert (await network.error("eth_sendRawTransaction", raw))[1].startswith(
        "max fee per gas less than block base fee"
    )


async def test_data_and_input_must_agree(network: RpcNetwork) -> None:
    own = network.accounts[SENDER].address
    assert await network.call("eth_call", {"to": own, "data": "0x12", "input": "0x12"}) == "0x"
    code, text = await network.error("eth_call", {"to": own, "data": "0x12", "input": "0x13"})
    assert code == -32000
    assert text.startswith('both "data" and "input" are set and not equal')


async def test_batch_of_100_transactions_shares_few_blocks(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    calls: list[tuple[str, list[object]]] = [
        ("eth_sendRawTransaction", [network.sign(key, to=key.address, gas=21_000)]) for _ in range(100)
    ]
    calls.append(("eth_getTransactionCount", [key.address, "latest"]))
    answers = await network.batch(calls)
    assert [answer["id"] for answer in answers] == list(range(101))
    assert all(len(answer["result"]) == 66 for answer in answers[:100])
    assert answers[100]["result"] == hex(100)
    assert int(await network.call("eth_blockNumber"), 16) <= 2


async def test_batch_with_notification_and_broken_items(network: RpcNetwork) -> None:
    body = b"""[{"jsonrpc":"2.0","method":"eth_chainId"}, 5,
        {"jsonrpc":"2.0","id":"a\\u0041","method":"eth_blockNumber"},
        {"jsonrpc":"1.0","id":1.50,"method":"eth_chainId"}, {"jsonrpc":"2.0","id":123456789012345678901234567890,
        "method":"eth_syncing","params":{}}]"""
    assert await network.raw(body) == (
        b'[{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request"}},'
        b'{"jsonrpc":"2.0","id":"a\\u0041","result":"0x0"},'
        b'{"jsonrpc":"2.0","id":1.50,"error":{"code":-32600,"message":"invalid request"}},'
        b'{"jsonrpc":"2.0","id":123456789012345678901234567890,"error":{"code":-32602,"message":"non-array args"}}]'
    )
    assert await network.raw(b'{"jsonrpc":"2.0","method":"eth_chainId"}') == b""


async def test_pending_nonce_counts_the_queue(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    methods = make_methods(parse_settings(network.harness.adapter.settings), "x")
    for raw in [network.sign(key, to=key.address) for _ in range(3)]:
        prepared = methods.prepare(RpcCall(b"1", "eth_sendRawTransaction", (raw,)))
        assert isinstance(prepared, ToSubmit)
        network.harness.enqueue(prepared.payload, SENDER)
    assert await network.call("eth_getTransactionCount", key.address, "pending") == "0x3"
    assert await network.call("eth_getTransactionCount", key.address, "latest") == "0x0"
    assert await network.call("eth_getTransactionCount", key.address, "pending", caller=RECIPIENT) == "0x0"
    network.harness.run()
    assert await network.call("eth_getTransactionCount", key.address) == "0x3"


async def test_gap_is_held_and_then_refused(network: RpcNetwork) -> None:
    key = network.accounts[SENDER]
    late = asyncio.create_task(network.ask("eth_sendRawTransaction", network.sign(key, nonce=1, to=key.address)))
    await asyncio.sleep(0.01)
    assert not late.done()
    await network.call("eth_sendRawTransaction", network.sign(key, nonce=0, to=key.address))
    assert "result" in await late
    gap = asyncio.create_task(network.ask("eth_sendRawTransaction", network.sign(key, nonce=9, to=key.address)))
    await asyncio.sleep(0.01)
    network.harness.advance_clock(1_000)
    assert (await gap)["error"] == {"code": -32000, "message": "nonce too high"}


async def test_block_with_bindings_only_makes_no_ethereum_block(network: RpcNetwork) -> None:
    assert network.harness.blocks > 3
    assert await network.call("eth_blockNumber") == "0x0"


async def test_get_gives_a_hint_and_no_identity_gets_nothing(network: RpcNetwork) -> None:
    response = await network.harness.request("GET", "/", caller=SENDER)
    assert orjson.loads(response.body)["chainId"] == hex(CHAIN_ID)
    assert (await network.harness.request("POST", "/", b"{}")).status == 401


async def test_signature_helper_is_not_accepted_as_transaction(network: RpcNetwork) -> None:
    signature = sign_text(network.accounts[SENDER], "hello")
    assert (await network.error("eth_sendRawTransaction", signature))[0] in (-32602, -32000)


def _token_code() -> str:
    compiled = artifact("contracts/artifacts/Token.json")
    arguments = "60".rjust(64, "0") + "a0".rjust(64, "0") + (1000).to_bytes(32, "big").hex()
    arguments += "1".rjust(64, "0") + "41".ljust(64, "0") + "1".rjust(64, "0") + "42".ljust(64, "0")
    return str(compiled["bytecode"]) + arguments
