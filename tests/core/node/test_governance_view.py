"""What the network says of its governance: all of it that is open, and not more than a bound of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import CocoError
from core.governance.messages import admit_node, remove_node, set_default_adapter
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node import governance_view as module
from core.node.governance_view import governance_view
from core.types import Seqno
from tests.support.governance_bench import Network


def view_of(network: Network, at: int | None = None) -> dict[str, Any]:
    store = Store()
    for seqno, writes in enumerate(network.written, 1):
        store.apply(Seqno(seqno), WriteSet(writes))
    shown: dict[str, Any] = json.loads(json.dumps(governance_view(store.begin(None if at is None else Seqno(at)))))
    return shown


def test_what_is_told() -> None:
    network = Network()
    proposal = network.propose("alpha", admit_node("node2", "partner", "n2:1"))
    network.vote("beta", proposal, approve=False)
    network.propose("gamma", set_default_adapter("kv"))
    shown = view_of(network)
    assert (shown["members"], shown["default_adapter"]) == (["alpha", "beta", "gamma"], "kv")
    assert [(one["slot"], one["member"], one["state"]) for one in shown["slots"]] == [("node1", "alpha", "active")]
    [one] = shown["proposals"]
    assert (one["id"], one["state"], one["member"]) == (proposal.hex(), "Open", "alpha")
    assert (one["ballots"], one["approvals"], one["needed"]) == ({"alpha": True, "beta": False}, 1, 2)
    assert one["actions"] == [{"name": "admit_node", "args": {"slot": "node2", "member": "partner", "address": "n2:1"}}]
    assert one["expires_at"] > network.now


def test_only_what_is_committed_is_told() -> None:
    network = Network()
    network.propose("alpha", admit_node("node2", "beta", "n2:1"))
    assert view_of(network)["proposals"]
    assert view_of(network, at=len(network.written) - 1)["proposals"] == []


def test_what_was_decided_is_told_as_far_as_it_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OTHERS_MAX", 2)
    network = Network()
    still_open = network.propose("alpha", admit_node("open", "beta", "open:1"))
    for name in ("a", "b", "c"):
        network.pass_(admit_node(name, "beta", f"{name}:1"))
    last = network.pass_(remove_node("a"))
    shown = view_of(network)["proposals"]
    assert [one["state"] for one in shown] == ["Open", "Accepted", "Accepted"]
    assert (shown[0]["id"], shown[1]["id"]) == (still_open.hex(), last.hex())


def test_a_ledger_without_a_constitution() -> None:
    with pytest.raises(CocoError):
        governance_view(Store().begin())
