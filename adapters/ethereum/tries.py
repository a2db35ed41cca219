"""Roots of the tries that a header commits to, computed from the leaves up. Yellow Paper, appendix D.

The keys of these tries are the RLP of the positions 0, 1, 2, ..., so nothing is looked up or changed: the sorted leaves
are folded into nodes once, without a database.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.ethereum.keccak import keccak
from adapters.ethereum.rlp_codec import encode_bytes, encode_int, encode_list

EMPTY_ROOT = keccak(b"\x80")

_Leaf = tuple[bytes, bytes]
"""Nibbles of the key (one byte each), value."""


def ordered_root(values: Sequence[bytes]) -> bytes:
    """Return the root of the trie that maps RLP(i) to values[i]."""
    return root([(encode_int(index), value) for index, value in enumerate(values)])


def root(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the Merkle-Patricia root of unique keys, none of which is the beginning of another, and their values."""
    if not pairs:
        return EMPTY_ROOT
    leaves = sorted((_nibbles(key), value) for key, value in pairs)
    return keccak(_node(leaves, 0, len(leaves), 0))


def _nibbles(key: bytes) -> bytes:
    return bytes(key.hex(), "ascii").translate(_FROM_HEX)


_FROM_HEX = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))


def _node(leaves: list[_Leaf], start: int, end: int, depth: int) -> bytes:
    """Return the RLP of the node over leaves[start:end], whose keys agree in the first `depth` nibbles."""
    first = leaves[start][0]
    if end - start == 1:
        return encode_list((encode_bytes(_packed(first[depth:], leaf=True)), encode_bytes(leaves[start][1])))
    last = leaves[end - 1][0]
    split = depth
    while first[split] == last[split]:
        split += 1
    if split > depth:
        branch = _branch(leaves, start, end, split)
        return encode_list((encode_bytes(_packed(first[depth:split], leaf=False)), _reference(branch)))
    return _branch(leaves, start, end, depth)


def _branch(leaves: list[_Leaf], start: int, end: int, depth: int) -> bytes:
    children = [b"\x80"] * 17
    while start < end:
        nibble, stop = leaves[start][0][depth], start + 1
        while stop < end and leaves[stop][0][depth] == nibble:
            stop += 1
        children[nibble] = _reference(_node(leaves, start, stop, depth + 1))
        start = stop
    return encode_list(children)


def _reference(node: bytes) -> bytes:
    """A node of 32 bytes or more stands in its parent by its hash."""
    return node if len(node) < 32 else b"\xa0" + keccak(node)


def _packed(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding."""
    flag = 2 if leaf else 0
    full = bytes((flag + 1,)) + nibbles if len(nibbles) % 2 else bytes((flag, 0)) + nibbles
    return bytes(high << 4 | low for high, low in zip(full[::2], full[1::2], strict=True))
