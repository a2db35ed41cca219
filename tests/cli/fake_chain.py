"""The Ethereum side of a scripted node, and the contract that tests deploy on it."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

CONTRACT_ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
ABI: list[dict[str, Any]] = [
    {"type": "constructor", "inputs": [{"name": "owner", "type": "string"}, {"name": "limit", "type": "uint256"}]},
    {"type": "function", "name": "set", "inputs": [{"name": "value", "type": "int256"}], "outputs": []},
    {"type": "function", "name": "get", "inputs": [], "outputs": [
        {"name": "value", "type": "int256"}, {"name": "by", "type": "address"}]},
    {"type": "error", "name": "TooLarge", "inputs": [{"name": "limit", "type": "uint256"}]},
]  # fmt: skip
TOO_LARGE = "0x" + (keccak(text="TooLarge(uint256)")[:4] + encode(["uint256"], [9])).hex()
HASH = "0x" + "ab" * 32


class Chain:
    """Answers as a node whose every transaction succeeds, until told otherwise."""

    def __init__(self) -> None:
        self.raw: list[str] = []
        self.knows_receipt = True
        self.errors: dict[str, dict[str, Any]] = {}
        self.calls: list[list[Any]] = []
        self.call_result = "0x" + encode(["int256", "address"], [-7, CONTRACT_ADDRESS]).hex()
        self.receipt: dict[str, Any] = {
            "status": "0x1",
            "transactionHash": HASH,
            "blockNumber": "0x5",
            "gasUsed": "0x5208",
            "contractAddress": CONTRACT_ADDRESS.lower(),
            "logs": [{}],
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method = request["method"]
        if method in self.errors:
            return {"error": self.errors[method]}
        if method == "eth_call":
            self.calls.append(request["params"])
        if method == "eth_sendRawTransaction":
            self.raw += request["params"]
        return {
            "result": {
                "eth_estimateGas": "0xc350",
                "eth_getBlockByNumber": {"baseFeePerGas": "0x7"},
                "eth_maxPriorityFeePerGas": "0x2",
                "eth_chainId": "0x539",
                "eth_getTransactionCount": "0x3",
                "eth_sendRawTransaction": HASH,
                "eth_getTransactionReceipt": self.receipt if self.knows_receipt else None,
                "eth_call": self.call_result,
            }[method]
        }


def hash_of(raw: str) -> str:
    """Return the hash of a raw transaction."""
    return "0x" + keccak(hexstr=raw).hex()
