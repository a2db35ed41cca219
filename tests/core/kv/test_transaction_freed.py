"""A transaction is freed when it is dropped: thousands a second must not wait for the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from core.kv.store import Store
from core.types import Seqno


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_dropped_transaction_is_freed_at_once() -> None:
    store = Store()
    transaction = store.begin()
    table = transaction.table("t")
    table.put(b"a", b"1")
    assert list(table.keys()) == [b"a"]
    gone = weakref.ref(transaction)
    store.commit(transaction, Seqno(1))
    del transaction, table
    assert gone() is None


def test_a_table_that_is_kept_still_writes() -> None:
    store = Store()
    transaction = store.begin()
    table = transaction.table("t")
    mark = transaction.checkpoint()
    table.put(b"a", b"1")
    transaction.revert(mark)
    assert table.get(b"a") is None
    table.put(b"b", b"2")
    assert store.commit(transaction, Seqno(1)).tables == {"t": {b"b": b"2"}}
