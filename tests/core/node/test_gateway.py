"""The gateway over real TLS: what it serves, and how it ends."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from core.adapter.interface import Caller
from core.node.messages import Answer, Ask, Submit
from tests.support.gateway_bench import ACTORS, TOKENS, Bench, bearer


async def test_nothing_is_accepted_before_the_front_end_has_come(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    connecting = asyncio.create_task(bench.connect())
    await asyncio.sleep(0.05)
    assert not connecting.done()
    await bench.serve()
    client = await asyncio.wait_for(connecting, 5)
    assert (await client.request("GET", "/node/health")).json == {"status": "ok"}
    await bench.close()


async def test_tls_is_modern_and_the_certificate_fits(bench: Bench) -> None:
    client = await bench.connect()
    assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        await bench.connect(context=ssl.create_default_context())
    old = bench.context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await bench.connect(context=old)


async def test_a_handler_gets_the_request(bench: Bench) -> None:
    client = await bench.connect()
    reply = await client.request("GET", "/show/a%20b?x=1&y=%C3%A9", headers={"X-Thing": "v", **bearer("alice")})
    shown = reply.json
    assert (shown["path"], shown["parameters"], shown["query"]) == (
        "/show/a%20b",
        {"what": "a b"},
        {"x": "1", "y": "é"},
    )
    assert shown["headers"]["x-thing"] == "v"
    assert "authorization" not in shown["headers"]
    assert shown["caller"] == ["alice", False, "token"]
    assert reply.headers["cache-control"] == "no-store"


async def test_adapters_are_mounted_by_name_and_one_at_the_root(bench: Bench) -> None:
    client = await bench.connect()
    for path, adapter, mount, inner in (
        ("/", "probe", "", "/"),
        ("/show/x", "probe", "", "/show/x"),
        ("/probe", "probe", "/probe", "/"),
        ("/other/", "other", "/other", "/"),
        ("/other/show/x", "other", "/other", "/show/x"),
        ("https://localhost/other/show/x", "other", "/other", "/show/x"),
    ):
        shown = (await client.request("GET", path, headers=bearer("alice"))).json
        assert (shown["adapter"], shown["mount"], shown["path"]) == (adapter, mount, inner)


async def test_submit_and_query_reach_the_executor(bench: Bench) -> None:
    client = await bench.connect()
    reply = await client.request("POST", "/submit", b"abc", headers=bearer("admin"))
    assert (reply.body, reply.headers["x-id"], reply.headers["content-type"]) == (b"ABC", "2.17", "text/plain")
    assert (await client.request("POST", "/query", b"q", headers=bearer("alice"))).body == b"Q"
    first, second = bench.items
    assert isinstance(first, Submit)
    assert isinstance(second, Ask)
    assert (first.adapter, first.caller.identity, first.caller.is_member) == ("probe", "admin", True)


async def test_what_is_asked_in_one_turn_goes_in_one_message(bench: Bench) -> None:
    client = await bench.connect()
    assert (await client.request("POST", "/gather", b"a,b,c,d", headers=bearer("alice"))).body == b"A,B,C,D"
    assert (bench.messages, len(bench.items)) == (1, 4)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ("overloaded", 503),
        ("too_large", 413),
        ("unknown_outcome", 504),
        ("no_such_adapter", 400),
        ("failed", 500),
        ("not_leader", 503),
    ],
)
async def test_failures_of_the_executor(bench: Bench, failure: Any, status: int) -> None:
    bench.answers[b"x"] = Answer(0, b"", failure, 2, 5)
    client = await bench.connect()
    reply = await client.request("POST", "/submit", b"x", headers=bearer("alice"))
    assert reply.status == status
    assert {"error", "hint"} <= set(reply.json)
    if failure == "unknown_outcome":
        assert reply.json["transaction"] == "2.5"


async def test_an_answer_that_does_not_come(bench: Bench) -> None:
    bench.silent = True
    bench.gateway._client._seconds_max = 0.05
    client = await bench.connect()
    assert (await client.request("POST", "/submit", b"x", headers=bearer("alice"))).status == 504
    assert len(bench.gateway._client) == 0


async def test_node_routes(bench: Bench) -> None:
    client = await bench.connect()
    network = (await client.request("GET", "/node/network")).json
    assert network == {"network": "test", "adapters": {"probe": "7", "other": "8"}, "default_adapter": "probe"}
    for path, query in (
        ("/node/tx/2.17", {"kind": "transaction", "id": "2.17"}),
        ("/node/tx?transaction_id=2.17", {"kind": "transaction", "id": "2.17"}),
        ("/node/tx", {"kind": "transaction", "id": ""}),
        ("/node/status", {"kind": "status"}),
        ("/node/state", {"kind": "state"}),
        ("/node/commit", {"kind": "commit"}),
        ("/node/governance", {"kind": "governance"}),
        ("/node/network/nodes", {"kind": "nodes"}),
    ):
        await client.request("GET", path, headers=bearer("alice"))
        assert (bench.items[-1].adapter, json.loads(bench.items[-1].payload)) == ("coco", query)


async def test_metrics_are_for_members(bench: Bench) -> None:
    bench.answers[b'{"kind":"metrics"}'] = Answer(0, b"coco_view 2\n", "", 0, 0)
    client = await bench.connect()
    reply = await client.request("GET", "/node/metrics", headers=bearer("admin"))
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert reply.body.splitlines()[0] == b"coco_view 2"
    assert b"\ncoco_gateway_connections 1\n" in reply.body
    assert reply.body.endswith(b"\ncoco_gateway_requests 0\n")
    participant = await client.request("GET", "/node/metrics", headers=bearer("alice"))
    nowhere = await client.request("GET", "/node/nowhere", headers=bearer("alice"))
    assert (participant.status, participant.body) == (nowhere.status, nowhere.body) == (404, nowhere.body)


async def test_commands_carry_the_token_for_the_leader_and_queries_do_not(bench: Bench) -> None:
    client = await bench.connect()
    await client.request("POST", "/submit", b"a", headers=bearer("alice"))
    await client.request("POST", f"/token/{TOKENS['alice']}/submit", b"b")
    await client.request("POST", "/query", b"c", headers=bearer("alice"))
    await client.request("POST", "/node/governance", b"d", headers=bearer("admin"))
    certified = await bench.connect(ACTORS["alice"])
    await certified.request("POST", "/submit", b"e")
    assert [(item.payload, item.caller.identity, item.caller.token) for item in bench.items] == [
        (b"a", "alice", TOKENS["alice"]),
        (b"b", "alice", TOKENS["alice"]),
        (b"c", "alice", ""),
        (b"d", "admin", TOKENS["admin"]),
        (b"e", "alice", ""),
    ]
    assert not any(TOKENS["alice"] in repr(item) for item in bench.items)
    assert not any(TOKENS["alice"] in line for line in bench.logged)


async def test_a_token_speaks_for_nobody_else(bench: Bench) -> None:
    backend = bench.gateway._client.backend("probe", Caller("alice", False, "token"), TOKENS["alice"])
    await backend.submit(b"a", Caller("bob", False, "token"))
    await backend.submit(b"b", Caller("alice", True, "token"))
    assert [item.caller.token for item in bench.items] == ["", ""]
    assert TOKENS["alice"] not in repr(backend)


async def test_governance_is_for_members(bench: Bench) -> None:
    bench.answers[b"signed"] = Answer(0, b'{"accepted":true}', "", 2, 5)
    bench.answers[b"bad"] = Answer(0, b'{"accepted":false,"reason":"stale"}', "", 2, 6)
    client = await bench.connect()
    assert (await client.request("POST", "/node/governance", b"signed", headers=bearer("admin"))).status == 200
    refused = await client.request("POST", "/node/governance", b"bad", headers=bearer("admin"))
    assert (refused.status, refused.json["error"]) == (400, "stale")
    participant = await client.request("POST", "/node/governance", b"signed", headers=bearer("alice"))
    nowhere = await client.request("POST", "/node/nowhere", b"signed", headers=bearer("alice"))
    assert (participant.status, participant.body) == (nowhere.status, nowhere.body) == (404, nowhere.body)
    assert len(bench.items) == 2
