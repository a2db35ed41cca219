"""An Ethereum network in the harness, with three identities that hold one funded account each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from adapters.ethereum.adapter import EthereumAdapter
from core.adapter.harness import AdapterHarness
from core.adapter.interface import Caller

CHAIN_ID = 1337
ROOT = Path(__file__).parents[3]

SENDER = Caller("sender", is_member=True, credential="certificate")
RECIPIENT = Caller("recipient", is_member=True, credential="token")
COMPETITOR = Caller("competitor", is_member=True, credential="token")
IDENTITIES = (SENDER, RECIPIENT, COMPETITOR)
ANSWER_KEYS = {"jsonrpc", "id"}


def account(number: int) -> LocalAccount:
    """Return a test account: the same key for the same number."""
    made: LocalAccount = Account.from_key(number.to_bytes(32, "big"))
    return made


def artifact(path: str) -> dict[str, Any]:
    """Return a compiled contract of examples/."""
    loaded: dict[str, Any] = json.loads((ROOT / "examples" / path).read_text())
    return loaded


class RpcNetwork:
    """accounts: one of each identity, bound unless bind=False."""

    def __init__(self, *, bind: bool = True, **settings: Any) -> None:
        self.accounts = {caller: account(index + 1) for index, caller in enumerate(IDENTITIES)}
        alloc = {one.address: {"balance": str(10**21)} for one in self.accounts.values()}
        settings = {"chain_id": CHAIN_ID, "alloc": alloc, **settings}
        self.harness = AdapterHarness(EthereumAdapter(settings, "Test network"))
        self._nonces: dict[str, int] = {}
        self._to_bind = list(IDENTITIES) if bind else []

    async def ready(self) -> RpcNetwork:
        for caller in self._to_bind:
            await self.bind(caller, self.accounts[caller])
        return self

    async def raw(self, body: bytes, caller: Caller = SENDER) -> bytes:
        response = await self.harness.request("POST", "/", body, caller)
        assert response.status == 200
        return bytes(response.body)

    async def ask(self, method: str, *params: object, caller: Caller = SENDER) -> dict[str, Any]:
        """Return the whole response object."""
        body = orjson.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        answer: dict[str, Any] = orjson.loads(await self.raw(body, caller))
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 7
        assert len(answer) == 3
        return answer

    async def call(self, method: str, *params: object, caller: Caller = SENDER) -> Any:
        """Return the result; fails on an error."""
        answer = await self.ask(method, *params, caller=caller)
        assert "result" in answer, answer
        return answer["result"]

    async def error(self, method: str, *params: object, caller: Caller = SENDER) -> tuple[int, str]:
        """Return code and message of the error; fails on a result."""
        answer = await self.ask(method, *params, caller=caller)
        assert "error" in answer, answer
        return answer["error"]["code"], answer["error"]["message"]

    async def batch(self, calls: list[tuple[str, list[object]]], caller: Caller = SENDER) -> list[dict[str, Any]]:
        body = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
            for index, (method, params) in enumerate(calls)
        ]
        answers: list[dict[str, Any]] = orjson.loads(await self.raw(orjson.dumps(body), caller))
        return answers

    async def bind(self, caller: Caller, key: LocalAccount) -> Any:
        message = await self.call("coco_bindMessage", key.address, caller=caller)
        return await self.call("coco_bind", message, sign_text(key, message), caller=caller)

    def sign(self, key: LocalAccount, **fields: Any) -> str:
        """Return the raw transaction, with the key's next nonce unless one is given."""
        nonce = fields.pop("nonce", None)
        if nonce is None:
            nonce = self._nonces.get(key.address, 0)
            self._nonces[key.address] = nonce + 1
        transaction = {"chainId": CHAIN_ID, "gas": 2_000_000, "gasPrice": 0, "value": 0, "nonce": nonce, **fields}
        if "to" in transaction:
            transaction["to"] = bytes.fromhex(transaction["to"][2:])
        if "maxFeePerGas" in transaction:
            transaction.pop("gasPrice")
        return "0x" + bytes(key.sign_transaction(transaction).raw_transaction).hex()

    async def send(self, caller: Caller, **fields: Any) -> str:
        """Send a transaction from the caller's account; returns its hash."""
        found: str = await self.call(
            "eth_sendRawTransaction", self.sign(self.accounts[caller], **fields), caller=caller
        )
        return found

    async def deploy(self, caller: Caller, code: str) -> str:
        """Deploy a contract; returns its address."""
        receipt = await self.call("eth_getTransactionReceipt", await self.send(caller, data=code), caller=caller)
        assert receipt["status"] == "0x1"
        address: str = receipt["contractAddress"]
        return address


def sign_text(key: LocalAccount, text: str) -> str:
    """Sign as personal_sign does."""
    return "0x" + bytes(key.sign_message(encode_defunct(text=text)).signature).hex()


def initcode(runtime: str) -> str:
    """Return init code that deploys this runtime code (hexadecimal)."""
    size = len(runtime) // 2
    return f"0x61{size:04x}80600a5f395ff3" + runtime
