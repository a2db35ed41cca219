"""Answers about blocks, batches, transactions, receipts and what became of batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from adapters.sawtooth import records
from adapters.sawtooth.paging import Refused, begin_at, is_reversed, page_limit, take_page
from adapters.sawtooth.records import StoredBlock
from adapters.sawtooth.requests import NEWEST_BLOCK
from adapters.sawtooth.scope import Scope
from adapters.sawtooth.signatures import SIGNATURE_HEX
from adapters.sawtooth.wire.messages import MESSAGES, BatchStatus, ListStatus, parse
from core import limits

SCANNED_MAX = 50_000
"""Batches, seen or not, that one list looks at. A page ends there; who knows an id further on can start from it."""
IDS_MAX = 1_000
"""Batches, or transactions, that one request asks the status or receipts of."""
RECEIPTS_BYTES_MAX = limits.QUERY_REPLY_BYTES_MAX - limits.MEBIBYTE

_BLOCK_NUMBER = re.compile(r"0x[0-9a-f]{1,16}")
_Block = MESSAGES["Block"]
_BlockList = MESSAGES["ClientBlockListResponse"]
_BlockGet = MESSAGES["ClientBlockGetResponse"]
_Paging = MESSAGES["ClientPagingResponse"]
_StatusResponse = MESSAGES["ClientBatchStatusResponse"]
_ReceiptResponse = MESSAGES["ClientReceiptGetResponse"]


class Item(NamedTuple):
    """A listed batch or transaction, serialised."""

    id: str
    data: bytes


class _Kind(NamedTuple):
    """What differs between batches and transactions. ids: the field of a list request that names some."""

    ids: str
    field: str
    list_response: Any
    get_response: Any
    get_field: str
    find: Callable[[Scope, bytes | None], tuple[StoredBlock, Item] | None]
    in_block: Callable[[Scope, StoredBlock], list[Item]]


def _check_ids(ids: Iterable[str]) -> None:
    for one in ids:
        if SIGNATURE_HEX.fullmatch(one) is None:
            raise Refused(ListStatus.INVALID_ID)


def _head_of(scope: Scope, head_id: str) -> StoredBlock:
    if not head_id:
        return scope.head
    block = records.block_by_id(scope.transaction, head_id)
    if block is None:
        raise Refused(ListStatus.NO_ROOT)
    return block


def _block(scope: Scope, number: int) -> StoredBlock:
    block = records.block_by_number(scope.transaction, number)
    if block is None:
        raise Refused(ListStatus.NO_RESOURCE)
    return block


# Batches and transactions.


def _find_batch(scope: Scope, key: bytes | None) -> tuple[StoredBlock, Item] | None:
    found = scope.find_batch(key)
    if found is None or key is None:
        return None
    return _block(scope, found[0].block), Item(key.hex(), found[1])


def _find_transaction(scope: Scope, key: bytes | None) -> tuple[StoredBlock, Item] | None:
    found = scope.find_transaction(key)
    if found is None or key is None:
        return None
    return _block(scope, found[0].block), Item(key.hex(), found[2])


def _block_batches(scope: Scope, block: StoredBlock) -> list[Item]:
    found = ((key, scope.find_batch(key)) for key in scope.block_batch_keys(block))
    return [Item(key.hex(), one[1]) for key, one in found if one is not None]


def _block_transactions(scope: Scope, block: StoredBlock) -> list[Item]:
    items = []
    for key in scope.block_batch_keys(block):
        outcome = records.outcome(scope.transaction, key)
        if outcome is not None and scope.sees_some(outcome):
            for data in scope.visible_transactions(outcome, scope.batch_data(key)):
                items.append(Item(parse("Transaction", data).header_signature, data))
    return items


BATCHES = _Kind(
    "batch_ids",
    "batches",
    MESSAGES["ClientBatchListResponse"],
    MESSAGES["ClientBatchGetResponse"],
    "batch",
    _find_batch,
    _block_batches,
)
TRANSACTIONS = _Kind(
    "transaction_ids",
    "transactions",
    MESSAGES["ClientTransactionListResponse"],
    MESSAGES["ClientTransactionGetResponse"],
    "transaction",
    _find_transaction,
    _block_transactions,
)


def list_items(scope: Scope, kind: _Kind, request: Any) -> Any:
    """Answer a request for a list of batches or transactions."""
    head = _head_of(scope, request.head_id)
    wanted = list(getattr(request, kind.ids))
    _check_ids(wanted)
    backwards = is_reversed(request, "default", ListStatus.INVALID_SORT)
    if wanted:
        if backwards:
            wanted.reverse()
        start = wanted.index(request.paging.start) if request.paging.start in wanted else len(wanted)
        listed = begin_at(
            request.paging.start,
            _named(scope, kind, head, wanted[start:]),
            _item_id,
            ListStatus.INVALID_PAGING,
            _named(scope, kind, head, wanted),
        )
    else:
        listed = begin_at(
            request.paging.start,
            _chain_from(scope, kind, head, request.paging.start, backwards),
            _item_id,
            ListStatus.INVALID_PAGING,
            _chain(scope, kind, 0 if backwards else head.number, head.number, backwards),
        )
    page, paging = take_page(
        listed, page_limit(request, ListStatus.INVALID_PAGING), _item_id, lambda item: len(item.data)
    )
    status = ListStatus.OK if page else ListStatus.NO_RESOURCE
    response = kind.list_response(status=status, head_id=head.id, paging=paging)
    for item in page:
        getattr(response, kind.field).add().MergeFromString(item.data)
    return response


def get_item(scope: Scope, kind: _Kind, item_id: str) -> Any:
    """Answer a request for one batch or transaction."""
    _check_ids((item_id,))
    found = kind.find(scope, bytes.fromhex(item_id))
    if found is None:
        raise Refused(ListStatus.NO_RESOURCE)
    response = kind.get_response(status=ListStatus.OK)
    getattr(response, kind.get_field).MergeFromString(found[1].data)
    return response


def _named(scope: Scope, kind: _Kind, head: StoredBlock, ids: list[str]) -> Iterator[Item]:
    """Yield those of these ids that the caller sees and that are in the chain up to a block."""
    for one in ids:
        found = kind.find(scope, bytes.fromhex(one))
        if found is not None and found[0].number <= head.number:
            yield found[1]


def _item_id(item: Item) -> str:
    return item.id


def _chain(scope: Scope, kind: _Kind, first: int, head: int, backwards: bool) -> Iterator[Item]:
    """Yield what the blocks hold, the newest block first; backwards, all the other way round."""
    left = SCANNED_MAX
    for number in range(first, head + 1) if backwards else range(first, -1, -1):
        block = _block(scope, number)
        left -= 1 + len(parse("BlockHeader", block.header).batch_ids)
        if left < 0:
            return
        items = kind.in_block(scope, block)
        yield from reversed(items) if backwards else items


def _chain_from(scope: Scope, kind: _Kind, head: StoredBlock, start: str, backwards: bool) -> Iterator[Item]:
    found = kind.find(scope, records.id_key(start))
    if found is None or found[0].number > head.number:
        return
    reached = False
    for item in _chain(scope, kind, found[0].number, head.number, backwards):
        reached = reached or item.id == start
        if reached:
            yield item


# Blocks.


def _whole_block(scope: Scope, block: StoredBlock) -> bytes:
    """Return a block with those of its batches that the caller sees."""
    message = _Block(header=block.header, header_signature=block.id)
    for item in _block_batches(scope, block):
        message.batches.add().MergeFromString(item.data)
    return bytes(message.SerializeToString())


def list_blocks(scope: Scope, request: Any) -> Any:
    """Answer a ClientBlockListRequest."""
    head = _head_of(scope, request.head_id)
    _check_ids(request.block_ids)
    if request.block_ids:
        found = (records.block_by_id(scope.transaction, one) for one in request.block_ids)
        blocks = iter([one for one in found if one is not None and one.number <= head.number])
        limit = len(request.block_ids)
    else:
        blocks, limit = _blocks_from(scope, request, head), page_limit(request, ListStatus.INVALID_PAGING)
    items, paging = take_page(
        ((one, _whole_block(scope, one)) for one in blocks),
        limit,
        lambda item: f"{item[0].number:#018x}",
        lambda item: len(item[1]),
    )
    response = _BlockList(
        status=ListStatus.OK if items else ListStatus.NO_RESOURCE,
        head_id=head.id,
        paging=_Paging() if request.block_ids else paging,
    )
    for _, data in items:
        response.blocks.add().MergeFromString(data)
    return response


def _blocks_from(scope: Scope, request: Any, head: StoredBlock) -> Iterator[StoredBlock]:
    forwards = is_reversed(request, "block_num", ListStatus.INVALID_SORT)
    first = 0 if forwards else head.number
    if request.paging.start:
        if _BLOCK_NUMBER.fullmatch(request.paging.start) is None:
            raise Refused(ListStatus.INVALID_PAGING)
        first = int(request.paging.start, 16)
        if first > head.number:
            raise Refused(ListStatus.INVALID_PAGING)
    numbers = range(first, head.number + 1) if forwards else range(first, -1, -1)
    return (_block(scope, number) for number in numbers)


def _one_block(scope: Scope, block: StoredBlock | None) -> Any:
    if block is None:
        raise Refused(ListStatus.NO_RESOURCE)
    response = _BlockGet(status=ListStatus.OK)
    response.block.MergeFromString(_whole_block(scope, block))
    return response


def block_header(scope: Scope, request: Any) -> Any:
    """Answer with a block without its batches, the newest one for NEWEST_BLOCK."""
    newest = request.block_num == NEWEST_BLOCK
    block = scope.head if newest else records.block_by_number(scope.transaction, request.block_num)
    if block is None:
        raise Refused(ListStatus.NO_RESOURCE)
    return _BlockGet(status=ListStatus.OK, block=_Block(header=block.header, header_signature=block.id))


def block_by_id(scope: Scope, request: Any) -> Any:
    """Answer a ClientBlockGetByIdRequest."""
    _check_ids((request.block_id,))
    return _one_block(scope, records.block_by_id(scope.transaction, request.block_id))


def block_by_number(scope: Scope, request: Any) -> Any:
    """Answer a ClientBlockGetByNumRequest."""
    return _one_block(scope, records.block_by_number(scope.transaction, request.block_num))


def block_of(scope: Scope, kind: _Kind, item_id: str) -> Any:
    """Answer a request for the block that holds a batch or transaction."""
    _check_ids((item_id,))
    found = kind.find(scope, bytes.fromhex(item_id))
    return _one_block(scope, None if found is None else found[0])


# What became of batches.


def batch_statuses(scope: Scope, request: Any) -> Any:
    """Answer a ClientBatchStatusRequest at once; a gateway does the waiting."""
    _check_ids(request.batch_ids)
    if not request.batch_ids:
        raise Refused(ListStatus.NO_RESOURCE)
    if len(request.batch_ids) > IDS_MAX:
        raise Refused(ListStatus.INTERNAL_ERROR)
    response = _StatusResponse(status=ListStatus.OK)
    for batch_id in request.batch_ids:
        outcome = scope.outcome(bytes.fromhex(batch_id))
        if outcome is not None and (outcome.block >= 0 or not scope.is_pending(batch_id)):
            response.batch_statuses.add().MergeFromString(outcome.status)
        else:
            pending = scope.is_pending(batch_id)
            response.batch_statuses.add(
                batch_id=batch_id, status=BatchStatus.PENDING if pending else BatchStatus.UNKNOWN
            )
    return response


def get_receipts(scope: Scope, request: Any) -> Any:
    """Answer a ClientReceiptGetRequest: all of the receipts, or none."""
    if len(request.transaction_ids) > IDS_MAX:
        raise Refused(ListStatus.INTERNAL_ERROR)
    response, left = _ReceiptResponse(status=ListStatus.OK), RECEIPTS_BYTES_MAX
    for transaction_id in request.transaction_ids:
        key = records.id_key(transaction_id)
        data = None
        if key is not None and scope.find_transaction(key) is not None:
            data = scope.transaction.table("receipts").get(key)
        if data is None:
            raise Refused(ListStatus.NO_RESOURCE)
        left -= len(data)
        if left < 0:
            raise Refused(ListStatus.INTERNAL_ERROR)
        response.receipts.add().MergeFromString(data)
    return response
