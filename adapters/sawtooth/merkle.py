"""The validator's radix Merkle tree, whose root every block header has.

A node is CBOR with sorted keys, {"c": {two hexadecimal digits: hash of the child}, "v": value or null}; its hash is
the first half of SHA-512, in text as 64 hexadecimal digits. A leaf stands 35 nodes below the root; its value is the
CBOR byte string of the data. Source: validator/src/state/merkle.rs and sawtooth_validator/state/merkle.py.

Most nodes have one child. Kept are only the root and the nodes with several children (by their paths), each with the
edges that leave it: `edges` has, for the path of a node and one more byte, the bytes down to the next kept node or
leaf, and the hash of the node right below; `branches` has which edges a node has, as a bit map. What lies in between
is made again from below. Invariant: a kept node that is not the root has at least two edges.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from adapters.sawtooth.addresses import ADDRESS_BYTES
from core.adapter.interface import ScopedTransaction
from core.errors import InvariantBroken
from core.kv.transaction import TableHandle

HASH_BYTES = 32
NODES_CACHED_MAX = 20_000

_VALUE_NULL = b"\x61v\xf6"
_NODE_START = b"\xa2\x61c"
_CHILD_BYTES = 69
_HASH_AT = 5
_CHILD_STARTS = [b"\x62" + bytes((token,)).hex().encode() + b"\x78\x40" for token in range(256)]
_CHAIN_STARTS = [_NODE_START + b"\xa1" + start for start in _CHILD_STARTS]
_NO_CHILDREN = _NODE_START + b"\xa0"

EMPTY_ROOT = hashlib.sha512(_NO_CHILDREN + _VALUE_NULL).digest()[:HASH_BYTES]

Edge = tuple[bytes, bytes]
"""The bytes down to the next kept node or leaf, and the hash, in hexadecimal digits, of the node where it begins."""


def _cbor_head(major: int, length: int) -> bytes:
    if length < 24:
        return bytes((major | length,))
    for code, size in ((24, 1), (25, 2), (26, 4)):
        if length < 1 << 8 * size:
            return bytes((major | code,)) + length.to_bytes(size, "big")
    raise InvariantBroken("a value of 4 GiB")


def _common(first: bytes, last: bytes) -> bytes:
    """Return what two addresses, and all between them, begin with."""
    length = 0
    while length < len(first) and first[length] == last[length]:
        length += 1
    return first[:length]


def _hash(encoded: bytes) -> bytes:
    return hashlib.sha512(encoded).hexdigest()[: 2 * HASH_BYTES].encode()


def _leaf_hash(data: bytes) -> bytes:
    value = _cbor_head(0x40, len(data)) + data
    return _hash(_NO_CHILDREN + b"\x61v" + _cbor_head(0x40, len(value)) + value)


def _chain(rest: bytes, lowest: bytes) -> bytes:
    """Return the hash of the topmost of the nodes that have one child each, along these bytes down to `lowest`."""
    sha512 = hashlib.sha512
    for token in reversed(rest):
        lowest = sha512(_CHAIN_STARTS[token] + lowest + _VALUE_NULL).hexdigest()[: 2 * HASH_BYTES].encode()
    return lowest


class _Node:
    """A kept node: its edges, and the children of its encoding, which is patched and not made anew."""

    __slots__ = ("body", "changed", "rests", "tokens")

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.rests: dict[int, bytes] = {}
        self.body = bytearray()
        self.changed = False

    def edge(self, token: int) -> Edge | None:
        rest = self.rests.get(token)
        if rest is None:
            return None
        start = _CHILD_BYTES * bisect_left(self.tokens, token) + _HASH_AT
        return rest, bytes(self.body[start : start + 2 * HASH_BYTES])

    def put(self, token: int, edge: Edge) -> None:
        index = bisect_left(self.tokens, token)
        start = _CHILD_BYTES * index
        if token not in self.rests:
            self.tokens.insert(index, token)
            self.body[start:start] = _CHILD_STARTS[token] + edge[1]
            self.changed = True
        else:
            self.body[start + _HASH_AT : start + _CHILD_BYTES] = edge[1]
        self.rests[token] = edge[0]

    def remove(self, token: int) -> None:
        index = bisect_left(self.tokens, token)
        del self.tokens[index], self.rests[token]
        del self.body[_CHILD_BYTES * index : _CHILD_BYTES * (index + 1)]
        self.changed = True

    def hash(self) -> bytes:
        digest = hashlib.sha512(_NODE_START + _cbor_head(0xA0, len(self.tokens)))
        digest.update(self.body)
        digest.update(_VALUE_NULL)
        return digest.hexdigest()[: 2 * HASH_BYTES].encode()

    def bit_map(self) -> bytes:
        bits = bytearray(32)
        for token in self.tokens:
            bits[token >> 3] |= 1 << (token & 7)
        return bytes(bits)


class MerkleTree:
    """Keeps the tree after changes of the table `state`. What it remembers of kept nodes can be forgotten."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, _Node] = {}
        self._state: TableHandle
        self._branches: TableHandle
        self._edges: TableHandle

    def forget(self) -> None:
        """Forget what was read, as after a rollback."""
        self._nodes.clear()

    def update(self, transaction: ScopedTransaction, changed: Iterable[bytes]) -> bytes:
        """Take over what the table `state` has at these addresses; returns the new root, 32 bytes.

        Call `forget` when the transaction does not come into effect.
        """
        self._state = transaction.table("state")
        self._branches = transaction.table("branches")
        self._edges = transaction.table("edges")
        if len(self._nodes) > NODES_CACHED_MAX:
            self._nodes.clear()
        root = self._node(b"")
        self._change(b"", root, sorted(set(changed)))
        self._save(b"", root)
        return bytes.fromhex(root.hash().decode())

    def _change(self, path: bytes, node: _Node, addresses: list[bytes]) -> None:
        """Take over what changed below a kept node."""
        depth, start = len(path), 0
        while start < len(addresses):
            token, end = addresses[start][depth], start + 1
            while end < len(addresses) and addresses[end][depth] == token:
                end += 1
            before = node.edge(token)
            after = self._edge(path + bytes((token,)), before, addresses[start:end])
            if after is None:
                if before is not None:
                    node.remove(token)
                    self._edges.delete(path + bytes((token,)))
            elif after != before:
                node.put(token, after)
                self._edges.put(path + bytes((token,)), after[0] + bytes.fromhex(after[1].decode()))
            start = end

    def _edge(self, top: bytes, edge: Edge | None, addresses: list[bytes]) -> Edge | None:
        """Return the edge that begins at `top` after the changes at these addresses, all of which are below it."""
        if edge is None:
            present = [address for address in addresses if self._state.has(address)]
            if not present:
                return None
            if len(present) == 1:
                return self._leaf_edge(top, present[0])
            return self._branch_edge(top, _common(present[0], present[-1]), None, present)
        below = top + edge[0]
        inside = [address for address in addresses if address.startswith(below)]
        beside = [address for address in addresses if not address.startswith(below) and self._state.has(address)]
        if beside:
            if len(below) == ADDRESS_BYTES and not self._state.has(below):
                return self._edge(top, None, addresses)
            fork = _common(min(below, beside[0]), max(below, beside[-1]))
            return self._branch_edge(top, fork, below, sorted(inside + beside))
        if not inside:
            return edge
        if len(below) == ADDRESS_BYTES:
            return self._leaf_edge(top, below) if self._state.has(below) else None
        return self._branch_edge(top, below, None, inside)

    def _leaf_edge(self, top: bytes, address: bytes) -> Edge:
        rest = address[len(top) :]
        return rest, _chain(rest, _leaf_hash(self._value(address)))

    def _branch_edge(self, top: bytes, path: bytes, below: bytes | None, addresses: list[bytes]) -> Edge | None:
        """Change the kept node at `path`, an ancestor of the one or leaf at `below` if given; return the edge to it."""
        node = self._node(path)
        if below is not None:
            lower = path + below[len(path) : len(path) + 1]
            rest = below[len(lower) :]
            moved = rest, _chain(rest, self._lowest(below))
            node.put(lower[-1], moved)
            self._edges.put(lower, moved[0] + bytes.fromhex(moved[1].decode()))
        self._change(path, node, addresses)
        if len(node.tokens) > 1:
            self._save(path, node)
            rest = path[len(top) :]
            return rest, _chain(rest, node.hash())
        return self._collapse(top, path, node)

    def _collapse(self, top: bytes, path: bytes, node: _Node) -> Edge | None:
        """Remove a kept node that has no more than one edge; returns the edge that takes its place, if any."""
        del self._nodes[path]
        self._branches.delete(path)
        if not node.tokens:
            return None
        token = node.tokens[0]
        self._edges.delete(path + bytes((token,)))
        rest = path[len(top) :] + bytes((token,)) + node.rests[token]
        return rest, _chain(rest, self._lowest(top + rest))

    def _lowest(self, path: bytes) -> bytes:
        """Return the hash of the kept node or leaf at a path."""
        return _leaf_hash(self._value(path)) if len(path) == ADDRESS_BYTES else self._node(path).hash()

    def _value(self, address: bytes) -> bytes:
        data = self._state.get(address)
        if data is None:
            raise InvariantBroken("the state tree has a leaf that the state has not")
        return data

    def _save(self, path: bytes, node: _Node) -> None:
        if node.changed:
            self._branches.put(path, node.bit_map())
            node.changed = False

    def _node(self, path: bytes) -> _Node:
        """Return the kept node at a path, a new one where there is none."""
        node = self._nodes.get(path)
        if node is None:
            node = self._nodes[path] = _Node()
            for token in edge_tokens(self._branches, path):
                found = self._edges.get(path + bytes((token,)))
                if found is None:
                    raise InvariantBroken("an edge of the state tree is missing")
                node.put(token, (found[:-HASH_BYTES], found[-HASH_BYTES:].hex().encode()))
            node.changed = False
        return node


def edge_tokens(branches: TableHandle, path: bytes) -> list[int]:
    """Return the bytes that the edges of a kept node begin with, in order."""
    bits = int.from_bytes(branches.get(path) or b"", "little")
    return [token for token in range(bits.bit_length()) if bits >> token & 1]


def addresses_from(transaction: ScopedTransaction, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
    """Yield the addresses that begin with a prefix and are not before `start`, in order."""
    branches, edges = transaction.table("branches"), transaction.table("edges")

    def below(path: bytes) -> Iterator[bytes]:
        if len(path) == ADDRESS_BYTES:
            if path.startswith(prefix) and path >= start:
                yield path
            return
        for token in edge_tokens(branches, path):
            top = path + bytes((token,))
            if not _may_hold(top, prefix) or top < start[: len(top)]:
                continue
            rest = (edges.get(top) or b"")[:-HASH_BYTES]
            if _may_hold(top + rest, prefix) and top + rest >= start[: len(top + rest)]:
                yield from below(top + rest)

    yield from below(b"")


def addresses_back(transaction: ScopedTransaction, prefix: bytes, start: bytes = b"\xff" * 35) -> Iterator[bytes]:
    """Yield the addresses that begin with a prefix and are not after `start`, from the last to the first."""
    branches, edges = transaction.table("branches"), transaction.table("edges")

    def below(path: bytes) -> Iterator[bytes]:
        if len(path) == ADDRESS_BYTES:
            if path.startswith(prefix) and path <= start:
                yield path
            return
        for token in reversed(edge_tokens(branches, path)):
            top = path + bytes((token,))
            if not _may_hold(top, prefix) or top > start[: len(top)]:
                continue
            rest = (edges.get(top) or b"")[:-HASH_BYTES]
            if _may_hold(top + rest, prefix) and top + rest <= start[: len(top + rest)]:
                yield from below(top + rest)

    yield from below(b"")


def _may_hold(path: bytes, prefix: bytes) -> bool:
    """Say whether addresses below a path may begin with a prefix."""
    return path.startswith(prefix) or prefix.startswith(path)
