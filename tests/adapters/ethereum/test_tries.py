"""Roots against the trie package's own trie."""

from __future__ import annotations

import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from adapters.ethereum.tries import EMPTY_ROOT, ordered_root, root


@given(st.lists(st.binary(min_size=1, max_size=90), max_size=300))
@settings(max_examples=25, deadline=None)
def test_ordered_root(values: list[bytes]) -> None:
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie[rlp.encode(index)] = value
    assert ordered_root(values) == trie.root_hash


@given(st.dictionaries(st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=40), max_size=60))
@settings(max_examples=50, deadline=None)
def test_root_of_any_keys_of_one_length(pairs: dict[bytes, bytes]) -> None:
    trie = HexaryTrie({})
    for key, value in pairs.items():
        trie[key] = value
    assert root(list(pairs.items())) == trie.root_hash


def test_the_empty_root_is_ethereums() -> None:
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert ordered_root([]) == EMPTY_ROOT


def test_order_matters() -> None:
    assert ordered_root([b"a", b"b"]) != ordered_root([b"b", b"a"])
