"""The list of nodes: each step of a slot, and the steps there are not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from core.errors import CocoError, InvariantBroken, MalformedMessage
from core.governance.slots import SlotRecord, begin_removal, join, promote, remove, restart, slot_of
from core.types import Digest, NodeId

A, B, C = NodeId("aa" * 32), NodeId("bb" * 32), NodeId("cc" * 32)
SIGNED = Digest(b"\x01" * 32)
ADMITTED = SlotRecord("beta", "n2:1", "admitted")
JOINING = join(ADMITTED, A, SIGNED)
ACTIVE = promote(JOINING)
REPLACING = join(ACTIVE, B, SIGNED)
REMOVING = replace(REPLACING, state="removing")
REMOVED = remove(REMOVING, 4)
OTHER = SlotRecord("alpha", "n1:1", "active", C)


def test_the_life_of_a_slot() -> None:
    assert (JOINING.state, JOINING.node, JOINING.replaces, JOINING.authorization) == ("joining", A, "", SIGNED.hex())
    assert (ACTIVE.state, ACTIVE.node) == ("active", A)
    assert (REPLACING.state, REPLACING.node, REPLACING.replaces) == ("joining", B, A)
    assert (promote(REPLACING).node, promote(REPLACING).replaces) == (B, "")
    assert (join(REPLACING, C, SIGNED).node, join(REPLACING, C, SIGNED).replaces) == (C, A)
    assert REMOVING.nodes == (B, A)
    assert (REMOVED.state, REMOVED.nodes, REMOVED.epoch) == ("removed", (), 4)


@pytest.mark.parametrize(("record", "step"), [
    (REMOVING, lambda one: join(one, C, SIGNED)), (REMOVED, lambda one: join(one, C, SIGNED)),
    (ADMITTED, promote), (ACTIVE, promote), (REMOVING, promote), (REMOVED, promote),
    (ADMITTED, lambda one: remove(one, 1)), (ACTIVE, lambda one: remove(one, 1)), (REMOVED, lambda one: remove(one, 1)),
])  # fmt: skip
def test_steps_there_are_not(record: SlotRecord, step: Any) -> None:
    with pytest.raises(InvariantBroken):
        step(record)


def test_removal_is_begun_once_and_leaves_a_node() -> None:
    assert begin_removal({"node1": OTHER, "node2": REPLACING}, "node2") == REMOVING
    assert begin_removal({"node1": OTHER, "node2": ADMITTED}, "node2").state == "removed"
    for slots, what in (
        ({"node1": OTHER, "node2": REMOVING}, "removing already"),
        ({"node1": OTHER, "node2": REMOVED}, "removed already"),
        ({"node1": OTHER}, "no slot"),
        ({"node2": ACTIVE}, "last node"),
        ({"node1": replace(OTHER, state="removing"), "node2": ACTIVE}, "last node"),
        ({"node1": ADMITTED, "node2": REPLACING}, "last node"),
    ):
        with pytest.raises(CocoError, match=what):
            begin_removal(slots, "node2")


def test_in_which_slot_a_node_is() -> None:
    slots = {"node1": OTHER, "node2": REPLACING, "node3": REMOVED}
    assert [slot_of(slots, node) for node in (A, B, C, NodeId("dd" * 32))] == ["node2", "node2", "node1", None]
    assert slot_of({"node3": replace(REMOVED, node=A)}, A) is None


def test_a_first_start_makes_its_slot() -> None:
    assert restart({}, "node1", A, "n1:1", "alpha") == {"node1": SlotRecord("alpha", "n1:1", "active", A)}


def test_a_start_again_empties_the_other_slots() -> None:
    slots = {"node1": OTHER, "node2": REPLACING, "node3": REMOVING, "node4": ADMITTED, "node5": REMOVED}
    changed = restart(slots, "node1", B, "", "nobody")
    assert changed.keys() == {"node1", "node2", "node3"}
    assert changed["node1"] == replace(OTHER, node=B)
    assert (changed["node2"].state, changed["node2"].nodes) == ("admitted", ())
    assert (changed["node3"].state, changed["node3"].nodes, changed["node3"].epoch) == ("removed", (), 0)


@pytest.mark.parametrize("name", ["node3", "node5", "node9"])
def test_where_a_network_does_not_start(name: str) -> None:
    slots = {"node1": OTHER, "node3": REMOVING, "node5": REMOVED}
    with pytest.raises(CocoError, match="cannot be started there"):
        restart(slots, name, B, "n9:1", "alpha")


def test_records_come_back() -> None:
    for record in (ADMITTED, JOINING, REPLACING, REMOVED):
        assert SlotRecord.decode(record.encode()) == record
    for data in (b"", b"{}", ADMITTED.encode().replace(b"admitted", b"owned"), ADMITTED.encode() + b"0"):
        with pytest.raises(MalformedMessage):
            SlotRecord.decode(data)
