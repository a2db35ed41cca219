"""What verified evidence says. Whether that is good enough is the policy's question, not the verifier's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.ports import ReportClaims
from enclave_sim.pki.documents import TcbStatus


@dataclass(frozen=True, slots=True)
class Verdict:
    """Evidence that is genuine, with what it says.

    measurement: MRENCLAVE or unique id (32 bytes), MRTD or SNP measurement (48); signer: MRSIGNER, author id, MROWNER,
    or the digest of SNP's identity key; runtime_measurements: TDX's RTMRs; platform: PPID, chip id or host key in
    hexadecimal; valid_until: when the first certificate, list or document behind it ends; root_digest: SHA-256 of the
    root certificate; platform_versions: those that a TEE manifest may ask for.
    """

    tee: str
    simulated: bool
    root: str
    measurement: bytes
    signer: bytes
    product_id: int
    security_version: int
    report_data: bytes
    debug: bool
    platform: str
    tcb_status: TcbStatus
    valid_until: datetime
    advisory_ids: tuple[str, ...] = ()
    tcb_date: datetime | None = None
    tcb_evaluation_number: int | None = None
    fmspc: str = ""
    runtime_measurements: tuple[bytes, ...] = ()
    root_digest: bytes = b""
    platform_versions: tuple[tuple[str, int], ...] = ()

    def claims(self) -> ReportClaims:
        """Return what core needs of it."""
        return ReportClaims(
            measurement=self.measurement,
            signer=self.signer,
            security_version=self.security_version,
            report_data=self.report_data,
            platform=self.platform,
            tee=self.tee,
            debug=self.debug,
            simulated=self.simulated,
            product=self.product_id,
            root=self.root_digest,
            tcb_status=self.tcb_status.value,
            platform_versions=self.platform_versions,
        )
