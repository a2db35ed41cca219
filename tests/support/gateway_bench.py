"""A gateway over real TLS on a free port, with an executor that the tests play, and a client of raw HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from core import limits
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Backend,
    Executed,
    ExecutionContext,
    Overloaded,
    Request,
    Response,
    Route,
    ScopedTransaction,
    WebSocket,
    WebSocketRoute,
)
from core.crypto.certificates import issue, self_signed
from core.crypto.keys import PrivateKey
from core.errors import CocoError, InvariantBroken
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
    """above: certificates that are shown with it, the nearest first (PEM)."""

    certificate: str
    key: PrivateKey
    above: str = ""


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


def signed(name: str, issuer: Credential, *extensions: x509.ExtensionType, days: int = 2) -> Credential:
    """Return a credential that the issuer's key signed, whether or not it may; it shows the issuer's certificate."""
    key = PrivateKey.generate()
    start = datetime.now(UTC) - timedelta(days=3)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.load_pem_x509_certificate(issuer.certificate.encode()).subject)
        .public_key(key.raw.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3 + days))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=not isinstance(extension, x509.SubjectAlternativeName))
    certificate = builder.sign(issuer.key.raw, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Credential(pem, key, issuer.certificate + issuer.above)


ACTORS = {name: authority(name) for name in TOKENS}
FRONT_END_CA = authority("front end CA")
FRONT_END = under(FRONT_END_CA, "front end", "server", ("localhost", "127.0.0.1"))
FOREIGN = authority("foreign")


SAID: list[str | bytes | None] = []
"""What the last WebSocket handler received, with None at its end."""

FAILURES: dict[str, Exception] = {
    "bug": ValueError("secret"),
    "broken": InvariantBroken("broken"),
    "overloaded": Overloaded("too much to do"),
    "refused": CocoError("secret"),
}


class Probe(Adapter):
    """Routes that show what a handler is given, and some that misbehave."""

    info = AdapterInfo("probe", "7", "shows what it gets")

    def routes(self) -> Sequence[Route]:
        async def show(request: Request, backend: Backend) -> Response:
            document = {
                "adapter": self.info.name,
                "method": request.method,
                "path": request.path,
                "mount": request.mount,
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

    def web_sockets(self) -> Sequence[WebSocketRoute]:
        return [
            WebSocketRoute("/", self.converse),
            WebSocketRoute("/rooms/{name}", self.converse),
            WebSocketRoute("/versioned", self.converse, ("v2", "v1")),
        ]

    async def converse(self, socket: WebSocket, backend: Backend) -> None:
        """Send each message back, but for some words."""
        SAID.clear()
        while (message := await socket.receive()) is not None:
            SAID.append(message)
            match message:
                case "who":
                    await socket.send(f"{self.info.name} {socket.caller.identity} {socket.caller.credential}")
                case "submit":
                    await socket.send((await backend.submit(b"abc", socket.caller)).reply)
                case "end":
                    return
                case "hang":
                    await asyncio.Event().wait()
                case "flood":
                    while True:
                        await socket.send(bytes(64 * 1024))
                case "crowd":
                    await asyncio.gather(*(socket.send(bytes(64 * 1024)) for _ in range(1000)))
                case str() if message in FAILURES:
                    raise FAILURES[message]
                case _:
                    await socket.send(message)
        SAID.append(None)

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
    return Constitution(2, "test", identities, {"probe": {}, "other": {}}, "probe")


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

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        self.send(method, path, body, headers)
        return await self.read(head_only=method == "HEAD")

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
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
            chain.write_text(credential.certificate + credential.above)
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


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[name]}"}


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail after 5 seconds."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about")
