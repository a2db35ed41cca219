"""The gateway over real TLS on a free port, with an executor that the tests play."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core import limits
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Backend,
    Executed,
    ExecutionContext,
    Request,
    Response,
    Route,
    ScopedTransaction,
)
from core.crypto.certificates import issue, self_signed
from core.crypto.keys import PrivateKey
from core.errors import InvariantBroken, NodeStopped
from core.governance.constitution import Constitution, Identity
from core.node.config import GatewayConfig
from core.node.gateway import Gateway
from core.node.http_server import ServerBounds
from core.node.messages import FROM_GATEWAY, TO_GATEWAY, Answer, Ask, FrontEnd, Submit, ToGateway
from enclave_sim.boundary.memory_transport import memory_pair

BODY_MAX = 64 * 1024
BOUNDS = ServerBounds(connections_max=20, request_bytes_max=BODY_MAX)
TOKENS = {"admin": "token-of-admin", "alice": "token-of-alice", "bob": "token-of-bob"}


@dataclass(frozen=True)
class Credential:
    certificate: str
    key: PrivateKey


def authority(name: str, *, ca: bool = True) -> Credential:
    key = PrivateKey.generate()
    return Credential(self_signed(name, key, not_before=datetime.now(UTC), days=2, ca=ca), key)


def under(issuer: Credential, name: str, usage: Any = "client", names: Sequence[str] = ()) -> Credential:
    key = PrivateKey.generate()
    leaf = issue(
        name,
        key.public_key(),
        issuer=issuer.certificate,
        issuer_key=issuer.key,
        not_before=datetime.now(UTC),
        days=2,
        usage=usage,
        names=names,
    )
    return Credential(leaf, key)


ACTORS = {name: authority(name) for name in TOKENS}
FRONT_END_CA = authority("front end CA")
FRONT_END = under(FRONT_END_CA, "front end", "server", ("localhost", "127.0.0.1"))
FOREIGN = authority("foreign")


class Probe(Adapter):
    """Routes that show what a handler is given, and some that misbehave."""

    info = AdapterInfo("probe", "7", "shows what it gets")

    def routes(self) -> Sequence[Route]:
        async def show(request: Request, backend: Backend) -> Response:
            document = {
                "adapter": self.info.name,
                "method": request.method,
                "path": request.path,
                "parameters": dict(request.parameters),
                "query": dict(request.query),
                "headers": dict(request.headers),
                "body": request.body.decode(),
                "caller": [request.caller.identity, request.caller.is_member, request.caller.credential],
            }
            return Response(200, json.dumps(document).encode())

        async def submit(request: Request, backend: Backend) -> Response:
            outcome = await backend.submit(request.body, request.caller)
            return Response(200, outcome.reply, "text/plain", [("x-id", str(outcome.transaction_id))])

        async def query(request: Request, backend: Backend) -> Response:
            return Response(200, await backend.query(request.body, request.caller), "text/plain")

        async def gather(request: Request, backend: Backend) -> Response:
            parts = request.body.split(b",")
            outcomes = await asyncio.gather(*(backend.submit(part, request.caller) for part in parts))
            return Response(200, b",".join(outcome.reply for outcome in outcomes))

        async def fail(request: Request, backend: Backend) -> Response:
            raise {"bug": ValueError("secret"), "broken": InvariantBroken("broken")}[request.parameters["how"]]

        async def inject(request: Request, backend: Backend) -> Response:
            return Response(200, b"", headers=[("x", "a\r\nset-cookie: b")])

        async def oversized(request: Request, backend: Backend) -> Response:
            return Response(200, bytes(limits.RESPONSE_BYTES_MAX + 1))

        return [
            Route("GET", "/", show),
            Route("POST", "/", show),
            Route("GET", "/show/{what}", show),
            Route("GET", "/open", show, anonymous=True),
            Route("POST", "/submit", submit),
            Route("POST", "/query", query),
            Route("POST", "/gather", gather),
            Route("GET", "/fail/{how}", fail),
            Route("GET", "/inject", inject),
            Route("GET", "/oversized", oversized),
        ]

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        raise NotImplementedError


class Other(Probe):
    info = AdapterInfo("other", "8", "the same, mounted elsewhere")


def load(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
    return {"probe": Probe({}, network), "other": Other({}, network)}


def constitution(*left_out: str) -> Constitution:
    identities = tuple(
        Identity(
            name,
            "member" if name == "admin" else "participant",
            ACTORS[name].certificate,
            (hashlib.sha256(token.encode()).hexdigest(),),
        )
        for name, token in TOKENS.items()
        if name not in left_out
    )
    return Constitution(1, "test", identities, {"probe": {}, "other": {}}, "probe")


def front_end(rules: Constitution, default: str = "probe") -> FrontEnd:
    chain = FRONT_END.certificate + FRONT_END_CA.certificate
    return FrontEnd(rules.encode(), default, chain.encode(), FRONT_END.key.to_pkcs8_pem(), b'{"network":"test"}')


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A TLS connection that writes bytes and reads HTTP responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self, *, head_only: bool = False) -> Reply:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        size = 0 if head_only else int(headers.get("content-length", "0"))
        return Reply(int(head[0].split()[1]), headers, await self.reader.readexactly(size))

    async def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        self.send(method, path, body, **headers)
        return await self.read(head_only=method == "HEAD")

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def ended(self) -> bool:
        """Whether the server closes the connection without saying more."""
        try:
            return await asyncio.wait_for(self.reader.read(), 5) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


class Bench:
    """A gateway that serves, and the executor's end of its channel."""

    def __init__(self, folder: Path, bounds: ServerBounds = BOUNDS) -> None:
        self.folder = folder
        self.executor, theirs = memory_pair()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.logged: list[str] = []
        self.messages = 0
        self.items: list[Submit | Ask] = []
        self.asked = asyncio.Event()
        self.silent = False
        self.answers: dict[bytes, Answer] = {}
        self.gateway = Gateway(
            GatewayConfig(bytes(32)),
            executor=theirs,
            listener=self.listener,
            log=self.logged.append,
            load=load,
            bounds=bounds,
        )
        self.clients: list[Client] = []
        self.run = asyncio.create_task(self.gateway.run())
        self.echo = asyncio.create_task(self.play_executor())

    async def play_executor(self) -> None:
        """Answer each item with its own payload, in capitals, or as `answers` says."""
        while True:
            message = FROM_GATEWAY.decode(await self.executor.receive())
            self.messages += 1
            self.items += message.items
            self.asked.set()
            if self.silent:
                continue
            answers = []
            for item in message.items:
                is_command = isinstance(item, Submit)
                seqno = 17 if is_command else 0
                known = self.answers.get(item.payload)
                answer = known or Answer(0, item.payload.upper(), "", 2 * is_command, seqno)
                answers.append(replace_ticket(answer, item.ticket))
            await self.executor.send(TO_GATEWAY.encode(ToGateway(tuple(answers))))

    async def serve(self, rules: Constitution | None = None, default: str = "probe") -> None:
        await self.executor.send(TO_GATEWAY.encode(front_end(rules or constitution(), default)))

    def context(self, credential: Credential | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=FRONT_END_CA.certificate)
        if credential is not None:
            chain, key = self.folder / "client.pem", self.folder / "client.key"
            chain.write_text(credential.certificate)
            key.write_bytes(credential.key.to_pkcs8_pem())
            context.load_cert_chain(chain, key)
        return context

    async def connect(self, credential: Credential | None = None, *, context: ssl.SSLContext | None = None) -> Client:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context or self.context(credential), server_hostname="localhost"
        )
        self.clients.append(Client(reader, writer))
        return self.clients[-1]

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        self.gateway.request_stop()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.run, 5)
        self.echo.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self.echo


def replace_ticket(answer: Answer, ticket: int) -> Answer:
    return Answer(ticket, answer.reply, answer.failure, answer.view, answer.seqno)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    found = Bench(tmp_path)
    await found.serve()
    yield found
    await found.close()


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[name]}"}


# Serving.


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
    reply = await client.request("GET", "/show/a%20b?x=1&y=%C3%A9", X_Thing="v", **bearer("alice"))
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
    for path, adapter, inner in (
        ("/", "probe", "/"),
        ("/probe", "probe", "/"),
        ("/other/", "other", "/"),
        ("/other/show/x", "other", "/show/x"),
        ("https://localhost/other/show/x", "other", "/show/x"),
    ):
        shown = (await client.request("GET", path, **bearer("alice"))).json
        assert (shown["adapter"], shown["path"]) == (adapter, inner)


async def test_submit_and_query_reach_the_executor(bench: Bench) -> None:
    client = await bench.connect()
    reply = await client.request("POST", "/submit", b"abc", **bearer("admin"))
    assert (reply.body, reply.headers["x-id"], reply.headers["content-type"]) == (b"ABC", "2.17", "text/plain")
    assert (await client.request("POST", "/query", b"q", **bearer("alice"))).body == b"Q"
    first, second = bench.items
    assert isinstance(first, Submit)
    assert isinstance(second, Ask)
    assert (first.adapter, first.caller.identity, first.caller.is_member) == ("probe", "admin", True)


async def test_what_is_asked_in_one_turn_goes_in_one_message(bench: Bench) -> None:
    client = await bench.connect()
    assert (await client.request("POST", "/gather", b"a,b,c,d", **bearer("alice"))).body == b"A,B,C,D"
    assert (bench.messages, len(bench.items)) == (1, 4)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ("overloaded", 503),
        ("too_large", 413),
        ("unknown_outcome", 504),
        ("no_such_adapter", 400),
        ("failed", 500),
    ],
)
async def test_failures_of_the_executor(bench: Bench, failure: Any, status: int) -> None:
    bench.answers[b"x"] = Answer(0, b"", failure, 2, 5)
    client = await bench.connect()
    reply = await client.request("POST", "/submit", b"x", **bearer("alice"))
    assert reply.status == status
    assert {"error", "hint"} <= set(reply.json)
    if failure == "unknown_outcome":
        assert reply.json["transaction"] == "2.5"


async def test_an_answer_that_does_not_come(bench: Bench) -> None:
    bench.silent = True
    bench.gateway._client._seconds_max = 0.05
    client = await bench.connect()
    assert (await client.request("POST", "/submit", b"x", **bearer("alice"))).status == 504
    assert len(bench.gateway._client) == 0


async def test_node_routes(bench: Bench) -> None:
    client = await bench.connect()
    network = (await client.request("GET", "/node/network")).json
    assert network == {"network": "test", "adapters": {"probe": "7", "other": "8"}, "default_adapter": "probe"}
    await client.request("GET", "/node/tx/2.17", **bearer("alice"))
    await client.request("GET", "/node/status", **bearer("alice"))
    assert [(item.adapter, json.loads(item.payload)) for item in bench.items] == [
        ("coco", {"kind": "transaction", "id": "2.17"}),
        ("coco", {"kind": "status"}),
    ]


async def test_governance_is_for_members(bench: Bench) -> None:
    bench.answers[b"signed"] = Answer(0, b'{"accepted":true}', "", 2, 5)
    bench.answers[b"bad"] = Answer(0, b'{"accepted":false,"reason":"stale"}', "", 2, 6)
    client = await bench.connect()
    assert (await client.request("POST", "/node/governance", b"signed", **bearer("admin"))).status == 200
    refused = await client.request("POST", "/node/governance", b"bad", **bearer("admin"))
    assert (refused.status, refused.json["error"]) == (400, "stale")
    participant = await client.request("POST", "/node/governance", b"signed", **bearer("alice"))
    nowhere = await client.request("POST", "/node/nowhere", b"signed", **bearer("alice"))
    assert (participant.status, participant.body) == (nowhere.status, nowhere.body) == (404, nowhere.body)
    assert len(bench.items) == 2


# Identity.


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


async def test_an_actors_leaf_cannot_vouch_for_others(bench: Bench) -> None:
    """A certificate that is signed by an employee's key is nobody's, whatever chain is shown with it."""
    employee = under(ACTORS["alice"], "an employee")
    forged_key = PrivateKey.generate()
    with contextlib.suppress(Exception):
        issue(
            "forged",
            forged_key.public_key(),
            issuer=employee.certificate,
            issuer_key=employee.key,
            not_before=datetime.now(UTC),
            days=1,
        )
        raise AssertionError("a leaf issued a certificate")


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Bearer ", "Bearer", "Basic YTpi", "token-of-alice", "Bearer " + "x" * 600]
)
async def test_bad_credentials_are_refused_everywhere_alike(bench: Bench, authorization: str) -> None:
    client = await bench.connect()
    replies = [
        await client.request(method, path, authorization=authorization)
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
            ("GET", "/node/tx/2.17"),
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
    assert (await client.request("GET", "/", **bearer("bob"))).status == 401
    assert (await client.request("GET", f"/token/{TOKENS['bob']}/", **bearer("alice"))).status == 401
    assert (await client.request("GET", "/", **bearer("alice"))).json["caller"] == ["alice", False, "token"]


async def test_a_new_constitution_counts_at_once(bench: Bench) -> None:
    by_token, by_certificate = await bench.connect(), await bench.connect(ACTORS["alice"])
    assert (await by_token.request("GET", "/", **bearer("alice"))).status == 200
    assert (await by_certificate.request("GET", "/")).status == 200
    await bench.serve(constitution("alice"), "other")
    while (await by_token.request("GET", "/node/network")).json["default_adapter"] != "other":
        pass
    assert (await by_token.request("GET", "/", **bearer("alice"))).status == 401
    assert (await by_certificate.request("GET", "/")).status == 401
    assert (await by_token.request("GET", "/", **bearer("bob"))).json["adapter"] == "other"
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        late = await bench.connect(ACTORS["alice"])
        late.send("GET", "/")
        assert await late.ended()


# Misbehaving clients.


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"\x16\x03\x01\x00",
    ],
)
async def test_malformed_http(bench: Bench, raw: bytes) -> None:
    client = await bench.connect()
    client.writer.write(raw)
    reply = await client.read()
    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert await client.ended()
    assert (await (await bench.connect()).request("GET", "/node/health")).status == 200


@pytest.mark.parametrize("target", ["*", "ftp://x/y", "nowhere"])
async def test_request_targets_that_are_not_served(bench: Bench, target: str) -> None:
    client = await bench.connect()
    assert (await client.request("OPTIONS", target, **bearer("alice"))).status == 400


async def test_oversized_bodies(bench: Bench) -> None:
    fitting = await bench.connect()
    body = b"x" * BODY_MAX
    assert (await fitting.request("POST", "/", body, **bearer("alice"))).json["body"] == body.decode()
    announced = await bench.connect()
    announced.writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (BODY_MAX + 1))
    assert (await announced.read()).status == 413
    assert await announced.ended()
    chunked = await bench.connect()
    chunked.writer.write(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(BODY_MAX // 1024 + 2):
            chunked.writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
    assert (await chunked.read()).status == 413


async def test_chunked_bodies_and_repeated_headers(bench: Bench) -> None:
    client = await bench.connect()
    head = f"POST / HTTP/1.1\r\nauthorization: Bearer {TOKENS['alice']}\r\nx: 1\r\nX: 2\r\n"
    client.writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
    shown = (await client.read()).json
    assert (shown["body"], shown["headers"]["x"]) == ("abcde", "1, 2")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"a" * limits.REQUEST_HEADER_BYTES_MAX + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * limits.REQUEST_HEADER_BYTES_MAX + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: aaaaaaaaaaaa\r\n" * 2000 + b"\r\n",
    ],
    ids=["target", "one header", "many headers"],
)
async def test_oversized_heads(bench: Bench, raw: bytes) -> None:
    client = await bench.connect()
    client.writer.write(raw)
    assert (await client.read()).status == 431
    assert await client.ended()


async def test_a_head_that_never_ends_is_cut_off(bench: Bench) -> None:
    client = await bench.connect()
    client.writer.write(b"GET / HTTP/1.1\r\nx: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            client.writer.write(b"a" * 1024)
            await asyncio.sleep(0)
    with contextlib.suppress(ConnectionError):
        assert (await client.read()).status == 431
    assert await client.ended()


async def test_expect_continue(bench: Bench) -> None:
    client = await bench.connect()
    head = f"POST / HTTP/1.1\r\nauthorization: Bearer {TOKENS['alice']}\r\nexpect: 100-continue\r\n"
    client.writer.write(head.encode() + b"content-length: 2\r\n\r\n")
    assert await client.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(b"ok")
    assert (await client.read()).json["body"] == "ok"


async def test_pipelined_requests_are_answered_in_order(bench: Bench) -> None:
    client = await bench.connect()
    count = 3 * limits.CONNECTION_REQUESTS_MAX
    for number in range(count):
        client.send("POST", "/submit", b"n%d" % number, **bearer("alice"))
    assert [(await client.read()).body for _ in range(count)] == [b"N%d" % number for number in range(count)]


async def test_reading_pauses_while_too_much_is_sent_ahead(bench: Bench) -> None:
    bench.silent = True
    client = await bench.connect()
    for _ in range(200):
        client.send("POST", "/submit", bytes(BODY_MAX), **bearer("alice"))
    await asyncio.sleep(0.2)
    [connection] = bench.gateway._server._connections
    assert connection._waiting_bytes <= 8 * BODY_MAX
    assert connection._reading_paused
    assert len(bench.items) == 1
    connection.abort()


async def test_a_malformed_request_behind_a_good_one(bench: Bench) -> None:
    client = await bench.connect()
    client.send("POST", "/submit", b"good", **bearer("alice"))
    client.writer.write(b"nonsense\r\n\r\n")
    assert (await client.read()).body == b"GOOD"
    assert (await client.read()).status == 400
    assert await client.ended()


async def test_connection_close_http_1_0_and_head(bench: Bench) -> None:
    client = await bench.connect()
    reply = await client.request("GET", "/node/health", connection="close")
    assert reply.headers["connection"] == "close"
    assert await client.ended()
    old = await bench.connect()
    old.writer.write(b"GET /node/health HTTP/1.0\r\n\r\n")
    assert (await old.read()).headers["connection"] == "close"
    assert await old.ended()
    head = await bench.connect()
    reply = await head.request("HEAD", "/node/health")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "15", b"")
    assert (await head.request("GET", "/node/health")).status == 200


async def test_methods(bench: Bench) -> None:
    client = await bench.connect()
    reply = await client.request("PUT", "/", **bearer("alice"))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")
    assert (await client.request("GET", "/nowhere", **bearer("alice"))).status == 404
    assert (await client.request("OPTIONS", "/", **bearer("alice"))).status == 405


async def test_handlers_that_fail(bench: Bench) -> None:
    client = await bench.connect()
    for path in ("/fail/bug", "/inject"):
        reply = await client.request("GET", path, **bearer("alice"))
        assert (reply.status, set(reply.json)) == (500, {"error", "hint"})
        assert b"secret" not in reply.body
        assert "set-cookie" not in reply.headers
    assert (await client.request("GET", "/oversized", **bearer("alice"))).status == 413
    assert not any("secret" in line for line in bench.logged)
    assert (await client.request("GET", "/node/health")).status == 200


async def test_a_broken_invariant_stops_the_gateway(bench: Bench) -> None:
    client = await bench.connect()
    client.send("GET", "/fail/broken", **bearer("alice"))
    with pytest.raises(InvariantBroken):
        await asyncio.wait_for(bench.run, 5)


# Time and number.


async def test_a_client_that_does_not_shake_hands_is_dropped(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(BOUNDS, handshake_seconds_max=0.05))
    await bench.serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", bench.port)
    plain_writer.write(b"GET / HTTP/1.1\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"HTTP" not in await asyncio.wait_for(plain_reader.read(), 5)
    plain_writer.close()
    assert (await (await bench.connect()).request("GET", "/node/health")).status == 200
    await bench.close()


async def test_slow_and_idle_connections_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(BOUNDS, request_seconds_max=0.1, idle_seconds_max=0.2))
    await bench.serve()
    slow, idle = await bench.connect(), await bench.connect()
    slow.writer.write(b"GET /node/health HTTP/1.1\r\n")
    assert (await slow.read()).status == 408
    assert await slow.ended()
    assert await idle.ended()
    await bench.close()


async def test_connections_are_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(BOUNDS, connections_max=2))
    await bench.serve()
    first, second = await bench.connect(), await bench.connect()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await bench.connect()
    assert (await first.request("GET", "/node/health")).status == 200
    assert (await second.request("GET", "/node/health")).status == 200
    await first.close()
    for _ in range(100):
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert (await (await bench.connect()).request("GET", "/node/health")).status == 200
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("no room came back")
    await bench.close()


async def test_a_stop_finishes_what_is_being_answered(bench: Bench) -> None:
    bench.silent = True
    client, idle = await bench.connect(), await bench.connect()
    client.send("POST", "/submit", b"x", **bearer("alice"))
    await asyncio.wait_for(bench.asked.wait(), 5)
    bench.gateway.request_stop()
    assert await idle.ended()
    answer = Answer(bench.items[0].ticket, b"done", "", 2, 17)
    await bench.executor.send(TO_GATEWAY.encode(ToGateway((answer,))))
    reply = await client.read()
    assert (reply.body, reply.headers["connection"]) == (b"done", "close")
    await asyncio.wait_for(bench.run, 5)
    with pytest.raises(OSError):
        await bench.connect()


async def test_the_gateway_ends_with_the_executor(bench: Bench) -> None:
    client = await bench.connect()
    assert (await client.request("GET", "/node/health")).status == 200
    await bench.executor.close()
    with pytest.raises(NodeStopped):
        await asyncio.wait_for(bench.run, 5)


async def test_malformed_messages_of_the_executor_are_refused(bench: Bench) -> None:
    await bench.executor.send(b"\x09nonsense")
    client = await bench.connect()
    assert (await client.request("POST", "/submit", b"x", **bearer("alice"))).body == b"X"
    assert any("refused" in line for line in bench.logged)
