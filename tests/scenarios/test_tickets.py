"""A fourth node joins three by a ticket for its key: made in its enclave, vouched for, signed for, checked there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.plan_nodes import free_port
from tests.scenarios.conftest import Network


def test_a_fourth_node_joins_by_a_ticket_for_its_key(make_network: Callable[..., Network], tmp_path: Path) -> None:
    network = make_network("four", "--nodes", "3", "-o", "a", "-o", "b", "-o", "c", "--no-password")

    def ask(*arguments: str) -> Any:
        return json.loads(network.coco(*arguments, "--json").stdout)

    address = f"127.0.0.1:{free_port('127.0.0.1', set())}"
    network.coco("node", "approve", "node4", "--member", "b", "--address", address, "-i", "a")
    network.coco("node", "approve", "node4", "-i", "b")
    first = ask("node", "join", "--ticket", "node4", "--peer-address", address)
    assert first["state"] == "waits for a ticket"
    assert ask("network", "status")["nodes"][3]["state"] == "waits for a ticket"
    old, new = tmp_path / "old.cose", tmp_path / "new.cose"
    signed = ask("node", "ticket", "node4", "--request", first["request"], "--out", str(old), "-i", "b")
    assert (signed["node"], signed["evidence"]["simulated"]) == (first["node"], True)

    # It starts again, under another key: the ticket is for the one that is gone.
    network.coco("node", "stop", "node4")
    assert "a ticket is for one key" in network.coco("node", "join", str(old), check=False).stderr
    again = ask("node", "start", "node4")
    assert (again["state"], again["node"] == first["node"]) == ("waits for a ticket", False)
    refused = network.coco("node", "join", str(old), check=False)
    assert refused.returncode == 6
    assert "another-nodes-ticket" in refused.stderr

    # A request for another key than its own is not signed.
    request = json.loads(Path(again["request"]).read_bytes())
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps({**request, "node": first["node"]}))
    not_signed = network.coco("node", "ticket", "node4", "--request", str(forged), "-i", "b", check=False)
    assert not_signed.returncode == 1
    assert "another id than its key's" in not_signed.stderr

    network.coco("node", "ticket", "node4", "--request", again["request"], "--out", str(new), "-i", "b")
    joined = ask("node", "join", str(new))
    assert joined["state"] == "running"
    slots = {one["slot"]: one for one in ask("governance", "slots")}
    assert slots["node4"]["node"] == again["node"]
    network.coco("network", "stop", "four")
    found = ask("ledger", "verify", str(network.host_directory))
    assert found["sound"], found
    assert found["ledgers"][0]["facts"]["nodes_joined"] == 3
    assert found["ledgers"][0]["facts"]["evidence_verified"] is True
