"""Nodes in an audit: what members did not decide, or an actor did not sign, is found, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from core.crypto.keys import PrivateKey
from core.governance.authorizations import AuthorizationUse
from core.governance.messages import admit_node, remove_node, set_default_adapter
from core.governance.slots import SlotRecord
from core.kv.write_set import Writes
from core.node.system_work import promotion_writes, removal_writes
from tests.support.audit_bench import AUTHORIZATIONS, CERTIFICATES, MESSAGES, NODES, PROPOSALS, SLOTS, Audited
from tests.support.governance_bench import node_info, node_of


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
