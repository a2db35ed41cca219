"""Sawtooth's ZeroMQ protocol on this machine, carried to the network: the validator's side of it.

A ROUTER socket takes the messages of unmodified clients and transaction processors; each of them has a WebSocket of its
own to `/sawtooth/validator`, over which its messages travel as they are. As in a validator, a client that is quiet is
pinged and one that stays silent is forgotten.

ZeroMQ tells a client of a lost validator by ending its connection, and a ROUTER can end no single one. So when a node's
side is lost, every client is disconnected at once: they connect again, and register and subscribe anew.

Only ZMTP 3 is spoken (ZAP is in force): the older protocol takes bytes that a web page could send by HTTP. Everything
is bounded: clients, and the messages and bytes that wait for a node.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq
import zmq.asyncio
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType
from yarl import URL
from zmq.auth.asyncio import AsyncioAuthenticator

from adapters.sawtooth.wire.messages import MESSAGES, MalformedMessage, MessageType, parse
from cli.failover import Addresses
from cli.proxy_server import (
    SOCKET_CLOSE_SECONDS_MAX,
    SOCKET_HEARTBEAT_SECONDS,
    SOCKET_OPEN_SECONDS_MAX,
    PortTaken,
    ProxySettings,
    client_session,
)
from core import limits
from core.errors import CocoError

PATH = "/sawtooth/validator"
PEERS_MAX = 64
PEER_MESSAGES_MAX = 10_000
PEER_BYTES_MAX = 8 * limits.MEBIBYTE
"""What one client may have waiting for its node, above which its messages are dropped."""
RETRY_SECONDS = 1.0
"""Between the loss of a node's side and listening again."""
BIND_SECONDS_MAX = 5.0
SLOW_SECONDS_MAX = 30.0
"""How long a client may take nothing of what it is sent."""
_SLOW_STEP_SECONDS = 0.05
_ZAP_DOMAIN = b"coco"
_PING = "ping-"
"""What the ids of the proxy's own pings begin with; other answers to pings are for the node."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """ping_seconds: of silence, after which a client is pinged. silent_seconds_max: after which it is forgotten."""

    ping_seconds: float = 10.0
    silent_seconds_max: float = 60.0


@dataclass(slots=True)
class _Peer:
    """A client. waiting: bytes on their way to its node. heard: when it last sent something."""

    queue: asyncio.Queue[bytes]
    heard: float
    waiting: int = 0
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class ZmqProxy:
    """See the module. Use `start`, then `stop`; `port` is the real one. note: told what a person should know."""

    def __init__(
        self, settings: ProxySettings, port: int, note: Callable[[str], None], heartbeat: Heartbeat | None = None
    ) -> None:
        self._settings = settings
        self._nodes = Addresses((settings.upstream, *settings.others))
        self._note = note
        self._heartbeat = heartbeat or Heartbeat()
        self._context = zmq.asyncio.Context()
        self._authenticator = AsyncioAuthenticator(self._context)
        self._router: zmq.asyncio.Socket | None = None
        self._session: ClientSession | None = None
        self._peers: dict[bytes, _Peer] = {}
        self._lost = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self.port = port

    @property
    def peers(self) -> int:
        """How many clients there are."""
        return len(self._peers)

    async def start(self) -> None:
        """Listen; raises PortTaken."""
        self._authenticator.start()
        try:
            self._router = self._bind()
        except zmq.ZMQError as error:
            await self.stop()
            raise PortTaken(
                f"{self._settings.host}:{self.port} cannot be listened on: {error.strerror}",
                hint="Choose another: coco proxy --zmq-port 4005 (0 takes a free one).",
            ) from error
        self.port = int(self._router.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        self._session = client_session(self._settings, PEERS_MAX)
        self._main = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Disconnect every client and close every connection."""
        if self._main is not None:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)
        await self._disconnect()
        self._authenticator.stop()
        if self._session is not None:
            await self._session.close()
        self._context.destroy(linger=0)

    def _bind(self) -> zmq.asyncio.Socket:
        host = {"localhost": "127.0.0.1"}.get(self._settings.host, self._settings.host)
        router = self._context.socket(zmq.ROUTER)
        router.linger = 0
        router.setsockopt(zmq.ZAP_DOMAIN, _ZAP_DOMAIN)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.MAXMSGSIZE, limits.REQUEST_BYTES_MAX)
        router.setsockopt(zmq.HANDSHAKE_IVL, 1000 * SOCKET_OPEN_SECONDS_MAX)
        if ":" in host:
            router.setsockopt(zmq.IPV6, 1)
        try:
            router.bind(f"tcp://[{host}]:{self.port}" if ":" in host else f"tcp://{host}:{self.port}")
        except zmq.ZMQError:
            router.close()
            raise
        return router

    async def _run(self) -> None:
        """Serve until cancelled, disconnecting every client whenever a node's side is lost."""
        while True:
            tasks = [asyncio.create_task(one) for one in (self._receive(), self._ping(), self._lost.wait())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await self._disconnect()
            self._lost.clear()
            await asyncio.sleep(RETRY_SECONDS)
            await self._bind_again()

    async def _bind_again(self) -> None:
        """Listen on the same port, which ZeroMQ may take a moment to give up."""
        deadline = time.monotonic() + BIND_SECONDS_MAX
        while True:
            try:
                self._router = self._bind()
                return
            except zmq.ZMQError as error:
                if time.monotonic() > deadline:
                    self._note(f"port {self.port} cannot be listened on any more: {error.strerror}")
                    deadline = float("inf")
            await asyncio.sleep(_SLOW_STEP_SECONDS)

    async def _disconnect(self) -> None:
        if self._router is not None:
            self._router.close()
            self._router = None
        tasks = [peer.task for peer in self._peers.values() if peer.task is not None]
        self._peers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # From clients.

    async def _receive(self) -> None:
        while self._router is not None:
            parts = await self._router.recv_multipart()
            if len(parts) == 2:
                await self._take(*parts)

    async def _take(self, identity: bytes, data: bytes) -> None:
        if not data:
            await self._send(identity, b"")  # A probe for a connection; a validator sends it back.
            return
        try:
            message = parse("Message", data)
        except MalformedMessage:
            return  # a validator says nothing either
        peer = self._peers.get(identity)
        if peer is not None:
            peer.heard = time.monotonic()
        match message.message_type:
            case MessageType.PING_REQUEST:
                pong = _message(MessageType.PING_RESPONSE, message.correlation_id)
                await self._send(identity, pong)
            case MessageType.PING_RESPONSE if peer is None or message.correlation_id.startswith(_PING):
                pass
            case _:
                self._pass_on(identity, peer or self._new_peer(identity), data)

    def _new_peer(self, identity: bytes) -> _Peer | None:
        if len(self._peers) >= PEERS_MAX:
            self._note(f"a client was not served: {PEERS_MAX} are connected")
            return None
        peer = _Peer(asyncio.Queue(PEER_MESSAGES_MAX), time.monotonic())
        self._peers[identity] = peer
        peer.task = asyncio.create_task(self._serve(identity, peer))
        return peer

    def _pass_on(self, identity: bytes, peer: _Peer | None, data: bytes) -> None:
        if peer is None:
            return
        if peer.queue.full() or peer.waiting + len(data) > PEER_BYTES_MAX:
            self._note(f"a message of client {identity.hex()[:16]} was dropped: too many wait for the network")
            return
        peer.waiting += len(data)
        peer.queue.put_nowait(data)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat.ping_seconds / 2)
            now = time.monotonic()
            for identity, peer in list(self._peers.items()):
                silent = now - peer.heard
                if silent > self._heartbeat.silent_seconds_max:
                    self._forget(identity, peer)
                elif silent > self._heartbeat.ping_seconds:
                    await self._send(identity, _message(MessageType.PING_REQUEST, f"{_PING}{now}"))

    def _forget(self, identity: bytes, peer: _Peer) -> None:
        if self._peers.get(identity) is peer:
            del self._peers[identity]
        if peer.task is not None:
            peer.task.cancel()

    async def _send(self, identity: bytes, data: bytes) -> bool:
        """Send to a client without waiting; returns False when it takes nothing at present."""
        if self._router is None:
            return True
        try:
            await self._router.send_multipart([identity, data], flags=zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            peer = self._peers.get(identity)
            if peer is not None:
                self._forget(identity, peer)
        return True

    # To and from a node.

    async def _serve(self, identity: bytes, peer: _Peer) -> None:
        """Carry one client's messages until its node's side is lost."""
        try:
            async with await self._open() as upstream:
                both = (self._up(peer, upstream), self._down(identity, upstream))
                pumps = [asyncio.create_task(one) for one in both]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)
            words = f"the node ended a connection with code {upstream.close_code}"
        except CocoError as error:
            words = error.message
        if self._peers.get(identity) is peer:
            self._note(f"{words}; every Sawtooth client is disconnected and may connect again")
            self._lost.set()

    async def _open(self) -> ClientWebSocketResponse:
        """Open a WebSocket to a node. Raises CocoError when none takes it."""
        if self._session is None:
            raise CocoError("the proxy is not running")
        words = ""
        for _ in range(self._nodes.count):
            node = self._nodes.current
            try:
                async with asyncio.timeout(SOCKET_OPEN_SECONDS_MAX):
                    return await self._session.ws_connect(
                        URL("wss" + node.removeprefix("https") + PATH),
                        heartbeat=SOCKET_HEARTBEAT_SECONDS,
                        max_msg_size=limits.RESPONSE_BYTES_MAX,
                        timeout=ClientWSTimeout(ws_close=SOCKET_CLOSE_SECONDS_MAX),
                    )
            except (ClientError, TimeoutError) as error:
                self._nodes.avoid(node)
                words = f"no node could be reached ({str(error) or type(error).__name__})"
        raise CocoError(words)

    async def _up(self, peer: _Peer, upstream: ClientWebSocketResponse) -> None:
        try:
            while True:
                data = await peer.queue.get()
                await upstream.send_bytes(data)
                peer.waiting -= len(data)
        except ConnectionError:
            return

    async def _down(self, identity: bytes, upstream: ClientWebSocketResponse) -> None:
        async for message in upstream:
            if message.type == WSMsgType.BINARY and not await self._deliver(identity, message.data):
                peer = self._peers.get(identity)
                if peer is not None:
                    self._forget(identity, peer)

    async def _deliver(self, identity: bytes, data: bytes) -> bool:
        """Send to a client that may be slow; returns False when it is too slow."""
        deadline = time.monotonic() + SLOW_SECONDS_MAX
        while not await self._send(identity, data):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_SLOW_STEP_SECONDS)
        return True


def _message(kind: MessageType, correlation: str) -> bytes:
    data: bytes = MESSAGES["Message"](message_type=kind, correlation_id=correlation).SerializeToString()
    return data
