"""Answers about the state: one address, or all that begin with a prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from adapters.sawtooth import records
from adapters.sawtooth.addresses import is_address, is_prefix
from adapters.sawtooth.merkle import addresses_back, addresses_from
from adapters.sawtooth.paging import Refused, begin_at, is_reversed, page_limit, take_page
from adapters.sawtooth.scope import Scope
from adapters.sawtooth.wire.messages import MESSAGES, StateGetStatus, StateListStatus
from core.adapter.interface import ScopedTransaction
from core.kv.errors import SnapshotGone
from core.types import Seqno

_ROOT = re.compile(r"[0-9a-f]{64}")
_ListResponse = MESSAGES["ClientStateListResponse"]
_GetResponse = MESSAGES["ClientStateGetResponse"]
_Entry = tuple[bytes, bytes]


def get_state(scope: Scope, request: Any) -> Any:
    """Answer a ClientStateGetRequest."""
    root, transaction = _at_root(scope, request.state_root, StateGetStatus.INVALID_ROOT, StateGetStatus.NO_ROOT)
    if is_prefix(request.address) is None:
        raise Refused(StateGetStatus.INVALID_ADDRESS)
    address = bytes.fromhex(request.address)
    data = None
    if is_address(request.address) is not None and scope.sight.sees_address(address):
        data = transaction.table("state").get(address)
    if data is None:
        raise Refused(StateGetStatus.NO_RESOURCE)
    return _GetResponse(status=StateGetStatus.OK, value=data, state_root=root)


def list_state(scope: Scope, request: Any) -> Any:
    """Answer a ClientStateListRequest. Only what the caller may read is there."""
    root, transaction = _at_root(scope, request.state_root, StateListStatus.INVALID_ROOT, StateListStatus.NO_ROOT)
    if is_prefix(request.address) is None:
        raise Refused(StateListStatus.INVALID_ADDRESS)
    backwards = is_reversed(request, "default", StateListStatus.INVALID_SORT)
    prefixes = scope.sight.readable_prefixes(bytes.fromhex(request.address))
    start = request.paging.start
    where = bytes.fromhex(start) if is_address(start) is not None else None
    items = begin_at(
        start,
        _entries(transaction, prefixes, where, backwards) if where is not None else iter(()),
        _name,
        StateListStatus.INVALID_PAGING,
        _entries(transaction, prefixes, None, backwards),
    )
    entries, paging = take_page(items, page_limit(request, StateListStatus.INVALID_PAGING), _name, _size_bytes)
    response = _ListResponse(
        status=StateListStatus.OK if entries else StateListStatus.NO_RESOURCE, state_root=root, paging=paging
    )
    for address, data in entries:
        response.entries.add(address=address.hex(), data=data)
    return response


def _at_root(scope: Scope, root: str, invalid: int, missing: int) -> tuple[str, ScopedTransaction]:
    """Return a root and the state that has it: the newest, or one that is still kept. Raises Refused."""
    if not root:
        return scope.head.root.hex(), scope.transaction
    if _ROOT.fullmatch(root) is None:
        raise Refused(invalid)
    key = bytes.fromhex(root)
    if key == scope.head.root:
        return root, scope.transaction
    seqno = scope.transaction.table("roots").get(key)
    if seqno is None:
        raise Refused(missing)
    try:
        transaction = scope.at(Seqno(int.from_bytes(seqno, "big")))
        if records.head(transaction).root == key:
            return root, transaction
    except SnapshotGone:
        pass
    raise Refused(missing)


def _entries(
    transaction: ScopedTransaction, prefixes: list[bytes], start: bytes | None, backwards: bool
) -> Iterator[_Entry]:
    state = transaction.table("state")
    for prefix in reversed(prefixes) if backwards else prefixes:
        if start is None:
            walk = addresses_back(transaction, prefix) if backwards else addresses_from(transaction, prefix)
        else:
            walk = (
                addresses_back(transaction, prefix, start) if backwards else addresses_from(transaction, prefix, start)
            )
        for address in walk:
            data = state.get(address)
            if data is not None:
                yield address, data


def _name(entry: _Entry) -> str:
    return entry[0].hex()


def _size_bytes(entry: _Entry) -> int:
    return len(entry[1]) + 2 * len(entry[0])
