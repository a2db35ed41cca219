"""docs/tools/metamask.md: what the extension sends, from its origin, by the proxy and with the token in the URL.

The calls are those that MetaMask makes to a custom network: the chain's identity, the head with its base fee, balances,
fees, code of the recipient, nonce, estimate, the raw transaction, and polling for its receipt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.tools.network import ToolNetwork

ORIGIN = "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn"


class Extension:
    """Posts JSON-RPC as the extension's service worker does."""

    def __init__(self, url: str, verify: str | bool = True) -> None:
        self._session = requests.Session()
        self._session.headers["Origin"] = ORIGIN
        self._verify = verify  # Said with each request: the environment may name another bundle.
        self._url = url

    def post(self, body: Any) -> requests.Response:
        return self._session.post(self._url, json=body, verify=self._verify, timeout=30)

    def ask(self, method: str, *parameters: Any) -> Any:
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}).json()
        assert "result" in answer, answer
        return answer["result"]

    def close(self) -> None:
        self._session.close()


@pytest.fixture(params=["proxy", "direct"])
def extension(request: pytest.FixtureRequest, network: ToolNetwork) -> Iterator[Extension]:
    if request.param == "proxy":
        made = Extension(network.proxy("alice", "--allow-origin", ORIGIN).http)
    else:
        made = Extension(f"{network.url}/token/{network.token('alice')}/", str(network.ca_file))
    yield made
    made.close()


def test_add_a_network(extension: Extension) -> None:
    assert extension.ask("eth_chainId") == hex(20170)
    assert extension.ask("net_version") == "20170"
    head = extension.ask("eth_getBlockByNumber", "latest", False)
    assert "baseFeePerGas" in head  # EIP-1559 is taken to be there when the head has one.
    assert extension.ask("eth_blockNumber") == head["number"]
    assert extension.ask("eth_accounts") == []


def test_show_balances(extension: Extension, network: ToolNetwork) -> None:
    address = network.accounts["alice-key"].address.lower()
    assert int(extension.ask("eth_getBalance", address, "latest"), 16) > 0
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_getBalance", "params": [address, "latest"]}
        for number in range(3)
    ]
    assert [item["id"] for item in extension.post(batch).json()] == [0, 1, 2]


def test_send(extension: Extension, network: ToolNetwork) -> None:
    account = network.accounts["alice-key"]
    number = extension.ask("eth_blockNumber")
    history = extension.ask("eth_feeHistory", "0x5", number, [10, 20, 30])
    assert len(history["baseFeePerGas"]) == len(history["reward"]) + 1
    assert extension.ask("eth_gasPrice") == "0x0"
    assert extension.ask("eth_getCode", account.address, number) == "0x"
    transfer = {"from": account.address, "to": account.address, "value": "0x1"}
    gas = extension.ask("eth_estimateGas", transfer)
    nonce = extension.ask("eth_getTransactionCount", account.address, number)
    assert nonce == extension.ask("eth_getTransactionCount", account.address, "pending")
    signed = account.sign_transaction(
        {"chainId": 20170, "to": account.address, "value": 1, "gas": int(gas, 16), "nonce": int(nonce, 16),
         "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 10**9, "type": 2}
    )  # fmt: skip
    sent = extension.ask("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    receipt = extension.ask("eth_getTransactionReceipt", sent)
    assert receipt["status"] == "0x1"
    block = extension.ask("eth_getBlockByHash", receipt["blockHash"], False)
    assert sent in block["transactions"]
    assert extension.ask("eth_getTransactionByHash", sent)["blockNumber"] == receipt["blockNumber"]


def test_an_extension_that_was_not_allowed(network: ToolNetwork, proxy: Any) -> None:
    stranger = Extension(proxy.http)
    answer = stranger.post({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
    stranger.close()
    assert answer.status_code == 403
    assert "--allow-origin" in answer.json()["error"]["message"]


def test_a_wrong_token_in_the_url(network: ToolNetwork) -> None:
    stranger = Extension(f"{network.url}/token/wrong/", str(network.ca_file))
    answer = stranger.post({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
    stranger.close()
    assert answer.status_code == 401
