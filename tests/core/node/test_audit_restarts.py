"""Starts that members approve of, in an audit: one without them, or by another approval than for it, is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from core.crypto.keys import PrivateKey
from core.governance.constitution import Constitution
from core.governance.restarts import RESTARTS, Approvals, RestartRecord, RestartRequest, restart_row, sign_approval
from core.kv.write_set import Writes
from core.types import NodeId
from tests.support.audit_bench import Audited
from tests.support.governance_bench import CERTIFICATES, KEYS, NOW, make_constitution, node_of

UNDER_MEMBERS: Constitution = msgspec.structs.replace(make_constitution(), restart="members")


@dataclass
class Restarted(Audited):
    """A network about to start again with a node of a new key."""

    constitution: Constitution = field(default_factory=lambda: UNDER_MEMBERS)
    again: PrivateKey = field(default_factory=PrivateKey.generate)

    def request(self, **changes: Any) -> RestartRequest:
        end = self.rules._end
        assert end is not None
        fields: dict[str, Any] = {
            "version": 1, "network": self.digest.hex(), "service": self.service, "node": node_of(self.again),
            "slot": "node1", "view": end.view, "seqno": end.seqno, "root": end.root.hex(), "new_view": 2,
            "nonce": "00" * 32, "disks": (), "missing": (), "accept_loss": False,
        } | changes  # fmt: skip
        return RestartRequest(**fields)

    def record(self, *who: str, **changes: Any) -> RestartRecord:
        request = self.request(**changes)
        approvals = Approvals(request, self.constitution)
        for name in who:
            credentials = {"certificate": CERTIFICATES[name], "key": KEYS[name]}
            approvals.take(sign_approval(request, created_at=NOW, **credentials))  # type: ignore[arg-type]
        return RestartRecord.of(approvals)

    def start_by(self, record: RestartRecord | None) -> Writes:
        self.view = 2
        writes = self.start(self.again)
        if record is not None:
            writes[RESTARTS] = {restart_row(record.request): record.encode()}
        return writes


def test_a_start_that_members_approved_of_is_explained() -> None:
    network = Restarted()
    assert network.judge(network.start_by(network.record("alpha", "gamma")), view=2) == []
    facts = network.rules.facts()
    assert (facts["starts"], facts["starts_approved"], facts["losses_accepted"]) == (2, 1, [])


def test_an_accepted_loss_is_told() -> None:
    for constitution in (UNDER_MEMBERS, make_constitution()):
        network = Restarted(constitution)
        record = network.record("beta", "gamma", accept_loss=True)
        end = f"{record.request.view}.{record.request.seqno}"
        assert network.judge(network.start_by(record), view=2) == []
        assert network.rules.facts()["losses_accepted"] == [end]


def nobody(network: Restarted) -> RestartRecord | None:
    return None


def too_few(network: Restarted) -> RestartRecord | None:
    return network.record("alpha")


def the_same_twice(network: Restarted) -> RestartRecord | None:
    record = network.record("alpha")
    return RestartRecord(record.request, record.approvals * 2)


def changed_afterwards(network: Restarted) -> RestartRecord | None:
    record = network.record("alpha", "beta", nonce="11" * 32)
    return RestartRecord(network.request(), record.approvals)


def other(**changes: Any) -> Callable[[Restarted], RestartRecord | None]:
    return lambda network: network.record("alpha", "beta", **changes)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (nobody, "they did not"),
        (too_few, "1 members approved of the restart; 2 must"),
        (the_same_twice, "has approved already"),
        (changed_afterwards, "of another start"),
        (other(network="00" * 32), "another start"),
        (other(service="00" * 32), "another start"),
        (other(node=NodeId("00" * 32)), "another start"),
        (other(slot="node2"), "another start"),
        (other(new_view=3), "another start"),
        (other(view=7), "not after this ledger"),
        (other(seqno=1), "not after this ledger"),
        (other(root="00" * 32), "not after this ledger"),
    ],
)
def test_a_start_that_its_members_did_not_approve_of(
    make: Callable[[Restarted], RestartRecord | None], what: str
) -> None:
    network = Restarted()
    found = network.judge(network.start_by(make(network)), view=2)
    assert any(what in one for one in found), found


def test_an_accepted_loss_needs_members_under_the_other_policy_too() -> None:
    network = Restarted(make_constitution())
    found = network.judge(network.start_by(network.record("alpha", accept_loss=True)), view=2)
    assert any("1 members approved" in one for one in found), found


@pytest.mark.parametrize("rows", [{}, {b"2": None}, {b"2": b"junk"}, {b"1": b"{}", b"2": b"{}"}])
def test_a_record_without_its_form(rows: dict[bytes, bytes | None]) -> None:
    network = Restarted()
    writes = network.start_by(None) | {RESTARTS: rows}
    assert network.judge(writes, view=2) != []


def test_a_record_under_another_view() -> None:
    network = Restarted()
    record = network.record("alpha", "beta")
    writes = network.start_by(record) | {RESTARTS: {b"3": record.encode()}}
    found = network.judge(writes, view=2)
    assert any(RESTARTS in one for one in found), found


def test_a_record_without_a_start() -> None:
    network = Restarted()
    record = network.record("alpha", "beta")
    assert network.judge({RESTARTS: {restart_row(record.request): record.encode()}}) != []
