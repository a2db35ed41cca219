"""What a node that wants to join believes: what its member signed, and what that names. And what is never signed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core import limits
from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.governance.authorizations import Authorization, Measurements, sign_ticket
from core.governance.join_refusals import (
    AddressDiffers,
    AnotherNodesTicket,
    AuthorizationExpired,
    AuthorizationFromTheFuture,
    AuthorizationNotSigned,
    JoinRefused,
    MeasurementDiffers,
    SlotDiffers,
    WrongNetwork,
    WrongService,
)
from core.governance.joining import check_ticket, check_welcome
from core.governance.manifests import (
    SignerNotAdmitted,
)
from core.types import Digest, NodeId
from tests.support.governance_bench import (
    CERTIFICATES,
    CLAIMS,
    DAY,
    KEYS,
    MEASUREMENTS,
    Network,
    make_constitution,
    other_claims,
)


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
