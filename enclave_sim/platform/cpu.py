"""The simulated machine of a node: an SGX processor, its quoting enclave, and the authority that certifies both.

Reports, keys and quotes are SGX's in every byte (enclave_sim/sgx, enclave_sim/pki). The authority stands where Intel
stands, and is this machine's own: its root certificate, which says (SIMULATED), is what clients pin.
Invariant: only `EnclaveIdentity`, which the launcher fixed from the files it measured, goes into a report, a quote or a
key; an enclave chooses nothing but the report data and for whom a report is. This is a SIMULATION: whoever reads the
fuses is the processor, and whoever reads the authority's secret makes processors.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from core.errors import AuthenticationFailed
from core.ports import ReportClaims
from enclave_sim.pki.authority import SimulatedAuthority, make_qe_identity, make_tcb_info
from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.issuing import Validity
from enclave_sim.pki.pck_extension import PckExtension
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.cpu import FUSES_BYTES, Enclave, SimulatedSgx
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.keyrequest import KeyName, KeyRequest
from enclave_sim.sgx.quoting import QuotingEnclave, provisioning_key, quoting_enclave_identity
from enclave_sim.sgx.report import ReportBody, TargetInfo

TEE: Literal["sgx"] = "sgx"
SECURITY_VERSION = 1
NO_SIGNER = hashlib.sha256(b"coco enclave that no SIGSTRUCT launched").digest()
"""MRSIGNER of the enclaves of a node in one process (memory.py), which nobody launches: of a label, not of a key."""

EnclaveKind = Literal["manager", "worker"]

PRODUCT: dict[EnclaveKind, int] = {"manager": 1, "worker": 2}
"""ISVPRODID: part of every sealing key, so that a worker never derives a manager's, though one signer signs both."""

CPUSVN = bytes([5, 5, 2, 0, 3, 1] + [0] * 10)
FMSPC = bytes.fromhex("c0c051000000")
PCE_SVN = 13
XFRM = 0xE7
AUTHORITY_VALIDITY = Validity(datetime(2025, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC))
COLLATERAL_DAYS = 365
"""How long collateral holds; every start of the node makes it anew. (Intel's holds for 30 days.)"""


@dataclass(frozen=True, slots=True)
class EnclaveIdentity:
    """Who an enclave is: 32-byte measurement and signer, product (manager or worker), security version.

    Of a launched enclave: what its SIGSTRUCT says (launching.py).
    """

    measurement: bytes
    kind: EnclaveKind
    signer: bytes = NO_SIGNER
    security_version: int = SECURITY_VERSION
    debug: bool = False

    def enclave(self) -> Enclave:
        """Return it as the processor knows it."""
        return Enclave(
            mrenclave=self.measurement,
            mrsigner=self.signer,
            attributes=enclave_attributes(debug=self.debug),
            isvprodid=PRODUCT[self.kind],
            isvsvn=self.security_version,
        )


class SimulatedCpu:
    """See the module. fuses, authority_secret: 32 secret random bytes each."""

    def __init__(self, fuses: bytes, authority_secret: bytes, *, cpusvn: bytes = CPUSVN) -> None:
        self._sgx = SimulatedSgx(fuses, cpusvn=cpusvn, boot_id=os.urandom(FUSES_BYTES))
        self._authority = SimulatedAuthority(authority_secret, AUTHORITY_VALIDITY)
        self._extension = PckExtension(self._sgx.ppid, tuple(cpusvn), PCE_SVN, cpusvn, bytes(2), FMSPC)
        chain = self._authority.issue_pck_chain(provisioning_key(self._sgx).public_key(), self._extension)
        self._quoting = QuotingEnclave(self._sgx, chain, pce_svn=PCE_SVN)
        self.platform_id = self._sgx.ppid.hex()

    def __repr__(self) -> str:
        return f"<SimulatedCpu {self.platform_id}>"

    @property
    def root_certificate(self) -> bytes:
        """The authority's root (DER), under which this machine's quotes verify."""
        return self._authority.root_certificate

    @property
    def root_digest(self) -> bytes:
        """SHA-256 of the root, by which a TEE manifest names it."""
        return hashlib.sha256(self.root_certificate).digest()

    def collateral(self, now: datetime) -> Collateral:
        """Return what verifiers need besides a quote; it holds from a day before `now`, for COLLATERAL_DAYS."""
        start = now.replace(microsecond=0) - timedelta(days=1)
        validity = Validity(start, start + timedelta(days=COLLATERAL_DAYS))
        tcb_info = make_tcb_info(self._extension, validity)
        qe_identity = make_qe_identity(quoting_enclave_identity(), validity)
        return self._authority.collateral(tcb_info, qe_identity, revocation=validity)

    def report(self, identity: EnclaveIdentity, report_data: bytes, target: bytes) -> bytes:
        """Return the report (432 bytes) that only our enclave of measurement `target` on this machine can check.

        report_data: 64 bytes; target: 32 (ValueError otherwise).
        """
        if len(target) != 32:
            raise ValueError("a target's measurement is 32 bytes")
        return self._sgx.ereport(identity.enclave(), TargetInfo(target, enclave_attributes()), report_data)

    def verify_report(self, identity: EnclaveIdentity, report: bytes) -> ReportClaims:
        """Check a report that was made for this enclave on this machine; raises AuthenticationFailed."""
        try:
            body = self._sgx.verify_report(identity.enclave(), report)
        except MalformedStructure as error:
            raise AuthenticationFailed(f"the local report was not made on this platform: {error.message}") from None
        return self._claims(body)

    def quote(self, identity: EnclaveIdentity, report_data: bytes) -> bytes:
        """Return an ECDSA quote of version 3; report_data: 64 bytes (ValueError otherwise)."""
        report = self._sgx.ereport(identity.enclave(), self._quoting.target_info(), report_data)
        return self._quoting.quote(report)

    @property
    def tee(self) -> Literal["sgx"]:
        return TEE

    def seal(self, identity: EnclaveIdentity, plaintext: bytes, policy: str) -> bytes:
        """Deny it; raises AuthenticationFailed."""
        raise AuthenticationFailed("SGX enclaves seal by themselves; the processor gives them keys")

    def unseal(self, identity: EnclaveIdentity, sealed: bytes) -> bytes:
        """Deny it; raises AuthenticationFailed."""
        raise AuthenticationFailed("SGX enclaves unseal by themselves; the processor gives them keys")

    def key(self, identity: EnclaveIdentity, request: KeyRequest) -> bytes:
        """Return the 16-byte seal key that this enclave may have; raises AuthenticationFailed (KeyDenied)."""
        if request.key_name is not KeyName.SEAL:
            raise AuthenticationFailed("enclaves are given seal keys only")
        return self._sgx.egetkey(identity.enclave(), request)

    def _claims(self, body: ReportBody) -> ReportClaims:
        return ReportClaims(
            measurement=body.mrenclave,
            signer=body.mrsigner,
            security_version=body.isvsvn,
            report_data=body.report_data,
            platform=self.platform_id,
            tee=TEE,
            debug=body.attributes.debug,
            simulated=True,
            product=body.isvprodid,
        )


def enclave_attributes(*, debug: bool = False) -> Attributes:
    """Return the attributes of every enclave of ours."""
    flags = AttributeFlag.INIT | AttributeFlag.MODE64BIT
    return Attributes(flags | AttributeFlag.DEBUG if debug else flags, XFRM)
