"""Evidence over a node's key: made by a node, verified by who lets it in, and verified again from the ledger."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.governance.constitution import Constitution
from core.governance.join_refusals import (
    EvidenceDiffers,
    EvidenceInvalid,
    EvidenceMissing,
    EvidenceOfAnotherNode,
)
from core.governance.manifests import MeasurementNotAdmitted, SimulatedNotAdmitted, TeeEntry
from core.ledger.tables import NodeInfo, QuoteInfo
from core.node.node_evidence import (
    EvidenceRules,
    make_evidence,
    quote_info,
    verify_evidence,
    verify_joining,
    verify_recorded,
)
from core.node.peer_messages import NO_EVIDENCE, NodeEvidence
from core.ports import ReportClaims
from core.types import NodeId
from enclave_sim.platform.memory import MemoryPlatform
from enclave_sim.verify.manifest import verify_own_evidence
from tests.support.governance_bench import make_constitution
from tests.support.manifests import AUTHORITY, admitting, root_of_tests

NODE = PrivateKey.generate().public_key().node_id()
OTHER = PrivateKey.generate().public_key().node_id()
AT = int(time.time())
PLATFORM = MemoryPlatform(bytes(32), AUTHORITY)


def constitution(**changes: Any) -> Constitution:
    admitted = admitting("kv", "ethereum", roots=(root_of_tests(),))
    return msgspec.structs.replace(make_constitution(), **(admitted | changes))


def rules(at: int = AT, **changes: Any) -> EvidenceRules:
    return EvidenceRules(constitution(**changes), verify_own_evidence, at)


async def evidence(node: NodeId = NODE, platform: MemoryPlatform = PLATFORM) -> NodeEvidence:
    published = msgspec.json.decode(await platform.published())
    return await make_evidence(platform.attestor("manager"), published, node)


def channel_claims(shown: NodeEvidence) -> ReportClaims:
    """What the same enclave's evidence for its channel says."""
    return replace(verify_evidence(shown, NODE, rules()), report_data=b"\x01" * 64)


async def test_what_a_node_shows_verifies_now_and_later() -> None:
    shown = await evidence()
    recorded = verify_joining(shown, NODE, channel_claims(shown), rules())
    assert recorded == quote_info(shown, AT)
    claims = verify_recorded(recorded, NODE, constitution(), verify_own_evidence)
    assert claims.measurement == PLATFORM.measurement("manager")


async def test_no_evidence_is_a_refusal_of_its_own() -> None:
    with pytest.raises(EvidenceMissing):
        verify_joining(NO_EVIDENCE, NODE, channel_claims(await evidence()), rules())


async def test_evidence_over_another_key_is_refused() -> None:
    shown = await evidence(OTHER)
    with pytest.raises(EvidenceOfAnotherNode):
        verify_joining(shown, NODE, channel_claims(await evidence()), rules())


@pytest.mark.parametrize(
    "changes",
    [
        {"platform": "another"},
        {"measurement": bytes(32)},
        {"signer": b"\x01" * 32},
        {"product": 7},
        {"security_version": 9},
        {"simulated": False},
        {"tee": "vsm"},
    ],
)
async def test_evidence_of_another_enclave_than_the_channels_is_refused(changes: dict[str, Any]) -> None:
    shown = await evidence()
    with pytest.raises(EvidenceDiffers):
        verify_joining(shown, NODE, replace(channel_claims(shown), **changes), rules())


async def test_a_channel_without_evidence_is_refused() -> None:
    with pytest.raises(EvidenceDiffers):
        verify_joining(await evidence(), NODE, None, rules())


async def test_what_is_not_genuine_is_refused() -> None:
    shown = await evidence()
    changed = bytearray(shown.quote)
    changed[100] ^= 1
    collateral = shown.collateral
    for quote, beside in (
        (bytes(changed), collateral),
        (b"quote", collateral),
        (shown.quote, b"{}"),
        (shown.quote, b"null"),
        (shown.quote + bytes(limits.EVIDENCE_BYTES_MAX), collateral),
        (shown.quote, collateral + b" " * limits.ENDORSEMENTS_BYTES_MAX),
    ):
        with pytest.raises(EvidenceInvalid):
            verify_evidence(NodeEvidence(quote, beside), NODE, rules())


@pytest.mark.parametrize("at", [0, -1, AT + 400 * 86_400, 2**40, 2**62])
async def test_evidence_does_not_hold_at_any_time(at: int) -> None:
    with pytest.raises(EvidenceInvalid):
        verify_evidence(await evidence(), NODE, rules(at))


async def test_what_the_manifests_do_not_admit_is_refused_by_their_reason() -> None:
    shown = await evidence()
    hardware = TeeEntry("sgx", ("0" * 64,))
    with pytest.raises(SimulatedNotAdmitted):
        verify_evidence(shown, NODE, rules(tee_manifest=(hardware,)))
    unlisted = tuple(
        msgspec.structs.replace(one, measurements=("ab" * 32,)) if one.name == "manager" else one
        for one in constitution().code_manifest
    )
    with pytest.raises(MeasurementNotAdmitted):
        verify_evidence(shown, NODE, rules(code_manifest=unlisted))


async def test_a_worker_is_no_manager() -> None:
    published = msgspec.json.decode(await PLATFORM.published())
    shown = await make_evidence(PLATFORM.attestor("worker"), published, NODE)
    with pytest.raises(CocoError):
        verify_evidence(shown, NODE, rules())


@pytest.mark.parametrize(
    "changes",
    [
        {"quote": ""},
        {"quote": "?"},
        {"endorsements": "?"},
        {"endorsements": ""},
        {"quote": "ab"},
        {"verified_at": 0},
        {"verified_at": -1},
        {"verified_at": 2**62},
    ],
)
async def test_a_record_that_does_not_verify(changes: dict[str, Any]) -> None:
    recorded = msgspec.structs.replace(quote_info(await evidence(), AT), **changes)
    with pytest.raises((AuthenticationFailed, MalformedMessage)):
        verify_recorded(recorded, NODE, constitution(), verify_own_evidence)


async def test_a_record_in_another_form_does_not_verify() -> None:
    recorded = quote_info(await evidence(), AT)
    raw = base64.b64decode(recorded.quote)
    padded = base64.b64encode(raw + b"\0" * (3 - len(raw) % 3 if len(raw) % 3 else 1)).decode()
    for quote in (recorded.quote + "\n", padded):
        with pytest.raises((AuthenticationFailed, MalformedMessage)):
            verify_recorded(QuoteInfo(quote, recorded.endorsements, AT), NODE, constitution(), verify_own_evidence)


async def test_a_retired_node_keeps_its_quote_only() -> None:
    info = NodeInfo("Trusted", "key", quote_info(await evidence(), AT))
    assert info.retired() == NodeInfo("Retired", "key", QuoteInfo(info.quote_info.quote))
    assert NodeInfo.decode(info.encode()) == info
