"""What web pages of other origins may do with the front end. Source: Fetch standard, sections 3.2 (Origin, CORS).

The node cannot know the origins of the network's applications, and need not: a bearer token is something a page must
hold, so any page that holds one may use it. A client certificate is different: the browser shows it for whatever page
asks. So a certificate never speaks for a page of another origin, over HTTP or WebSocket: such a page gets what a caller
without a certificate gets, and that it may read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.adapter.interface import Response

_MAX_AGE_SECONDS = 600
_READABLE = (("access-control-allow-origin", "*"), ("access-control-expose-headers", "*"))
_ALLOWED_HEADERS = "authorization, content-type"


def is_foreign_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this for a page of another origin (or of none that it tells). headers: lower-case."""
    origin = headers.get("origin")
    if origin is not None:
        host = headers.get("host")
        return not host or origin != f"https://{host}"
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks what it may send. It sends no credentials with that."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def preflight_response(methods: Sequence[str], headers: Mapping[str, str]) -> Response:
    """Allow a page to ask with these methods."""
    allowed = [
        *_READABLE[:1],
        ("access-control-allow-methods", ", ".join(methods)),
        ("access-control-allow-headers", _ALLOWED_HEADERS),
        ("access-control-max-age", str(_MAX_AGE_SECONDS)),
    ]
    if headers.get("access-control-request-private-network") == "true":
        allowed.append(("access-control-allow-private-network", "true"))
    return Response(204, b"", headers=allowed)


def readable_by_pages(response: Response) -> Response:
    """Return the response as a page of another origin may read it."""
    return Response(response.status, response.body, response.content_type, (*response.headers, *_READABLE))
