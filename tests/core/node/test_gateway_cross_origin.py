"""The gateway and web pages: what one of another origin may do, on whose authority. Source: Fetch standard."""

from __future__ import annotations

import pytest

from core.node.cross_origin import is_foreign_page
from tests.support.gateway_bench import ACTORS, TOKENS, Bench, bearer

PAGE = {"origin": "https://dapp.example"}
ASKS = {**PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def test_a_preflight_is_answered_without_credentials(bench: Bench) -> None:
    client = await bench.connect()
    for path, methods in (
        ("/", "GET, POST"),
        ("/submit", "POST"),
        (f"/token/{TOKENS['alice']}/other/show/x?y=z", "GET"),
        ("/token/wrong/submit", "POST"),
        ("/nowhere", "GET, POST"),
        ("/node/status", "GET, POST"),
    ):
        reply = await client.request("OPTIONS", path, headers=ASKS)
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-methods"] == methods
        assert reply.headers["access-control-allow-headers"] == "authorization, content-type"
        assert int(reply.headers["access-control-max-age"]) > 0
        assert "access-control-allow-credentials" not in reply.headers
        assert "access-control-allow-private-network" not in reply.headers
    private = {**ASKS, "access-control-request-private-network": "true"}
    reply = await client.request("OPTIONS", "/", headers=private)
    assert reply.headers["access-control-allow-private-network"] == "true"
    assert bench.items == []


async def test_what_is_no_preflight_is_no_exception(bench: Bench) -> None:
    client = await bench.connect()
    for headers in ({}, PAGE, {"access-control-request-method": "POST"}):
        assert (await client.request("OPTIONS", "/", headers=headers)).status == 401
        assert (await client.request("OPTIONS", "/", headers={**headers, **bearer("alice")})).status == 405
    assert (await client.request("OPTIONS", "nowhere", headers=ASKS)).status == 400


async def test_a_page_reads_answers_to_its_token(bench: Bench) -> None:
    client = await bench.connect()
    for method, path, headers, status in (
        ("POST", "/submit", bearer("alice"), 200),
        ("POST", f"/token/{TOKENS['alice']}/submit", {}, 200),
        ("GET", "/fail/bug", bearer("alice"), 500),
        ("GET", "/nowhere", bearer("alice"), 404),
        ("GET", "/", {}, 401),
        ("GET", "/", {"authorization": "Bearer wrong"}, 401),
        ("GET", "/node/network", {}, 200),
    ):
        reply = await client.request(method, path, headers={**headers, **PAGE})
        assert reply.status == status
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-expose-headers"] == "*"
        assert "access-control-allow-credentials" not in reply.headers
        # Who is no page gets none of this.
        reply = await client.request(method, path, headers=headers)
        assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        {"origin": "null"},
        {"origin": "http://localhost"},
        {"origin": "https://localhost.attacker.example"},
        {"origin": "https://localhost:444"},
        {"origin": "https://localhost, https://attacker.example"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_certificate_does_not_speak_for_a_foreign_page(bench: Bench, page: dict[str, str]) -> None:
    """The browser shows it for whatever page asks, so it must not count, even where no answer is read."""
    client = await bench.connect(ACTORS["alice"])
    for method, path in (("GET", "/"), ("POST", "/submit"), ("POST", "/node/governance"), ("GET", "/node/status")):
        reply = await client.request(method, path, b"x" if method == "POST" else b"", headers=page)
        assert reply.status == 401
    assert bench.items == []
    shown = (await client.request("GET", "/", headers={**page, **bearer("bob")})).json
    assert shown["caller"] == ["bob", False, "token"]


async def test_a_certificate_speaks_for_tools_and_the_nodes_own_pages(bench: Bench) -> None:
    client = await bench.connect(ACTORS["alice"])
    for headers in ({}, {"origin": "https://localhost"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        reply = await client.request("GET", "/", headers=headers)
        assert reply.json["caller"] == ["alice", False, "certificate"]
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_the_host_counts_with_its_port() -> None:
    assert not is_foreign_page({"origin": "https://node.example:8000", "host": "node.example:8000"})
    assert is_foreign_page({"origin": "https://node.example", "host": "node.example:8000"})
    assert is_foreign_page({"origin": "https://node.example"})
    assert is_foreign_page({"origin": "https://"})
