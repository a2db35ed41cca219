"""The state digest: of the rows alone, in any order; any difference shows."""

from __future__ import annotations

import hashlib
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvariantBroken
from core.ledger.state_digest import BUCKETS, Row, StateDigest, digest_of

ROWS: list[Row] = [(f"table.{number % 3}", b"key %d" % number, number + 1, b"value" * number) for number in range(60)]


def plain(rows: list[Row]) -> bytes:
    """The definition, written down once more."""
    buckets: list[list[bytes]] = [[] for _ in range(256)]
    for table, key, version, value in rows:
        name = table.encode()
        data = struct.pack("<Q", len(name)) + name + struct.pack("<Q", len(key)) + key + struct.pack("<Q", version)
        leaf = hashlib.sha256(data + value).digest()
        buckets[leaf[0]].append(leaf)
    hashes = b"".join(hashlib.sha256(b"".join(sorted(bucket))).digest() for bucket in buckets)
    return hashlib.sha256(hashes + struct.pack("<Q", len(rows))).digest()


def test_it_is_as_defined_and_knows_no_order() -> None:
    rows = list(ROWS)
    wanted = plain(rows)
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        assert digest_of(rows) == wanted
    assert digest_of([]) == plain([])


@pytest.mark.parametrize(
    "other",
    [
        ROWS[1:],
        [*ROWS, ROWS[0]],
        [*ROWS[1:], ("table.1", *ROWS[0][1:])],
        [*ROWS[1:], (ROWS[0][0], b"another", *ROWS[0][2:])],
        [*ROWS[1:], (*ROWS[0][:2], 99, ROWS[0][3])],
        [*ROWS[1:], (*ROWS[0][:3], b"x")],
        [],
    ],
)
def test_any_difference_shows(other: list[Row]) -> None:
    assert digest_of(other) != digest_of(ROWS)


def test_parts_of_a_row_do_not_flow_into_each_other() -> None:
    assert len({digest_of([row]) for row in (("ab", b"c", 1, b""), ("a", b"bc", 1, b""), ("abc", b"", 1, b""))}) == 3
    version = struct.pack("<Q", 1)
    assert digest_of([("a", b"b", 1, version)]) != digest_of([("a", b"b" + version, 1, b"")])


def test_it_is_finished_in_slices_and_once() -> None:
    digest = StateDigest()
    for row in ROWS:
        digest.add(*row)
    assert digest.rows == len(ROWS)
    running = digest.slices()
    steps, found = 0, None
    while found is None:
        try:
            next(running)
            steps += 1
        except StopIteration as done:
            found = done.value
    assert found == digest_of(ROWS)
    assert steps == BUCKETS
    with pytest.raises(InvariantBroken, match="finished"):
        digest.add(*ROWS[0])
    with pytest.raises(InvariantBroken, match="twice"):
        digest.finish()


keys = st.tuples(st.text(max_size=8), st.binary(max_size=8))
states = st.dictionaries(keys, st.tuples(st.integers(0, 2**63), st.binary(max_size=20)), max_size=20)


@given(states, states)
def test_equal_digests_mean_equal_states(
    one: dict[tuple[str, bytes], tuple[int, bytes]], other: dict[tuple[str, bytes], tuple[int, bytes]]
) -> None:
    digests = [digest_of((*name, *row) for name, row in state.items()) for state in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)
