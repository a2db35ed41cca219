"""Answers about blocks, transactions, receipts and fees, from committed state. Each is made from the caller's view."""

from __future__ import annotations

from typing import Any, assert_never

from adapters.ethereum import chain
from adapters.ethereum.binding import addresses_of
from adapters.ethereum.follow import follow
from adapters.ethereum.formatting import (
    checksum_address,
    data,
    format_block,
    format_receipt,
    format_transaction,
    quantity,
)
from adapters.ethereum.log_filter import get_logs
from adapters.ethereum.model import Block
from adapters.ethereum.requests import (
    LATEST,
    BlockNumber,
    BlockQuery,
    BoundAddresses,
    FeeHistory,
    Follow,
    GetBlock,
    GetBlockCount,
    GetBlockReceipts,
    GetLogs,
    GetRawTransaction,
    GetReceipt,
    GetTransaction,
    GetTransactionAt,
)
from adapters.ethereum.scope import Scope
from adapters.ethereum.visibility import VisibleBlock, VisibleReceipt
from adapters.jsonrpc import SERVER_ERROR, RpcError

FEE_HISTORY_BLOCKS_MAX = 1_024
"""As geth by default."""
NO_BYTES = "0x"


def answer(scope: Scope, query: BlockQuery) -> object:
    """Return the result of a query; raises RpcError."""
    match query:
        case BlockNumber():
            return quantity(scope.head_number)
        case GetBlock():
            return get_block(scope, query)
        case GetBlockCount():
            return get_block_count(scope, query)
        case GetBlockReceipts():
            return get_block_receipts(scope, query)
        case GetTransaction():
            return get_transaction(scope, query)
        case GetTransactionAt():
            return get_transaction_at(scope, query)
        case GetRawTransaction():
            return get_raw_transaction(scope, query)
        case GetReceipt():
            return get_receipt(scope, query)
        case GetLogs():
            return get_logs(scope, query)
        case FeeHistory():
            return fee_history(scope, query)
        case Follow():
            return follow(scope, query)
        case BoundAddresses():
            return [checksum_address(one) for one in addresses_of(scope.transaction, scope.identity)]
        case _:
            assert_never(query)


def get_block(scope: Scope, query: GetBlock) -> dict[str, Any] | None:
    """Answer eth_getBlockByNumber and eth_getBlockByHash."""
    block = scope.find_block(query.block)
    return None if block is None else format_block(scope.view(block), full=query.full)


def get_block_count(scope: Scope, query: GetBlockCount) -> str | None:
    """Answer eth_getBlockTransactionCountBy* and eth_getUncleCountBy*: how many the block shows to the caller."""
    block = scope.find_block(query.block)
    if block is None:
        return None
    return quantity(0 if query.uncles else sum(item.transaction_visible for item in scope.view(block).items))


def get_block_receipts(scope: Scope, query: GetBlockReceipts) -> list[dict[str, Any]] | None:
    """Answer eth_getBlockReceipts."""
    block = scope.find_block(query.block)
    return None if block is None else [format_receipt(item, block) for item in scope.view(block).items]


def get_transaction(scope: Scope, query: GetTransaction) -> dict[str, Any] | None:
    """Answer eth_getTransactionByHash."""
    found = find_transaction(scope, query.hash)
    if found is None or not found[1].transaction_visible:
        return None
    block, item = found
    return format_transaction(item, block)


def get_transaction_at(scope: Scope, query: GetTransactionAt) -> object:
    """Answer eth_get*TransactionByBlock*AndIndex: the visible transaction whose transactionIndex that is."""
    block = scope.find_block(query.block)
    items = () if block is None else scope.view(block).items
    item = items[query.index] if query.index < len(items) else None
    if block is None or item is None or not item.transaction_visible:
        return NO_BYTES if query.raw else None
    return data(item.stored.transaction.raw) if query.raw else format_transaction(item, block)


def get_raw_transaction(scope: Scope, query: GetRawTransaction) -> str:
    """Answer eth_getRawTransactionByHash; 0x, as geth has it, for an unknown one."""
    found = find_transaction(scope, query.hash)
    return NO_BYTES if found is None or not found[1].transaction_visible else data(found[1].stored.transaction.raw)


def get_receipt(scope: Scope, query: GetReceipt) -> dict[str, Any] | None:
    """Answer eth_getTransactionReceipt."""
    found = find_transaction(scope, query.hash)
    if found is None:
        return None
    block, item = found
    return format_receipt(item, block)


def find_transaction(scope: Scope, transaction_hash: bytes) -> tuple[Block, VisibleReceipt] | None:
    """Return a transaction of which the caller sees something, with its block."""
    stored = chain.transaction_by_hash(scope.transaction, transaction_hash)
    if stored is None:
        return None
    block = chain.block_by_number(scope.transaction, stored.block_number)
    item = None if block is None else scope.view(block).find(stored.index)
    return None if block is None or item is None else (block, item)


def fee_history(scope: Scope, query: FeeHistory) -> dict[str, Any]:
    """Answer eth_feeHistory, over what the caller sees of each block."""
    percentiles = query.percentiles
    for position, one in enumerate(percentiles or ()):
        if not 0 <= one <= 100:
            raise RpcError(SERVER_ERROR, f"invalid reward percentile: {one:f}")
        if percentiles and position and one <= percentiles[position - 1]:
            raise RpcError(
                SERVER_ERROR,
                f"invalid reward percentile: #{position - 1}:{percentiles[position - 1]:f} >= #{position}:{one:f}",
            )
    newest = scope.head_number if query.newest.number == LATEST else query.newest.number
    if newest > scope.head_number:
        raise RpcError(SERVER_ERROR, f"request beyond head block: requested {newest}, head {scope.head_number}")
    count = min(query.count, FEE_HISTORY_BLOCKS_MAX, newest + 1)
    if count < 1:
        return {"oldestBlock": "0x0", "gasUsedRatio": None}
    views = []
    for number in range(newest - count + 1, newest + 1):
        block = chain.block_by_number(scope.transaction, number)
        if block is not None:
            views.append(scope.view(block))
    base_fees = [view.block.header.base_fee for view in views]
    result: dict[str, Any] = {
        "oldestBlock": quantity(newest - count + 1),
        "baseFeePerGas": [quantity(fee) for fee in (*base_fees, scope.settings.base_fee_wei)],
        "gasUsedRatio": [view.gas_used / view.block.header.gas_limit for view in views],
        "baseFeePerBlobGas": ["0x1"] * (count + 1),
        "blobGasUsedRatio": [0.0] * count,
    }
    if percentiles:
        result["reward"] = [[quantity(one) for one in _rewards(view, percentiles)] for view in views]
    return result


def _rewards(view: VisibleBlock, percentiles: tuple[float, ...]) -> list[int]:
    """Return the tips at percentiles of the gas used, as go-ethereum's gasprice package does."""
    base_fee = view.block.header.base_fee
    tips = sorted((max(0, item.receipt.effective_gas_price - base_fee), item.receipt.gas_used) for item in view.items)
    if not tips:
        return [0] * len(percentiles)
    rewards, position, passed = [], 0, tips[0][1]
    for one in percentiles:
        threshold = int(view.gas_used * one / 100)
        while passed < threshold and position < len(tips) - 1:
            position += 1
            passed += tips[position][1]
        rewards.append(tips[position][0])
    return rewards
