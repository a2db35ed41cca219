"""Answers about blocks, transactions, receipts, logs and fees, in the executor. Each is made from the caller's view."""

from __future__ import annotations

from typing import Any

from adapters.ethereum import chain
from adapters.ethereum.formatting import format_block, format_log, format_receipt, format_transaction, quantity
from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Block, Log
from adapters.ethereum.requests import (
    LATEST,
    FeeHistory,
    GetBlock,
    GetBlockReceipts,
    GetLogs,
    GetReceipt,
    GetTransaction,
)
from adapters.ethereum.scope import Scope
from adapters.ethereum.visibility import VisibleBlock, VisibleReceipt
from adapters.jsonrpc import INVALID_PARAMS, SERVER_ERROR, RpcError

LOG_RANGE_BLOCKS_MAX = 10_000
LOG_RESULTS_MAX = 10_000
FEE_HISTORY_BLOCKS_MAX = 128


def get_block(scope: Scope, query: GetBlock) -> dict[str, Any] | None:
    """Answer eth_getBlockByNumber and eth_getBlockByHash."""
    block = scope.find_block(query.block)
    return None if block is None else format_block(scope.view(block), full=query.full)


def get_block_receipts(scope: Scope, query: GetBlockReceipts) -> list[dict[str, Any]] | None:
    """Answer eth_getBlockReceipts."""
    block = scope.find_block(query.block)
    return None if block is None else [format_receipt(item, block) for item in scope.view(block).items]


def get_transaction(scope: Scope, query: GetTransaction) -> dict[str, Any] | None:
    """Answer eth_getTransactionByHash."""
    found = _find(scope, query.hash)
    if found is None or not found[1].transaction_visible:
        return None
    block, item = found
    return format_transaction(item, block)


def get_receipt(scope: Scope, query: GetReceipt) -> dict[str, Any] | None:
    """Answer eth_getTransactionReceipt."""
    found = _find(scope, query.hash)
    if found is None:
        return None
    block, item = found
    return format_receipt(item, block)


def _find(scope: Scope, transaction_hash: bytes) -> tuple[Block, VisibleReceipt] | None:
    stored = chain.transaction_by_hash(scope.transaction, transaction_hash)
    if stored is None:
        return None
    block = chain.block_by_number(scope.transaction, stored.block_number)
    item = None if block is None else scope.view(block).find(stored.index)
    return None if block is None or item is None else (block, item)


def get_logs(scope: Scope, query: GetLogs) -> list[dict[str, Any]]:
    """Answer eth_getLogs. Only what is visible counts against the bound on results."""
    found: list[dict[str, Any]] = []
    addresses = frozenset(query.addresses)
    topics = tuple(frozenset(alternatives) for alternatives in query.topics)
    for block in _blocks(scope, query):
        if not _may_hold(block.header.bloom, query):
            continue
        for item in scope.view(block).items:
            for position, log in enumerate(item.logs):
                if _matches(log, addresses, topics):
                    found.append(format_log(log, position, item, block))
        if len(found) > LOG_RESULTS_MAX:
            raise RpcError(SERVER_ERROR, f"query returned more than {LOG_RESULTS_MAX} results")
    return found


def _blocks(scope: Scope, query: GetLogs) -> list[Block]:
    if query.block_hash:
        block = chain.block_by_hash(scope.transaction, query.block_hash)
        if block is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        return [block]
    first = scope.head_number if query.first == LATEST else query.first
    last = scope.head_number if query.last == LATEST else query.last
    if first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")
    last = min(last, scope.head_number)
    if last - first >= LOG_RANGE_BLOCKS_MAX:
        raise RpcError(INVALID_PARAMS, f"query exceeds max block range {LOG_RANGE_BLOCKS_MAX}")
    numbers = range(first, last + 1)
    return [block for number in numbers if (block := chain.block_by_number(scope.transaction, number)) is not None]


def _matches(log: Log, addresses: frozenset[bytes], topics: tuple[frozenset[bytes], ...]) -> bool:
    if addresses and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(not allowed or topic in allowed for allowed, topic in zip(topics, log.topics, strict=False))


def _may_hold(bloom: bytes, query: GetLogs) -> bool:
    """Say whether a block's filter lets a matching log be in it."""
    bits = int.from_bytes(bloom, "big")
    if not bits:
        return False
    groups = (query.addresses, *query.topics)
    return all(not group or any(_in_bloom(bits, part) for part in group) for group in groups)


def _in_bloom(bits: int, part: bytes) -> bool:
    digest = keccak(part)
    return all(bits >> (int.from_bytes(digest[at : at + 2], "big") & 2047) & 1 for at in (0, 2, 4))


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


def block_number(scope: Scope) -> str:
    """Answer eth_blockNumber."""
    return quantity(scope.head_number)
