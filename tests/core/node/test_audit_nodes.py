"""Nodes in an audit: what members did not decide, or an actor did not sign, is found, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from core.crypto.keys import PrivateKey
from core.governance.authorizations import AuthorizationUse
from core.governance.messages import admit_node, remove_node, set_default_adapter
from core.governance.slots import SlotRecord
from core.kv.write_set import Writes, encode_domain
from core.ledger.entry import EntrySealer, ParsedEntry, parse_entry
from core.ledger.key_wrapping import wrap_epoch_key
from core.ledger.secrets import EntryKey, EpochSecret
from core.ledger.tables import NodeInfo, QuoteInfo, RootSignature, SignedRoot
from core.node.audit_rules import SystemRules
from core.node.system_work import epoch_writes, join_writes, promotion_writes, removal_writes
from core.types import NodeId, Seqno, View
from tests.support.governance_bench import Network, node_info, node_of

NODES, SLOTS = "public:ccf.gov.nodes.info", "public:coco.slots"
CERTIFICATES, AUTHORIZATIONS = "public:ccf.gov.nodes.endorsed_certificates", "public:coco.authorizations"
PROPOSALS, MESSAGES = "public:coco.proposals", "public:coco.governance.messages"


class Audited(Network):
    """A network whose writes the audit sees as they come, each as an entry of its own."""

    def __post_init__(self) -> None:
        self.rules, self.seqno = SystemRules(), 0
        super().__post_init__()
        assert self.audit_new() == []
        assert self.sign_view(1, node_of(self.first)) == []

    def audit_new(self, view: int = 1) -> list[str]:
        """Audit what was written since the last time."""
        wrong: list[str] = []
        for writes in self.written:
            wrong += self.judge(writes, view)
        self.written.clear()
        return wrong

    def judge(self, writes: Writes, view: int = 1) -> list[str]:
        return list(self.rules.take(self.entry(encode_domain(writes), view), writes))

    def sign_view(self, view: int, node: str) -> list[str]:
        signed = SignedRoot(RootSignature(node, self.seqno + 1, view, "00" * 32, ""), b"")
        return list(self.rules.take_signature(self.entry(b"", view), signed))

    def entry(self, public: bytes, view: int) -> ParsedEntry:
        sealer = EntrySealer(EntryKey(bytes(32), node_of(self.first), View(view)), Seqno(self.seqno))
        self.seqno += 1
        return parse_entry(sealer.seal(Seqno(self.seqno), public, b"").data)

    def applicant(self) -> tuple[PrivateKey, bytes]:
        key = PrivateKey.generate()
        return key, self.ticket("node2", "beta", "n2:1", node_of(key))

    def joined(self) -> PrivateKey:
        self.admit()
        key, ticket = self.applicant()
        self.join(ticket, key)
        assert self.audit_new() == []
        return key

    def joining(self, key: PrivateKey, ticket: bytes) -> Writes:
        """What the leader would write, without writing it."""
        return join_writes(self.state, self.check(ticket, node_of(key)), node_info(key), self.endorse(key))

    def new_epoch(self, number: int = 2, *, recipients: Any = None, **changes: Any) -> Writes:
        fields = {"first_seqno": self.seqno + 2, "view": 1, "node": node_of(self.first)} | changes
        secret = EpochSecret(
            number, Seqno(fields["first_seqno"]), View(fields["view"]), NodeId(fields["node"]), bytes(32)
        )
        keys = [self.first] if recipients is None else recipients
        wrapped = {
            node_of(one): wrap_epoch_key(bytes(32), one.public_key(), network=self.digest, epoch=number) for one in keys
        }
        return epoch_writes(secret, wrapped)


def test_the_life_of_a_node_is_explained() -> None:
    network = Audited()
    network.admit()
    key, ticket = network.applicant()
    network.join(ticket, key)
    network.promote("node2")
    later = PrivateKey.generate()
    network.join(network.ticket("node2", "beta", "n2:1", None), later)
    network.promote("node2")
    network.pass_(remove_node("node2"))
    network.remove("node2")
    assert network.audit_new() == []
    network.write(network.new_epoch())
    network.propose("alpha", set_default_adapter("kv"))
    network.propose("beta", admit_node("node3", "gamma", "n3:1"))
    assert network.audit_new() == []
    facts = network.rules.facts()
    assert facts["proposals"] == {"Accepted": 2, "Open": 1}
    assert (facts["nodes_joined"], facts["epochs"], facts["starts"]) == (2, 2, 1)
    slots = facts["slots"]
    assert isinstance(slots, dict)
    assert slots["node2"] == {"member": "beta", "node": "", "state": "removed"}


def test_an_election_and_a_restart_are_explained() -> None:
    network = Audited()
    key = network.joined()
    network.promote("node2")
    assert network.audit_new() == []
    assert network.sign_view(2, node_of(key)) == []
    network.view = 3
    again = PrivateKey.generate()
    network.write(network.start(again))
    assert network.audit_new(view=3) == []
    assert network.sign_view(3, node_of(again)) == []


# What no vote decided.


def admitted_by_decree(network: Audited) -> Writes:
    return {SLOTS: {b"node2": SlotRecord("beta", "n2:1", "admitted").encode()}}


def admitted_by_one(network: Audited) -> Writes:
    """One member of three proposes; the leader takes it for decided."""
    proposal = network.propose("alpha", admit_node("node2", "beta", "n2:1"))
    writes = network.written.pop()
    record = network.state.proposals[proposal]
    slot = SlotRecord("beta", "n2:1", "admitted", admitted_by=proposal.hex())
    return {
        **writes,
        PROPOSALS: {proposal: replace(record, state="Accepted").encode()},
        SLOTS: {b"node2": slot.encode()},
    }


def another_slot_than_voted_for(network: Audited) -> Writes:
    network.admit()
    writes = network.written.pop()
    assert network.audit_new() == []
    slot = replace(network.state.slots["node2"], member="gamma")
    return {**writes, SLOTS: {b"node2": slot.encode()}}


def a_vote_without_its_proposal(network: Audited) -> Writes:
    proposal = network.propose("alpha", admit_node("node2", "beta", "n2:1"))
    network.written.clear()
    network.vote("beta", proposal)
    return network.written.pop()


def a_vote_that_is_not_counted(network: Audited) -> Writes:
    proposal = network.propose("alpha", admit_node("node2", "beta", "n2:1"))
    assert network.audit_new() == []
    network.vote("beta", proposal, approve=False)
    writes = network.written.pop()
    return {MESSAGES: writes[MESSAGES]}


def a_proposal_that_nobody_made(network: Audited) -> Writes:
    proposal = network.propose("alpha", admit_node("node2", "beta", "n2:1"))
    return {PROPOSALS: network.written.pop()[PROPOSALS], SLOTS: {}} if proposal else {}


def removed_by_decree(network: Audited) -> Writes:
    network.joined()
    network.promote("node2")
    assert network.audit_new() == []
    slot = network.state.slots["node2"]
    info = network.state.nodes[slot.node.encode()]
    return {
        SLOTS: {b"node2": replace(slot, state="removed", node="", epoch=1).encode()},
        NODES: {slot.node.encode(): replace(info, status="Retired").encode()},
    }


def begun_to_be_removed_by_decree(network: Audited) -> Writes:
    network.joined()
    return {SLOTS: {b"node2": replace(network.state.slots["node2"], state="removing").encode()}}


def retired_by_decree(network: Audited) -> Writes:
    key = network.joined()
    return {NODES: {node_of(key).encode(): replace(node_info(key), status="Retired").encode()}}


def removed_with_another_node(network: Audited) -> Writes:
    key = network.joined()
    network.pass_(remove_node("node2"))
    assert network.audit_new() == []
    writes = removal_writes(network.state, "node2")
    first = node_of(network.first).encode()
    retired = replace(network.state.nodes[first], status="Retired").encode()
    assert node_of(key)
    return {**writes, NODES: {**writes[NODES], first: retired}}


def removed_but_trusted(network: Audited) -> Writes:
    network.joined()
    network.pass_(remove_node("node2"))
    assert network.audit_new() == []
    return {SLOTS: removal_writes(network.state, "node2")[SLOTS]}


# What no actor signed.


def joined_without_authorization(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    writes = network.joining(*network.applicant())
    return {name: rows for name, rows in writes.items() if name != AUTHORIZATIONS}


def joined_by_anothers_signature(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    key, ticket = network.applicant()
    writes = network.joining(key, ticket)
    forged = network.ticket("node2", "gamma", "n2:1", node_of(key))
    return with_authorization(writes, forged)


def with_authorization(writes: Writes, message: bytes, uses: int = 1) -> Writes:
    ((digest, _),) = writes[AUTHORIZATIONS].items()
    return {**writes, AUTHORIZATIONS: {digest: AuthorizationUse.of(message, uses).encode()}}


def joined_by_a_changed_ticket(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    key, ticket = network.applicant()
    return with_authorization(network.joining(key, ticket), ticket[:-1] + bytes([ticket[-1] ^ 1]))


def joined_by_another_nodes_ticket(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    _, ticket = network.applicant()
    return with_authorization(network.joining(*network.applicant()), ticket)


def joined_without_a_vote(network: Audited) -> Writes:
    twin = Audited(network.constitution)
    twin.secrets = network.secrets
    twin.admit()
    twin.state.service_certificate = network.secrets.service_certificate
    return twin.joining(*twin.applicant())


def joined_with_an_uncounted_use(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    key, ticket = network.applicant()
    return with_authorization(network.joining(key, ticket), ticket, uses=0)


def joined_by_a_used_ticket(network: Audited) -> Writes:
    network.admit()
    key, ticket = network.applicant()
    network.join(ticket, key)
    writes = network.written[-1]
    network.promote("node2")
    assert network.audit_new() == []
    return writes


def joined_twice(network: Audited) -> Writes:
    network.admit()
    key, ticket = network.applicant()
    network.join(ticket, key)
    writes = network.written[-1]
    assert network.audit_new() == []
    return writes


def joined_as_active(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    key, ticket = network.applicant()
    writes = network.joining(key, ticket)
    slot = replace(SlotRecord.decode(writes[SLOTS][b"node2"] or b""), state="active")
    return {**writes, SLOTS: {b"node2": slot.encode()}}


def joined_with_a_second_node(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    writes = network.joining(*network.applicant())
    other = PrivateKey.generate()
    return {**writes, NODES: {**writes[NODES], node_of(other).encode(): node_info(other).encode()}}


def registered_by_decree(network: Audited) -> Writes:
    other = PrivateKey.generate()
    return {NODES: {node_of(other).encode(): node_info(other).encode()}}


def promoted_before_it_joined(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    slot = replace(network.state.slots["node2"], state="active", node="ee" * 32)
    return {SLOTS: {b"node2": slot.encode()}}


def promoted_as_another(network: Audited) -> Writes:
    network.joined()
    writes = promotion_writes(network.state, "node2")
    slot = replace(SlotRecord.decode(writes[SLOTS][b"node2"] or b""), node="ee" * 32)
    return {SLOTS: {b"node2": slot.encode()}}


def a_start_in_a_view_that_goes_on(network: Audited) -> Writes:
    return network.start(PrivateKey.generate())


def an_authorization_by_itself(network: Audited) -> Writes:
    network.admit()
    assert network.audit_new() == []
    return {AUTHORIZATIONS: network.joining(*network.applicant())[AUTHORIZATIONS]}


def a_certificate_by_itself(network: Audited) -> Writes:
    return {CERTIFICATES: {node_of(network.first).encode(): network.endorse(network.first).encode()}}


FOUND: dict[str, tuple[Callable[[Audited], Writes], str]] = {
    "admitted by decree": (admitted_by_decree, "no vote has admitted"),
    "admitted by one of three": (admitted_by_one, "other proposals than"),
    "another slot than voted for": (another_slot_than_voted_for, "other slots than"),
    "a vote without its proposal": (a_vote_without_its_proposal, "may not be: there is no proposal"),
    "a vote that is not counted": (a_vote_that_is_not_counted, "other proposals than"),
    "a proposal that nobody made": (a_proposal_that_nobody_made, "without exactly one message"),
    "removed by decree": (removed_by_decree, "without a vote for it"),
    "begun to be removed by decree": (begun_to_be_removed_by_decree, "without a vote for it"),
    "retired by decree": (retired_by_decree, "without the one slot"),
    "removed with another node": (removed_with_another_node, "other than the removal"),
    "removed, but trusted": (removed_but_trusted, "other than the removal"),
    "joined without authorization": (joined_without_authorization, "form"),
    "joined by another's signature": (joined_by_anothers_signature, "is beta's; gamma signed"),
    "joined by a changed ticket": (joined_by_a_changed_ticket, "does not verify"),
    "joined by another node's ticket": (joined_by_another_nodes_ticket, "the ticket is for node"),
    "joined without a vote": (joined_without_a_vote, "has no slot"),
    "joined with an uncounted use": (joined_with_an_uncounted_use, "other than the joining"),
    "joined by a used ticket": (joined_by_a_used_ticket, "joined by this ticket before"),
    "joined twice": (joined_twice, "in already"),
    "joined as active": (joined_as_active, "other than the joining"),
    "joined with a second node": (joined_with_a_second_node, "other than the joining"),
    "registered by decree": (registered_by_decree, "without the one slot"),
    "promoted before it joined": (promoted_before_it_joined, "without a vote for it"),
    "promoted as another": (promoted_as_another, "other than the promotion"),
    "a start in a view that goes on": (a_start_in_a_view_that_goes_on, "its view has begun before"),
    "an authorization by itself": (an_authorization_by_itself, "form"),
    "a certificate by itself": (a_certificate_by_itself, "form"),
}


@pytest.mark.parametrize(("write", "what"), FOUND.values(), ids=FOUND.keys())
def test_what_was_not_decided_or_not_signed_is_found(write: Callable[[Audited], Writes], what: str) -> None:
    network = Audited()
    wrong = network.judge(write(network))
    assert any(what in one for one in wrong), wrong


def test_a_removed_slot_is_not_used_again() -> None:
    network = Audited()
    network.joined()
    network.pass_(remove_node("node2"))
    network.remove("node2")
    assert network.audit_new() == []
    slot = SlotRecord("beta", "n2:1", "admitted")
    assert network.judge({SLOTS: {b"node2": slot.encode()}})


# Starts, epochs, views.


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
