"""`GET /node/receipt?transaction_id=V.S`, as CCF has it: 200 with the receipt, 202 until it is committed, else 404.

format=cose, or Accept: application/cose, asks for the COSE receipt; format=proof for the receipt with its claims and
the service's certificate. For what the caller may not have the answer is the same, byte for byte, as for what does not
exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from core.adapter.interface import Response
from core.errors import CocoError, InvariantBroken
from core.node.http_protocol import error_response
from core.node.receipt_answer import ReceiptAnswer
from core.types import TransactionId

COSE = "application/cose"
_FORMS = ("ccf", "proof", "cose")
_NONE = error_response(404, "there is no such transaction", "GET /node/tx/ID says what became of one.")
_PENDING = Response(202, b'{"status":"Pending"}', headers=(("retry-after", "1"),))
_NO_SUCH_FORM = error_response(406, "a signature entry has no COSE receipt", "Ask for it in CCF's format.")


def receipt_query(query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, object]:
    """Return what to ask the executor; raises CocoError for a request that is not one."""
    if "transaction_id" not in query:
        raise CocoError("no transaction is named", hint="GET /node/receipt?transaction_id=2.17")
    form = query.get("format") or ("cose" if _accepts_cose(headers) else "ccf")
    if form not in _FORMS:
        raise CocoError(f"no such format: {form[:20]!r}", hint=f"There are {', '.join(_FORMS)}.")
    return {"id": str(TransactionId.parse(query["transaction_id"])), "form": form}


def receipt_response(answer: ReceiptAnswer) -> Response:
    """Return the HTTP answer."""
    match answer.state:
        case "made":
            return Response(200, answer.body, "application/json" if answer.body.startswith(b"{") else COSE)
        case "none":
            return _NONE
        case "pending":
            return _PENDING
        case "no_such_form":
            return _NO_SUCH_FORM
        case "unreadable":
            raise InvariantBroken("an unreadable receipt is a failure")
        case _:
            assert_never(answer.state)


def _accepts_cose(headers: Mapping[str, str]) -> bool:
    offered = (one.partition(";")[0].strip().lower() for one in headers.get("accept", "").split(","))
    return COSE in offered
