"""What is new since a block: behind filters that are polled and subscriptions that are pushed.

Nothing is kept here. Whoever follows the chain holds a block number and asks for what came after it, and gets a page:
the number up to which it has now been told, and whether there is more. So nothing is missed and nothing comes twice,
whatever a client's pace; and each page is made from the caller's view at the time it is asked for.

A transaction counts as pending when its block is committed: before that it is in its sender's queue for milliseconds,
and whether it will run is not known. (go-ethereum announces what enters its pool.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from adapters.ethereum import chain
from adapters.ethereum.access import ChecksExhausted
from adapters.ethereum.formatting import data, format_head, format_transaction
from adapters.ethereum.log_filter import LogFilter
from adapters.ethereum.model import Block
from adapters.ethereum.requests import NOW, Criteria, Follow
from adapters.ethereum.scope import Scope
from adapters.jsonrpc import SERVER_ERROR, RpcError

PAGE_RESULTS_ENOUGH = 1_000
"""A page ends with the block that fills it."""
PAGE_BLOCKS_MAX = 1_000


def follow(scope: Scope, query: Follow) -> list[dict[str, Any]]:
    """Answer with one page for each item: {position, more, results}."""
    return [_page(scope, criteria, after) for criteria, after in query.items]


def _page(scope: Scope, criteria: Criteria, after: int) -> dict[str, Any]:
    select = _selector(scope, criteria)
    position = scope.head_number if after == NOW else after  # which may be ahead of this reader: then nothing is new
    results: list[Any] = []
    last = min(scope.head_number, position + PAGE_BLOCKS_MAX)
    while position < last and len(results) < PAGE_RESULTS_ENOUGH:
        block = chain.block_by_number(scope.transaction, position + 1)
        if block is None:
            break
        try:
            results += select(block)
        except ChecksExhausted:
            if not results:
                raise
            break  # the rest is the next page's
        position += 1
    return {"position": position, "more": position < scope.head_number, "results": results}


def _selector(scope: Scope, criteria: Criteria) -> Callable[[Block], list[Any]]:
    """Return what of a block is wanted."""
    match criteria.kind:
        case "heads":
            return lambda block: [data(block.hash)]
        case "headers":
            return lambda block: [format_head(scope.view(block))]
        case "pending":
            return lambda block: _transactions(scope, block, full=False)
        case "pending_full":
            return lambda block: _transactions(scope, block, full=True)
        case "logs":
            if criteria.logs is None:
                raise RpcError(SERVER_ERROR, "a filter of logs without what it asks for")
            log_filter = LogFilter(criteria.logs)
            return lambda block: (
                log_filter.select(scope.view(block)) if log_filter.wants(block) and log_filter.may_match(block) else []
            )
        case _:
            assert_never(criteria.kind)


def _transactions(scope: Scope, block: Block, *, full: bool) -> list[Any]:
    return [
        format_transaction(item, block) if full else data(item.stored.transaction.hash)
        for item in scope.view(block).items
        if item.transaction_visible
    ]
