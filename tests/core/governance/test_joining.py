"""Who may not join, each with a reason of its own, and what a node does not believe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.governance import join_refusals
from core.governance.authorizations import Measurements
from core.governance.constitution import Constitution
from core.governance.join_refusals import (
    AddressDiffers,
    AnotherNodesTicket,
    AuthorizationExpired,
    AuthorizationFromTheFuture,
    AuthorizationMalformed,
    AuthorizationNotSigned,
    DelegationExhausted,
    JoinRefused,
    MeasurementDiffers,
    NodeRegistered,
    NotApprovedYet,
    NotTheSlotsMember,
    SlotDiffers,
    SlotRemoved,
    TicketUsed,
    UnknownSlot,
    WrongNetwork,
    WrongService,
    describe_refusal,
)
from core.governance.manifests import (
    CodeEntry,
    DebugNotAdmitted,
    ManifestRefused,
    MeasurementNotAdmitted,
    RootNotAdmitted,
    SignerNotAdmitted,
    SimulatedNotAdmitted,
    TeeEntry,
    TeeNotAdmitted,
)
from core.governance.messages import admit_node, remove_node
from core.types import NodeId
from tests.support.governance_bench import (
    CLAIMS,
    Network,
    make_constitution,
    node_of,
    other_claims,
)


@dataclass
class Applicant:
    """A node at the gate of a network that admitted its slot."""

    network: Network
    key: PrivateKey

    @classmethod
    def make(cls, *, admitted: bool = True) -> Applicant:
        network = Network()
        if admitted:
            network.admit()
        return cls(network, PrivateKey.generate())

    @property
    def node(self) -> NodeId:
        return node_of(self.key)

    def ticket(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {"slot": "node2", "member": "beta", "address": "n2:1", "node": self.node} | changes
        return self.network.ticket(**fields)

    def delegation(self, **changes: Any) -> bytes:
        return self.ticket(**{"node": None} | changes)


def test_a_node_with_its_members_ticket_may_join() -> None:
    applicant = Applicant.make()
    decision = applicant.network.check(applicant.ticket(), applicant.node)
    assert (decision.slot, decision.member, decision.address) == ("node2", "beta", "n2:1")
    assert (decision.replaces, decision.drops, decision.is_repeat) == (None, None, False)
    assert (decision.record.state, decision.record.node) == ("joining", applicant.node)
    assert decision.use.uses == 1


def test_a_participant_may_run_a_node() -> None:
    network = Network()
    network.admit("node4", "partner", "n4:1")
    key = PrivateKey.generate()
    ticket = network.ticket("node4", "partner", "n4:1", node_of(key))
    assert network.check(ticket, node_of(key), "n4:1").member == "partner"


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def forged(applicant: Applicant) -> bytes:
    """Beta's certificate, with another's key."""
    return applicant.ticket(member="stranger")


def of_another_network(applicant: Applicant) -> bytes:
    return applicant.ticket(network=make_constitution(network="other").digest())


REFUSED: dict[str, tuple[Any, type[JoinRefused]]] = {
    "nothing": (lambda one: b"", AuthorizationMalformed),
    "a proposal": (lambda one: one.network.sign("beta", admit_node("node3", "beta", "n3:1")), AuthorizationMalformed),
    "too large": (lambda one: bytes(limits.GOVERNANCE_MESSAGE_BYTES_MAX + 1), AuthorizationMalformed),
    "a changed signature": (lambda one: flipped(one.ticket()), AuthorizationNotSigned),
    "a stranger's signature": (forged, AuthorizationNotSigned),
    "another network": (of_another_network, WrongNetwork),
    "another service": (lambda one: one.ticket(service="00" * 32), WrongService),
    "expired": (lambda one: one.ticket(created_at=one.network.now - 9, not_after=one.network.now - 1),
                AuthorizationExpired),
    "from the future": (lambda one: one.ticket(created_at=one.network.now + 601), AuthorizationFromTheFuture),
    "another node's": (lambda one: one.ticket(node=node_of(PrivateKey.generate())), AnotherNodesTicket),
    "unknown slot": (lambda one: one.ticket(slot="node9"), UnknownSlot),
    "another actor's slot": (lambda one: one.ticket(member="gamma"), NotTheSlotsMember),
    "another address": (lambda one: one.ticket(address="elsewhere:1"), AddressDiffers),
    "another measurement": (lambda one: one.ticket(measurements=Measurements("00" * 32, "cd" * 32)),
                            MeasurementDiffers),
}  # fmt: skip


@pytest.mark.parametrize(("make", "refusal"), REFUSED.values(), ids=REFUSED.keys())
def test_an_authorization_that_does_not_count(make: Any, refusal: type[JoinRefused]) -> None:
    applicant = Applicant.make()
    data = make(applicant)
    with pytest.raises(JoinRefused) as caught:
        applicant.network.check(data, applicant.node)
    assert type(caught.value) is refusal
    assert applicant.network.check(applicant.ticket(), applicant.node).slot == "node2"  # Its twin.


NOT_ADMITTED: dict[str, tuple[dict[str, Any], type[ManifestRefused]]] = {
    "another kind of platform": ({"tee": "vsm"}, TeeNotAdmitted),
    "another root": ({"root": b"\x01" * 32}, RootNotAdmitted),
    "a debug enclave": ({"debug": True}, DebugNotAdmitted),
    "another signer": ({"signer": b"\x01" * 32}, SignerNotAdmitted),
}


@pytest.mark.parametrize(("changes", "refusal"), NOT_ADMITTED.values(), ids=NOT_ADMITTED.keys())
def test_evidence_that_the_constitution_does_not_admit(changes: dict[str, Any], refusal: type[ManifestRefused]) -> None:
    applicant = Applicant.make()
    with pytest.raises(refusal):
        applicant.network.check(applicant.ticket(), applicant.node, claims=other_claims(**changes))


def test_a_simulated_quote_where_the_manifest_says_hardware_only() -> None:
    hardware = (TeeEntry("sgx", (CLAIMS.root.hex(),)),)
    network = Network(msgspec.structs.replace(make_constitution(), tee_manifest=hardware))
    network.admit()
    key = PrivateKey.generate()
    ticket = network.ticket("node2", "beta", "n2:1", node_of(key))
    with pytest.raises(SimulatedNotAdmitted, match="hardware only") as caught:
        network.check(ticket, node_of(key))
    assert describe_refusal(caught.value).reason == "simulated-not-admitted"
    assert network.check(ticket, node_of(key), claims=other_claims(simulated=False))


def test_code_that_is_not_in_the_manifest() -> None:
    """One changed byte: the ticket may well be for it, the manifest is not."""
    network = Network(measured(make_constitution(), b"\xab" * 32))
    network.admit()
    key = PrivateKey.generate()
    ticket = network.ticket(
        "node2", "beta", "n2:1", node_of(key), measurements=Measurements("ac" + "ab" * 31, "cd" * 32)
    )
    with pytest.raises(MeasurementNotAdmitted):
        network.check(ticket, node_of(key), claims=other_claims(measurement=b"\xac" + b"\xab" * 31))
    assert network.check(network.ticket("node2", "beta", "n2:1", node_of(key)), node_of(key))


def measured(constitution: Constitution, manager: bytes) -> Constitution:
    others = [one for one in constitution.code_manifest if one.name != "manager"]
    entries = (CodeEntry("manager", (manager.hex(),)), *others)
    return msgspec.structs.replace(constitution, code_manifest=entries)


def test_the_address_that_the_node_gives() -> None:
    applicant = Applicant.make()
    with pytest.raises(AddressDiffers):
        applicant.network.check(applicant.ticket(), applicant.node, "elsewhere:1")


def test_too_early() -> None:
    applicant = Applicant.make(admitted=False)
    network, ticket = applicant.network, applicant.ticket()
    with pytest.raises(UnknownSlot) as unknown:
        network.check(ticket, applicant.node)
    proposal = network.propose("alpha", admit_node("node2", "beta", "n2:1"))
    with pytest.raises(NotApprovedYet) as early:
        network.check(ticket, applicant.node)
    assert describe_refusal(early.value).retry_seconds > 0
    assert describe_refusal(unknown.value).retry_seconds > 0
    network.vote("gamma", proposal)
    assert network.check(ticket, applicant.node)


def test_a_rejected_slot_is_unknown() -> None:
    applicant = Applicant.make(admitted=False)
    network = applicant.network
    proposal = network.propose("alpha", admit_node("node2", "beta", "n2:1"))
    for name in ("beta", "gamma"):
        network.vote(name, proposal, approve=False)
    with pytest.raises(UnknownSlot):
        network.check(applicant.ticket(), applicant.node)


def test_a_removed_slot() -> None:
    applicant = Applicant.make()
    network = applicant.network
    delegation = applicant.delegation()
    network.join(delegation, applicant.key)
    network.promote("node2")
    network.pass_(remove_node("node2"))
    later = PrivateKey.generate()
    with pytest.raises(SlotRemoved, match="removing"):
        network.check(delegation, node_of(later))
    network.remove("node2")
    for authorization in (delegation, applicant.delegation(count=9)):
        with pytest.raises(SlotRemoved, match="removed"):
            network.check(authorization, node_of(later))


def test_a_replayed_join() -> None:
    """A node that joined and was replaced comes back with what it showed then; its ticket is used."""
    applicant = Applicant.make()
    network, ticket = applicant.network, applicant.ticket()
    network.join(ticket, applicant.key)
    network.promote("node2")
    with pytest.raises(TicketUsed):
        network.check(ticket, applicant.node)
    later = PrivateKey.generate()
    with pytest.raises(AnotherNodesTicket):
        network.check(ticket, node_of(later))
    network.join(network.ticket("node2", "beta", "n2:1", node_of(later)), later)
    network.promote("node2")
    with pytest.raises(TicketUsed):
        network.check(ticket, applicant.node)


def test_a_node_that_missed_the_answer_asks_again() -> None:
    applicant = Applicant.make()
    network, ticket = applicant.network, applicant.ticket()
    first = network.join(ticket, applicant.key)
    again = network.check(ticket, applicant.node)
    assert again.is_repeat
    assert (again.record, again.use.uses) == (first.record, 1)
    with pytest.raises(NodeRegistered):
        network.check(applicant.delegation(), applicant.node)  # By another authorization it is no repetition.


def test_a_key_is_registered_once() -> None:
    applicant = Applicant.make()
    network = applicant.network
    delegation = applicant.delegation(count=5)
    network.join(delegation, applicant.key)
    network.promote("node2")
    with pytest.raises(NodeRegistered):
        network.check(delegation, applicant.node)
    with pytest.raises(NodeRegistered):
        network.check(applicant.delegation(), node_of(network.first))
    with pytest.raises(NodeRegistered):
        network.check(delegation, node_of(PrivateKey.generate()), claims=None)


def test_a_delegation_is_for_so_many_nodes() -> None:
    applicant = Applicant.make()
    network, delegation = applicant.network, applicant.delegation(count=2)
    first, second, third = (PrivateKey.generate() for _ in range(3))
    assert network.join(delegation, first).replaces is None
    network.promote("node2")
    decision = network.join(delegation, second)
    assert (decision.replaces, decision.drops) == (node_of(first), None)
    network.promote("node2")
    with pytest.raises(DelegationExhausted):
        network.check(delegation, node_of(third))
    assert network.join(applicant.delegation(count=3), third).use.uses == 1


def test_a_node_that_never_got_promoted_is_dropped_for_the_next() -> None:
    applicant = Applicant.make()
    network, delegation = applicant.network, applicant.delegation(count=9)
    active, lost, third = (PrivateKey.generate() for _ in range(3))
    network.join(delegation, active)
    network.promote("node2")
    network.join(delegation, lost)
    decision = network.join(delegation, third)
    assert (decision.replaces, decision.drops) == (node_of(active), node_of(lost))
    assert network.state.nodes[node_of(lost).encode()].status == "Retired"
    assert network.state.nodes[node_of(active).encode()].status == "Trusted"


def test_every_refusal_has_a_reason_of_its_own() -> None:
    found = [one for one in vars(join_refusals).values() if isinstance(one, type) and issubclass(one, JoinRefused)]
    reasons = [one.reason for one in found if one is not JoinRefused]
    assert len(reasons) == len(set(reasons)) == 22
    tested = {refusal for _, refusal in REFUSED.values()}
    assert {one for one in found if one is not JoinRefused} - tested == {
        NotApprovedYet, SlotRemoved, SlotDiffers, TicketUsed, DelegationExhausted, NodeRegistered,
        # tests/core/node: test_node_evidence.py, replication/test_tickets.py
        join_refusals.EvidenceMissing, join_refusals.EvidenceInvalid, join_refusals.EvidenceOfAnotherNode,
        join_refusals.EvidenceDiffers, join_refusals.TicketNotGiven,
    }  # fmt: skip


def test_how_refusals_are_sent() -> None:
    sent = describe_refusal(SignerNotAdmitted("no", hint="do"))
    assert (sent.reason, sent.message, sent.hint, sent.retry_seconds) == ("signer-not-admitted", "no", "do", 0)
    assert describe_refusal(CocoError("odd")).reason == "refused"
