"""Reading filters, in a gateway: where a filter stands is the executor's, what is new since then anybody's.

A poll asks the executor for the filter, a reader for the page after it, and then moves the filter, unless another poll
of the same filter has done so meanwhile; then what was read is dropped, so that nothing comes twice.
"""

from __future__ import annotations

import msgspec

from adapters.ethereum.filters import filter_not_found
from adapters.ethereum.requests import CRITERIA, QUERIES, AdvanceFilter, Criteria, FilterState, Follow
from adapters.jsonrpc import error_fragment, result_fragment
from core.adapter.interface import Backend, Caller
from core.errors import MalformedMessage

POLLS_MAX = 3
"""Tries of one request, while others poll the same filter."""


class FilterAt(msgspec.Struct, frozen=True):
    """criteria: encoded, in hexadecimal. position: the newest block that was told."""

    criteria: str
    position: int


class Page(msgspec.Struct, frozen=True):
    """position: the block up to which the results go. more: whether newer ones are there already."""

    position: int
    more: bool
    results: list[msgspec.Raw]


class _FilterReply(msgspec.Struct, frozen=True):
    result: FilterAt


class _PagesReply(msgspec.Struct, frozen=True):
    result: list[Page]


class _FlagReply(msgspec.Struct, frozen=True):
    result: bool


_FILTER = msgspec.json.Decoder(_FilterReply)
_PAGES = msgspec.json.Decoder(_PagesReply)
_FLAG = msgspec.json.Decoder(_FlagReply)


def is_error(fragment: bytes) -> bool:
    return fragment.startswith(b'"error"')


def read_pages(fragment: bytes) -> list[Page]:
    """Return the pages of an answer to Follow that is no error."""
    try:
        return _PAGES.decode(b"{" + fragment + b"}").result
    except msgspec.DecodeError as error:
        raise MalformedMessage(f"not an answer to Follow: {error}") from None


async def poll_filter(filter_id: str, caller: Caller, backend: Backend) -> bytes:
    """Answer eth_getFilterChanges, as a fragment."""
    for _ in range(POLLS_MAX):
        state = await backend.query(QUERIES.encode(FilterState(filter_id)), caller)
        if is_error(state):
            return state
        found = _filter(state)
        follow = Follow(((_criteria(found), found.position),))
        pages = await backend.query(QUERIES.encode(follow), caller)
        if is_error(pages):
            return pages
        (page,) = read_pages(pages)
        if page.position <= found.position:
            return result_fragment([])
        moved = await backend.query(QUERIES.encode(AdvanceFilter(filter_id, found.position, page.position)), caller)
        if is_error(moved):
            return moved
        if _FLAG.decode(b"{" + moved + b"}").result:
            return b'"result":[' + b",".join(map(bytes, page.results)) + b"]"
    return result_fragment([])


async def read_filter(filter_id: str, caller: Caller, backend: Backend) -> bytes:
    """Answer eth_getFilterLogs, as a fragment."""
    state = await backend.query(QUERIES.encode(FilterState(filter_id)), caller)
    if is_error(state):
        return state
    logs = _criteria(_filter(state)).logs
    if logs is None:
        return error_fragment(filter_not_found())
    return await backend.query(QUERIES.encode(logs), caller)


def _filter(fragment: bytes) -> FilterAt:
    try:
        return _FILTER.decode(b"{" + fragment + b"}").result
    except msgspec.DecodeError as error:
        raise MalformedMessage(f"not an answer to FilterState: {error}") from None


def _criteria(found: FilterAt) -> Criteria:
    return CRITERIA.decode(bytes.fromhex(found.criteria))
