"""Proposals: what is decided by whom, and every vote that does not count."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded
from core.governance.messages import admit_node, remove_node, set_default_adapter
from core.governance.proposals import POLICIES, ProposalRecord, approvals_needed
from core.types import Digest
from tests.support.governance_bench import MEMBERS, Network, make_constitution

ADMIT = admit_node("node2", "beta", "n2:1")


def state_of(network: Network, proposal: Digest) -> str:
    return network.state.proposals[proposal].state


def unchanged(network: Network, error: type[CocoError], what: str, attempt: Callable[[], object]) -> None:
    """The attempt is refused, and leaves nothing behind."""
    before = vars(network.state.copy()).copy()
    with pytest.raises(error, match=what):
        attempt()
    after = vars(network.state)
    assert {name: after[name] for name in before if name != "_shared"} == {
        name: one for name, one in before.items() if name != "_shared"
    }


def test_more_than_half_must_approve() -> None:
    network = Network()
    proposal = network.propose("alpha", ADMIT)
    assert state_of(network, proposal) == "Open"
    assert "node2" not in network.state.slots
    network.vote("beta", proposal)
    assert state_of(network, proposal) == "Accepted"
    slot = network.state.slots["node2"]
    assert (slot.member, slot.address, slot.state, slot.node) == ("beta", "n2:1", "admitted", "")
    assert slot.admitted_by == proposal.hex()


@pytest.mark.parametrize(("members", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (10, 6)])
def test_a_strict_majority(members: int, needed: int) -> None:
    assert approvals_needed((ADMIT,), members) == needed
    assert approvals_needed((set_default_adapter("kv"), ADMIT), members) == needed
    assert approvals_needed((set_default_adapter("kv"),), members) == 1


def test_half_is_not_enough() -> None:
    network = Network(make_constitution(("alpha", "beta")))
    proposal = network.propose("alpha", ADMIT)
    assert state_of(network, proposal) == "Open"
    network.vote("beta", proposal)
    assert state_of(network, proposal) == "Accepted"


def test_one_member_alone_decides_at_once() -> None:
    network = Network(make_constitution(("alpha",)))
    proposal = network.propose("alpha", admit_node("node2", "alpha", "n2:1"))
    assert state_of(network, proposal) == "Accepted"
    assert network.state.slots["node2"].state == "admitted"


def test_what_one_member_may_do_leaves_no_proposal() -> None:
    network = Network()
    network.propose("gamma", set_default_adapter("kv"))
    assert network.state.default_adapter == "kv"
    assert not network.state.proposals
    assert set(network.written[-1]) == {"public:coco.governance.messages", "public:coco.settings"}


def test_actions_of_both_kinds_wait_for_the_votes() -> None:
    network = Network()
    proposal = network.propose("alpha", set_default_adapter("kv"), ADMIT)
    assert network.state.default_adapter == "ethereum"
    network.vote("gamma", proposal)
    assert (network.state.default_adapter, "node2" in network.state.slots) == ("kv", True)


def test_rejected_once_approval_is_out_of_reach() -> None:
    network = Network()
    proposal = network.propose("alpha", ADMIT)
    network.vote("beta", proposal, approve=False)
    assert state_of(network, proposal) == "Open"
    network.vote("gamma", proposal, approve=False)
    assert state_of(network, proposal) == "Rejected"
    assert "node2" not in network.state.slots
    unchanged(network, CocoError, "is rejected", lambda: network.vote("beta", proposal))


def test_a_vote_may_be_changed_while_the_proposal_is_open() -> None:
    network = Network()
    proposal = network.propose("alpha", ADMIT)
    network.vote("beta", proposal, approve=False)
    network.vote("alpha", proposal, approve=False)
    assert state_of(network, proposal) == "Rejected"
    again = network.propose("alpha", ADMIT)
    network.vote("beta", again, approve=False)
    network.vote("beta", again)
    assert state_of(network, again) == "Accepted"


def test_a_member_has_one_vote() -> None:
    network = Network()
    proposal = network.propose("alpha", ADMIT)
    unchanged(network, CocoError, "has voted so already", lambda: network.vote("alpha", proposal))
    assert state_of(network, proposal) == "Open"


def test_a_ballot_that_was_held_back_does_not_undo_a_newer_one() -> None:
    network = Network(make_constitution((*MEMBERS, "stranger")))
    proposal = network.propose("alpha", ADMIT)
    held_back = network.sign_ballot("beta", proposal)
    network.vote("beta", proposal, approve=False)
    unchanged(network, AuthenticationFailed, "same time or later", lambda: network.accept(held_back))
    network.now -= 1  # Another one of the same second.
    unchanged(network, AuthenticationFailed, "same time", lambda: network.vote("beta", proposal))


def test_a_message_counts_once() -> None:
    network = Network()
    data = network.sign("alpha", ADMIT)
    proposal = network.accept(data)
    unchanged(network, AuthenticationFailed, "carried out before", lambda: network.accept(data))
    ballot = network.sign_ballot("beta", proposal, approve=False)
    network.accept(ballot)
    unchanged(network, AuthenticationFailed, "carried out before", lambda: network.accept(ballot))


@pytest.mark.parametrize("who", ["partner", "stranger"])
def test_only_members_vote(who: str) -> None:
    network = Network()
    proposal = network.propose("alpha", ADMIT)
    unchanged(network, AuthenticationFailed, "participant|not an actor", lambda: network.vote(who, proposal))
    unchanged(network, AuthenticationFailed, "participant|not an actor", lambda: network.propose(who, ADMIT))


def test_a_ballot_on_no_proposal() -> None:
    network = Network()
    unchanged(network, CocoError, "there is no proposal", lambda: network.vote("beta", Digest(bytes(32))))
    network.propose("alpha", set_default_adapter("kv"))
    one = network.verify(network.sign("alpha", set_default_adapter("ethereum"))).digest
    unchanged(network, CocoError, "there is no proposal", lambda: network.vote("beta", one))


def test_withdrawal_is_the_proposers() -> None:
    network = Network()
    proposal = network.propose("alpha", ADMIT)
    unchanged(
        network, AuthenticationFailed, "alpha's", lambda: network.accept(network.sign_withdrawal("beta", proposal))
    )
    network.accept(network.sign_withdrawal("alpha", proposal))
    assert state_of(network, proposal) == "Withdrawn"
    unchanged(network, CocoError, "is withdrawn", lambda: network.vote("beta", proposal))
    unchanged(network, CocoError, "withdrawn", lambda: network.accept(network.sign_withdrawal("alpha", proposal)))


def test_what_was_decided_stays_decided() -> None:
    network = Network()
    proposal = network.pass_(ADMIT)
    unchanged(network, CocoError, "is accepted", lambda: network.vote("gamma", proposal, approve=False))
    unchanged(network, CocoError, "is accepted", lambda: network.accept(network.sign_withdrawal("alpha", proposal)))


def test_a_proposal_expires() -> None:
    network = Network()
    proposal = network.propose("alpha", ADMIT)
    network.now += limits.PROPOSAL_SECONDS_MAX
    unchanged(network, CocoError, "is expired", lambda: network.vote("beta", proposal))
    assert state_of(network, proposal) == "Open"  # A refused message changes nothing.
    network.propose("beta", set_default_adapter("kv"))
    assert state_of(network, proposal) == "Expired"
    again = network.propose("alpha", ADMIT)
    network.now += limits.PROPOSAL_SECONDS_MAX - 1
    network.vote("beta", again)
    assert state_of(network, again) == "Accepted"


def test_the_same_is_not_proposed_twice() -> None:
    network = Network()
    network.propose("alpha", ADMIT)
    unchanged(network, CocoError, "proposed already", lambda: network.propose("beta", ADMIT))


def test_open_proposals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROPOSALS_OPEN_PER_MEMBER_MAX", 2)
    monkeypatch.setattr(limits, "PROPOSALS_OPEN_MAX", 3)
    network = Network()
    first = network.propose("alpha", admit_node("a", "alpha", "a:1"))
    network.propose("alpha", admit_node("b", "alpha", "b:1"))
    unchanged(network, LimitExceeded, "2 proposals", lambda: network.propose("alpha", admit_node("c", "alpha", "c:1")))
    network.propose("beta", admit_node("d", "alpha", "d:1"))
    unchanged(network, LimitExceeded, "of 3 in all", lambda: network.propose("beta", admit_node("e", "beta", "e:1")))
    network.accept(network.sign_withdrawal("alpha", first))
    network.propose("beta", admit_node("e", "beta", "e:1"))
    network.propose("gamma", set_default_adapter("kv"))  # Needs no votes, so it takes no room.


IMPOSSIBLE = {
    "a slot that is there": ((admit_node("node1", "beta", "n9:1"),), "is alpha's already"),
    "an address that is taken": ((admit_node("node9", "beta", "n1:1"),), "is slot node1's"),
    "no such actor": ((admit_node("node9", "delta", "n9:1"),), "not an actor"),
    "no such adapter": ((set_default_adapter("corda"), ADMIT), "not live"),
    "a misshapen slot": ((admit_node("Node 9", "beta", "n9:1"),), "not the name"),
    "a misshapen address": ((admit_node("node9", "beta", "n9"),), "not a node's address"),
    "an address with port 0": ((admit_node("node9", "beta", "n9:0"),), "not a node's address"),
    "an address with a path": ((admit_node("node9", "beta", "https://n9:1/"),), "not a node's address"),
    "the same slot twice": ((ADMIT, admit_node("node2", "beta", "n3:1")), "is beta's already"),
    "a removal of nothing": ((remove_node("node9"),), "there is no slot"),
    "the removal of the last node": ((remove_node("node1"),), "the last node"),
    "no action at all": ((), "0 actions"),
}


@pytest.mark.parametrize(("actions", "what"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_what_cannot_be_is_not_proposed(actions: tuple[object, ...], what: str) -> None:
    network = Network()
    unchanged(network, CocoError, what, lambda: network.propose("alpha", *actions))  # type: ignore[arg-type]


def test_what_cannot_be_any_more_fails_when_it_is_decided() -> None:
    network = Network()
    one = network.propose("alpha", set_default_adapter("kv"), ADMIT)
    other = network.propose("beta", admit_node("node2", "beta", "elsewhere:1"))
    network.vote("gamma", other)
    network.vote("beta", one)
    record = network.state.proposals[one]
    assert record.state == "Failed"
    assert "is beta's already" in record.reason
    assert network.state.default_adapter == "ethereum"
    assert network.state.slots["node2"].address == "elsewhere:1"


def test_two_removals_do_not_empty_the_network() -> None:
    network = Network()
    network.admit()
    key = PrivateKey.generate()
    network.join(network.ticket("node2", "beta", "n2:1", key.public_key().node_id()), key)
    network.promote("node2")
    one, other = network.propose("alpha", remove_node("node1")), network.propose("alpha", remove_node("node2"))
    network.vote("beta", one)
    network.vote("beta", other)
    assert (state_of(network, one), state_of(network, other)) == ("Accepted", "Failed")
    assert network.state.slots["node2"].state == "active"


def test_a_removed_name_is_used_up() -> None:
    """Else what was signed for the slot that was removed would count again."""
    network = Network()
    network.admit()
    network.pass_(remove_node("node2"))
    assert network.state.slots["node2"].state == "removed"
    unchanged(network, CocoError, "used up", lambda: network.propose("alpha", ADMIT))
    network.propose("alpha", admit_node("node3", "beta", "n2:1"))


def test_slots_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SLOTS_MAX", 2)
    network = Network()
    network.admit()
    unchanged(network, CocoError, "has 2 slots", lambda: network.propose("alpha", admit_node("c", "alpha", "c:1")))


def test_records_come_back() -> None:
    network = Network()
    record = network.state.proposals[network.propose("alpha", ADMIT, set_default_adapter("kv"))]
    assert ProposalRecord.decode(record.encode()) == record
    for wrong in (b"", b"{}", record.encode() + b"x", record.encode().replace(b'"Open"', b'"Ajar"')):
        with pytest.raises(CocoError, match="does not parse"):
            ProposalRecord.decode(wrong)


def test_each_action_has_a_policy() -> None:
    assert {kind.__name__: policy for kind, policy in POLICIES.items()} == {
        "SetDefaultAdapter": "one",
        "AdmitNode": "majority",
        "RemoveNode": "majority",
    }
