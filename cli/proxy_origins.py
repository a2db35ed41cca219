"""Which web pages may use `coco proxy`: those of this machine, and those whose origin the user has named.

The proxy adds the identity's token to whatever reaches it, so a page needs nothing but to be let in. It must not be let
in by asking localhost from a foreign origin (its Origin header tells), nor by a name of its own that it makes to point
at this machine, DNS rebinding (its Host header tells; an address cannot be rebound).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from core.errors import CocoError

ANY = "*"
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_PAGE = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_EXTENSION = re.compile(r"(?:chrome|moz|safari-web)-extension://(?:\*|[a-z0-9.-]+)")
_PLAIN_URL = re.compile(r"https?://[^@/?#\\\s]+", re.IGNORECASE)
_DEFAULT_PORTS = {"http://": ":80", "https://": ":443"}


def parse_origin(text: str) -> str:
    """Return an origin as a browser writes it; raises CocoError for what is none.

    `*` is any page at all, `moz-extension://*` any extension of the browser (Firefox gives each a name of its own).
    """
    origin = text.strip().lower().removesuffix("/")
    for scheme, port in _DEFAULT_PORTS.items():
        if origin.startswith(scheme):
            origin = origin.removesuffix(port)
    if origin == ANY or _PAGE.fullmatch(origin) or _EXTENSION.fullmatch(origin):
        return origin
    raise CocoError(
        f"not a web page's origin: {text[:80]!r}",
        hint="Give scheme, host and port: https://wallet.example, chrome-extension://ID, moz-extension://* or '*'.",
    )


def host_allowed(host: str, *, any_address: bool) -> bool:
    """Whether a request names this machine (any_address: by whatever address) and not a name that could be rebound."""
    name = _hostname("http://" + host)
    return name in _LOCAL_NAMES or (any_address and _is_address(name))


def origin_allowed(origin: str | None, fetch_site: str | None, allowed: Collection[str]) -> bool:
    """Whether what a browser tells of the asking page, or a tool does not tell, is let in."""
    if ANY in allowed:
        return True
    if origin is None:
        return fetch_site != "cross-site"
    if origin in allowed:
        return True
    scheme, separator, _ = origin.partition("://")
    if scheme in ("http", "https"):
        return _hostname(origin) in _LOCAL_NAMES
    return bool(separator) and f"{scheme}://{ANY}" in allowed


def _hostname(url: str) -> str | None:
    if not _PLAIN_URL.fullmatch(url):
        return None
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_address(name: str | None) -> bool:
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return False
    return True
