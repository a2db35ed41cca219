"""Identifiers: what counts as one, and what does not."""

from __future__ import annotations

import pytest

from core.errors import CocoError
from core.types import ADAPTER_NAMES_RESERVED, Seqno, TransactionId, View, check_adapter_name


def test_a_transaction_id_is_read_as_it_is_written() -> None:
    assert TransactionId.parse("2.17") == TransactionId(View(2), Seqno(17))
    assert str(TransactionId.parse("2.17")) == "2.17"


@pytest.mark.parametrize("text", ["", "2", "2.", ".17", "2.17 ", "-2.17", "2.17.1", "2.1234567890123456789"])
def test_what_is_no_transaction_id(text: str) -> None:
    with pytest.raises(CocoError, match="not a transaction id"):
        TransactionId.parse(text)


@pytest.mark.parametrize("name", ["ethereum", "kv", "a", "a" * 32, "quorum_2"])
def test_adapter_names(name: str) -> None:
    assert check_adapter_name(name) == name


@pytest.mark.parametrize("name", [*sorted(ADAPTER_NAMES_RESERVED), "Upper", "", "a" * 33, "with-dash", "2nd", "a\n"])
def test_names_no_adapter_may_have(name: str) -> None:
    with pytest.raises(CocoError, match="not an adapter's name") as caught:
        check_adapter_name(name)
    assert "token" in caught.value.hint


def test_what_the_node_itself_uses_is_reserved() -> None:
    assert {"ccf", "coco", "node", "public", "token"} == ADAPTER_NAMES_RESERVED
