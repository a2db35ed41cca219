"""An adapter for tests of where queries go: a payload names its class."""

from __future__ import annotations

from collections.abc import Sequence

from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Executed,
    ExecutionContext,
    QueryClass,
    Route,
    ScopedTransaction,
)


class Classed(Adapter):
    """See the module. The payload `poll` is a look-up that needs nothing new."""

    info = AdapterInfo("one", "1", "classes")

    def routes(self) -> Sequence[Route]:
        return ()

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        raise NotImplementedError

    def query_class(self, payload: bytes) -> QueryClass:
        return "lookup" if payload == b"poll" else payload.decode()  # type: ignore[return-value]

    def needs_newest(self, payload: bytes) -> bool:
        return payload != b"poll"
