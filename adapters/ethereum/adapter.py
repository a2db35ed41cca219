"""The Ethereum adapter: its end points in a gateway, its commands and queries in the executor.

Only the executor loads the EVM: executor.py is imported when it is first needed, which spares each gateway its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from adapters.ethereum.chain import INDEXED_TABLES
from adapters.ethereum.methods import Methods
from adapters.ethereum.rpc import RpcFrontEnd
from adapters.ethereum.settings import parse_settings
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Backend,
    CommandQueue,
    Executed,
    ExecutionContext,
    QueryContext,
    Request,
    Response,
    Route,
    ScopedTransaction,
)
from core.types import Digest, Seqno

if TYPE_CHECKING:
    from adapters.ethereum.executor import EthereumExecutor

ADAPTER_VERSION = "0.1.0"
CLIENT_VERSION = f"Coco/v{ADAPTER_VERSION}/ethereum"


class EthereumAdapter(Adapter):
    """Ethereum on Coco."""

    info = AdapterInfo(
        "ethereum", ADAPTER_VERSION, "Ethereum: the EVM, JSON-RPC, and rules of who may see what", INDEXED_TABLES
    )

    def __init__(self, settings: Mapping[str, Any], network: str) -> None:
        """settings: see settings.py; raises CocoError when they are wrong."""
        super().__init__(settings, network)
        self._settings = parse_settings(settings)

    def routes(self) -> Sequence[Route]:
        """POST / speaks JSON-RPC; GET / says so."""
        methods = Methods(self._settings, CLIENT_VERSION)
        hint = orjson.dumps(
            {
                "adapter": self.info.name,
                "version": self.info.version,
                "network": self.network,
                "chainId": hex(self._settings.chain_id),
                "hint": "POST JSON-RPC 2.0 requests to this URL.",
                "methods": methods.names,
            }
        )

        async def describe(request: Request, backend: Backend) -> Response:
            del request, backend
            return Response(200, hint)

        return (Route("POST", "/", RpcFrontEnd(methods).handle), Route("GET", "/", describe))

    @cached_property
    def _executor(self) -> EthereumExecutor:
        from adapters.ethereum.executor import EthereumExecutor

        return EthereumExecutor(self._settings, self.network)

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        """Write block 0 and the first accounts."""
        from adapters.ethereum.genesis import write_genesis

        write_genesis(transaction, self._settings, context)

    def reset(self, transaction: ScopedTransaction) -> None:
        """Forget the open block."""
        del transaction
        self._executor.reset()

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

    def retained_from(self, transaction: ScopedTransaction) -> Seqno | None:
        """Keep the state of the newest 128 blocks."""
        from adapters.ethereum.scope import retained_seqno

        return retained_seqno(transaction)
