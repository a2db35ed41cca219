"""Approvals of a restart: what does not count, each for its own reason, and what is enough."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core.errors import CocoError, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution
from core.governance.messages import set_default_adapter, sign_message
from core.governance.restarts import (
    ApprovalRefused,
    Approvals,
    DiskOfNode,
    MissingDisk,
    RestartRecord,
    RestartRequest,
    approvals_needed,
    sign_approval,
    verify_approval,
)
from tests.support.governance_bench import CERTIFICATES, KEYS, NOW, make_constitution

UNDER_MEMBERS = msgspec.structs.replace(make_constitution(), restart="members")
A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
REQUEST = RestartRequest(
    version=1,
    network=UNDER_MEMBERS.digest().hex(),
    service="11" * 32,
    node="dd" * 32,
    slot="node1",
    view=4,
    seqno=90,
    root="22" * 32,
    new_view=1005,
    nonce="33" * 32,
    disks=(DiskOfNode("node1", A, 4, 90), DiskOfNode("node2", B, 4, 88)),
    missing=(MissingDisk("node3", C),),
    accept_loss=False,
)


def approve(who: str, request: RestartRequest = REQUEST, **changes: Any) -> bytes:
    """Sign as an actor does. changes: another certificate or key."""
    credentials: dict[str, Any] = {"certificate": CERTIFICATES[who], "key": KEYS[who]}
    return sign_approval(request, created_at=NOW, **(credentials | changes))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


REFUSED: dict[str, tuple[bytes, str]] = {
    "no message": (b"junk", "malformed"),
    "a message too long": (bytes(300_000), "malformed"),
    "a governance message": (
        sign_message(
            [set_default_adapter("kv")], network=UNDER_MEMBERS.digest(), certificate=CERTIFICATES["alpha"],
            key=KEYS["alpha"], created_at=NOW,
        ),
        "malformed",
    ),
    "of nobody in the network": (approve("stranger"), "not-signed"),
    "with another signature": (flipped(approve("alpha")), "not-signed"),
    "of a participant": (approve("partner"), "not-a-member"),
    "for another network": (approve("alpha", replace(REQUEST, network="44" * 32)), "another-network"),
    "for another service": (approve("alpha", replace(REQUEST, service="44" * 32)), "another-service"),
    "for another node": (approve("alpha", replace(REQUEST, node="44" * 32)), "another-node"),
    "for an earlier end": (approve("alpha", replace(REQUEST, seqno=89)), "another-end"),
    "for another view's end": (approve("alpha", replace(REQUEST, view=3)), "another-end"),
    "for another new view": (approve("alpha", replace(REQUEST, new_view=1006)), "another-end"),
    "for another start": (approve("alpha", replace(REQUEST, nonce="44" * 32)), "another-nonce"),
    "for another root": (approve("alpha", replace(REQUEST, root="44" * 32)), "other-terms"),
    "for another loss": (approve("alpha", replace(REQUEST, accept_loss=True)), "other-terms"),
    "for fewer missing": (approve("alpha", replace(REQUEST, missing=())), "other-terms"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_approval_that_does_not_count(name: str) -> None:
    data, reason = REFUSED[name]
    approvals = Approvals(REQUEST, UNDER_MEMBERS)
    with pytest.raises(ApprovalRefused) as caught:
        approvals.take(data)
    assert caught.value.reason == reason
    assert approvals.members == ()


def test_the_same_member_twice_counts_once() -> None:
    approvals = Approvals(REQUEST, UNDER_MEMBERS)
    assert approvals.take(approve("alpha")) == "alpha"
    with pytest.raises(ApprovalRefused) as caught:
        approvals.take(approve("alpha"))
    assert caught.value.reason == "repeated"
    assert not approvals.are_enough


def test_a_majority_of_the_members_is_enough() -> None:
    approvals = Approvals(REQUEST, UNDER_MEMBERS)
    assert approvals.needed == 2
    enough = []
    for name in ("beta", "alpha"):
        approvals.take(approve(name))
        enough.append(approvals.are_enough)
    assert enough == [False, True]
    assert approvals.members == ("beta", "alpha")


@pytest.mark.parametrize(
    ("changes", "accept_loss", "needed"),
    [
        ({"restart": "sealed"}, False, 0),
        ({"restart": "sealed"}, True, 2),
        ({"restart": "sealed", "restart_members": 3}, True, 2),
        ({"restart": "members"}, False, 2),
        ({"restart": "members", "restart_members": 3}, False, 3),
        ({"restart": "members", "restart_members": 1}, False, 1),
        ({"restart": "members", "restart_members": 1}, True, 2),
    ],
)
def test_how_many_are_needed(changes: dict[str, Any], accept_loss: bool, needed: int) -> None:
    constitution: Constitution = msgspec.structs.replace(make_constitution(), **changes)
    constitution.check()
    assert approvals_needed(constitution, accept_loss=accept_loss) == needed


@pytest.mark.parametrize("number", [0, -1, 4])
def test_a_number_of_members_that_cannot_be(number: int) -> None:
    with pytest.raises(CocoError, match="of 3 members: that cannot be"):
        msgspec.structs.replace(UNDER_MEMBERS, restart_members=number).check()


def test_a_constitution_that_does_not_say_how_many_is_as_it_was() -> None:
    assert b"restart_members" not in make_constitution().encode()
    said = msgspec.structs.replace(UNDER_MEMBERS, restart_members=3)
    assert Constitution.decode(said.encode()) == said
    assert said.digest() != UNDER_MEMBERS.digest()


# Requests.


def test_a_request_has_one_form() -> None:
    assert RestartRequest.decode(REQUEST.encode()) == REQUEST
    assert len(REQUEST.digest()) == 32


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "does not parse"),
        (b"{}", "does not parse"),
        (REQUEST.encode() + b" ", "not in its one form"),
        (replace(REQUEST, version=2).encode(), "has version 2"),
        (replace(REQUEST, nonce="short").encode(), "nonce is not 64"),
        (replace(REQUEST, root="Z" * 64).encode(), "root is not 64"),
        (replace(REQUEST, seqno=-1).encode(), "does not parse"),
    ],
)
def test_a_request_that_means_nothing(data: bytes, what: str) -> None:
    with pytest.raises(MalformedMessage, match=what):
        RestartRequest.decode(data)


def test_a_request_too_long() -> None:
    with pytest.raises(LimitExceeded):
        RestartRequest.decode(replace(REQUEST, missing=(MissingDisk("node3", C),) * 2_000).encode())


# What the ledger holds.


def record(*who: str) -> RestartRecord:
    approvals = Approvals(REQUEST, UNDER_MEMBERS)
    for name in who:
        approvals.take(approve(name))
    return RestartRecord.of(approvals)


def test_a_record_is_verified_again() -> None:
    kept = RestartRecord.decode(record("alpha", "gamma").encode())
    assert kept.verify(UNDER_MEMBERS).members == ("alpha", "gamma")


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (record("alpha"), "1 members approved of the restart; 2 must"),
        (replace(record("alpha"), approvals=record("alpha").approvals * 2), "has approved already"),
        (replace(record("alpha", "beta"), request=replace(REQUEST, seqno=91)), "after 4.90 with view 1005"),
        (replace(record("alpha"), approvals=("?",)), "not base64"),
        (replace(record("alpha"), approvals=(base64.b64encode(b"junk").decode(),)), "not an approval"),
    ],
)
def test_a_record_that_explains_no_start(changed: RestartRecord, what: str) -> None:
    with pytest.raises(CocoError, match=what):
        RestartRecord.decode(changed.encode()).verify(UNDER_MEMBERS)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"request":{},"approvals":[]}'])
def test_a_record_that_does_not_parse(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        RestartRecord.decode(data)


def test_an_approval_can_be_verified_by_itself() -> None:
    assert verify_approval(approve("gamma"), REQUEST, UNDER_MEMBERS) == "gamma"
