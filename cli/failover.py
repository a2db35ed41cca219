"""Several nodes of one network as one address: which to ask, and what may be asked twice.

A request that never reached a node may go to another. One that was sent and not answered may have been carried out: it
is sent again only when carrying it out twice is the same as once.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

_ONCE_ONLY = frozenset({"coco_bind"})
"""JSON-RPC methods that are not sent again. A raw transaction is: its nonce lets it take effect once."""


class Addresses:
    """The addresses of a network's nodes, https://HOST:PORT each. The one that answered last is asked first."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(dict.fromkeys(urls))
        self._at = 0

    @property
    def current(self) -> str:
        return self._urls[self._at]

    @property
    def count(self) -> int:
        return len(self._urls)

    def avoid(self, url: str) -> str:
        """Turn to the next node when `url` is the one asked now; return the one to ask."""
        if self.current == url:
            self._at = (self._at + 1) % len(self._urls)
        return self.current


def is_repeatable(method: str, body: bytes | None) -> bool:
    """Return whether a request may be sent again although nobody knows what became of it."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return True
    if method != "POST" or not body:
        return False
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    calls = document if isinstance(document, list) else [document]
    return bool(calls) and all(_is_repeatable_call(call) for call in calls)


def _is_repeatable_call(call: object) -> bool:
    if not isinstance(call, dict) or call.get("jsonrpc") != "2.0":
        return False
    method = call.get("method")
    return isinstance(method, str) and method not in _ONCE_ONLY
