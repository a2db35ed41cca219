"""The OpenRPC document against what is really answered, and against the names that the execution-apis schema gives."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator, ValidationError

from adapters.ethereum.method_table import make_methods
from adapters.ethereum.methods import ToSubmit
from adapters.ethereum.settings import parse_settings
from adapters.jsonrpc import RpcCall
from tests.adapters.ethereum.rpc_support import (
    COMPETITOR,
    IDENTITIES,
    RECIPIENT,
    SENDER,
    RpcNetwork,
    account,
    initcode,
    sign_text,
)
from tests.adapters.ethereum.socket_support import Client, settle
from tests.adapters.ethereum.test_rpc_errors import FEES
from tests.adapters.ethereum.test_visibility import TOPIC_LOG, topic_of

EXECUTION_APIS = {
    "eth_blockNumber": [],
    "eth_chainId": [],
    "eth_syncing": [],
    "eth_accounts": [],
    "eth_gasPrice": [],
    "eth_blobBaseFee": [],
    "eth_maxPriorityFeePerGas": [],
    "eth_getBlockByHash": ["Block hash", "Hydrated transactions"],
    "eth_getBlockByNumber": ["Block", "Hydrated transactions"],
    "eth_getBlockTransactionCountByHash": ["Block hash"],
    "eth_getBlockTransactionCountByNumber": ["Block"],
    "eth_getUncleCountByBlockHash": ["Block hash"],
    "eth_getUncleCountByBlockNumber": ["Block"],
    "eth_getBlockReceipts": ["Block"],
    "eth_getTransactionByHash": ["Transaction hash"],
    "eth_getTransactionByBlockHashAndIndex": ["Block hash", "Transaction index"],
    "eth_getTransactionByBlockNumberAndIndex": ["Block", "Transaction index"],
    "eth_getTransactionReceipt": ["Transaction hash"],
    "eth_getBalance": ["Address", "Block"],
    "eth_getStorageAt": ["Address", "Storage slot", "Block"],
    "eth_getTransactionCount": ["Address", "Block"],
    "eth_getCode": ["Address", "Block"],
    "eth_call": ["Transaction", "Block"],
    "eth_estimateGas": ["Transaction", "Block"],
    "eth_createAccessList": ["Transaction", "Block"],
    "eth_feeHistory": ["blockCount", "newestBlock", "rewardPercentiles"],
    "eth_newFilter": ["Filter"],
    "eth_newBlockFilter": [],
    "eth_newPendingTransactionFilter": [],
    "eth_uninstallFilter": ["Filter Identifier"],
    "eth_getFilterChanges": ["Filter Identifier"],
    "eth_getFilterLogs": ["Filter Identifier"],
    "eth_getLogs": ["Filter"],
    "eth_sendRawTransaction": ["Transaction"],
    "eth_subscribe": ["Subscription"],
    "eth_unsubscribe": ["Subscription ID"],
}
"""Method -> names of its parameters there. Ours may have more behind them, as go-ethereum's have."""


class Document:
    """The document of a network, with a validator for each method."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.methods = {one["name"]: one for one in document["methods"]}
        self.answered: set[str] = set()

    def _validate(self, schema: Any, value: object) -> None:
        Draft7Validator({**schema, "components": self.document["components"]}).validate(value)

    def check(self, method: str, params: tuple[object, ...], result: object) -> None:
        """Raise ValidationError unless parameters and result are as described."""
        described = self.methods[method]
        for parameter, value in zip(described["params"], params, strict=False):
            self._validate(parameter["schema"], value)
        assert len(params) >= sum(parameter["required"] for parameter in described["params"])
        self._validate(described["result"]["schema"], result)
        self.answered.add(method)


async def discover(network: RpcNetwork) -> Document:
    return Document(await network.call("rpc.discover"))


def check_all_schemas(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    for method in document["methods"]:
        for part in (*method["params"], method["result"]):
            Draft7Validator.check_schema(part["schema"])


async def test_document() -> None:
    network = await RpcNetwork().ready()
    document = await network.call("rpc.discover")
    response = await network.harness.request("GET", "/openrpc.json", caller=SENDER)
    assert response.status == 200
    assert orjson.loads(response.body) == document
    check_all_schemas(document)
    served = orjson.loads((await network.harness.request("GET", "/", caller=SENDER)).body)["methods"]
    assert [one["name"] for one in document["methods"]] == served
    text = orjson.dumps(document).decode()
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(document["components"]["schemas"])


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("eth_blockNumber", (), "0x01"),
        ("eth_getBalance", (), "0x0"),
        ("eth_getBalance", ("0x12",), "0x0"),
        ("eth_getBlockByNumber", ("latest", False), {"number": "0x1"}),
        ("eth_getTransactionReceipt", ("0x" + "11" * 32,), {}),
    ],
)
async def test_the_check_finds_what_is_not_as_described(
    method: str, params: tuple[object, ...], result: object
) -> None:
    document = await discover(await RpcNetwork(bind=False).ready())
    with pytest.raises((ValidationError, AssertionError)):
        document.check(method, params, result)


@pytest.mark.parametrize(("method", "names"), EXECUTION_APIS.items())
async def test_names_are_those_of_execution_apis(method: str, names: list[str]) -> None:
    described = Document(await (await RpcNetwork(bind=False).ready()).call("rpc.discover")).methods[method]
    assert [one["name"] for one in described["params"]][: len(names)] == names


Calls = list[tuple[str, list[object]]]


def calls_of(own: str, contract: str, block: dict[str, Any], hashes: list[str]) -> Calls:
    """Return calls of every method with parameters that looks and does nothing."""
    return [
        ("web3_sha3", ["0x12"]),
        *((f"eth_getBlockBy{how}", [at, full]) for how, at in by(block) for full in (True, False)),
        *((f"eth_getBlockTransactionCountBy{how}", [at]) for how, at in by(block)),
        *((f"eth_getUncleCountByBlock{how}", [at]) for how, at in by(block)),
        *((f"eth_getUncleByBlock{how}AndIndex", [at, "0x0"]) for how, at in by(block)),
        *((f"eth_getTransactionByBlock{how}AndIndex", [at, "0x0"]) for how, at in by(block)),
        *((f"eth_getRawTransactionByBlock{how}AndIndex", [at, "0x0"]) for how, at in by(block)),
        *(("eth_getTransactionByHash", [one]) for one in (*hashes, "0x" + "11" * 32)),
        *(("eth_getTransactionReceipt", [one]) for one in (*hashes, "0x" + "11" * 32)),
        *(("eth_getRawTransactionByHash", [one]) for one in (*hashes, "0x" + "11" * 32)),
        *(("coco_getTransactionReceiptProof", [one]) for one in (*hashes, "0x" + "11" * 32)),
        ("eth_getBlockReceipts", ["0x2"]),
        ("eth_getBlockReceipts", [{"blockHash": block["hash"]}]),
        ("eth_getBalance", [own, "latest"]),
        ("eth_getTransactionCount", [own, "pending"]),
        ("eth_getCode", [contract]),
        ("eth_getStorageAt", [contract, "0x0", "latest"]),
        ("eth_call", [{"to": contract, "data": "0x12"}, "latest", {own: {"balance": "0x5"}}]),
        ("eth_estimateGas", [{"to": contract, "from": own}]),
        ("eth_createAccessList", [{"data": "0x5f5450"}]),
        ("eth_createAccessList", [{"data": "0x5f5ffd"}]),
        ("eth_feeHistory", ["0x5", "latest", [10, 50]]),
        ("eth_feeHistory", ["0x0", "latest"]),
        ("eth_getLogs", [{"fromBlock": "0x0", "address": [contract], "topics": [None, [None]]}]),
        ("txpool_contentFrom", [own]),
        ("coco_bindMessage", [account(20).address]),
    ]


@pytest.mark.parametrize("fork", ["cancun", "prague"])
async def test_answers_are_as_described(fork: str) -> None:
    network = await RpcNetwork(fork=fork, policy="members").ready()
    document = await discover(network)
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    await network.send(SENDER, to=contract, data=topic_of(network.accounts[RECIPIENT].address))
    access = [{"address": "0x" + "12" * 20, "storageKeys": ["0x" + "34" * 32]}]
    hashes = [
        await network.send(SENDER, to=account(9).address, value=5, data="0x12", accessList=access, **fees)
        for fees in ({}, {"maxFeePerGas": 5, "maxPriorityFeePerGas": 3})
    ]
    block = await network.call("eth_getBlockByNumber", "latest", False)
    for caller in IDENTITIES:
        own = network.accounts[caller].address
        calls: Calls = [(name, []) for name, one in document.methods.items() if not one["params"]]
        for method, params in (*calls, *calls_of(own, contract, block, hashes)):
            document.check(method, tuple(params), await network.call(method, *params, caller=caller))
    raw = network.sign(network.accounts[SENDER], to=account(9).address, **FEES)
    document.check("eth_sendRawTransaction", (raw,), await network.call("eth_sendRawTransaction", raw))
    await filters_are_as_described(network, document, contract)
    await sockets_are_as_described(network, document)
    assert set(document.methods) - document.answered == {"coco_bind"}
    message = await network.call("coco_bindMessage", account(21).address)
    signed = sign_text(account(21), message)
    document.check("coco_bind", (message, signed), await network.call("coco_bind", message, signed))


def by(block: dict[str, Any]) -> list[tuple[str, str]]:
    return [("Number", block["number"]), ("Number", "latest"), ("Hash", block["hash"])]


async def filters_are_as_described(network: RpcNetwork, document: Document, contract: str) -> None:
    made = {}
    for method, params in (
        ("eth_newFilter", ({"address": contract},)),
        ("eth_newBlockFilter", ()),
        ("eth_newPendingTransactionFilter", ()),
    ):
        made[method] = await network.call(method, *params)
        document.check(method, params, made[method])
    await network.send(SENDER, to=contract, data=topic_of(account(9).address))
    for one in made.values():
        changes = await network.call("eth_getFilterChanges", one)
        assert len(changes) == 1
        document.check("eth_getFilterChanges", (one,), changes)
    logs = made["eth_newFilter"]
    document.check("eth_getFilterLogs", (logs,), await network.call("eth_getFilterLogs", logs))
    document.check("eth_uninstallFilter", (logs,), await network.call("eth_uninstallFilter", logs))


async def sockets_are_as_described(network: RpcNetwork, document: Document) -> None:
    client = Client(network, COMPETITOR)
    heads = await client.call("eth_subscribe", "newHeads")
    document.check("eth_subscribe", ("newHeads",), heads)
    await network.send(SENDER, to=account(9).address)
    await settle()
    (header,) = client.told(heads)
    schemas = document.document["components"]
    Draft7Validator({"$ref": "#/components/schemas/Header", "components": schemas}).validate(header)
    document.check("eth_unsubscribe", (heads,), await client.call("eth_unsubscribe", heads))
    await client.close()


async def test_what_waits_is_as_described() -> None:
    network = await RpcNetwork().ready()
    document = await discover(network)
    methods = make_methods(parse_settings(network.harness.adapter.settings), "x")
    for nonce in (0, 3):
        raw = network.sign(network.accounts[SENDER], nonce=nonce, to=account(9).address, **FEES)
        prepared = methods.prepare(RpcCall(b"1", "eth_sendRawTransaction", (raw,)))
        assert isinstance(prepared, ToSubmit)
        network.harness.enqueue(prepared.payload, SENDER)
    for method in ("txpool_status", "txpool_content", "txpool_inspect"):
        document.check(method, (), await network.call(method))
    own = network.accounts[SENDER].address
    document.check("txpool_contentFrom", (own,), await network.call("txpool_contentFrom", own))
