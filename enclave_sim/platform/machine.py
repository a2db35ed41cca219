"""What a simulated machine does for the enclaves it runs, whatever its TEE is: SGX (cpu.py) or VSM (vsm.py)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from core.ports import ReportClaims
from enclave_sim.platform.cpu import EnclaveIdentity
from enclave_sim.sgx.keyrequest import KeyRequest
from enclave_sim.verify.evidence import AnyCollateral

PlatformKind = Literal["sgx", "vsm"]
SealPolicy = Literal["signer", "enclave"]


class Machine(Protocol):
    """One machine. Every call but the first three raises AuthenticationFailed for what this enclave may not have."""

    @property
    def tee(self) -> PlatformKind: ...

    @property
    def platform_id(self) -> str: ...

    @property
    def root_certificate(self) -> bytes:
        """The root (DER) that its evidence leads to."""
        ...

    def collateral(self, now: datetime) -> AnyCollateral:
        """Return what verifiers need besides the evidence."""
        ...

    def report(self, identity: EnclaveIdentity, report_data: bytes, target: bytes) -> bytes:
        """Return a report for the enclave of measurement `target` on this machine; report_data: 64 bytes."""
        ...

    def verify_report(self, identity: EnclaveIdentity, report: bytes) -> ReportClaims: ...

    def quote(self, identity: EnclaveIdentity, report_data: bytes) -> bytes: ...

    def key(self, identity: EnclaveIdentity, request: KeyRequest) -> bytes:
        """Return a sealing key, where the enclave itself seals (SGX)."""
        ...

    def seal(self, identity: EnclaveIdentity, plaintext: bytes, policy: SealPolicy) -> bytes:
        """Seal, where the machine does (VSM)."""
        ...

    def unseal(self, identity: EnclaveIdentity, sealed: bytes) -> bytes: ...
