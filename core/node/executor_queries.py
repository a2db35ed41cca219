"""Answers the queries that gateways pass on: the adapters' own, and the node's about itself ("coco").

A node query is JSON: {"kind": "status"}, {"kind": "transaction", "id": "2.17"}, or a receipt by its entry's id or
seqno: {"kind": "receipt", "id": "2.17", "form": "ccf"}, {"kind": "receipt", "seqno": 17, "form": "proof"}. A receipt
is answered by a ReceiptAnswer, the others by JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from core.adapter.block_builder import query_context, run_query, written_entry
from core.adapter.interface import Adapter, Caller, Disclosure
from core.errors import CocoError, InvariantBroken, LimitExceeded
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.gateway_link import GatewayLink
from core.node.messages import Answer, Ask, ReceiptAnswer
from core.node.proposals import GOVERNANCE
from core.node.receipt_desk import Form, ReceiptDesk, receipt_answer
from core.node.transaction_status import Status, ViewHistory
from core.types import Digest, Seqno, TransactionId


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
    kind: Literal["transaction", "status", "receipt"]
    id: str = ""
    seqno: int = 0
    form: Form = "ccf"


class QueryRunner:
    """See the module. `committed` is kept up to date by the executor; `status` gives the node's own figures."""

    def __init__(
        self,
        store: Store,
        adapters: Mapping[str, Adapter],
        views: ViewHistory,
        receipts: ReceiptDesk,
        now_s: Callable[[], int],
        status: Callable[[], Mapping[str, Any]],
        log: Callable[[str], None],
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._views = views
        self._now_s = now_s
        self._status = status
        self._receipts = receipts
        self._log = log
        self.committed = Seqno(0)

    def answer(self, link: GatewayLink, ask: Ask) -> None:
        """Run a query and answer it, at once or (a receipt) later."""
        if ask.adapter == GOVERNANCE:
            self._about_the_node(link, ask)
            return
        link.answer(
            answer_query(
                self._store, self._adapters, ask, committed=self.committed, time_s=self._now_s(), log=self._log
            )
        )

    def disclose(
        self, adapter: str, seqno: Seqno, writes: WriteSet, claims: Digest, caller: Caller
    ) -> Disclosure | None:
        """Ask an adapter what a caller may have of an entry; None when it is not live."""
        found = self._adapters.get(adapter)
        if found is None:
            return None
        context = query_context(self._store, found, caller, committed=self.committed, time_s=self._now_s())
        return found.disclose(written_entry(found, seqno, writes, claims), context)

    def _about_the_node(self, link: GatewayLink, ask: Ask) -> None:
        try:
            query = msgspec.json.decode(ask.payload, type=_NodeQuery)
            if query.kind == "status":
                answer = self._status()
            else:
                target = self._target(query)
                status = self._views.status(target, head=self._store.head, committed=self.committed)
                if query.kind == "receipt":
                    self._receipt(link, ask, target, status, query.form)
                    return
                answer = {"id": str(target), "status": status}
        except (msgspec.DecodeError, ValueError) as error:
            answer = {"error": f"not a node query: {error}", "hint": ""}
        except CocoError as error:
            answer = {"error": error.message, "hint": error.hint}
        link.answer(Answer(ask.ticket, msgspec.json.encode(answer), "", 0, 0))

    def _target(self, query: _NodeQuery) -> TransactionId:
        if query.seqno:
            return TransactionId(self._views.view_at(Seqno(query.seqno)), Seqno(query.seqno))
        return TransactionId.parse(query.id)

    def _receipt(self, link: GatewayLink, ask: Ask, target: TransactionId, status: Status, form: Form) -> None:
        if status == "Committed":
            self._receipts.want(link, ask, target, form)
        else:
            state: Literal["pending", "none"] = "pending" if status == "Pending" else "none"
            link.answer(receipt_answer(ask.ticket, ReceiptAnswer(state)))
