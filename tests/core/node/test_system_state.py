"""The state that the manager decides by: what a copy keeps, what rows bring back, and what is due."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.keys import PrivateKey
from core.errors import CocoError, InvariantBroken, MalformedMessage
from core.governance.messages import admit_node, remove_node, set_default_adapter
from core.kv.write_set import Writes, encode_domain
from core.ledger.key_wrapping import unwrap_epoch_key, wrap_epoch_key
from core.ledger.secrets import EpochSecret
from core.node.manager_tables import SystemState
from core.node.system_tables import SystemTables, is_system_table
from core.node.system_work import (
    NewEpoch,
    Promotion,
    Removal,
    due_work,
    epoch_writes,
    join_writes,
    promotion_writes,
    removal_writes,
)
from core.types import NodeId, Seqno, View
from tests.support.governance_bench import Network, node_info, node_of


def seen(state: SystemState, *without: str) -> dict[str, Any]:
    """What a state holds, but for what only says how, and what is named."""
    return {name: one for name, one in vars(state).items() if name not in ("_shared", "certificates", *without)}


def joined(network: Network, slot: str = "node2", member: str = "beta", address: str = "n2:1") -> PrivateKey:
    """Admit a slot, and have a node join it."""
    network.admit(slot, member, address)
    key = PrivateKey.generate()
    network.join(network.ticket(slot, member, address, node_of(key)), key, address)
    return key


def lively() -> Network:
    """A network in which everything has happened once."""
    network = Network()
    joined(network)
    network.promote("node2")
    later = PrivateKey.generate()
    network.join(network.ticket("node2", "beta", "n2:1", None), later)
    network.promote("node2")
    joined(network, "node3", "gamma", "n3:1")
    network.pass_(remove_node("node3"))
    network.remove("node3")
    network.propose("alpha", admit_node("node4", "partner", "n4:1"))
    network.propose("beta", set_default_adapter("kv"))
    return network


def test_the_first_start_takes_the_first_slot() -> None:
    slot = Network().state.slots["node1"]
    assert (slot.member, slot.address, slot.state) == ("alpha", "n1:1", "active")


def test_the_state_comes_back_from_the_ledger_and_from_a_snapshots_rows() -> None:
    network = lively()
    replayed, tables = SystemState(network.constitution), SystemTables()
    for seqno, writes in enumerate(network.written, 1):
        replayed.absorb(encode_domain(writes))
        tables.note(Seqno(seqno), encode_domain(writes))
    assert seen(replayed) == seen(network.state)
    restored = SystemState(network.constitution)
    rows = tables.rows_at(Seqno(len(network.written)))
    restored.absorb_tables({name: {key: value for key, _, value in its_rows} for name, its_rows in rows})
    # What a snapshot stands for is committed, so that who voted before does not matter any more.
    assert restored.voters_before == frozenset() != replayed.voters_before
    assert seen(restored, "voters_before") == seen(network.state, "voters_before")
    assert due_work(restored) == due_work(network.state)


def test_all_that_is_decided_by_is_in_a_snapshot() -> None:
    assert all(is_system_table(name) for writes in lively().written for name in writes)


def test_taking_in_again_changes_nothing() -> None:
    network = lively()
    before = seen(network.state.copy())
    network.state.absorb_tables(network.written[-1])
    assert seen(network.state) == before


def test_a_copy_keeps_what_was() -> None:
    """Whatever happens afterwards, to either of them."""
    network = lively()
    kept = network.state.copy()
    before = {name: one.copy() if hasattr(one, "copy") and name != "constitution" else one
              for name, one in seen(kept).items()}  # fmt: skip
    joined(network, "node5", "gamma", "n5:1")
    network.propose("alpha", set_default_adapter("ethereum"))
    assert seen(kept) == before
    after = seen(network.state.copy())
    network.state, network.written = kept, []
    joined(network, "node6", "gamma", "n6:1")
    assert after["slots"].keys() - network.state.slots.keys() == {"node5"}
    assert network.state.slots.keys() - after["slots"].keys() == {"node6"}
    assert after["_accepted"] - network.state._accepted
    assert network.state._accepted - after["_accepted"]


def test_a_message_that_was_rolled_back_may_come_again() -> None:
    network = Network()
    data = network.sign("alpha", set_default_adapter("kv"))
    kept = network.state.copy()
    network.accept(data)
    with pytest.raises(CocoError, match="carried out before"):
        network.accept(data)
    network.state = kept
    assert network.state.default_adapter == "ethereum"
    network.accept(data)
    assert network.state.default_adapter == "kv"


MISSHAPEN: dict[str, Writes] = {
    "a deleted slot": {"public:coco.slots": {b"node1": None}},
    "a deleted proposal": {"public:coco.proposals": {bytes(32): None}},
    "a deleted authorization": {"public:coco.authorizations": {bytes(32): None}},
    "a deleted node": {"public:ccf.gov.nodes.info": {b"a": None}},
    "a slot that is none": {"public:coco.slots": {b"node1": b"{}"}},
    "a proposal that is none": {"public:coco.proposals": {bytes(32): b"{}"}},
    "an authorization that is none": {"public:coco.authorizations": {bytes(32): b"{}"}},
    "an epoch without a number": {"public:coco.epochs": {b"one": b"{}"}},
}


@pytest.mark.parametrize("writes", MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_rows_that_cannot_be(writes: Writes) -> None:
    with pytest.raises(MalformedMessage):
        Network().state.absorb_tables(writes)


# What is due.


def test_nothing_is_due() -> None:
    assert due_work(Network().state) == []
    network = Network()
    network.admit()
    assert due_work(network.state) == []


def test_promotions_are_due_until_they_are_recorded() -> None:
    network = Network()
    first = joined(network)
    assert due_work(network.state) == [Promotion("node2", node_of(first), None)]
    network.promote("node2")
    assert due_work(network.state) == []
    second = PrivateKey.generate()
    network.join(network.ticket("node2", "beta", "n2:1", None), second)
    assert due_work(network.state) == [Promotion("node2", node_of(second), node_of(first))]
    assert network.state.trusted_nodes() == sorted(map(node_of, (network.first, first, second)))
    network.promote("node2")
    assert network.state.trusted_nodes() == sorted(map(node_of, (network.first, second)))


def test_removals_are_due_and_then_an_epoch() -> None:
    network = Network()
    node = joined(network)
    network.promote("node2")
    network.pass_(remove_node("node2"))
    assert due_work(network.state) == [Removal("node2", (node_of(node),))]
    network.remove("node2")
    assert due_work(network.state) == [NewEpoch(2, (node_of(network.first),))]
    assert network.state.nodes[node_of(node).encode()].status == "Retired"
    secret = EpochSecret(2, Seqno(50), View(1), node_of(network.first), b"k" * 32)
    wrapped = wrap_epoch_key(secret.key, network.first.public_key(), network=network.digest, epoch=2)
    written = network.write(epoch_writes(secret, {node_of(network.first): wrapped}))
    assert due_work(network.state) == []
    row = written["public:coco.epoch_keys"][f"2.{node_of(network.first)}".encode()]
    assert row is not None
    assert unwrap_epoch_key(row, network.first, network=network.digest, epoch=2) == secret.key


def test_a_slot_that_never_had_a_node_asks_for_no_epoch() -> None:
    network = Network()
    network.admit()
    network.pass_(remove_node("node2"))
    assert network.state.slots["node2"].state == "removed"
    assert due_work(network.state) == []


def test_the_removal_of_a_slot_in_which_two_nodes_are() -> None:
    network = Network()
    first = joined(network)
    network.promote("node2")
    second = PrivateKey.generate()
    network.join(network.ticket("node2", "beta", "n2:1", None), second)
    network.pass_(remove_node("node2"))
    assert due_work(network.state) == [Removal("node2", (node_of(second), node_of(first)))]
    network.remove("node2")
    assert network.state.trusted_nodes() == [node_of(network.first)]


def test_what_was_not_decided_is_not_written() -> None:
    network = Network()
    joined(network)
    with pytest.raises(InvariantBroken):
        removal_writes(network.state, "node2")
    with pytest.raises(InvariantBroken):
        removal_writes(network.state, "node9")
    with pytest.raises(InvariantBroken):
        promotion_writes(network.state, "node1")


def test_a_node_is_let_in_once() -> None:
    network = Network()
    network.admit()
    key = PrivateKey.generate()
    ticket = network.ticket("node2", "beta", "n2:1", node_of(key))
    network.join(ticket, key)
    again = network.check(ticket, node_of(key))
    with pytest.raises(InvariantBroken):
        join_writes(network.state, again, node_info(key), network.endorse(key))


def test_a_restart_begins_in_its_slot() -> None:
    network = lively()
    key = PrivateKey.generate()
    network.write(network.start(key))
    assert network.state.trusted_nodes() == [node_of(key)]
    assert network.state.slots["node1"].node == node_of(key)
    assert network.state.slots["node2"].state == "admitted"
    assert due_work(network.state) == []
    with pytest.raises(CocoError, match="no slot"):
        network.start(PrivateKey.generate(), slot="node9")
    with pytest.raises(CocoError, match="removed"):
        network.start(PrivateKey.generate(), slot="node3")


def test_a_nodes_record_is_remembered() -> None:
    network = Network()
    assert network.state.was_registered(node_of(network.first))
    assert not network.state.was_registered(NodeId("ab" * 32))
