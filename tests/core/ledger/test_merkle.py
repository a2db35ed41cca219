"""The frontier against a tree built whole, level by level, as merklecpp does."""

from __future__ import annotations

import hashlib

import pytest

from core.errors import InvariantBroken
from core.ledger.merkle import ZERO_LEAF, MerkleFrontier
from core.types import Digest


def whole_root(leaves: list[bytes]) -> bytes:
    level = leaves
    while len(level) > 1:
        pairs = [hashlib.sha256(b"".join(level[at : at + 2])).digest() for at in range(0, len(level) - 1, 2)]
        level = pairs + (level[-1:] if len(level) % 2 else [])
    return level[0]


def test_roots_agree_with_a_whole_tree() -> None:
    frontier, leaves = MerkleFrontier(), [bytes(ZERO_LEAF)]
    assert frontier.root() == ZERO_LEAF
    for number in range(1, 140):
        leaf = hashlib.sha256(b"%d" % number).digest()
        frontier.append(Digest(leaf))
        leaves.append(leaf)
        assert frontier.root() == whole_root(leaves)
        assert frontier.last_seqno == number


def test_any_changed_or_swapped_leaf_changes_the_root() -> None:
    leaves = [hashlib.sha256(b"%d" % number).digest() for number in range(11)]
    roots = set()
    for changed in range(11):
        for order in (
            [*leaves[:changed], bytes(31) + b"\1", *leaves[changed + 1 :]],
            leaves[changed:] + leaves[:changed],
        ):
            frontier = MerkleFrontier()
            for leaf in order:
                frontier.append(Digest(leaf))
            roots.add(frontier.root())
    assert len(roots) == 22


def test_copy_grows_apart_and_misshapen_leaves_are_refused() -> None:
    frontier = MerkleFrontier()
    frontier.append(Digest(bytes(32)))
    twin = frontier.copy()
    before = frontier.root()
    twin.append(Digest(bytes(32)))
    assert frontier.root() == before != twin.root()
    with pytest.raises(InvariantBroken):
        frontier.append(Digest(b"short"))
