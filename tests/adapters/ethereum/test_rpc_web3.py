"""An unmodified web3.py over the end point: what its own formatters make of our answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from eth_account.signers.local import LocalAccount
from web3 import AsyncWeb3
from web3.exceptions import ContractCustomError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.providers.async_base import AsyncJSONBaseProvider

from core.adapter.interface import Caller
from tests.adapters.ethereum.rpc_support import CHAIN_ID, COMPETITOR, RECIPIENT, SENDER, RpcNetwork, artifact


class HarnessProvider(AsyncJSONBaseProvider):
    """Carries web3.py's requests to the harness as one caller."""

    def __init__(self, network: RpcNetwork, caller: Caller) -> None:
        super().__init__()
        self._network = network
        self._caller = caller

    async def make_request(self, method: Any, params: Any) -> Any:
        body = self.encode_rpc_request(method, params)
        return orjson.loads(await self._network.raw(body, self._caller))

    async def is_connected(self, show_traceback: bool = False) -> bool:
        return True


def client(network: RpcNetwork, caller: Caller) -> AsyncWeb3[Any]:
    web3: AsyncWeb3[Any] = AsyncWeb3(HarnessProvider(network, caller))
    key: LocalAccount = network.accounts[caller]
    web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(key), layer=0)
    web3.eth.default_account = key.address
    return web3


@pytest.mark.parametrize("base_fee", [0, 1_000])
async def test_token_story(base_fee: int) -> None:
    network = await RpcNetwork(base_fee_wei=base_fee).ready()
    web3 = client(network, SENDER)
    compiled = artifact("contracts/artifacts/Token.json")
    token = web3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
    deployed = await web3.eth.wait_for_transaction_receipt(await token.constructor("Gold", "GLD", 1_000).transact())
    assert deployed["status"] == 1
    gold = web3.eth.contract(address=deployed["contractAddress"], abi=compiled["abi"])
    to = network.accounts[RECIPIENT].address
    sent = await gold.functions.transfer(to, 5).transact()
    receipt = await web3.eth.wait_for_transaction_receipt(sent)
    (event,) = gold.events.Transfer().process_receipt(receipt)
    assert event["args"] == {"from": network.accounts[SENDER].address, "to": to, "value": 5}
    assert await gold.functions.balanceOf(to).call() == 5
    logs = await gold.events.Transfer().get_logs(from_block=0)
    assert [log["args"]["value"] for log in logs] == [1_000, 5]
    with pytest.raises(ContractCustomError):
        await gold.functions.transfer(to, 10**9).call()
    with pytest.raises(ContractCustomError):
        await gold.functions.transfer(to, 10**9).estimate_gas()
    block = await web3.eth.get_block("latest", full_transactions=True)
    assert block["transactions"][0]["hash"] == sent
    assert (await web3.eth.get_transaction(sent))["from"] == network.accounts[SENDER].address
    assert await web3.eth.chain_id == CHAIN_ID
    assert await web3.eth.gas_price == base_fee
    assert (await web3.eth.fee_history(2, "latest", [50.0]))["oldestBlock"] == 1
    assert len(await web3.eth.get_block_receipts("latest")) == 1
    competitor = client(network, COMPETITOR)
    with pytest.raises(TransactionNotFound):
        await competitor.eth.get_transaction(sent)
    assert await competitor.eth.get_balance(to) == 0
    with pytest.raises(Web3RPCError, match="coco account bind"):
        await competitor.eth.call({"from": to, "to": gold.address})
