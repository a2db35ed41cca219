"""Starts, epochs and views in an audit: what a start does, who gets a key, who may lead; anything else is found."""

from __future__ import annotations

from typing import Any

import pytest

from core.crypto.keys import PrivateKey
from core.governance.messages import remove_node
from core.governance.slots import SlotRecord
from core.ledger.tables import NodeInfo, QuoteInfo
from tests.support.audit_bench import AUTHORIZATIONS, CERTIFICATES, NODES, SLOTS, Audited
from tests.support.governance_bench import node_of


def test_a_start_says_what_a_start_does() -> None:
    for change, what in (
        ({SLOTS: {}}, "in no slot"),
        ({NODES: {}}, "there is no record"),
        ({SLOTS: {b"node9": SlotRecord("beta", "n9:1", "active", "NODE").encode()}}, "in no slot"),
        ({SLOTS: {b"node1": b"{}"}}, "cannot be"),
    ):
        network = Audited()
        network.joined()
        network.view = 2
        writes = network.start(PrivateKey.generate()) | change
        assert any(what in one for one in network.judge(writes, view=2)), change
    network = Audited()
    key = network.joined()
    network.view = 2
    writes = network.start(PrivateKey.generate())
    writes[NODES] = {node: row for node, row in writes[NODES].items() if node != node_of(key).encode()}
    assert network.judge(writes, view=2) == [
        "it writes other than a start of its node does to public:ccf.gov.nodes.info"
    ]


def test_a_start_in_anothers_slot() -> None:
    network = Audited()
    network.view = 2
    key = PrivateKey.generate()
    writes = network.start(key)
    writes[SLOTS] = {b"node9": SlotRecord("beta", "n9:1", "active", node_of(key)).encode()}
    assert any("no slot node9" in one for one in network.judge(writes, view=2))


EPOCHS: dict[str, tuple[dict[str, Any], str]] = {
    "out of turn": ({"number": 1}, "turn"),
    "of another view": ({"view": 2}, "another view"),
    "of another node": ({"node": "ee" * 32}, "leads the view"),
    "that began before": ({"first_seqno": 1}, "right after"),
    "that begins later": ({"first_seqno": 99}, "right after"),
    "for nobody": ({"recipients": []}, "each trusted node"),
    "for a node that is not there": ({"recipients": [PrivateKey.generate()]}, "each trusted node"),
}


@pytest.mark.parametrize(("changes", "what"), EPOCHS.values(), ids=EPOCHS.keys())
def test_an_epoch_that_cannot_be(changes: dict[str, Any], what: str) -> None:
    network = Audited()
    assert any(what in one for one in network.judge(network.new_epoch(**changes)))
    assert Audited().judge(Audited().new_epoch()) != []  # Of another network's node.
    network = Audited()
    assert network.judge(network.new_epoch()) == []


def test_a_removed_node_gets_no_key() -> None:
    network = Audited()
    key = network.joined()
    network.pass_(remove_node("node2"))
    network.remove("node2")
    assert network.audit_new() == []
    assert network.judge(network.new_epoch(recipients=[network.first, key]))
    assert network.judge(network.new_epoch(3)) == []


def test_who_may_lead_a_view() -> None:
    network = Audited()
    key = network.joined()
    what = "is led by a node that is in no slot, or is joining still"
    assert network.sign_view(2, node_of(key)) == [f"view 2 {what}"]
    network.promote("node2")
    assert network.audit_new(view=2) == []
    assert network.sign_view(3, node_of(key)) == []
    network.pass_(remove_node("node2"))
    network.remove("node2")
    assert network.audit_new(view=3) == []
    assert network.sign_view(4, node_of(key)) == [f"view 4 {what}"]


def test_misshapen_records_are_found_and_reading_goes_on() -> None:
    network = Audited()
    for writes in (
        {SLOTS: {b"node2": None}, NODES: {}},
        {SLOTS: {b"\xff": b"{}"}, NODES: {}},
        {NODES: {b"\xff": NodeInfo("Trusted", "", QuoteInfo("")).encode()}},
        {SLOTS: {}, NODES: {}, CERTIFICATES: {b"a": b"\xff"}, AUTHORIZATIONS: {b"": None}},
        {SLOTS: {}, NODES: {}, CERTIFICATES: {b"\xff": b"\xff"}, AUTHORIZATIONS: {b"": b'{"message":"?","uses":1}'}},
        {"public:coco.epochs": {b"9": b"{}"}, "public:coco.epoch_keys": {}},
        {"public:coco.epoch_keys": {b"1": None}},
    ):
        assert network.judge(writes), writes  # type: ignore[arg-type]
    network = Audited()
    network.joined()
    assert network.audit_new() == []
