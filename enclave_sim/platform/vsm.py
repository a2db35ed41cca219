"""The simulated machine of a node in virtual secure mode: a secure kernel, its identity key, and its host guardian.

The identity key is new at each start (on Windows it may change with a boot); the guardian certifies it, and is this
machine's own. Local reports and evidence are one form, the report that the key signs: it names no target, and whoever
is on the same machine asks the secure kernel whether it is one of its own (EnclaveVerifyAttestationReport). This is a
SIMULATION: whoever reads the fuses is the host's secure kernel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.errors import AuthenticationFailed
from core.ports import ReportClaims
from enclave_sim.pki.issuing import Validity
from enclave_sim.platform.cpu import AUTHORITY_VALIDITY, COLLATERAL_DAYS, PRODUCT, EnclaveIdentity
from enclave_sim.platform.machine import SealPolicy
from enclave_sim.sgx.cpu import FUSES_BYTES
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.keyrequest import KeyRequest
from enclave_sim.verify.vsm import VsmCollateral
from enclave_sim.vsm.guardian import (
    SALT_BYTES,
    SimulatedHostGuardian,
    SimulatedSecureKernel,
    generate_identity_key,
)
from enclave_sim.vsm.report import VbsFlag, VbsIdentity, parse_package
from enclave_sim.vsm.sealing import SealingPolicy, seal, unseal

TEE: Literal["vsm"] = "vsm"
OWNER_ID = hashlib.sha256(b"coco node").digest()
"""What the host gave CreateEnclave: no proof of anything, but bound into what is sealed."""

FAMILY_ID = hashlib.sha256(b"coco").digest()[:16]
_POLICIES: dict[SealPolicy, SealingPolicy] = {
    "signer": SealingPolicy.SAME_IMAGE,
    "enclave": SealingPolicy.EXACT_CODE,
}


@dataclass(frozen=True, slots=True)
class VsmVersions:
    """Security versions of the host."""

    secure_kernel: int = 1
    platform: int = 2


def vbs_identity(identity: EnclaveIdentity, versions: VsmVersions) -> VbsIdentity:
    """Return an enclave as a VBS report names it: its image id is its product."""
    return VbsIdentity(
        owner_id=OWNER_ID,
        unique_id=identity.measurement,
        author_id=identity.signer,
        family_id=FAMILY_ID,
        image_id=PRODUCT[identity.kind].to_bytes(16, "little"),
        enclave_svn=identity.security_version,
        secure_kernel_svn=versions.secure_kernel,
        platform_svn=versions.platform,
        flags=VbsFlag.FULL_DEBUG_ENABLED if identity.debug else 0,
    )


class SimulatedVsm:
    """See the module. fuses, authority_secret: 32 secret random bytes each."""

    def __init__(self, fuses: bytes, authority_secret: bytes, versions: VsmVersions | None = None) -> None:
        if len(fuses) != FUSES_BYTES:
            raise ValueError(f"fuses are {FUSES_BYTES} bytes")
        info = b"coco simulated VSM 1 sealing"
        self._secret = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(fuses)
        self._versions = versions or VsmVersions()
        self._guardian = SimulatedHostGuardian(authority_secret, AUTHORITY_VALIDITY)
        key = generate_identity_key()
        self._public_key = key.public_key()
        self._kernel = SimulatedSecureKernel(key)
        self._chain = self._guardian.issue_identity_chain(self._public_key)
        encoded = self._public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.platform_id = hashlib.sha256(encoded).hexdigest()

    def __repr__(self) -> str:
        return f"<SimulatedVsm {self.platform_id}>"

    @property
    def tee(self) -> Literal["vsm"]:
        return TEE

    @property
    def root_certificate(self) -> bytes:
        """The guardian's root (DER), under which this machine's reports verify."""
        return self._guardian.root_certificate

    def collateral(self, now: datetime) -> VsmCollateral:
        """Return chain and revocation lists; they hold from a day before `now`, for COLLATERAL_DAYS."""
        start = now.replace(microsecond=0) - timedelta(days=1)
        lists = self._guardian.revocation_lists(Validity(start, start + timedelta(days=COLLATERAL_DAYS)))
        return VsmCollateral(self._chain, *lists)

    def report(self, identity: EnclaveIdentity, report_data: bytes, target: bytes) -> bytes:
        """Return a signed report; report_data: 64 bytes (ValueError otherwise). A VBS report has no target."""
        if len(target) != 32:
            raise ValueError("a target's measurement is 32 bytes")
        return self.quote(identity, report_data)

    def verify_report(self, identity: EnclaveIdentity, report: bytes) -> ReportClaims:
        """Check a report made on this machine since it started; raises AuthenticationFailed."""
        try:
            package = parse_package(report)
            self._public_key.verify(package.signature, package.statement(), PSS(MGF1(SHA256()), SALT_BYTES), SHA256())
        except (MalformedStructure, InvalidSignature):
            raise AuthenticationFailed("the local report was not made on this platform") from None
        shown = package.identity
        return ReportClaims(
            measurement=shown.unique_id,
            signer=shown.author_id,
            security_version=shown.enclave_svn,
            report_data=package.enclave_data,
            platform=self.platform_id,
            tee=TEE,
            debug=shown.flags != 0,
            simulated=True,
            product=int.from_bytes(shown.image_id, "little"),
        )

    def quote(self, identity: EnclaveIdentity, report_data: bytes) -> bytes:
        """Return a VBS_ENCLAVE_REPORT package; report_data: 64 bytes (ValueError otherwise)."""
        return self._kernel.report(vbs_identity(identity, self._versions), report_data)

    def key(self, identity: EnclaveIdentity, request: KeyRequest) -> bytes:
        """Deny it; raises AuthenticationFailed."""
        raise AuthenticationFailed("EGETKEY is an instruction of SGX; this machine runs VBS enclaves")

    def seal(self, identity: EnclaveIdentity, plaintext: bytes, policy: SealPolicy) -> bytes:
        """Seal for this enclave, or for any version of its image."""
        return seal(self._secret, vbs_identity(identity, self._versions), plaintext, _POLICIES[policy])

    def unseal(self, identity: EnclaveIdentity, sealed: bytes) -> bytes:
        """Unseal; raises AuthenticationFailed, OlderThanSealed."""
        return unseal(self._secret, vbs_identity(identity, self._versions), sealed)
