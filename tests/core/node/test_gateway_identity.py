"""The gateway: whose request it is, and what nobody gets."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from tests.support.gateway_bench import ACTORS, FOREIGN, FRONT_END_CA, TOKENS, Bench, bearer, constitution, under


async def test_a_token_in_the_path(bench: Bench) -> None:
    client = await bench.connect()
    shown = (await client.request("GET", f"/token/{TOKENS['alice']}/other/show/x")).json
    assert (shown["caller"], shown["adapter"], shown["path"]) == (["alice", False, "token"], "other", "/show/x")
    shown = (await client.request("POST", f"/token/{TOKENS['alice']}", b"{}")).json
    assert (shown["caller"][0], shown["path"], shown["body"]) == ("alice", "/", "{}")
    assert (await client.request("GET", "/token/wrong/")).status == 401


async def test_a_client_certificate_of_an_actor_or_under_it(bench: Bench) -> None:
    own = await bench.connect(ACTORS["admin"])
    assert (await own.request("GET", "/")).json["caller"] == ["admin", True, "certificate"]
    employee = await bench.connect(under(ACTORS["alice"], "an employee"))
    assert (await employee.request("GET", "/")).json["caller"] == ["alice", False, "certificate"]


async def test_a_foreign_client_certificate_fails_the_handshake(bench: Bench) -> None:
    for credential in (FOREIGN, under(FOREIGN, "employee"), under(FRONT_END_CA, "lateral")):
        try:
            client = await bench.connect(credential)
            client.send("GET", "/node/health")
        except (ssl.SSLError, ConnectionError):
            continue
        assert await client.ended()


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Bearer ", "Bearer", "Basic YTpi", "token-of-alice", "Bearer " + "x" * 600]
)
async def test_bad_credentials_are_refused_everywhere_alike(bench: Bench, authorization: str) -> None:
    client = await bench.connect()
    replies = [
        await client.request(method, path, headers={"authorization": authorization})
        for method, path in (("GET", "/"), ("GET", "/nowhere"), ("POST", "/submit"), ("GET", "/node/status"))
    ]
    assert {reply.status for reply in replies} == {401}
    assert len({reply.body for reply in replies}) == 1
    assert set(replies[0].json) == {"error", "hint"}
    assert bench.items == []


async def test_without_an_identity_everything_is_answered_alike(bench: Bench) -> None:
    client = await bench.connect()
    replies = [
        await client.request(method, path, b"x" if method == "POST" else b"")
        for method, path in (
            ("GET", "/"),
            ("PUT", "/"),
            ("POST", "/submit"),
            ("GET", "/nowhere"),
            ("GET", "/other/show/x"),
            ("GET", "/node/status"),
            ("GET", "/node/state"),
            ("GET", "/node/commit"),
            ("GET", "/node/network/nodes"),
            ("GET", "/node/metrics"),
            ("GET", "/node/tx/2.17"),
            ("GET", "/node/tx?transaction_id=2.17"),
            ("GET", "/node/governance"),
            ("POST", "/node/governance"),
            ("GET", "/node/nowhere"),
        )
    ]
    assert {(reply.status, reply.body) for reply in replies} == {(401, replies[0].body)}
    assert len({tuple(sorted(reply.headers.items())) for reply in replies}) == 1
    assert bench.items == []
    assert (await client.request("GET", "/open")).json["caller"] == [None, False, "none"]


async def test_credentials_of_different_actors_are_refused(bench: Bench) -> None:
    client = await bench.connect(ACTORS["alice"])
    assert (await client.request("GET", "/", headers=bearer("bob"))).status == 401
    assert (await client.request("GET", f"/token/{TOKENS['bob']}/", headers=bearer("alice"))).status == 401
    assert (await client.request("GET", "/", headers=bearer("alice"))).json["caller"] == ["alice", False, "token"]


async def test_a_new_constitution_counts_at_once(bench: Bench) -> None:
    by_token, by_certificate = await bench.connect(), await bench.connect(ACTORS["alice"])
    assert (await by_token.request("GET", "/", headers=bearer("alice"))).status == 200
    assert (await by_certificate.request("GET", "/")).status == 200
    await bench.serve(constitution("alice"), "other")
    while (await by_token.request("GET", "/node/network")).json["default_adapter"] != "other":
        pass
    assert (await by_token.request("GET", "/", headers=bearer("alice"))).status == 401
    assert (await by_certificate.request("GET", "/")).status == 401
    assert (await by_token.request("GET", "/", headers=bearer("bob"))).json["adapter"] == "other"
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        late = await bench.connect(ACTORS["alice"])
        late.send("GET", "/")
        assert await late.ended()
