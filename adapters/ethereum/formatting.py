"""Blocks, transactions, receipts and logs as go-ethereum's JSON-RPC shows them, field by field.

Everything is computed from a Visible view (visibility.py): positions, counts, gas and blooms cover what it holds.
Source: go-ethereum's internal/ethapi (RPCMarshalHeader, RPCTransaction, marshalReceipt); the execution-apis schema.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from adapters.ethereum.blocks import EMPTY_UNCLES_HASH, encode_header
from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Authorization, Block, Header, Log, SignedTransaction
from adapters.ethereum.rlp_codec import encode_bytes, encode_list
from adapters.ethereum.tries import EMPTY_ROOT
from adapters.ethereum.visibility import VisibleBlock, VisibleReceipt

EMPTY_LISTS_BYTES = 2
"""In a block's RLP: no uncles, no withdrawals."""


def data(value: bytes) -> str:
    """Return 0x text of bytes."""
    return "0x" + value.hex()


def quantity(value: int) -> str:
    """Return 0x text of an integer, without leading zeros."""
    return hex(value)


@lru_cache(maxsize=4_096)
def checksum_address(address: bytes) -> str:
    """Return an address with its checksum in the letters' case (EIP-55)."""
    digits = address.hex()
    digest = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit for digit, nibble in zip(digits, digest, strict=False)
    )


def format_head(view: VisibleBlock) -> dict[str, Any]:
    """Return a header, as the subscription newHeads has it."""
    result = _format_header(view.block, view.block.header)
    result["logsBloom"] = data(view.bloom)
    result["gasUsed"] = quantity(view.gas_used)
    return result


def format_block(view: VisibleBlock, *, full: bool) -> dict[str, Any]:
    """Return a block. full: with whole transactions instead of their hashes."""
    shown = [item for item in view.items if item.transaction_visible]
    block, header = view.block, view.block.header
    result = format_head(view)
    result["size"] = quantity(_block_size(replace(header, gas_used=view.gas_used), shown))
    result["uncles"] = []
    result["transactions"] = [
        format_transaction(item, block) if full else data(item.stored.transaction.hash) for item in shown
    ]
    result["withdrawals"] = []
    return result


def _format_header(block: Block, header: Header) -> dict[str, Any]:
    result = {
        "number": quantity(header.number),
        "hash": data(block.hash),
        "parentHash": data(header.parent_hash),
        "nonce": "0x0000000000000000",
        "mixHash": data(header.mix_hash),
        "sha3Uncles": data(EMPTY_UNCLES_HASH),
        "stateRoot": data(header.state_root),
        "miner": data(header.coinbase),
        "difficulty": "0x0",
        "extraData": data(header.extra_data),
        "gasLimit": quantity(header.gas_limit),
        "timestamp": quantity(header.timestamp),
        "transactionsRoot": data(header.transactions_root),
        "receiptsRoot": data(header.receipts_root),
        "baseFeePerGas": quantity(header.base_fee),
        "withdrawalsRoot": data(EMPTY_ROOT),
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": data(header.parent_beacon_block_root),
    }
    if header.requests_hash is not None:
        result["requestsHash"] = data(header.requests_hash)
    return result


def _block_size(header: Header, shown: list[VisibleReceipt]) -> int:
    """Return the size in bytes of the block's RLP with the visible transactions only.

    header: with the visible gas, since the length of that integer counts, too.
    """
    encoded = encode_header(header)
    raws = (item.stored.transaction for item in shown)
    body = encode_list([encode_bytes(one.raw) if one.type else one.raw for one in raws])
    return len(encode_list([encoded, body])) + EMPTY_LISTS_BYTES


def format_transaction(item: VisibleReceipt, block: Block) -> dict[str, Any]:
    """Return a transaction of a block."""
    result = format_waiting(item.stored.transaction)
    result["blockHash"] = data(block.hash)
    result["blockNumber"] = quantity(block.header.number)
    result["transactionIndex"] = quantity(item.index)
    if item.stored.transaction.type >= 2:
        result["gasPrice"] = quantity(item.receipt.effective_gas_price)
    return result


def format_waiting(transaction: SignedTransaction) -> dict[str, Any]:
    """Return a transaction that is in no block yet."""
    result: dict[str, Any] = {
        "blockHash": None,
        "blockNumber": None,
        "from": data(transaction.sender),
        "gas": quantity(transaction.gas_limit),
        "gasPrice": quantity(transaction.gas_price),
        "hash": data(transaction.hash),
        "input": data(transaction.data),
        "nonce": quantity(transaction.nonce),
        "to": None if transaction.to is None else data(transaction.to),
        "transactionIndex": None,
        "value": quantity(transaction.value),
        "type": quantity(transaction.type),
    }
    if transaction.chain_id is not None:
        result["chainId"] = quantity(transaction.chain_id)
    if transaction.type >= 1:
        result["accessList"] = [
            {"address": data(address), "storageKeys": [data(slot.to_bytes(32, "big")) for slot in slots]}
            for address, slots in transaction.access_list
        ]
        result["yParity"] = quantity(transaction.v)
    if transaction.type >= 2:
        result["maxFeePerGas"] = quantity(transaction.max_fee)
        result["maxPriorityFeePerGas"] = quantity(transaction.max_priority_fee)
    if transaction.type == 4:
        result["authorizationList"] = [_format_authorization(one) for one in transaction.authorizations]
    return result | _format_signature(transaction)


def _format_signature(transaction: SignedTransaction) -> dict[str, Any]:
    return {"v": quantity(transaction.v), "r": quantity(transaction.r), "s": quantity(transaction.s)}


def _format_authorization(one: Authorization) -> dict[str, Any]:
    return {
        "chainId": quantity(one.chain_id),
        "address": data(one.address),
        "nonce": quantity(one.nonce),
        "yParity": quantity(one.y_parity),
        "r": quantity(one.r),
        "s": quantity(one.s),
    }


def format_receipt(item: VisibleReceipt, block: Block) -> dict[str, Any]:
    """Return a receipt with the logs that are visible."""
    transaction, receipt = item.stored.transaction, item.receipt
    contract = receipt.contract_address
    return {
        "blockHash": data(block.hash),
        "blockNumber": quantity(block.header.number),
        "transactionHash": data(transaction.hash),
        "transactionIndex": quantity(item.index),
        "from": data(transaction.sender),
        "to": None if transaction.to is None else data(transaction.to),
        "gasUsed": quantity(receipt.gas_used),
        "cumulativeGasUsed": quantity(item.cumulative_gas_used),
        "contractAddress": None if contract is None else data(contract),
        "logs": [format_log(log, position, item, block) for position, log in enumerate(item.logs)],
        "logsBloom": data(item.bloom),
        "type": quantity(receipt.type),
        "effectiveGasPrice": quantity(receipt.effective_gas_price),
        "status": quantity(receipt.status),
    }


def format_log(log: Log, position: int, item: VisibleReceipt, block: Block) -> dict[str, Any]:
    """Return a log. position: among the visible logs of its receipt."""
    return {
        "address": data(log.address),
        "topics": [data(topic) for topic in log.topics],
        "data": data(log.data),
        "blockNumber": quantity(block.header.number),
        "transactionHash": data(item.stored.transaction.hash),
        "transactionIndex": quantity(item.index),
        "blockHash": data(block.hash),
        "blockTimestamp": quantity(block.header.timestamp),
        "logIndex": quantity(item.first_log_index + position),
        "removed": False,
    }
