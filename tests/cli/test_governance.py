"""Members propose and vote by `coco governance` and `coco node`, against the rules that a manager keeps."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from cli.store import ClientStore, Defaults
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.governance.authorizations import Measurements, verify_authorization
from core.governance.messages import admit_node, remove_node, set_default_adapter
from core.governance.ticket_requests import TicketRequest
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.governance_view import governance_view
from core.types import Seqno
from tests.cli.fake_node import TOKEN, FakeNode
from tests.cli.runner import Coco
from tests.support.fakes import FakeVerify
from tests.support.governance_bench import CERTIFICATES, KEYS, MEMBERS, Network, make_constitution, node_of

MANAGER, WORKER = "ab" * 32, "cd" * 32


class Governed:
    """Answers for a node of a network of three members."""

    def __init__(self) -> None:
        self.network = Network(now=int(time.time()) - 100)
        self.posts = 0

    def governance(self, method: str, body: bytes) -> Any:
        if method == "GET":
            return governance_view(self.store().begin())
        self.posts += 1
        self.network.now = int(time.time())
        try:
            self.network.accept(body)
        except CocoError as error:
            return web.json_response({"error": error.message, "hint": error.hint}, status=400)
        return {"accepted": True}

    def store(self) -> Store:
        """What an executor would hold."""
        store = Store()
        for seqno, writes in enumerate(self.network.written, 1):
            store.apply(Seqno(seqno), WriteSet(writes))
        return store

    def state_of(self, slot: str) -> str:
        return self.network.state.slots[slot].state


@pytest.fixture
def governed(home: Path, threaded_node: FakeNode) -> Governed:
    node = Governed()
    threaded_node.pages["/node/governance"] = node.governance
    client = ClientStore(home / "clients/three", "three")
    for name in (*MEMBERS, "partner"):
        key = KEYS[name].to_pkcs8_pem()
        client.add_identity(name, key=key, certificate=CERTIFICATES[name].encode(), token=TOKEN)
    client.pin_ca(threaded_node.ca_file.read_bytes())
    client.set_url(threaded_node.url)
    client.set_defaults(Defaults(identity="alpha", constitution=node.network.digest.hex()))
    return node


def test_a_node_is_approved_by_two_of_three(coco: Coco, governed: Governed) -> None:
    proposed = coco("node", "approve", "node2", "--member", "beta", "--address", "n2:1", "--json").json
    assert (proposed["state"], proposed["approvals"], proposed["needed"]) == ("Open", 1, 2)
    said = coco("governance", "proposals")
    assert "admit node2: a node of beta at n2:1" in said.out
    assert "1 of 2 needed" in said.out
    assert "approves of this already" in coco("node", "approve", "node2").err
    accepted = coco("node", "approve", "node2", "--identity", "gamma")
    assert "Accepted" in accepted.out
    assert governed.state_of("node2") == "admitted"
    assert "is admitted already" in coco("node", "approve", "node2", "--identity", "beta").err
    assert governed.posts == 2
    assert coco("governance", "proposals", "--json").json == []
    assert [one["state"] for one in coco("governance", "proposals", "--all", "--json").json] == ["Accepted"]
    slots = {one["slot"]: one for one in coco("governance", "slots", "--json").json}
    assert (slots["node2"]["member"], slots["node2"]["state"]) == ("beta", "admitted")
    assert "n2:1" in coco("governance", "slots").out


def test_a_node_of_ones_own(coco: Coco, governed: Governed) -> None:
    coco("node", "approve", "node2", "--address", "n2:1", "--identity", "beta")
    [proposal] = governed.network.state.proposals.values()
    assert proposal.actions == (admit_node("node2", "beta", "n2:1"),)


def test_a_node_is_removed_by_two_of_three(coco: Coco, governed: Governed) -> None:
    governed.network.admit()
    coco("node", "remove", "node2")
    assert governed.state_of("node2") == "admitted"
    coco("node", "remove", "node2", "--identity", "beta")
    assert governed.state_of("node2") == "removed"
    assert "is removed already" in coco("node", "remove", "node2").err
    assert "used up" in coco("node", "approve", "node2", "--address", "n2:1", code=8).err


def test_what_is_refused_says_what_to_do(coco: Coco, governed: Governed) -> None:
    refused = coco("node", "approve", "node2", code=2).err
    assert "nobody has proposed the slot node2" in refused
    assert "--address HOST:PORT" in refused
    assert "governance slots" in coco("node", "remove", "node9", code=2).err
    assert "last node" in coco("node", "remove", "node1", code=8).err
    assert "not a node's address" in coco("node", "approve", "node2", "--address", "n2", code=8).err
    assert "is a participant" in coco("node", "approve", "n", "--address", "n:1", "-i", "partner", code=8).err
    assert "is alpha's, at n1:1" in coco("node", "approve", "node1", "--address", "elsewhere:1", code=2).err
    assert not governed.network.state.proposals


def test_a_vote_is_not_given_for_more_than_was_asked(coco: Coco, governed: Governed) -> None:
    """Who agrees to a node does not agree to what else is proposed with it, or to another address."""
    network = governed.network
    network.propose("beta", admit_node("node2", "beta", "n2:1"), set_default_adapter("kv"))
    assert "asks for more than that: admit node2" in coco("node", "approve", "node2", code=2).err
    network.propose("beta", admit_node("node3", "beta", "n3:1"))
    network.propose("gamma", admit_node("node3", "gamma", "n3:1"))
    assert "2 proposals ask for this" in coco("node", "approve", "node3", code=2).err
    assert governed.posts == 0
    coco("node", "approve", "node3", "--member", "gamma")
    assert network.state.slots["node3"].member == "gamma"
    network.propose("beta", admit_node("node4", "beta", "n4:1"))
    assert "so" in coco("node", "approve", "node4", "--member", "gamma", code=2).err


def test_votes_by_a_proposals_id(coco: Coco, governed: Governed) -> None:
    proposal = governed.network.propose("beta", admit_node("node2", "beta", "n2:1")).hex()
    assert coco("governance", "show", proposal, "--json").json["member"] == "beta"
    assert "reject" in coco("governance", "vote", proposal[:8], "--reject").out
    assert "has voted so already" in coco("governance", "vote", proposal, "--reject").err
    time.sleep(1.1)  # A newer ballot is one of a later second.
    assert coco("governance", "vote", proposal[:8].upper(), "--json").json["state"] == "Accepted"
    for text, what in (("abc", "not a proposal's id"), ("zzzzz", "not a proposal's id"), ("0" * 64, "no proposal")):
        assert what in coco("governance", "show", text, code=2).err
    assert "is accepted" in coco("governance", "vote", proposal, "--reject", code=8).err


def test_withdrawal(coco: Coco, governed: Governed) -> None:
    proposal = governed.network.propose("beta", admit_node("node2", "beta", "n2:1")).hex()
    assert "is beta's" in coco("governance", "withdraw", proposal, code=8).err
    assert "Withdrawn" in coco("governance", "withdraw", proposal, "--identity", "beta").out


def test_a_node_that_says_something_else(coco: Coco, governed: Governed, threaded_node: FakeNode) -> None:
    del governed
    threaded_node.pages["/node/governance"] = {"members": []}
    assert "another version" in coco("governance", "proposals", code=1).err
    threaded_node.pages["/node/governance"] = web.json_response({"error": "nothing here"}, status=404)
    assert coco("governance", "proposals", code=8)


# Tickets and delegations.


@pytest.fixture
def service(governed: Governed, tmp_path: Path) -> list[str]:
    """Options that spare the measuring and the evidence of a real node."""
    file = tmp_path / "service.pem"
    file.write_text(governed.network.secrets.service_certificate)
    return ["--service-certificate", str(file), "--manager", MANAGER.upper(), "--worker", WORKER]


def test_a_delegation_lets_a_node_join(coco: Coco, governed: Governed, service: list[str], tmp_path: Path) -> None:
    network = governed.network
    network.admit()
    file = tmp_path / "node2.cose"
    arguments = ["node", "delegate", "node2", "-i", "beta", "--count", "3", "--out", str(file), *service]
    shown = coco(*arguments, "--json").json
    authorization, actor = verify_authorization(file.read_bytes(), network.constitution)
    assert (actor.name, authorization.digest.hex()) == ("beta", shown["digest"])
    assert (shown["count"], shown["node"], shown["address"]) == (3, None, "n2:1")
    assert authorization.ticket.measurements == Measurements(MANAGER, WORKER)
    network.now = int(time.time())
    assert network.check(file.read_bytes(), node_of(PrivateKey.generate())).slot == "node2"


NODE = PrivateKey.generate()


class Asking:
    """A node that waits for a ticket: what it writes, and what its platform's quotes say."""

    def __init__(self, governed: Governed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.verify = FakeVerify({"measurement": bytes.fromhex(MANAGER)})
        monkeypatch.setattr("enclave_sim.verify.manifest.verify_own_evidence", self.verify)
        self.genesis, self.file, self.out = tmp_path / "genesis.json", tmp_path / "request.json", tmp_path / "t.cose"
        self.genesis.write_bytes(governed.network.constitution.encode())
        key = NODE.public_key()
        quote = b"fake quote over " + bytes.fromhex(key.node_id()).ljust(64, b"\0")
        self.request = TicketRequest(
            governed.network.digest.hex(), "node2", "n2:1", key.node_id(), key.to_pem(),
            base64.b64encode(quote).decode(), "e30=", Measurements(MANAGER, WORKER), 2_000_000_000,
        )  # fmt: skip

    def arguments(self, *more: str, **changes: Any) -> list[str]:
        self.file.write_bytes(msgspec.structs.replace(self.request, **changes).encode())
        files = ["--request", str(self.file), "--genesis", str(self.genesis), "--out", str(self.out)]
        return ["node", "ticket", "node2", "-i", "beta", *files, *more]


@pytest.fixture
def asking(governed: Governed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    governed.network.admit()
    return Asking(governed, tmp_path, monkeypatch)


def test_a_ticket_is_for_one_node(coco: Coco, governed: Governed, service: list[str], asking: Asking) -> None:
    network, node = governed.network, node_of(NODE)
    said = coco(*asking.arguments(*service))
    assert "Give the file to the node" in said.err
    assert "simulated True" in said.out
    shown = coco(*asking.arguments("--json", *service)).json
    assert (shown["node"], shown["manager"], shown["evidence"]["tee"]) == (node, MANAGER, "sgx")
    network.now = int(time.time())
    ticket = asking.out.read_bytes()
    assert network.check(ticket, node).node == node
    with pytest.raises(CocoError, match="the ticket is for node"):
        network.check(ticket, node_of(PrivateKey.generate()))


OTHER_QUOTE = base64.b64encode(b"fake quote over " + bytes(64)).decode()
NOT_SIGNED: dict[str, tuple[dict[str, Any], str]] = {
    "a quote over another key": ({"quote": OTHER_QUOTE}, "over another key"),
    "no quote": ({"quote": ""}, "there is no evidence"),
    "no genuine quote": ({"quote": "aGVsbG8="}, "not a quote"),
    "another slot": ({"slot": "node3"}, "is of the node node3"),
    "another address": ({"address": "n9:1"}, "says it is at n9:1, not at n2:1"),
    "another network": ({"network": "ab" * 32}, "of another network"),
    "another worker": ({"measurements": Measurements(MANAGER, "ee" * 32)}, "worker measures eeee"),
    "another node's id": ({"node": "ab" * 32}, "another id than its key's"),
}


@pytest.mark.parametrize(("changes", "why"), NOT_SIGNED.values(), ids=NOT_SIGNED.keys())
def test_what_a_member_does_not_vouch_for(
    coco: Coco, service: list[str], asking: Asking, changes: dict[str, Any], why: str
) -> None:
    ran = coco(*asking.arguments(*service, **changes), code=None)
    assert ran.code not in (0, None)
    assert why in ran.err
    assert not asking.out.exists()


def test_code_that_is_not_the_approved_one_is_not_signed_for(coco: Coco, service: list[str], asking: Asking) -> None:
    asking.verify.changes["measurement"] = b"\xee" * 32
    assert "manager measures eeee" in coco(*asking.arguments(*service), code=2).err
    asking.verify.changes["signer"] = b"\x01" * 32
    assert "which the constitution does not name" in coco(*asking.arguments(*service), code=6).err
    assert not asking.out.exists()


def test_the_constitution_must_be_the_networks(coco: Coco, service: list[str], asking: Asking) -> None:
    asking.genesis.write_bytes(make_constitution(network="other").encode())
    assert "is not the constitution of network three" in coco(*asking.arguments(*service), code=2).err
    arguments = asking.arguments(*service)
    del arguments[arguments.index("--genesis") : arguments.index("--genesis") + 2]
    assert "is not on this machine" in coco(*arguments, code=2).err


def test_before_the_slot_is_there(coco: Coco, governed: Governed, service: list[str], tmp_path: Path) -> None:
    """With address and service given, nobody is asked."""
    del governed
    arguments = ["node", "delegate", "node9", "-i", "beta", "--out", str(tmp_path / "later"), *service]
    assert "its address is not known" in coco(*arguments, code=2).err
    coco(*arguments, "--address", "n9:1")
    assert (tmp_path / "later").is_file()


def test_what_is_not_signed(coco: Coco, governed: Governed, service: list[str], tmp_path: Path) -> None:
    governed.network.admit()
    out = ["--out", str(tmp_path / "no")]
    assert "beta's, and alpha would sign" in coco("node", "delegate", "node2", *out, *service, code=2).err
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("no certificate")
    wrong = ["--service-certificate", str(damaged)]
    refused = coco("node", "delegate", "node2", "-i", "beta", *out, *service, *wrong, code=2).err
    assert "cannot be read" in refused
    governed.network.pass_(remove_node("node2"))
    assert "is removed" in coco("node", "delegate", "node2", "-i", "beta", *out, *service, code=2).err
    assert not (tmp_path / "no").exists()


def test_a_service_without_evidence_is_not_signed_for(
    coco: Coco, governed: Governed, threaded_node: FakeNode, tmp_path: Path
) -> None:
    governed.network.admit()
    threaded_node.pages["/node/network"] = {"service_certificate": governed.network.secrets.service_certificate}
    arguments = ["node", "delegate", "node2", "-i", "beta", "--manager", MANAGER, "--worker", WORKER]
    assert "shows no quote" in coco(*arguments, "--out", str(tmp_path / "no"), code=1).err
    assert not (tmp_path / "no").exists()
