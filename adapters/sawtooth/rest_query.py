"""What the query string of a REST request asks for: ids, head, paging, order, waiting. Raises RestFailure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.sawtooth.errors import RestError, RestFailure
from adapters.sawtooth.gateway import WAIT_SECONDS
from adapters.sawtooth.wire.messages import MESSAGES
from core.adapter.interface import Request

_ID = re.compile("[0-9a-f]{128}")
_LIMIT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PagingQuery:
    """limit, start: as the client gave them, None where it did not."""

    limit: int | None
    start: str | None

    def message(self) -> Any:
        """Return what the validator is asked with."""
        return MESSAGES["ClientPagingControls"](start=self.start or "", limit=self.limit or 0)


def paging_query(query: Mapping[str, str]) -> PagingQuery:
    """Read `limit` and `start`."""
    limit, text = None, query.get("limit")
    if text is not None:
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
        if limit <= 0:
            raise RestFailure(RestError.COUNT_INVALID)
        limit = min(limit, _LIMIT_MAX)
    return PagingQuery(limit, query.get("start"))


def sorting(query: Mapping[str, str], default: str) -> list[Any]:
    """Read `reverse`: nothing (by the default key), "false", or keys joined by commas."""
    reverse = query.get("reverse")
    if reverse is None or reverse.lower() == "false":
        return []
    return [MESSAGES["ClientSortControls"](reverse=True, keys=(reverse or default).split(","))]


def checked_id(identifier: str) -> str:
    """Return an id of a block, batch or transaction."""
    if not _ID.fullmatch(identifier):
        raise RestFailure(RestError.ID_INVALID, identifier)
    return identifier


def head_id(query: Mapping[str, str]) -> str:
    """Return the block named by `head`, "" for the newest."""
    head = query.get("head")
    return "" if head is None else checked_id(head)


def filter_ids(query: Mapping[str, str]) -> list[str]:
    """Return the ids of `id`, none where it is not given."""
    text = query.get("id")
    return [] if text is None else [checked_id(one) for one in text.split(",")]


def wait_seconds(query: Mapping[str, str]) -> int:
    """Read `wait`: how long to wait, 0 for not at all."""
    text = query.get("wait", "false").lower()
    if text == "false":
        return 0
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return seconds or WAIT_SECONDS


def listed_ids(request: Request, content_type: RestError, body: RestError, query: RestError) -> list[str]:
    """Return the ids that a request for statuses or receipts names, in a POST's body or a GET's query string."""
    if request.method != "POST":
        found = filter_ids(request.query)
        if not found:
            raise RestFailure(query)
        return found
    if media_type(request) != "application/json":
        raise RestFailure(content_type)
    try:
        listed = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise RestFailure(body) from None
    if not listed or not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise RestFailure(body)
    return [checked_id(one) for one in listed]


def media_type(request: Request) -> str:
    """Return the content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
