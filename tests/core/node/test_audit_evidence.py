"""The audit verifies again why each node was let in: the evidence over its key, as the ledger keeps it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from core.crypto.keys import PrivateKey
from core.governance.authorizations import Measurements
from core.kv.write_set import Writes, encode_domain
from core.ledger.audit_report import AuditReport
from core.ledger.entry import EntrySealer, parse_entry
from core.ledger.secrets import EntryKey
from core.ledger.tables import NODES, NodeInfo, QuoteInfo
from core.node.audit import audit_ledgers
from core.node.audit_rules import SystemRules
from core.node.node_evidence import quote_info, report_data_of
from core.node.peer_messages import NodeEvidence
from core.node.system_work import join_writes
from core.types import NodeId, Seqno, View
from tests.support.cluster import cluster
from tests.support.fakes import FakeVerify
from tests.support.governance_bench import NOW, Network, node_of

FAKE_MEASUREMENTS = Measurements("00" * 32, "cd" * 32)


def evidence_of(node: NodeId, at: int = NOW + 10, **changes: str) -> QuoteInfo:
    evidence = NodeEvidence(b"fake quote over " + report_data_of(node), b"null")
    return msgspec.structs.replace(quote_info(evidence, at), **changes)


def info_of(key: PrivateKey, evidence: QuoteInfo | None = None) -> NodeInfo:
    return NodeInfo("Trusted", key.public_key().to_pem(), evidence or evidence_of(node_of(key)))


class Verified(Network):
    """A network whose audit verifies evidence. fake: by what, to be changed."""

    def __post_init__(self) -> None:
        self.fake = FakeVerify()
        self.rules, self.seqno = SystemRules(self.fake), 0
        super().__post_init__()
        self.audit_new()

    def start(self, key: PrivateKey, **changes: Any) -> Writes:
        writes = super().start(key, **changes)
        return {**writes, NODES: {**writes[NODES], node_of(key).encode(): info_of(key).encode()}}

    def audit_new(self) -> None:
        for writes in self.written:
            assert self.judge(writes) == []
        self.written.clear()

    def judge(self, writes: Writes) -> list[str]:
        self.seqno += 1
        sealer = EntrySealer(EntryKey(bytes(32), node_of(self.first), View(self.view)), Seqno(self.seqno - 1))
        entry = parse_entry(sealer.seal(Seqno(self.seqno), encode_domain(writes), b"").data)
        return list(self.rules.take(entry, writes))

    def joining(self, key: PrivateKey, evidence: QuoteInfo | None, **changes: Any) -> Writes:
        self.admit()
        ticket = self.ticket("node2", "beta", "n2:1", node_of(key), **{"measurements": FAKE_MEASUREMENTS} | changes)
        self.audit_new()
        claims = self.fake(b"fake quote over " + bytes(64), b"", at=datetime.now(UTC), tee_manifest=())
        decision = self.check(ticket, node_of(key), claims=claims)
        return join_writes(self.state, decision, info_of(key, evidence), self.endorse(key))


def test_a_node_with_evidence_over_its_key_is_explained() -> None:
    network, key = Verified(), PrivateKey.generate()
    assert network.judge(network.joining(key, None)) == []
    assert network.rules.facts()["evidence_verified"] is True
    assert SystemRules().facts()["evidence_verified"] is False


OTHER = evidence_of(NodeId("ab" * 32))
WRONG: dict[str, tuple[QuoteInfo, str]] = {
    "none": (QuoteInfo(""), "there is no evidence"),
    "no quote, but collateral": (QuoteInfo("", OTHER.endorsements, NOW), "there is no evidence"),
    "over another key": (OTHER, "over another key"),
    "not base64": (QuoteInfo("?", "", NOW), "not base64"),
    "no quote at all": (QuoteInfo("aGVsbG8=", OTHER.endorsements, NOW), "refused: not a quote"),
}


@pytest.mark.parametrize(("evidence", "why"), WRONG.values(), ids=WRONG.keys())
def test_a_node_without_evidence_over_its_key_is_found(evidence: QuoteInfo, why: str) -> None:
    network = Verified()
    (found,) = network.judge(network.joining(PrivateKey.generate(), evidence))
    assert why in found


def test_evidence_of_a_measurement_that_no_manifest_lists_is_found() -> None:
    network, key = Verified(), PrivateKey.generate()
    writes = network.joining(key, None)
    network.fake.changes["signer"] = b"\x07" * 32
    (found,) = network.judge(writes)
    assert "which the constitution does not name" in found


def test_evidence_of_other_code_than_its_member_signed_for_is_found() -> None:
    network, key = Verified(), PrivateKey.generate()
    writes = network.joining(key, None)
    network.fake.changes["measurement"] = b"\x07" * 32
    (found,) = network.judge(writes)
    assert "other code than its member signed for" in found


@pytest.mark.parametrize("seconds", [-86_400, 2 * 86_400])
def test_evidence_verified_at_another_time_than_the_ticket_counts_is_found(seconds: int) -> None:
    network, key = Verified(), PrivateKey.generate()
    writes = network.joining(key, evidence_of(node_of(key), NOW + seconds))
    (found,) = network.judge(writes)
    assert "when its authorization did not count" in found


def test_a_start_without_evidence_is_found() -> None:
    network, key = Verified(), PrivateKey.generate()
    network.view = 2
    assert network.judge(network.start(key)) == []
    network, key = Verified(), PrivateKey.generate()
    network.view = 2
    writes = network.start(key)
    bare = {**writes[NODES], node_of(key).encode(): info_of(key, QuoteInfo("")).encode()}
    (found,) = network.judge({**writes, NODES: bare})
    assert "there is no evidence" in found


async def test_what_a_leader_records_of_those_it_lets_in_verifies() -> None:
    async with cluster() as made:
        await made.found()
        first, *_ = await made.grow(3)
        await made.settled()
        report = await audit_of(made.nodes[1].disk, FakeVerify())
        assert report.is_sound, report.all_findings
        (ledger,) = report.ledgers
        assert (ledger.facts["nodes_joined"], ledger.facts["evidence_verified"]) == (2, True)
        infos = first.core.head.state.nodes
        assert len({info.quote_info.quote for info in infos.values()}) == len(infos) == 3
        other = await audit_of(made.nodes[1].disk, FakeVerify({"product": 2}))
        assert len([one for one in other.all_findings if "product 2 of its signer" in one.what]) == 3


async def audit_of(disk: Any, verify: FakeVerify) -> AuditReport:
    return await audit_ledgers([("copy", disk)], verify=verify)
