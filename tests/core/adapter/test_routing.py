"""Route matching."""

from __future__ import annotations

import pytest

from core.adapter.interface import Backend, Request, Response, Route
from core.adapter.routing import RouteTable, parse_query
from core.errors import CocoError


async def handler(request: Request, backend: Backend) -> Response:
    return Response(200, b"")


TABLE = RouteTable(
    [
        Route("GET", "/", handler),
        Route("GET", "/keys", handler),
        Route("GET", "/keys/{name}", handler),
        Route("PUT", "/keys/{name}", handler),
        Route("GET", "/keys/special", handler),
        Route("GET", "/{a}/of/{b}", handler),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "route", "parameters"),
    [
        ("GET", "/", "/", {}),
        ("GET", "/keys/a%2Fb", "/keys/{name}", {"name": "a/b"}),
        ("PUT", "/keys/%C3%A9", "/keys/{name}", {"name": "é"}),
        ("GET", "/keys/special", "/keys/special", {}),
        ("PUT", "/keys/special", "/keys/{name}", {"name": "special"}),
        ("GET", "/x/of/y", "/{a}/of/{b}", {"a": "x", "b": "y"}),
    ],
)
def test_match(method: str, path: str, route: str, parameters: dict[str, str]) -> None:
    match = TABLE.match(method, path)
    assert match is not None
    assert (match.route.path, match.parameters) == (route, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/"), ("GET", ""), ("GET", "/keys/"), ("GET", "/keys/a/b"), ("GET", "//keys"), ("get", "/keys")],
)
def test_no_match(method: str, path: str) -> None:
    assert TABLE.match(method, path) is None


def test_methods() -> None:
    assert TABLE.methods("/keys/special") == ["GET", "PUT"]
    assert TABLE.methods("/nowhere") == []


def test_a_route_starts_with_a_slash() -> None:
    with pytest.raises(CocoError):
        RouteTable([Route("GET", "keys", handler)])


def test_query_strings() -> None:
    assert parse_query("a=1&b=&a=2&c=%20") == {"a": "1", "b": "", "c": " "}
    assert parse_query("") == {}
    with pytest.raises(CocoError):
        parse_query("&".join("a=1" for _ in range(65)))
