"""The object that clients share: a contract of registers, each swapped by a transaction whose log tells what was there.

It is written in the machine's own words: no compiler is needed. 64 bytes of call data, register and value: swap,
and log (before, after) under the topic of the register. 32 bytes, register: return its value.
"""

from __future__ import annotations

import hashlib
from typing import Any

import rlp
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from cli.connection import Connection

RUNTIME = bytes.fromhex(
    "36602014601e57"  # Call data of 32 bytes: jump to the read.
    "6000358054600052"  # The register; memory[0] = storage[register].
    "60203580602052"  # The value; memory[32] = value.
    "8155"  # storage[register] = value.
    "60406000a100"  # Log memory[0:64] under the topic register; stop.
    "5b60003554600052"  # The read: memory[0] = storage[register].
    "60206000f3"  # Return it.
)
CREATION = bytes.fromhex("602b80600c6000396000f300") + RUNTIME
"""Copies the 43 bytes that follow its own twelve, and returns them."""

GAS = 120_000
CREATION_GAS = 200_000


def swap_data(register: int, value: int) -> str:
    return "0x" + register.to_bytes(32, "big").hex() + value.to_bytes(32, "big").hex()


def read_data(register: int) -> str:
    return "0x" + register.to_bytes(32, "big").hex()


def sign_swap(account: LocalAccount, chain_id: int, nonce: int, to: str, register: int, value: int) -> tuple[str, str]:
    """Return the raw transaction and its hash."""
    return _sign(account, chain_id, nonce, to, swap_data(register, value))


def deploy(connection: Connection, account: LocalAccount, chain_id: int) -> str:
    """Create the contract with the account's first transaction; return its address."""
    raw, name = _sign(account, chain_id, 0, None, "0x" + CREATION.hex())
    connection.rpc("eth_sendRawTransaction", raw)
    created = str(connection.rpc("eth_getTransactionReceipt", name)["contractAddress"])
    return str(to_checksum_address(created))


def _sign(account: LocalAccount, chain_id: int, nonce: int, to: str | None, data: str) -> tuple[str, str]:
    fields: dict[str, Any] = {
        "chainId": chain_id, "nonce": nonce, "value": 0, "gas": GAS if to else CREATION_GAS, "type": 2,
        "maxFeePerGas": 0, "maxPriorityFeePerGas": 0, "data": data,
    }  # fmt: skip
    signed = account.sign_transaction(fields if to is None else fields | {"to": to})
    return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()


def before_of(receipt: dict[str, Any]) -> int:
    """Return what a swap found in its register, as its receipt tells; raises ValueError for a receipt of none."""
    logs = receipt["logs"]
    if receipt["status"] != "0x1" or len(logs) != 1:
        raise ValueError(f"not the receipt of a swap: status {receipt['status']}, {len(logs)} logs")
    return int.from_bytes(_bytes(logs[0]["data"])[:32], "big")


def claims_of(receipt: dict[str, Any]) -> str:
    """Return what the ledger entry of a transaction must claim, made from its receipt as the client got it.

    docs/receipts.md: SHA-256 of its hash and of the consensus encoding of its receipt, as if alone in its block.
    """
    logs = [[_bytes(log["address"]), [_bytes(topic) for topic in log["topics"]], _bytes(log["data"])]
            for log in receipt["logs"]]  # fmt: skip
    fields = [_number(receipt["status"]), _number(receipt["gasUsed"]), _bytes(receipt["logsBloom"]), logs]
    kind = int(receipt["type"], 16)
    encoded = (bytes((kind,)) if kind else b"") + rlp.encode(fields)
    return hashlib.sha256(_bytes(receipt["transactionHash"]) + encoded).hexdigest()


def _number(text: str) -> bytes:
    value = int(text, 16)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
