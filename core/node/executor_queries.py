"""Answers the queries that gateways pass on: the adapters' own, and the node's about itself ("coco").

A node query is JSON: {"kind": "status"}, "state", "nodes", "commit" or "governance"; {"kind": "transaction", "id":
"2.17"}; or a receipt by its entry's id or seqno: {"kind": "receipt", "id": "2.17", "form": "ccf"}, {"kind": "receipt",
"seqno": 17, "form": "proof"}. A receipt is answered by a ReceiptAnswer, {"kind": "metrics"} by text, others by JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from core.adapter.block_builder import query_context, run_query, written_entry
from core.adapter.interface import Adapter, Caller, Disclosure, TransactionStatus
from core.errors import CocoError, InvariantBroken, LimitExceeded
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.executor_state import ExecutorState
from core.node.gateway_link import GatewayLink
from core.node.governance_view import governance_view
from core.node.messages import Answer, Ask
from core.node.node_documents import NodeFigures, metrics_text, nodes_document, state_document
from core.node.node_news import NodeNews
from core.node.proposals import GOVERNANCE
from core.node.receipt_answer import ReceiptAnswer
from core.node.receipt_desk import Form, ReceiptDesk, receipt_answer
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
    kind: Literal["transaction", "status", "receipt", "state", "nodes", "commit", "governance", "metrics"]
    id: str = ""
    seqno: int = 0
    form: Form = "ccf"


class AboutNode(Protocol):
    """What an executor says of its node, as of now."""

    def status(self) -> Mapping[str, Any]: ...

    def figures(self) -> NodeFigures: ...

    def news(self) -> NodeNews: ...


class QueryRunner:
    """See the module. about: what the node says of itself."""

    def __init__(
        self,
        state: ExecutorState,
        receipts: ReceiptDesk,
        about: AboutNode,
        log: Callable[[str], None],
    ) -> None:
        self._state = state
        self._about = about
        self._receipts = receipts
        self._log = log

    def answer(self, link: GatewayLink, ask: Ask) -> None:
        """Run a query and answer it, at once or (a receipt) later."""
        if ask.adapter == GOVERNANCE:
            self._about_the_node(link, ask)
            return
        state = self._state
        time_s = state.builder.now_s()
        link.answer(
            answer_query(state.store, state.adapters, ask, committed=state.committed, time_s=time_s, log=self._log)
        )

    def disclose(
        self, adapter: str, seqno: Seqno, writes: WriteSet, claims: Digest, caller: Caller
    ) -> Disclosure | None:
        """Ask an adapter what a caller may have of an entry; None when it is not live."""
        state = self._state
        found = state.adapters.get(adapter)
        if found is None:
            return None
        context = query_context(state.store, found, caller, committed=state.committed, time_s=state.builder.now_s())
        return found.disclose(written_entry(found, seqno, writes, claims), context)

    def _about_the_node(self, link: GatewayLink, ask: Ask) -> None:
        try:
            query = msgspec.json.decode(ask.payload, type=_NodeQuery)
            if query.kind == "receipt":
                self._receipt(link, ask, self._target(query), query.form)
                return
            reply = self._document(query)
        except (msgspec.DecodeError, ValueError) as error:
            reply = msgspec.json.encode({"error": f"not a node query: {error}", "hint": ""})
        except CocoError as error:
            reply = msgspec.json.encode({"error": error.message, "hint": error.hint})
        link.answer(Answer(ask.ticket, reply, "", 0, 0))

    def _document(self, query: _NodeQuery) -> bytes:
        document: Mapping[str, Any]
        match query.kind:
            case "status":
                document = self._about.status()
            case "state":
                document = state_document(self._about.figures())
            case "nodes":
                document = nodes_document(self._about.news())
            case "commit":
                document = {"transaction_id": str(self._about.figures().committed)}
            case "governance":
                document = governance_view(self._state.store.begin(self._state.committed))
            case "metrics":
                return metrics_text(self._about.figures(), self._about.news()).encode()
            case "transaction":
                target = self._target(query)
                # "id" as it has been here, "transaction_id" as CCF has it.
                document = {"id": str(target), "transaction_id": str(target), "status": self._status_of(target)}
            case _:
                raise InvariantBroken(f"a node query of kind {query.kind} has no document")
        return msgspec.json.encode(document)

    def _status_of(self, target: TransactionId) -> TransactionStatus:
        state = self._state
        return state.views.status(target, head=state.store.head, committed=state.committed)

    def _target(self, query: _NodeQuery) -> TransactionId:
        if query.seqno:
            return TransactionId(self._state.views.view_at(Seqno(query.seqno)), Seqno(query.seqno))
        return TransactionId.parse(query.id)

    def _receipt(self, link: GatewayLink, ask: Ask, target: TransactionId, form: Form) -> None:
        status = self._status_of(target)
        if status == "Committed":
            self._receipts.want(link, ask, target, form)
        else:
            state: Literal["pending", "none"] = "pending" if status == "Pending" else "none"
            link.answer(receipt_answer(ask.ticket, ReceiptAnswer(state)))
