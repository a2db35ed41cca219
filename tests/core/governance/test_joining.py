"""Who may not join, each with a reason of its own, and what a node does not believe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from core import limits
from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.governance import join_refusals
from core.governance.authorizations import Authorization, Measurements, sign_ticket
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
from core.governance.joining import check_ticket, check_welcome
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
from core.types import Digest, NodeId
from tests.support.governance_bench import (
    CERTIFICATES,
    CLAIMS,
    DAY,
    KEYS,
    MEASUREMENTS,
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
    assert len(reasons) == len(set(reasons)) == 17
    tested = {refusal for _, refusal in REFUSED.values()}
    assert {one for one in found if one is not JoinRefused} - tested == {
        NotApprovedYet, SlotRemoved, SlotDiffers, TicketUsed, DelegationExhausted, NodeRegistered,
    }  # fmt: skip


def test_how_refusals_are_sent() -> None:
    sent = describe_refusal(SignerNotAdmitted("no", hint="do"))
    assert (sent.reason, sent.message, sent.hint, sent.retry_seconds) == ("signer-not-admitted", "no", "do", 0)
    assert describe_refusal(CocoError("odd")).reason == "refused"


# What the joiner checks.


def own_check(network: Network, data: bytes, **changes: Any) -> Authorization:
    fields: dict[str, Any] = {
        "constitution": network.constitution, "node": NodeId("ee" * 32), "measurements": MEASUREMENTS,
        "slot": "node2", "address": "n2:1", "now": network.now,
    } | changes  # fmt: skip
    return check_ticket(data, **fields)


OWN_TICKET: dict[str, tuple[dict[str, Any], dict[str, Any], type[JoinRefused]]] = {
    "another node": ({}, {"node": NodeId("dd" * 32)}, AnotherNodesTicket),
    "another manager": ({}, {"measurements": Measurements("00" * 32, "cd" * 32)}, MeasurementDiffers),
    "another worker": ({}, {"measurements": Measurements("ab" * 32, "00" * 32)}, MeasurementDiffers),
    "another slot": ({}, {"slot": "node3"}, SlotDiffers),
    "another address": ({}, {"address": "n3:1"}, AddressDiffers),
    "another constitution": ({}, {"constitution": make_constitution(network="other")}, WrongNetwork),
    "expired": ({}, {"now": 2_000_000_000}, AuthorizationExpired),
    "from the future": ({}, {"now": 1_700_000_000}, AuthorizationFromTheFuture),
    "a stranger's": ({"member": "stranger"}, {}, AuthorizationNotSigned),
}


@pytest.mark.parametrize(("signed", "own", "refusal"), OWN_TICKET.values(), ids=OWN_TICKET.keys())
def test_a_node_checks_its_own_ticket(signed: dict[str, Any], own: dict[str, Any], refusal: type[JoinRefused]) -> None:
    network = Network()
    fields: dict[str, Any] = {"slot": "node2", "member": "beta", "address": "n2:1", "node": NodeId("ee" * 32)}
    assert own_check(network, network.ticket(**fields)).ticket.slot == "node2"
    with pytest.raises(refusal):
        own_check(network, network.ticket(**fields | signed), **own)


def test_a_delegation_is_for_any_node_of_that_code() -> None:
    network = Network()
    delegation = network.ticket("node2", "beta", "n2:1", None)
    own_check(network, delegation)
    own_check(network, delegation, node=NodeId("dd" * 32))
    with pytest.raises(MeasurementDiffers):
        own_check(network, delegation, measurements=Measurements("ab" * 32, "00" * 32))


def welcome(network: Network, **changes: Any) -> None:
    ticket = own_check(network, network.ticket("node2", "beta", "n2:1", NodeId("ee" * 32)))
    fields: dict[str, Any] = {
        "constitution": network.constitution, "claims": CLAIMS, "peer": network.first.public_key(),
        "node_certificate": network.endorse(network.first), "now": network.now,
        "service_certificate": network.secrets.service_certificate,
        "answered_constitution": network.constitution.encode(),
    } | changes  # fmt: skip
    check_welcome(ticket, **fields)


def test_a_welcome_that_is_believed() -> None:
    welcome(Network())


def test_a_welcome_that_is_not_believed() -> None:
    network, other = Network(), Network()
    stranger = PrivateKey.generate()
    with pytest.raises(WrongService, match="another service"):
        welcome(network, service_certificate=other.secrets.service_certificate)
    with pytest.raises(WrongService, match="did not endorse"):
        welcome(network, node_certificate=other.endorse(network.first))
    with pytest.raises(WrongService, match="did not endorse"):
        welcome(network, node_certificate=network.secrets.service_certificate)
    with pytest.raises(WrongService, match="did not endorse"):
        welcome(network, node_certificate="no certificate")
    with pytest.raises(WrongService, match="did not endorse"):
        welcome(network, service_certificate="no certificate")
    with pytest.raises(WrongService, match="another node's"):
        welcome(network, peer=stranger.public_key())
    with pytest.raises(WrongNetwork):
        welcome(network, answered_constitution=make_constitution(network="other").encode())
    with pytest.raises(SignerNotAdmitted):
        welcome(network, claims=other_claims(signer=b"\x01" * 32))
    with pytest.raises(AuthorizationExpired):
        welcome(network, now=network.now + DAY + 2)
    self_made = self_signed("node", stranger, not_before=datetime(2026, 1, 1, tzinfo=UTC), days=9)
    with pytest.raises(WrongService, match="did not endorse"):
        welcome(network, node_certificate=self_made, peer=stranger.public_key())


# What is not even signed.


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"slot": "Node 2"}, "name of a slot"),
        ({"address": "n2"}, "node's address"),
        ({"service": "ab"}, "service is not"),
        ({"node": NodeId("AB" * 32)}, "node is not"),
        ({"measurements": Measurements("ab", "cd" * 32)}, "another form"),
        ({"not_after": 10}, "does not end within"),
        ({"not_after": 1_800_000_000 + 500 * DAY}, "does not end within"),
        ({"key": KEYS["gamma"]}, "not for this key"),
    ],
)
def test_what_no_ticket_says(changes: dict[str, Any], what: str) -> None:
    fields: dict[str, Any] = {
        "network": Digest(bytes(32)), "service": "00" * 32, "slot": "node2", "address": "n2:1",
        "measurements": MEASUREMENTS, "node": NodeId("ee" * 32), "not_after": 1_800_000_000 + DAY,
        "certificate": CERTIFICATES["beta"], "key": KEYS["beta"], "created_at": 1_800_000_000,
    }  # fmt: skip
    sign_ticket(**fields)
    with pytest.raises(CocoError, match=what):
        sign_ticket(**fields | changes)


@pytest.mark.parametrize("count", [0, -1, limits.DELEGATION_COUNT_MAX + 1])
def test_how_many_a_delegation_is_for(count: int) -> None:
    with pytest.raises(CocoError, match="a delegation for"):
        Network().ticket("node2", "beta", "n2:1", None, count=count)
