"""Answers the queries that gateways pass on: the adapters' own, and the node's about itself ("coco").

A node query is JSON: {"kind": "transaction", "id": "2.17"} or {"kind": "status"}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from core.adapter.block_builder import run_query
from core.adapter.interface import Adapter, Caller
from core.errors import CocoError, InvariantBroken, LimitExceeded
from core.kv.store import Store
from core.node.messages import Answer, Ask
from core.node.proposals import GOVERNANCE
from core.node.transaction_status import ViewHistory
from core.types import Seqno, TransactionId


def answer_query(
    store: Store,
    adapters: Mapping[str, Adapter],
    ask: Ask,
    *,
    committed: Seqno,
    time_s: int,
    log: Callable[[str], None],
) -> Answer:
    """Run an adapter's query. A bug of an adapter is logged by its type only and answered "failed"."""
    adapter = adapters.get(ask.adapter)
    if adapter is None:
        return Answer(ask.ticket, b"", "no_such_adapter", 0, 0)
    caller = Caller(ask.caller.identity, ask.caller.is_member, ask.caller.credential)
    try:
        reply = run_query(store, adapter, ask.payload, caller, committed=committed, time_s=time_s)
        return Answer(ask.ticket, bytes(reply), "", 0, 0)
    except LimitExceeded:
        return Answer(ask.ticket, b"", "too_large", 0, 0)
    except InvariantBroken:
        raise
    except Exception as error:  # noqa: BLE001 - the node loop: adapters are other people's code
        log(f"the adapter {ask.adapter} failed on a query ({type(error).__name__})")
        return Answer(ask.ticket, b"", "failed", 0, 0)


class _NodeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["transaction", "status"]
    id: str = ""


class QueryRunner:
    """See the module. `committed` is kept up to date by the executor; `status` gives the node's own figures."""

    def __init__(
        self,
        store: Store,
        adapters: Mapping[str, Adapter],
        views: ViewHistory,
        *,
        now_s: Callable[[], int],
        status: Callable[[], Mapping[str, Any]],
        log: Callable[[str], None],
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._views = views
        self._now_s = now_s
        self._status = status
        self._log = log
        self.committed = Seqno(0)

    def answer(self, ask: Ask) -> Answer:
        """Run a query."""
        if ask.adapter == GOVERNANCE:
            return Answer(ask.ticket, self._about_the_node(ask.payload), "", 0, 0)
        return answer_query(
            self._store, self._adapters, ask, committed=self.committed, time_s=self._now_s(), log=self._log
        )

    def _about_the_node(self, payload: bytes) -> bytes:
        try:
            query = msgspec.json.decode(payload, type=_NodeQuery)
            if query.kind == "status":
                return msgspec.json.encode(self._status())
            target = TransactionId.parse(query.id)
        except (msgspec.DecodeError, ValueError) as error:
            return msgspec.json.encode({"error": f"not a node query: {error}", "hint": ""})
        except CocoError as error:
            return msgspec.json.encode({"error": error.message, "hint": error.hint})
        status = self._views.status(target, head=self._store.head, committed=self.committed)
        return msgspec.json.encode({"id": str(target), "status": status})
