"""The Ethereum adapter: its end points in a gateway, its commands and queries in the executor.

Only the executor loads the EVM: executor.py is imported when it is first needed, which spares each gateway its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from adapters.ethereum.chain import INDEXED_TABLES
from adapters.ethereum.late_imports import load_late_imports
from adapters.ethereum.method_table import make_methods
from adapters.ethereum.methods import Methods
from adapters.ethereum.openrpc import openrpc_document
from adapters.ethereum.requests import QUERIES, needs_newest, query_class
from adapters.ethereum.rpc import RpcFrontEnd
from adapters.ethereum.settings import parse_settings
from adapters.ethereum.subscriptions import RpcSocket
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Backend,
    CommandQueue,
    Disclosure,
    Executed,
    ExecutionContext,
    QueryClass,
    QueryContext,
    Request,
    Response,
    Route,
    ScopedTransaction,
    WebSocket,
    WebSocketRoute,
    WrittenEntry,
)
from core.types import Digest, Seqno

if TYPE_CHECKING:
    from adapters.ethereum.executor import EthereumExecutor

ADAPTER_VERSION = "0.1.0"


class EthereumAdapter(Adapter):
    """Ethereum on Coco."""

    info = AdapterInfo(
        "ethereum", ADAPTER_VERSION, "Ethereum: the EVM, JSON-RPC, and rules of who may see what", INDEXED_TABLES
    )

    def __init__(self, settings: Mapping[str, Any], network: str) -> None:
        """settings: see settings.py; raises CocoError when they are wrong."""
        super().__init__(settings, network)
        self._settings = parse_settings(settings)
        load_late_imports()

    @cached_property
    def _methods(self) -> Methods:
        return make_methods(self._settings, ADAPTER_VERSION)

    @cached_property
    def _document(self) -> bytes:
        return orjson.dumps(openrpc_document(self._methods.table, ADAPTER_VERSION))

    def routes(self) -> Sequence[Route]:
        """POST / speaks JSON-RPC; GET / says so; GET /openrpc.json describes the methods."""
        methods = self._methods
        hint = orjson.dumps(
            {
                "adapter": self.info.name,
                "version": self.info.version,
                "network": self.network,
                "chainId": hex(self._settings.chain_id),
                "hint": "POST JSON-RPC 2.0 requests to this URL, or open a WebSocket; openrpc.json describes them.",
                "methods": methods.names,
            }
        )

        async def describe(request: Request, backend: Backend) -> Response:
            del request, backend
            return Response(200, hint)

        async def discover(request: Request, backend: Backend) -> Response:
            del request, backend
            return Response(200, self._document)

        return (
            Route("POST", "/", RpcFrontEnd(methods).handle),
            Route("GET", "/", describe),
            Route("GET", "/openrpc.json", discover),
        )

    def web_sockets(self) -> Sequence[WebSocketRoute]:
        """JSON-RPC with subscriptions."""
        methods = self._methods
        front = RpcFrontEnd(methods)

        async def serve(socket: WebSocket, backend: Backend) -> None:
            await RpcSocket(front, methods, socket, backend).run()

        return (WebSocketRoute("/", serve),)

    def query_class(self, payload: bytes) -> QueryClass:
        """Filters, the queue and its nonces are the executor's; calls may take seconds."""
        return query_class(QUERIES.decode(payload))

    def needs_newest(self, payload: bytes) -> bool:
        """Filters and subscriptions wait for news anyway; the queue is this node's own."""
        return needs_newest(QUERIES.decode(payload))

    @cached_property
    def _executor(self) -> EthereumExecutor:
        from adapters.ethereum.executor import EthereumExecutor

        return EthereumExecutor(self._settings, self.network)

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        """Write block 0, the first accounts and the network's secret."""
        from adapters.ethereum.binding import write_secret
        from adapters.ethereum.genesis import write_genesis

        write_genesis(transaction, self._settings, context)
        write_secret(transaction, context.random(32))

    def reset(self, transaction: ScopedTransaction) -> None:
        """Forget the open block."""
        self._executor.reset(transaction)

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> CommandQueue:
        """Return a queue in the order of nonces."""
        return self._executor.make_queue(read)

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        """Run a transaction or bind an address."""
        return self._executor.execute(transaction, payload, context)

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        """Write the header and receipts of the open Ethereum block."""
        return self._executor.close_block(transaction, context)

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        """Answer a query within the caller's sight."""
        return self._executor.query(payload, context)

    def disclose(self, entry: WrittenEntry, context: QueryContext) -> Disclosure | None:
        """Give a transaction's proof to whoever sees all of it."""
        return self._executor.disclose(entry, context)

    def committed(self, seqno: Seqno) -> None:
        """Learn which transactions are committed."""
        self._executor.committed = seqno

    def retained_from(self, transaction: ScopedTransaction) -> Seqno | None:
        """Keep the state of the newest 128 blocks."""
        from adapters.ethereum.scope import retained_seqno

        return retained_seqno(transaction)
