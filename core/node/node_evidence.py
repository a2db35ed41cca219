"""Evidence over a node's own key, which the ledger keeps beside the key (NodeInfo.quote_info): who let a node in shows
everybody why, for as long as the ledger lasts.

Its report data is the node's id, then 32 zeros. What a channel's evidence says is about that channel only (a nonce, of
whoever asked), so a node that joins makes a second quote, once; the leader verifies both, and that they are of one
enclave. The collateral stands beside the quote, and the time at which both were verified: so an auditor verifies the
same again, at any time, under the constitution of that ledger.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from core import limits
from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.governance.authorizations import Authorization
from core.governance.constitution import Constitution
from core.governance.join_refusals import (
    EvidenceDiffers,
    EvidenceInvalid,
    EvidenceMissing,
    EvidenceOfAnotherNode,
    MeasurementDiffers,
)
from core.governance.manifests import MANAGER, ManifestRefused
from core.ledger.tables import QuoteInfo
from core.node.admission import REPORT_DATA_BYTES, VerifyEvidence
from core.node.peer_messages import NodeEvidence
from core.ports import Attestor, ReportClaims
from core.types import NodeId

_SECONDS_MAX = 2**40


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """By what the evidence of a node is judged. at: Unix seconds."""

    constitution: Constitution
    verify: VerifyEvidence
    at: int


def report_data_of(node: NodeId) -> bytes:
    """Return what evidence over a node's key is made over."""
    return bytes.fromhex(node).ljust(REPORT_DATA_BYTES, b"\0")


async def make_evidence(attestor: Attestor, published: Mapping[str, Any], node: NodeId) -> NodeEvidence:
    """Return evidence over this node's key. published: the platform's public words, with its collateral."""
    return NodeEvidence(await attestor.quote(report_data_of(node)), msgspec.json.encode(published.get("collateral")))


def quote_info(evidence: NodeEvidence, at: int) -> QuoteInfo:
    """Return how the ledger keeps evidence that was verified at a time (Unix seconds)."""
    return QuoteInfo(base64.b64encode(evidence.quote).decode(), base64.b64encode(evidence.collateral).decode(), at)


def verify_evidence(evidence: NodeEvidence, node: NodeId, rules: EvidenceRules) -> ReportClaims:
    """Return what evidence over a node's key says. Raises EvidenceMissing, EvidenceOfAnotherNode, EvidenceInvalid, and
    the ManifestRefused of what the constitution does not admit.
    """
    if not evidence.quote:
        raise EvidenceMissing("there is no evidence over the node's key", hint="Run the same version on all nodes.")
    if len(evidence.quote) > limits.EVIDENCE_BYTES_MAX or len(evidence.collateral) > limits.ENDORSEMENTS_BYTES_MAX:
        raise EvidenceInvalid(f"evidence of {len(evidence.quote)} bytes, collateral of {len(evidence.collateral)}")
    if not 0 <= rules.at < _SECONDS_MAX:
        raise EvidenceInvalid(f"evidence of the time {rules.at}")
    manifest = rules.constitution.tee_manifest
    at = datetime.fromtimestamp(rules.at, UTC)
    try:
        claims = rules.verify(evidence.quote, evidence.collateral, at=at, tee_manifest=manifest)
    except ManifestRefused:
        raise
    except CocoError as error:
        raise EvidenceInvalid(f"the evidence over the node's key is refused: {error.message}") from None
    if claims.report_data != report_data_of(node):
        raise EvidenceOfAnotherNode(f"the evidence is over another key than that of node {node[:16]}")
    rules.constitution.check_admitted(claims, MANAGER)
    return claims


def verify_joining(
    evidence: NodeEvidence, node: NodeId, of_channel: ReportClaims | None, rules: EvidenceRules
) -> QuoteInfo:
    """Verify the evidence of a node that joins, and return how it is recorded; raises as `verify_evidence`.

    of_channel: what the evidence says that the node made for its channel; EvidenceDiffers unless both are of one
    enclave on one platform.
    """
    claims = verify_evidence(evidence, node, rules)
    if of_channel is None or _enclave(claims) != _enclave(of_channel):
        raise EvidenceDiffers("the evidence over the node's key is of another enclave than the channel's")
    return quote_info(evidence, rules.at)


def verify_recorded(info: QuoteInfo, node: NodeId, constitution: Constitution, verify: VerifyEvidence) -> ReportClaims:
    """Verify what the ledger says of a node again, as of then, and return it; raises AuthenticationFailed, or a
    MalformedMessage.
    """
    try:
        evidence = NodeEvidence(
            base64.b64decode(info.quote, validate=True), base64.b64decode(info.endorsements, validate=True)
        )
    except (binascii.Error, ValueError):
        raise MalformedMessage("the evidence over a node's key is not base64") from None
    if quote_info(evidence, info.verified_at) != info:
        raise MalformedMessage("the evidence over a node's key is not in its one canonical form")
    return verify_evidence(evidence, node, EvidenceRules(constitution, verify, info.verified_at))


def verify_recorded_joining(
    info: QuoteInfo, node: NodeId, shown: Authorization, constitution: Constitution, verify: VerifyEvidence
) -> None:
    """Verify the evidence by which a node was let in again, and that it is what its member signed for.

    Raises AuthenticationFailed, or a MalformedMessage.
    """
    claims = verify_recorded(info, node, constitution, verify)
    if claims.measurement.hex() != shown.ticket.measurements.manager:
        raise MeasurementDiffers("the evidence over the node's key is of other code than its member signed for")
    if not shown.created_at - limits.GOVERNANCE_MESSAGE_AGE_SECONDS_MAX <= info.verified_at <= shown.ticket.not_after:
        raise AuthenticationFailed("the evidence over the node's key was verified when its authorization did not count")


def _enclave(claims: ReportClaims) -> tuple[object, ...]:
    return (
        claims.tee, claims.simulated, claims.platform, claims.measurement, claims.signer, claims.product,
        claims.security_version,
    )  # fmt: skip
