"""Prepares an Ethereum chain for load: a token, senders that own some of it, addresses proved to the caller.

Where the target is a Coco network, its account pays and signs; on a development node the first unlocked account does
(`eth_accounts`, `eth_sendTransaction`), so that no key needs to be known.
"""

from __future__ import annotations

import importlib.resources
import time
from collections.abc import Sequence
from typing import Any

import orjson

from cli.account import check_bind_message
from cli.errors import Refused, Reverted, WrongUse
from cli.load.client import Client
from cli.load.signing import Fees, Signer
from cli.load.workload import Target

BATCH = 50
PROBES = 5
CREATION_GAS = 2_000_000
RECEIPT_SECONDS_MAX = 60.0
_RECEIPT_POLL_SECONDS = 0.02
_GWEI = 10**9


def token_creation(supply: int) -> bytes:
    """Return the code that creates the token (OpenZeppelin's ERC-20; made by benchmarks/load_token.py)."""
    from eth_abi.abi import encode

    artifact = orjson.loads(importlib.resources.files("cli.load").joinpath("Token.json").read_bytes())
    return bytes.fromhex(artifact["bytecode"][2:]) + encode(["string", "string", "uint256"], ["Load", "LOAD", supply])


def current_fees(client: Client) -> Fees:
    """Return what to offer so that transactions stay acceptable while the base fee rises; nothing where gas is free."""
    block = client.rpc("eth_getBlockByNumber", "latest", False)
    base = int(block.get("baseFeePerGas") or "0x0", 16)
    return Fees(100 * base + 2 * _GWEI, _GWEI) if base else Fees()


class Treasury:
    """The account that pays for what load needs."""

    def __init__(self, client: Client, target: Target, chain_id: int, fees: Fees) -> None:
        self._client = client
        self._fees = fees
        self._signer: Signer | None = None
        self._nonce = 0
        if target.treasury_key is not None:
            self._signer = Signer(target.treasury_key, chain_id)
            self._nonce = nonces(client, [self._signer.address])[0]
            self.address = "0x" + self._signer.address.hex()
            return
        unlocked = client.rpc("eth_accounts")
        if not unlocked:
            raise WrongUse(
                f"{target.name} has no unlocked account to pay for the load",
                hint="Give a file with the private key of a funded account: --key-file FILE",
            )
        self.address = str(unlocked[0])

    def send(self, to: bytes | None, *, value: int = 0, data: bytes = b"", gas: int) -> str:
        """Send a transaction; returns its hash. Raises Refused."""
        if self._signer is not None:
            raw, _ = self._signer.sign(self._nonce, to, value=value, data=data, gas=gas, fees=self._fees)
            self._nonce += 1
            return str(self._client.rpc("eth_sendRawTransaction", "0x" + raw.hex()))
        fields = {"from": self.address, "value": hex(value), "gas": hex(gas), "data": "0x" + data.hex()}
        return str(self._client.rpc("eth_sendTransaction", fields | ({} if to is None else {"to": "0x" + to.hex()})))

    def create_token(self, supply: int) -> bytes:
        """Deploy the token, whose whole supply is the treasury's; returns its address."""
        (receipt,) = self.wait([self.send(None, data=token_creation(supply), gas=CREATION_GAS)])
        return bytes.fromhex(str(receipt["contractAddress"])[2:])

    def wait(self, hashes: Sequence[str]) -> list[dict[str, Any]]:
        """Wait for the receipts of transactions; raises Reverted, Refused."""
        receipts = []
        deadline = time.monotonic() + RECEIPT_SECONDS_MAX
        for transaction in hashes:
            while (receipt := self._client.rpc("eth_getTransactionReceipt", transaction)) is None:
                if time.monotonic() > deadline:
                    raise Refused(f"transaction {transaction} is in no block after {RECEIPT_SECONDS_MAX:.0f} s", code=0)
                time.sleep(_RECEIPT_POLL_SECONDS)
            if receipt["status"] != "0x1":
                raise Reverted("a transaction that prepares the load failed", transaction_hash=transaction)
            receipts.append(receipt)
        return receipts


def answers_when_mined(client: Client, target: Target) -> bool:
    """Find out whether an end point answers a transaction only once its receipt can be read: by trying it."""
    treasury = Treasury(client, target, int(client.rpc("eth_chainId"), 16), current_fees(client))
    own = bytes.fromhex(treasury.address[2:])
    hashes = []
    for _ in range(PROBES):
        hashes.append(treasury.send(own, gas=21_000))
        if client.rpc("eth_getTransactionReceipt", hashes[-1]) is None:
            treasury.wait(hashes)
            return False
    return True


def nonces(client: Client, addresses: Sequence[bytes]) -> list[int]:
    """Return the next nonce of each address."""
    found: list[int] = []
    for first in range(0, len(addresses), BATCH):
        calls = [("eth_getTransactionCount", ["0x" + one.hex(), "latest"]) for one in addresses[first : first + BATCH]]
        found += [int(result, 16) for result in client.results(calls)]
    return found


def bind_all(client: Client, keys: Sequence[bytes]) -> None:
    """Prove the accounts of these keys to the caller's identity, as `coco account bind` does."""
    from eth_account import Account
    from eth_account.messages import encode_defunct

    accounts = [Account.from_key(key) for key in keys]
    for first in range(0, len(accounts), BATCH):
        part = accounts[first : first + BATCH]
        messages = client.results([("coco_bindMessage", [account.address]) for account in part])
        proofs = []
        for account, message in zip(part, messages, strict=True):
            check_bind_message(message, account.address)
            signature = account.sign_message(encode_defunct(text=message)).signature
            proofs.append(("coco_bind", [message, "0x" + bytes(signature).hex()]))
        client.results(proofs)
