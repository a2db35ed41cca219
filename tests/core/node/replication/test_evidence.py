"""Who joins gives evidence over its key, and no other's; whatever else it has to show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.crypto.keys import PrivateKey
from core.node.node_evidence import report_data_of
from core.node.peer_messages import NO_EVIDENCE, JoinAccepted, JoinDenied, JoinRequest, NodeEvidence
from core.types import NodeId
from tests.support.cluster import cluster

OTHER = NodeId("ab" * 32)


def quote_over(node: NodeId) -> NodeEvidence:
    return NodeEvidence(b"fake quote over " + report_data_of(node), b"null")


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (NO_EVIDENCE, "evidence-missing"),
        (quote_over(OTHER), "evidence-of-another-node"),
        (NodeEvidence(b"not a quote", b"null"), "evidence-invalid"),
        (NodeEvidence(b"fake quote over ", b"null"), "evidence-of-another-node"),
    ],
)
async def test_evidence_that_is_not_over_its_key_lets_nobody_in(evidence: NodeEvidence, reason: str) -> None:
    async with cluster() as made:
        first = await made.found()
        await made.admit("node2")
        peers = made.hub.connect(PrivateKey.generate(), "node2:1")
        request = JoinRequest(made.authorize("node2"), "node2:1", evidence=evidence)
        denied = (await peers.introduce("node1:1", request, seconds_max=30)).answer
        assert isinstance(denied, JoinDenied)
        assert (denied.reason, denied.retry_seconds) == (reason, 0)
        assert first.core.head.state.slots["node2"].state == "admitted"


async def test_evidence_of_another_enclave_lets_nobody_in() -> None:
    """The channel was made by one enclave; the quote over the key is another one's."""
    async with cluster() as made:
        await made.found()
        await made.admit("node2")
        key = PrivateKey.generate()
        peers = made.hub.connect(key, "node2:1")
        evidence = quote_over(key.public_key().node_id())
        request = JoinRequest(made.authorize("node2"), "node2:1", evidence=evidence)
        made.hub.claims = replace(own := made.hub.claims, platform="another")
        denied = (await peers.introduce("node1:1", request, seconds_max=30)).answer
        assert isinstance(denied, JoinDenied)
        assert denied.reason == "evidence-differs"
        made.hub.claims = own
        accepted = (await peers.introduce("node1:1", request, seconds_max=30)).answer
        assert isinstance(accepted, JoinAccepted)
