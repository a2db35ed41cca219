"""The Sawtooth adapter: its end points in a gateway, its batches and queries in the executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from adapters.sawtooth.claims import BatchClaims
from adapters.sawtooth.executor import SawtoothExecutor
from adapters.sawtooth.families.loading import load_families
from adapters.sawtooth.front import FrontEnd
from adapters.sawtooth.genesis import write_settings
from adapters.sawtooth.late_imports import load_late_imports
from adapters.sawtooth.queries import answer, query_class
from adapters.sawtooth.records import INDEXED_TABLES, OUTCOMES
from adapters.sawtooth.scope import Scope, retained_seqno
from adapters.sawtooth.settings import parse_settings
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    CommandQueue,
    Disclosure,
    Executed,
    ExecutionContext,
    QueryClass,
    QueryContext,
    Route,
    ScopedTransaction,
    WebSocketRoute,
    WrittenEntry,
)
from core.types import Digest, Seqno

ADAPTER_VERSION = "0.1.0"


class SawtoothAdapter(Adapter):
    """Hyperledger Sawtooth on Coco."""

    info = AdapterInfo(
        "sawtooth", ADAPTER_VERSION, "Sawtooth: batches, transaction families, namespaces with readers", INDEXED_TABLES
    )

    def __init__(self, settings: Mapping[str, Any], network: str) -> None:
        """settings: see settings.py; raises CocoError when they are wrong."""
        super().__init__(settings, network)
        self._settings = parse_settings(settings)
        load_late_imports()
        self._families = load_families()
        self._executor = SawtoothExecutor(self._families, self._settings)

    @cached_property
    def _front(self) -> FrontEnd:
        return FrontEnd(self._settings, self._families)

    def routes(self) -> Sequence[Route]:
        """Sawtooth's REST API."""
        return self._front.routes()

    def web_sockets(self) -> Sequence[WebSocketRoute]:
        """State deltas, and the validator's own protocol."""
        return self._front.web_sockets()

    def query_class(self, payload: bytes) -> QueryClass:
        """What waits is known to the executor alone; the rest is committed state."""
        return query_class(payload)

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        """Write the first settings, block 0 and the key that signs blocks."""
        self._executor.genesis(transaction, context, write_settings(transaction, self._settings.state))

    def reset(self, transaction: ScopedTransaction) -> None:
        """Forget the open block."""
        self._executor.reset()

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> CommandQueue:
        """Return a queue that holds batches until what they depend on is there."""
        return self._executor.make_queue(read)

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        """Run a batch."""
        return self._executor.execute(transaction, payload, context)

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        """Write the header of the open Sawtooth block."""
        return self._executor.close_block(transaction, context)

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        """Answer a question of Sawtooth's client protocol within the caller's sight."""
        return answer(self._scope(context), payload)

    def disclose(self, entry: WrittenEntry, context: QueryContext) -> Disclosure | None:
        """Give the proof of a batch's outcome to whoever sees the batch."""
        scope, claims = self._scope(context), None
        for key, data in entry.tables.get("outcomes", {}).items():
            if data is not None and scope.outcome(key) is not None:
                found = BatchClaims.of(OUTCOMES.decode(data))
                if found.digest == entry.claims:
                    claims = found
        return None if claims is None else Disclosure(claims.to_json())

    def committed(self, seqno: Seqno) -> None:
        """Learn which batches are committed."""
        self._executor.committed(seqno)

    def retained_from(self, transaction: ScopedTransaction) -> Seqno | None:
        """Keep the state of the newest 128 blocks."""
        return retained_seqno(transaction)

    def _scope(self, context: QueryContext) -> Scope:
        return Scope(self._settings, context, self._executor.is_pending)
