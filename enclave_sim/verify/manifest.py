"""From the constitution's manifests to the verifier: which roots count, and what is admitted under them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from core.governance.constitution import Constitution
from core.governance.manifests import MANAGER, TeeEntry, check_kind
from core.ports import ReportClaims
from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.documents import TcbStatus
from enclave_sim.sgx.quote import TDX_VERSION
from enclave_sim.verify.collateral_file import parse_any_collateral
from enclave_sim.verify.errors import SimulatedRootOff, UnknownRoot
from enclave_sim.verify.evidence import AnyCollateral, verify_evidence
from enclave_sim.verify.policy import Policy
from enclave_sim.verify.port import RemoteVerifier
from enclave_sim.verify.snp import SnpCollateral
from enclave_sim.verify.trust import RootKind, TrustedRoot, TrustStore
from enclave_sim.verify.verdict import Verdict

TeeName = Literal["sgx", "vsm", "tdx", "snp"]
_ROOT_KIND: dict[TeeName, RootKind] = {"sgx": "sgx", "tdx": "sgx", "vsm": "vsm", "snp": "snp"}


def trust_store_of(tee_manifest: Sequence[TeeEntry]) -> TrustStore:
    """Return the store of exactly the roots that the manifest names; no vendor's root counts unless it is named."""
    roots = {
        (kind, digest, entry.simulated): TrustedRoot(
            f"{'simulated ' if entry.simulated else ''}{kind} root of the constitution",
            kind,
            bytes.fromhex(digest),
            simulated=entry.simulated,
        )
        for entry in tee_manifest
        for kind in (_ROOT_KIND[entry.tee],)
        for digest in entry.roots
    }
    return TrustStore(tuple(roots.values()), accept_simulated=any(entry.simulated for entry in tee_manifest))


def verify_by_manifest(
    evidence: bytes, collateral: AnyCollateral, *, at: datetime, tee_manifest: Sequence[TeeEntry]
) -> Verdict:
    """Verify evidence under the manifest's roots; raises an EvidenceRefused, or a ManifestRefused for its kind.

    Whether the verdict is admitted is for core.governance.manifests.check_admitted to say.
    """
    check_kind(tee_of(evidence, collateral), False, tee_manifest)
    try:
        return verify_evidence(evidence, collateral, at=at, trust_store=trust_store_of(tee_manifest))
    except (UnknownRoot, SimulatedRootOff) as refusal:
        if refusal.says_simulated:
            # Why it is refused is better told than that its root is unknown.
            check_kind(tee_of(evidence, collateral), True, tee_manifest)
        raise


def verify_admitted(
    evidence: bytes, collateral: AnyCollateral, constitution: Constitution, *, at: datetime, name: str = MANAGER
) -> Verdict:
    """Verify evidence on the code `name`, and check it against both manifests.

    Raises an EvidenceRefused or a ManifestRefused, both of which have a `reason`.
    """
    verdict = verify_by_manifest(evidence, collateral, at=at, tee_manifest=constitution.tee_manifest)
    constitution.check_admitted(verdict.claims(), name)
    return verdict


def verify_own_evidence(
    evidence: bytes, collateral: bytes, *, at: datetime, tee_manifest: Sequence[TeeEntry]
) -> ReportClaims:
    """The core.node.admission.VerifyEvidence of nodes."""
    return verify_by_manifest(evidence, parse_any_collateral(collateral), at=at, tee_manifest=tee_manifest).claims()


def remote_verifier(tee_manifest: Sequence[TeeEntry]) -> RemoteVerifier:
    """Return the EvidenceVerifier of connections under a constitution: its roots, and any status that it accepts.

    Which entry accepts what, and which code is approved, is for check_admitted to say, with the claims this returns.
    """
    statuses = frozenset(TcbStatus(status) for entry in tee_manifest for status in entry.tcb_statuses)
    return RemoteVerifier(trust_store_of(tee_manifest), Policy(tcb_statuses=statuses))


def tee_of(evidence: bytes, collateral: AnyCollateral) -> TeeName:
    """Return of what kind evidence claims to be, by its collateral and, for Intel's, its version."""
    match collateral:
        case Collateral():
            return "tdx" if int.from_bytes(evidence[:2], "little") == TDX_VERSION else "sgx"
        case SnpCollateral():
            return "snp"
        case _:
            return "vsm"
