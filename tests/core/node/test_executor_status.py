"""Transaction status under a history of views, as CCF defines it."""

from __future__ import annotations

import pytest

from core.errors import InvariantBroken
from core.node.transaction_status import ViewHistory
from core.types import Seqno, TransactionId


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("1.1", "Committed"),
        ("1.4", "Committed"),
        ("2.4", "Invalid"),
        ("1.5", "Invalid"),
        ("3.5", "Committed"),
        ("3.8", "Committed"),
        ("3.9", "Pending"),
        ("3.10", "Pending"),
        ("1.9", "Invalid"),
        ("2.30", "Invalid"),
        ("3.11", "Unknown"),
        ("4.11", "Unknown"),
        ("4.9", "Unknown"),
        ("9.1", "Invalid"),
        ("1.0", "Invalid"),
        ("0.0", "Invalid"),
        ("0.99", "Invalid"),
    ],
)
def test_status(identifier: str, expected: str) -> None:
    history = ViewHistory([(1, 1), (3, 5)])
    assert history.status(TransactionId.parse(identifier), head=Seqno(10), committed=Seqno(8)) == expected


def test_a_view_may_void_the_end_of_earlier_ones() -> None:
    history = ViewHistory([(1, 1), (2, 5), (4, 5), (6, 3)])
    assert [history.view_at(Seqno(seqno)) for seqno in (0, 1, 2, 3, 9)] == [0, 1, 1, 6, 6]


def test_views_only_grow() -> None:
    with pytest.raises(InvariantBroken):
        ViewHistory([(2, 1), (2, 5)])
