"""Pages of a list. Source: the validator's client_handlers.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeVar

from adapters.sawtooth.wire.messages import MESSAGES
from core import limits

PAGE_DEFAULT = 100
PAGE_MAX = 1_000
PAGE_BYTES_MAX = limits.QUERY_REPLY_BYTES_MAX // 4
"""A page ends before the item that would bring it over this, save that it has one."""

_Paging = MESSAGES["ClientPagingResponse"]
_ItemT = TypeVar("_ItemT")


class Refused(Exception):
    """A query that is answered with a status alone."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {int(status)}")
        self.status = int(status)


def page_limit(request: Any, invalid: int) -> int:
    """Return how many items are wanted. invalid: the status to refuse with."""
    if request.paging.limit < 0:
        raise Refused(invalid)
    return min(request.paging.limit, PAGE_MAX) or PAGE_DEFAULT


def is_reversed(request: Any, key: str, invalid: int) -> bool:
    """Say whether the other order is wanted. key: what the list can be sorted by."""
    if not request.sorting:
        return False
    if list(request.sorting[0].keys) != [key]:
        raise Refused(invalid)
    return bool(request.sorting[0].reverse)


def take_page(
    items: Iterator[_ItemT], limit: int, name: Callable[[_ItemT], str], size_bytes: Callable[[_ItemT], int]
) -> tuple[list[_ItemT], Any]:
    """Return the first items and the ClientPagingResponse to go with them; an empty one where there are none."""
    taken: list[_ItemT] = []
    left = PAGE_BYTES_MAX
    for item in items:
        left -= size_bytes(item)
        if len(taken) == limit or (taken and left < 0):
            return taken, _Paging(next=name(item), start=name(taken[0]), limit=limit)
        taken.append(item)
    return (taken, _Paging(start=name(taken[0]), limit=limit)) if taken else (taken, _Paging())


def begin_at(
    start: str, found: Iterator[_ItemT], name: Callable[[_ItemT], str], invalid: int, rest: Iterator[_ItemT]
) -> Iterator[_ItemT]:
    """Return a list that was asked for from `start` on. rest: the whole list; found: from where start would be.

    Where the whole list is empty that is the answer, whatever the start. Raises Refused.
    """
    if not start:
        return rest
    first = next(found, None)
    if first is not None and name(first) == start:
        return chain((first,), found)
    if next(rest, None) is not None:
        raise Refused(invalid)
    return rest
