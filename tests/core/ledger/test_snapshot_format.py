"""The bytes of a snapshot, part by part."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.errors import InvariantBroken, MalformedMessage
from core.ledger.entry import nonce_of
from core.ledger.merkle import MerkleFrontier
from core.ledger.secrets import EpochSecret, Keyring
from core.ledger.snapshot_format import (
    DomainReader,
    Prefix,
    Row,
    SnapshotName,
    SnapshotPoint,
    cut_rows,
    encode_rows,
    encode_table_head,
    row_bytes,
    snapshot_nonce,
)
from core.types import Digest, NodeId, Seqno, View

SEQNO = Seqno(9)
one_row = st.tuples(st.binary(max_size=40), st.integers(1, 2**62), st.binary(max_size=60))
rows = st.lists(one_row, max_size=20, unique_by=lambda row: row[0])


def frontier(last: int) -> MerkleFrontier:
    tree = MerkleFrontier()
    for number in range(last):
        tree.append(Digest(bytes([number % 256]) * 32))
    return tree


def point(last: int = 9, views: tuple[tuple[int, int], ...] = ((1, 1), (3, 5))) -> SnapshotPoint:
    starts = tuple((View(view), Seqno(first)) for view, first in views)
    return SnapshotPoint(Seqno(last), starts[-1][0], frontier(last), starts)


@given(rows)
def test_rows_come_back(found: list[Row]) -> None:
    data = encode_rows(found)
    assert len(data) == sum(row_bytes(key, value) for key, _, value in found)
    assert len(data) % 8 == 0
    cut, end = cut_rows(data)
    assert end == len(data)
    assert [(key, version, value) for key, (version, value) in cut.items()] == found


def test_rows_over_their_bounds_are_refused() -> None:
    good = encode_rows([(b"key", 7, b"value")])
    for bad in (
        (limits.KEY_BYTES_MAX + 1).to_bytes(8, "little") + good[8:],
        good[:16] + (7).to_bytes(8, "little") + good[24:],
        good[:16] + (limits.VALUE_BYTES_MAX + 9).to_bytes(8, "little") + good[24:],
    ):
        with pytest.raises(MalformedMessage):
            cut_rows(bad)
    with pytest.raises(MalformedMessage, match="two rows of one key"):
        cut_rows(good + encode_rows([(b"key", 8, b"other")]))


@given(st.integers(1, 5_000))
def test_a_frontier_comes_back_and_grows_on(last: int) -> None:
    tree = frontier(last)
    again = MerkleFrontier.from_bytes(tree.to_bytes())
    for one in (tree, again):
        one.append(Digest(bytes(32)))
    assert again.root() == tree.root()
    assert again.last_seqno == last + 1


def test_a_frontier_of_another_form_is_refused() -> None:
    data = frontier(9).to_bytes()
    for bad in (b"", data[:-1], data + bytes(32), bytes(8), data[:8]):
        with pytest.raises(MalformedMessage):
            MerkleFrontier.from_bytes(bad)


def test_the_head_comes_back_with_views_that_had_no_entry_left_out() -> None:
    made = point(views=((2, 1), (3, 4), (7, 6)))
    again, used = SnapshotPoint.decode(made.encode() + b"what follows", View(7))
    assert again.views == made.views
    assert again.seqno == made.seqno
    assert again.frontier.root() == made.frontier.root()
    assert used == len(made.encode())


def test_a_head_that_contradicts_itself_is_refused() -> None:
    data = point().encode()
    for bad in (
        b"",
        data[:20],
        data[:-1],
        b"\x04" + data[1:],
        data[:1] + bytes(8) + data[9:],
        data[:9] + b"\1" + data[10:],
    ):
        with pytest.raises(MalformedMessage):
            SnapshotPoint.decode(bad, View(3))
    with pytest.raises(MalformedMessage):
        SnapshotPoint.decode(data, View(4))
    for wrong in (point(views=((3, 1), (3, 2))), SnapshotPoint(Seqno(8), View(3), frontier(9), point().views)):
        with pytest.raises(InvariantBroken):
            wrong.encode()


def test_the_prefix_comes_back() -> None:
    made = Prefix(1_000, b"t" * 16, SEQNO, View(3), 500)
    assert Prefix.decode(made.encode()) == made
    data = made.encode()
    for bad in (data[:-1], b"\2" + data[1:], data[:1] + b"\1" + data[2:], data[:35] + b"\0" + data[36:]):
        with pytest.raises(MalformedMessage):
            Prefix.decode(bad)
    with pytest.raises(MalformedMessage):
        Prefix.decode(Prefix(1_000, b"t" * 16, SEQNO, View(3), 957).encode())


def test_names() -> None:
    name = SnapshotName(Seqno(9), Seqno(12))
    assert name.file == "snapshots/snapshot_9_12.committed"
    assert SnapshotName.parse(name.file) == name
    for other in ("snapshot_9.partial", "snapshot_9_12", "snapshot_0_1.committed", "snapshot_9_12.committed.bak", ""):
        assert SnapshotName.parse(other) is None


def test_no_snapshot_shares_key_or_nonce_with_an_entry() -> None:
    nodes = [NodeId("11" * 32), NodeId("22" * 32)]
    ring = Keyring([EpochSecret(view, Seqno(1), View(view), nodes[view - 1], b"k" * 32) for view in (1, 2)])
    keys = {ring.snapshot_key(View(view), SEQNO) for view in (1, 2)}
    assert len(keys) == 2
    assert None not in keys
    assert ring.snapshot_key(View(3), SEQNO) is None
    assert snapshot_nonce(View(1), SEQNO) != nonce_of(View(1), SEQNO)
    assert len({snapshot_nonce(View(view), Seqno(at)) for view in (1, 2) for at in (1, 2)}) == 4
    for view in (0, 2**31):
        with pytest.raises(InvariantBroken):
            snapshot_nonce(View(view), SEQNO)


def domain(tables: dict[str, list[Row]]) -> bytes:
    return b"".join(
        encode_table_head(name, SEQNO, len(encode_rows(found))) + encode_rows(found) for name, found in tables.items()
    )


@given(st.dictionaries(st.text(max_size=20), rows, max_size=4), st.integers(1, 50))
def test_tables_come_back_wherever_the_stream_is_cut(tables: dict[str, list[Row]], step: int) -> None:
    data, reader, found = domain(tables), DomainReader(), dict[str, bytes]()
    for at in range(0, len(data), step):
        for part in reader.feed(data[at : at + step], SEQNO):
            found[part.table] = found.get(part.table, b"") + part.data
    reader.finish()
    assert found == {name: encode_rows(its_rows) for name, its_rows in tables.items() if its_rows}


def test_tables_that_cannot_be_are_refused() -> None:
    data = domain({"one": [(b"a", 1, b"b")]})
    cut = DomainReader()
    cut.feed(data[:-8], SEQNO)
    with pytest.raises(MalformedMessage):
        cut.finish()
    for bad in (data + data, domain({"n" * (limits.TABLE_NAME_BYTES_MAX + 1): []}), data[:8] + b"\xff" + data[9:]):
        with pytest.raises(MalformedMessage):
            DomainReader().feed(bad, SEQNO)
    with pytest.raises(MalformedMessage):
        DomainReader().feed(data, Seqno(10))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read_without_another_error(data: bytes) -> None:
    for parse in (cut_rows, Prefix.decode, MerkleFrontier.from_bytes):
        with contextlib.suppress(MalformedMessage):
            parse(data)
    for read in (lambda: SnapshotPoint.decode(data, View(1)), lambda: DomainReader().feed(data, SEQNO)):
        with contextlib.suppress(MalformedMessage):
            read()
