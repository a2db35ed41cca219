"""The links in Sawtooth's REST answers: the request's own address with some of its query changed.

The address is what the client called, which a proxy tells by `Forwarded` or `X-Forwarded-Host`, `-Proto` and `-Path`. A
bearer token in the path is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from core.adapter.interface import Request

_UNQUOTED = ",:~"
"""What stands in a query as it is: lists of ids are joined by commas."""


def build_link(request: Request, path: str | None = None, **changes: str | int | None) -> str:
    """Return the request's URL with these query parameters set; None leaves one as it was."""
    queries: dict[str, str] = dict(request.query)
    queries |= {name: str(value) for name, value in changes.items() if value is not None}
    names: list[str] = [name for name in ("head", "start", "limit") if name in queries]
    names += sorted(name for name in queries if name not in names)
    parts = [_part(name, queries[name]) for name in names]
    scheme = _forwarded(request.headers, "proto") or "https"
    host = _forwarded(request.headers, "host") or request.headers.get("host", "localhost")
    where = f"{scheme}://{host}{_forwarded(request.headers, 'path')}{request.mount}{path or request.path}"
    return f"{where}?{'&'.join(parts)}" if parts else where


def _part(name: str, value: str) -> str:
    return f"{quote(name)}={quote(value, safe=_UNQUOTED)}" if value else quote(name)


def _forwarded(headers: Mapping[str, str], key: str) -> str:
    found = re.search(rf"(?<={key}=).+?(?=[\s,;]|$)", headers.get("forwarded", ""), re.IGNORECASE)
    if found is None:
        return headers.get(f"x-forwarded-{key}", "")
    value = found.group(0)
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
