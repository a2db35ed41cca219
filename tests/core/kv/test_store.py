"""Named cases of the store, beside the property tests."""

from __future__ import annotations

import pytest

from core import limits
from core.errors import InvariantBroken, LimitExceeded
from core.kv.errors import Conflict, SnapshotGone
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.types import Seqno


def put(store: Store, seqno: int, key: bytes, value: bytes | None, table: str = "a.t") -> None:
    store.apply(Seqno(seqno), WriteSet({table: {key: value}}))


def test_a_transaction_sees_its_snapshot() -> None:
    store = Store()
    put(store, 1, b"k", b"one")
    transaction = store.begin()
    put(store, 2, b"k", b"two")
    assert transaction.table("a.t").get(b"k") == b"one"
    assert store.begin().table("a.t").get(b"k") == b"two"


def test_a_read_key_that_changed_conflicts_and_an_unread_one_does_not() -> None:
    store = Store()
    reader, blind = store.begin(), store.begin()
    assert reader.table("a.t").get(b"k") is None
    reader.table("a.t").put(b"x", b"")
    blind.table("a.t").put(b"x", b"")
    put(store, 1, b"k", b"one")
    with pytest.raises(Conflict):
        store.commit(reader, Seqno(2))
    assert store.begin().table("a.t").get(b"x") is None
    store.commit(blind, Seqno(2))
    assert store.begin().table("a.t").get(b"x") == b""


def test_a_scan_conflicts_with_a_key_that_came() -> None:
    store = Store()
    scanner = store.begin()
    assert list(scanner.table("a.t").keys(b"k")) == []
    put(store, 1, b"k1", b"")
    with pytest.raises(Conflict):
        store.commit(scanner, Seqno(2))


def test_a_transaction_from_before_a_rollback_conflicts() -> None:
    """The rewritten entry has the same version as the one that was read: only the rollback tells them apart."""
    store = Store()
    put(store, 1, b"k", b"one")
    put(store, 2, b"k", b"two")
    stale = store.begin()
    assert stale.table("a.t").get(b"k") == b"two"
    stale.table("a.t").put(b"copy", b"two")
    store.rollback(Seqno(1))
    put(store, 2, b"k", b"other")
    with pytest.raises(Conflict, match="rolled back"):
        store.commit(stale, Seqno(3))
    assert store.begin().table("a.t").get(b"copy") is None


def test_a_compacted_snapshot_refuses_to_answer() -> None:
    store = Store()
    put(store, 1, b"k", b"one")
    put(store, 1 + 1, b"gone", b"one")
    old = store.begin()
    put(store, 3, b"k", b"two")
    put(store, 4, b"gone", None)
    store.compact(Seqno(4))
    with pytest.raises(SnapshotGone):
        old.table("a.t").get(b"k")
    with pytest.raises(SnapshotGone):
        old.table("a.t").get(b"gone")
    with pytest.raises(SnapshotGone):
        store.begin(Seqno(3))
    with pytest.raises(SnapshotGone):
        store.rollback(Seqno(3))
    with pytest.raises(Conflict):
        store.commit(old, Seqno(5))


def test_write_sets_come_in_order_only() -> None:
    store = Store()
    put(store, 3, b"k", b"")
    with pytest.raises(InvariantBroken):
        put(store, 3, b"k", b"")
    with pytest.raises(InvariantBroken):
        store.advance(Seqno(2))
    with pytest.raises(InvariantBroken):
        store.compact(Seqno(4))
    with pytest.raises(SnapshotGone):
        store.begin(Seqno(4))


def test_bounds() -> None:
    transaction = Store().begin()
    table = transaction.table("a.t")
    table.put(bytes(limits.KEY_BYTES_MAX), b"")
    with pytest.raises(LimitExceeded):
        table.put(bytes(limits.KEY_BYTES_MAX + 1), b"")
    with pytest.raises(LimitExceeded):
        table.put(b"", bytes(limits.VALUE_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        transaction.table("a." + "t" * limits.TABLE_NAME_BYTES_MAX)


def test_the_number_of_tables_is_bounded() -> None:
    store = Store()
    for number in range(limits.TABLES_MAX):
        store.table(f"a.{number}")
    with pytest.raises(LimitExceeded):
        store.begin().table("a.more")


def test_checkpoints_nest() -> None:
    transaction = Store().begin()
    table = transaction.table("a.t")
    table.put(b"k", b"1")
    outer = transaction.checkpoint()
    table.put(b"k", b"2")
    inner = transaction.checkpoint()
    table.delete(b"k")
    table.put(b"l", b"")
    transaction.revert(inner)
    assert (table.get(b"k"), table.get(b"l")) == (b"2", None)
    transaction.revert(outer)
    assert table.get(b"k") == b"1"


def test_compaction_keeps_what_the_horizon_still_sees() -> None:
    store = Store({"a.t": 1})
    put(store, 1, b"k", b"one")
    put(store, 2, b"k", None)
    store.compact(Seqno(1))
    assert store.begin(Seqno(1)).table("a.t").get(b"k") == b"one"
    assert list(store.begin(Seqno(1)).table("a.t").keys(b"k")) == [b"k"]
    store.rollback(Seqno(1))
    assert store.begin().table("a.t").get(b"k") == b"one"


def test_a_keys_version_is_the_entry_that_last_wrote_it() -> None:
    store = Store()
    store.apply(Seqno(3), WriteSet({"one": {b"kept": b"1", b"gone": b"1"}}))
    store.apply(Seqno(5), WriteSet({"one": {b"kept": b"2", b"gone": None}}))
    table = store.begin().table("one")
    assert [table.version(key) for key in (b"kept", b"gone", b"never")] == [5, 0, 0]
    assert [store.begin(Seqno(4)).table("one").version(key) for key in (b"kept", b"gone", b"never")] == [3, 3, 0]
    table.put(b"kept", b"not committed")
    assert table.version(b"kept") == 5


def restored() -> Store:
    store = Store()
    store.advance(Seqno(5))
    store.compact(Seqno(5))
    return store


def test_loaded_rows_stand_as_of_the_horizon_with_their_versions() -> None:
    store = restored()
    store.index({"a.t": 1})
    store.load("a.t", {b"k": (3, b"three"), b"l": (5, b"five")})
    store.load("a.t", {b"m": (1, b"one")})
    store.load("a.empty", {})
    assert store.table("a.t").read(b"k", 5) == (3, b"three")
    assert list(store.begin().table("a.t").keys(b"l")) == [b"l"]
    put(store, 6, b"k", b"six")
    assert store.begin(Seqno(5)).table("a.t").get(b"k") == b"three"
    store.rollback(Seqno(5))
    assert store.table("a.t").read(b"k", 5) == (3, b"three")


@pytest.mark.parametrize("rows", [{b"k": (4, b"again")}, {b"l": (6, b"later")}, {b"l": (-1, b"never")}])
def test_a_row_that_is_there_or_of_no_version_before_the_state_is_not_loaded(
    rows: dict[bytes, tuple[int, bytes]],
) -> None:
    store = restored()
    store.load("a.t", {b"k": (3, b"three")})
    with pytest.raises(InvariantBroken, match="loaded twice, or of a version"):
        store.load("a.t", rows)


def test_no_row_is_loaded_after_an_entry() -> None:
    store = restored()
    put(store, 6, b"k", b"six")
    with pytest.raises(InvariantBroken, match="after entries"):
        store.load("a.t", {b"l": (3, b"three")})
