"""Write sets: round trip, separation of the domains, and the rejection of whatever is not exactly one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.errors import MalformedMessage
from core.kv.write_set import WriteSet, decode_domain, encode_domain, table_names

names = st.text(min_size=1, max_size=8).map(lambda text: "a." + text.encode("utf-8", "ignore").decode())
open_names = names.map(lambda name: "public:" + name)
writes = st.dictionaries(st.binary(max_size=6), st.none() | st.binary(max_size=6), min_size=1, max_size=4)
write_sets = st.dictionaries(names | open_names, writes, max_size=5).map(WriteSet)

ONE = encode_domain({"a.t": {b"k": b"v", b"gone": None}})


@given(write_sets)
def test_round_trip(write_set: WriteSet) -> None:
    public, private = write_set.encode()
    assert WriteSet.decode(public, private) == write_set
    assert set(table_names(public)) | set(table_names(private)) == set(write_set.tables)
    assert all(name.startswith("public:") for name in table_names(public))


def test_tables_without_writes_are_left_out() -> None:
    assert encode_domain({"a.t": {}, "a.u": {b"k": b"v"}}) == encode_domain({"a.u": {b"k": b"v"}})
    assert encode_domain({"a.t": {}}) == b""


def test_a_domain_is_laid_out_as_ccf_does() -> None:
    def sized(data: bytes) -> bytes:
        return len(data).to_bytes(8, "little") + data

    head = sized(b"a.t") + bytes(8) + bytes(8)
    one_write = (1).to_bytes(8, "little") + sized(b"k") + sized(b"v")
    assert head + one_write + (1).to_bytes(8, "little") + sized(b"gone") == ONE


@given(write_sets.filter(bool), st.data())
def test_a_domain_cut_anywhere_is_malformed_or_ends_with_a_whole_table(
    write_set: WriteSet, data: st.DataObject
) -> None:
    """Nothing counts the tables: the entry's own length does."""
    domain = encode_domain(write_set.tables)
    cut = data.draw(st.integers(0, len(domain) - 1))
    whole = [encode_domain(dict(list(write_set.tables.items())[:count])) for count in range(len(write_set.tables))]
    if domain[:cut] in whole:
        assert encode_domain(decode_domain(domain[:cut])) == domain[:cut]
    else:
        with pytest.raises(MalformedMessage):
            decode_domain(domain[:cut])


@given(st.binary(max_size=40))
def test_noise_is_malformed_or_decodes_to_what_encodes_to_it(noise: bytes) -> None:
    try:
        found = decode_domain(noise)
    except MalformedMessage:
        return
    assert encode_domain(found) == noise


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


HEAD = u64(3) + b"a.t" + bytes(16)
WRITE = u64(1) + b"k" + u64(1) + b"v"
DAMAGED = {
    "trailing byte": ONE + b"\0",
    "repeated table": ONE * 2,
    "too many tables": encode_domain({f"a.{number}": {b"k": b"v"} for number in range(limits.TABLES_MAX + 1)}),
    "name not UTF-8": ONE.replace(b"a.t", b"\xff\xff\xff"),
    "name too long": encode_domain({"a" * (limits.TABLE_NAME_BYTES_MAX + 1): {b"k": b"v"}}),
    "name runs past the end": u64(2**63) + b"a.t" + bytes(16),
    "length past what an index can be": u64(2**64 - 1) + b"a.t" + bytes(16),
    "read version": u64(3) + b"a.t" + u64(1) + u64(0) + u64(1) + WRITE + u64(0),
    "reads": u64(3) + b"a.t" + u64(0) + u64(1) + u64(1) + WRITE + u64(0),
    "table without writes": HEAD + u64(0) + u64(0),
    "more writes than there are": HEAD + u64(2) + WRITE + u64(0),
    "fewer writes than there are": HEAD + u64(0) + WRITE + u64(0),
    "repeated key": HEAD + u64(2) + WRITE + WRITE + u64(0),
    "key written and deleted": HEAD + u64(1) + WRITE + u64(1) + u64(1) + b"k",
    "value cut short": HEAD + u64(1) + u64(1) + b"k" + u64(2) + b"v",
    "deletion cut short": HEAD + u64(1) + WRITE + u64(1) + u64(2) + b"k",
    "huge value": HEAD + u64(1) + u64(1) + b"k" + u64(2**64 - 1) + b"v",
    "huge key": HEAD + u64(1) + u64(2**64 - 1) + b"k",
    "huge count": HEAD + u64(2**64 - 1) + WRITE,
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED.keys())
def test_malformed_domains(damaged: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_domain(damaged)


def test_a_table_in_the_wrong_domain_is_malformed() -> None:
    hidden, shown = encode_domain({"a.t": {b"k": b"v"}}), encode_domain({"public:a.t": {b"k": b"v"}})
    assert WriteSet.decode(shown, hidden)
    with pytest.raises(MalformedMessage):
        WriteSet.decode(hidden, encode_domain({}))
    with pytest.raises(MalformedMessage):
        WriteSet.decode(encode_domain({}), shown)
