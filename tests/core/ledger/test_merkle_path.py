"""Paths against the tree itself."""

from __future__ import annotations

import hashlib

import pytest

from core.ledger.merkle import MerkleFrontier
from core.ledger.merkle_path import cover, levels_of, path
from core.ledger.receipt import leaf_root
from core.types import Digest


def leaf_of(seqno: int) -> Digest:
    return Digest(bytes(32) if not seqno else hashlib.sha256(b"%d" % seqno).digest())


@pytest.mark.parametrize("leaves", [*range(1, 40), 63, 64, 65, 127, 128, 129, 200])
def test_each_leafs_path_leads_to_the_root(leaves: int) -> None:
    frontier = MerkleFrontier()
    for seqno in range(1, leaves):
        frontier.append(leaf_of(seqno))
    levels = levels_of([leaf_of(seqno) for seqno in range(leaves)])

    def subtree(level: int, index: int) -> bytes:
        assert index + 1 << level <= leaves, "only complete subtrees are asked for"
        return levels[level][index]

    for seqno in range(leaves):
        steps = path(seqno, leaves, subtree)
        assert leaf_root(leaf_of(seqno), steps) == frontier.root()
        if leaves > 1:
            assert leaf_root(leaf_of(seqno + 1), steps) != frontier.root()
    assert cover(0, leaves, subtree) == frontier.root()
