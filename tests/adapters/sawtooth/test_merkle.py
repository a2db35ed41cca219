"""The state tree: its roots against an independent computation, its encoding against the validator's own vectors."""

from __future__ import annotations

import hashlib
import random

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sawtooth.merkle import EMPTY_ROOT, MerkleTree, addresses_back, addresses_from
from core.adapter.interface import ScopedTransaction
from core.kv.store import Store
from core.types import Seqno
from tests.adapters.sawtooth.naive_merkle import naive_root


class Stored:
    """A state with its tree, over a store."""

    def __init__(self) -> None:
        self.store = Store()
        self.tree = MerkleTree()
        self.state: dict[str, bytes] = {}

    def begin(self) -> ScopedTransaction:
        return ScopedTransaction(self.store.begin(), "sawtooth")

    def apply(self, changes: dict[str, bytes | None]) -> str:
        """Change the state; returns the root."""
        transaction = self.begin()
        table = transaction.table("state")
        for address, data in changes.items():
            if data is None:
                table.delete(bytes.fromhex(address))
                self.state.pop(address, None)
            else:
                table.put(bytes.fromhex(address), data)
                self.state[address] = data
        root = self.tree.update(transaction, map(bytes.fromhex, changes))
        self.store.commit(transaction.inner, Seqno(self.store.head + 1))
        return root.hex()


def random_address(chance: random.Random) -> str:
    """Return an address out of a few namespaces; many share long beginnings."""
    start = chance.choice(["1cf126", "000000", "5b7349", "1cf127"])
    match chance.randrange(3):
        case 0:
            return start + chance.randbytes(32).hex()
        case 1:
            return start + chance.randbytes(1).hex() + "00" * 28 + f"{chance.randrange(400):06x}"
        case _:
            cut = chance.randrange(1, 31)
            return start + "ab" * cut + f"{chance.randrange(3):02x}" + "cd" * (31 - cut)


@pytest.mark.parametrize("seed", range(2))
def test_roots_over_ten_thousand_operations(seed: int) -> None:
    chance, stored = random.Random(seed), Stored()
    done = blocks = 0
    while done < 10_000:
        changes: dict[str, bytes | None] = {}
        for _ in range(chance.choice([1, 2, 5, 60, 400])):
            if stored.state and chance.random() < 0.4:
                address = chance.choice(list(stored.state)) if chance.random() < 0.9 else random_address(chance)
                changes[address] = None if chance.random() < 0.7 else chance.randbytes(chance.randrange(40))
            else:
                changes[random_address(chance)] = chance.randbytes(chance.choice([0, 1, 20, 24, 300]))
        root = stored.apply(changes)
        done, blocks = done + len(changes), blocks + 1
        if blocks % 25 == 0 or done >= 10_000:
            assert root == naive_root(stored.state)
        if chance.random() < 0.1:
            stored.tree.forget()
    assert stored.apply(dict.fromkeys(stored.state)) == EMPTY_ROOT.hex() == naive_root({})
    assert not [*stored.begin().table("edges").keys(), *stored.begin().table("branches").keys()][1:]


_TAILS = st.lists(st.sampled_from(["00", "01", "7f", "80", "ff"]), min_size=35, max_size=35).map("".join)
_CHANGES = st.dictionaries(_TAILS | st.sampled_from(["00" * 35, "00" * 34 + "01", "01" * 35]), st.none() | st.binary())


@given(st.lists(_CHANGES, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_changes_gives_the_root_of_the_whole(blocks: list[dict[str, bytes | None]]) -> None:
    stored = Stored()
    for changes in blocks:
        assert stored.apply(changes) == naive_root(stored.state)


@given(_CHANGES, _TAILS, st.integers(0, 35))
@settings(max_examples=60, deadline=None)
def test_listing_goes_in_order_from_anywhere(changes: dict[str, bytes | None], start: str, length: int) -> None:
    stored = Stored()
    stored.apply(changes)
    prefix = start[: 2 * length]
    wanted = sorted(one for one in stored.state if one.startswith(prefix))
    found = addresses_from(stored.begin(), bytes.fromhex(prefix), bytes.fromhex(start))
    assert [one.hex() for one in found] == [one for one in wanted if one >= start]
    found = addresses_back(stored.begin(), bytes.fromhex(prefix), bytes.fromhex(start))
    assert [one.hex() for one in found] == [one for one in reversed(wanted) if one <= start]


def test_the_encoding_is_the_validators() -> None:
    """Vector of validator/src/state/merkle.rs, node_serialize: generated there with the Python validator."""
    node = {"v": b"hello", "c": {"ab": "123"}}
    assert cbor2.dumps(node, canonical=True).hex() == "a26163a16261626331323361764568656c6c6f"


def test_one_leaf_by_hand() -> None:
    """A leaf's value is CBOR within CBOR: the byte string 41 01 (one byte, 01), itself a byte string."""
    address = "1cf126" + "00" * 32
    lowest = hashlib.sha512(bytes.fromhex("a26163a06176") + b"\x42\x41\x01").hexdigest()[:64]
    for start in range(68, -1, -2):
        token = address[start : start + 2].encode()
        packed = b"\xa2\x61c\xa1\x62" + token + b"\x78\x40" + lowest.encode() + b"\x61v\xf6"
        lowest = hashlib.sha512(packed).hexdigest()[:64]
    assert Stored().apply({address: b"\x01"}) == lowest


def test_what_was_rolled_back_leaves_the_tree_as_it_was() -> None:
    stored = Stored()
    before = stored.apply({"1cf126" + "11" * 32: b"a", "1cf126" + "12" * 32: b"b"})
    head, state = stored.store.head, dict(stored.state)
    assert stored.apply({"1cf126" + "11" * 32: None, "5b7349" + "12" * 32: b"b"}) != before
    stored.store.rollback(head)
    stored.tree.forget()
    stored.state = state
    assert stored.apply({}) == before
    assert stored.apply({"1cf126" + "11" * 32: b"c"}) == naive_root(stored.state)
