"""Write sets: round trip, separation of the domains, and the rejection of whatever is not exactly one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.errors import MalformedMessage
from core.kv.write_set import WriteSet, decode_domain, encode_domain, table_names

names = st.text(min_size=1, max_size=8).map(lambda text: "a." + text.encode("utf-8", "ignore").decode())
open_names = names.map(lambda name: "public:" + name)
writes = st.dictionaries(st.binary(max_size=6), st.none() | st.binary(max_size=6), max_size=4)
write_sets = st.dictionaries(names | open_names, writes, max_size=5).map(WriteSet)

ONE = encode_domain({"a.t": {b"k": b"v", b"gone": None}})


@given(write_sets)
def test_round_trip(write_set: WriteSet) -> None:
    public, private = write_set.encode()
    assert WriteSet.decode(public, private) == write_set
    assert set(table_names(public)) | set(table_names(private)) == set(write_set.tables)
    assert all(name.startswith("public:") for name in table_names(public))


@given(write_sets.filter(bool), st.data())
def test_a_domain_cut_anywhere_is_malformed(write_set: WriteSet, data: st.DataObject) -> None:
    domain = encode_domain(write_set.tables)
    cut = data.draw(st.integers(0, len(domain) - 1))
    with pytest.raises(MalformedMessage):
        decode_domain(domain[:cut])


@given(st.binary(max_size=40))
def test_noise_is_malformed_or_decodes_to_what_encodes_to_it(noise: bytes) -> None:
    try:
        found = decode_domain(noise)
    except MalformedMessage:
        return
    assert encode_domain(found) == noise


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x02" + ONE[1:],
        ONE + b"\0",
        ONE[:1] + struct.pack("<I", limits.TABLES_MAX + 1) + ONE[5:],
        ONE[:1] + struct.pack("<I", 2) + ONE[5:] * 2,
        ONE[:1] + struct.pack("<I", 0) + ONE[5:],
        ONE.replace(b"a.t", b"\xff\xff\xff"),
        b"\x01" + struct.pack("<IHsII", 1, 1, b"t", 2**32 - 1, 0),
        b"\x01" + struct.pack("<IHsI", 1, 1, b"t", 4 + 2 * 6) + struct.pack("<I", 2) + bytes(12),
        b"\x01" + struct.pack("<IHsI", 1, 1, b"t", 4 + 7) + struct.pack("<I", 1) + bytes(7),
        b"\x01" + struct.pack("<IHsI", 1, 1, b"t", 4 + 6) + struct.pack("<IHI", 1, 0, 2),
    ],
    ids=[
        "empty",
        "version",
        "trailing",
        "too many tables",
        "repeated table",
        "tables uncounted",
        "name not UTF-8",
        "section runs past the end",
        "repeated key",
        "section with trailing bytes",
        "value cut short",
    ],
)
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
