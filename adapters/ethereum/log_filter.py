"""Which logs a filter asks for: by address, by topics, by block. Source: go-ethereum's package eth/filters."""

from __future__ import annotations

from typing import Any

from adapters.ethereum import chain
from adapters.ethereum.formatting import format_log
from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Block, Log
from adapters.ethereum.requests import LATEST, GetLogs
from adapters.ethereum.scope import Scope
from adapters.ethereum.visibility import VisibleBlock
from adapters.jsonrpc import INVALID_PARAMS, SERVER_ERROR, RpcError

LOG_RANGE_BLOCKS_MAX = 10_000
LOG_RESULTS_MAX = 10_000


class LogFilter:
    """The filter of one request."""

    def __init__(self, query: GetLogs) -> None:
        self._query = query
        self._addresses = frozenset(query.addresses)
        self._topics = tuple(frozenset(alternatives) for alternatives in query.topics)

    def wants(self, block: Block) -> bool:
        """Say whether the block is one that is asked about. LATEST as a bound sets none."""
        query, number = self._query, block.header.number
        if query.block_hash:
            return block.hash == query.block_hash
        return (query.first == LATEST or number >= query.first) and (query.last == LATEST or number <= query.last)

    def may_match(self, block: Block) -> bool:
        """Say whether a block's own Bloom filter lets a matching log be in it."""
        bits = int.from_bytes(block.header.bloom, "big")
        if not bits:
            return False
        groups = (self._query.addresses, *self._query.topics)
        return all(not group or any(_in_bloom(bits, part) for part in group) for group in groups)

    def matches(self, log: Log) -> bool:
        if self._addresses and log.address not in self._addresses:
            return False
        if len(self._topics) > len(log.topics):
            return False
        return all(not allowed or topic in allowed for allowed, topic in zip(self._topics, log.topics, strict=False))

    def select(self, view: VisibleBlock) -> list[dict[str, Any]]:
        """Return the matching logs of a view, formatted."""
        return [
            format_log(log, position, item, view.block)
            for item in view.items
            for position, log in enumerate(item.logs)
            if self.matches(log)
        ]


def _in_bloom(bits: int, part: bytes) -> bool:
    digest = keccak(part)
    return all(bits >> (int.from_bytes(digest[at : at + 2], "big") & 2047) & 1 for at in (0, 2, 4))


def get_logs(scope: Scope, query: GetLogs) -> list[dict[str, Any]]:
    """Answer eth_getLogs. Only what is visible counts against the bound on results."""
    found: list[dict[str, Any]] = []
    log_filter = LogFilter(query)
    for block in _blocks(scope, query):
        if log_filter.may_match(block):
            found += log_filter.select(scope.view(block))
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
