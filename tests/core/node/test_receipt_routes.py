"""GET /node/receipt: what is asked of the executor, and what its answers become."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from core.errors import CocoError, InvariantBroken
from core.node.receipt_answer import ReceiptAnswer
from core.node.receipt_routes import receipt_query, receipt_response


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"transaction_id": ""},
        {"transaction_id": "17"},
        {"transaction_id": "2.x"},
        {"transaction_id": "2.17", "format": "pdf"},
        {"transaction_id": "2.17", "format": "x" * 10_000},
    ],
)
def test_what_names_no_transaction_is_refused(query: Mapping[str, str]) -> None:
    with pytest.raises(CocoError):
        receipt_query(query, {})


@pytest.mark.parametrize(
    ("format_", "accept", "form"),
    [
        ("", "", "ccf"),
        ("", "*/*", "ccf"),
        ("", "application/cose", "cose"),
        ("", "text/html, Application/COSE; q=0.9", "cose"),
        ("", "application/cose-x", "ccf"),
        ("cose", "application/json", "cose"),
        ("proof", "application/cose", "proof"),
    ],
)
def test_forms(format_: str, accept: str, form: str) -> None:
    asked = receipt_query({"transaction_id": "2.17", "format": format_}, {"accept": accept})
    assert asked == {"id": "2.17", "form": form}


def test_answers() -> None:
    none, pending = receipt_response(ReceiptAnswer("none")), receipt_response(ReceiptAnswer("pending"))
    assert (none.status, pending.status) == (404, 202)
    assert ("retry-after", "1") in pending.headers
    assert receipt_response(ReceiptAnswer("no_such_form")).status == 406
    receipt = receipt_response(ReceiptAnswer("made", b"{}"))
    assert (receipt.status, receipt.body, receipt.content_type) == (200, b"{}", "application/json")
    assert receipt_response(ReceiptAnswer("made", b"\xd2")).content_type == "application/cose"
    with pytest.raises(InvariantBroken):
        receipt_response(ReceiptAnswer("unreadable"))
