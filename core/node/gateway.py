"""The gateway: ends TLS, authenticates, and runs the adapters' route handlers. It keeps nothing. DESIGN 1 and 3.

It serves once the executor has sent what it needs (FrontEnd), and takes up a new one as it comes. When the executor is
gone, so is the gateway.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any

from core.adapter.interface import Adapter
from core.adapter.loading import load_adapters
from core.errors import ChannelClosed, CocoError, InvariantBroken, NodeStopped
from core.governance.constitution import Constitution
from core.node.authentication import Authenticator
from core.node.config import GatewayConfig
from core.node.executor_client import ExecutorClient
from core.node.front_routes import FrontRoutes
from core.node.http_server import HttpServer, ServerBounds
from core.node.messages import FrontEnd
from core.node.tls import server_context
from core.ports import Transport

LoadAdapters = Callable[[Mapping[str, Mapping[str, Any]], str], Mapping[str, Adapter]]


class Gateway:
    """See the module. Owns the listener, which is closed when `run` returns. `run` is called once."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        executor: Transport,
        listener: socket.socket,
        log: Callable[[str], None],
        load: LoadAdapters = load_adapters,
        bounds: ServerBounds | None = None,
    ) -> None:
        """bounds: other than the configured ones, for tests."""
        self._log = log
        self._load = load
        self._listener = listener
        self._stop = asyncio.Event()
        self._failure: InvariantBroken | CocoError | None = None
        bounds = bounds or ServerBounds(config.connections_max, config.request_bytes_max)
        self._client = ExecutorClient(executor, self._front_end, log, readers=config.readers)
        self._server = HttpServer(listener, bounds, log, self._fail)
        self._adapters: Mapping[str, Adapter] | None = None

    def attach_reader(self, number: int, transport: Transport) -> None:
        """Ask this reader (paired already) from now on, as number 1 or 2; it may end and be replaced at any time."""
        self._client.attach_reader(number, transport)

    def request_stop(self) -> None:
        """Accept nothing more, finish the requests that are being answered, and return from `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until `request_stop`. Raises NodeStopped when the executor is gone, CocoError, InvariantBroken."""
        stop = asyncio.create_task(self._stop.wait())
        workers = [
            asyncio.create_task(work)
            for work in (self._client.read(), self._client.write(), self._server.accept(), self._server.sweep())
        ]
        try:
            done, _ = await asyncio.wait({stop, *workers}, return_when=asyncio.FIRST_COMPLETED)
            if stop in done and self._failure is None:
                workers[2].cancel()
                await self._server.stop()
                return
            for task in done - {stop}:
                task.result()
        except ChannelClosed as error:
            raise NodeStopped("the executor is gone", hint="Start the node again.") from error
        finally:
            for task in (stop, *workers):
                task.cancel()
            await asyncio.gather(stop, *workers, return_exceptions=True)
            await self._server.abort()
            self._listener.close()
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: InvariantBroken | CocoError) -> None:
        self._failure = error
        self._stop.set()

    def _front_end(self, front_end: FrontEnd) -> None:
        try:
            constitution = Constitution.decode(front_end.constitution)
            if self._adapters is None:
                self._adapters = self._load(constitution.adapters, constitution.network)
                self._client.adapters = self._adapters
            routes = FrontRoutes(
                self._adapters,
                front_end.default_adapter,
                front_end.service,
                Authenticator(constitution),
                self._client,
                self._log,
                connections=lambda: self._server.connections,
            )
            self._client.linearizable = constitution.reads_are_linearizable
            certificates = [identity.certificate for identity in constitution.identities]
            context = server_context(front_end.certificate_chain, front_end.private_key, certificates)
        except CocoError as error:
            self._fail(error)
            return
        self._client.removed = front_end.removed
        self._server.configure(context, routes)
