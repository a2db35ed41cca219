"""A simulated SGX processor: from fuses that its maker chose it makes reports and keys, as EREPORT and EGETKEY do.

Keys are AES-CMAC, under a root key derived from the fuses, over KEYDEPENDENCIES: the fields that Intel's SDM lists for
EGETKEY (volume 3D, chapter 38), in its order. Intel does not publish the layout; ours is `_DEPENDENCIES`.
Invariant: nothing but `Enclave`, which the loader fixed from what it measured, says who asks.

This is a SIMULATION: whoever reads the fuses is the processor.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import AuthenticationFailed
from enclave_sim.sgx.attributes import AttributeFlag, Attributes, masked
from enclave_sim.sgx.keyrequest import KEY_ID_BYTES, KeyName, KeyPolicy, KeyRequest
from enclave_sim.sgx.report import CPUSVN_BYTES, REPORT_DATA_BYTES, Report, ReportBody, TargetInfo, parse_report

FUSES_BYTES = 32
PROVISIONING_KEYS = (KeyName.PROVISION, KeyName.PROVISION_SEAL)
_ALWAYS_BOUND = (AttributeFlag.INIT | AttributeFlag.DEBUG).to_bytes(8, "little") + bytes(8)
"""INIT and DEBUG bind every key, whatever the mask says: a debug enclave never gets a production key."""
_KSS_POLICIES = KeyPolicy.NOISVPRODID | KeyPolicy.CONFIGID | KeyPolicy.ISVFAMILYID | KeyPolicy.ISVEXTPRODID

_DEPENDENCIES = struct.Struct("<H16s16sHH16s16s32s32s32s16sIIH64sHBB")


class KeyDenied(AuthenticationFailed):
    """EGETKEY refuses. `code` is the architectural error."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{code}: {message}", hint=hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class Enclave:
    """Who an enclave is, as the loader measured it (the parts of SECS that reports and keys depend on)."""

    mrenclave: bytes
    mrsigner: bytes
    attributes: Attributes
    isvprodid: int = 0
    isvsvn: int = 0
    miscselect: int = 0
    cet_attributes: int = 0
    isvextprodid: bytes = bytes(16)
    isvfamilyid: bytes = bytes(16)
    configid: bytes = bytes(64)
    configsvn: int = 0

    def target_info(self) -> TargetInfo:
        """Return what others put into EREPORT so that this enclave can check their report."""
        return TargetInfo(
            self.mrenclave, self.attributes, self.cet_attributes, self.configsvn, self.miscselect, self.configid
        )


class SimulatedSgx:
    """See the module. fuses: 32 secret random bytes; cpusvn: 16; boot_id: 32 random bytes, new at each start."""

    def __init__(self, fuses: bytes, *, cpusvn: bytes, boot_id: bytes) -> None:
        if len(fuses) != FUSES_BYTES or len(cpusvn) != CPUSVN_BYTES or len(boot_id) != KEY_ID_BYTES:
            raise ValueError("fuses are 32 bytes, CPUSVN 16 and the boot id 32")
        self._fuses = fuses
        self._root_key = self.derive(b"root key", 16)
        self._boot_id = boot_id
        self.cpusvn = cpusvn
        self.ppid = self.derive(b"platform provisioning id", 16)
        """Identifies the processor to the provisioning authority; public."""

    def __repr__(self) -> str:
        return f"<SimulatedSgx {self.ppid.hex()}>"

    def derive(self, label: bytes, size_bytes: int) -> bytes:
        """Return a secret of this processor itself, for microcode and the architectural enclaves."""
        info = b"coco simulated SGX 1 " + label
        return HKDF(algorithm=SHA256(), length=size_bytes, salt=None, info=info).derive(self._fuses)

    def ereport(self, enclave: Enclave, target: TargetInfo, report_data: bytes) -> bytes:
        """Return the 432-byte report that only `target` can check; report_data: 64 bytes (ValueError otherwise)."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError("report data is 64 bytes")
        body = ReportBody(
            cpusvn=self.cpusvn,
            attributes=enclave.attributes,
            mrenclave=enclave.mrenclave,
            mrsigner=enclave.mrsigner,
            isvprodid=enclave.isvprodid,
            isvsvn=enclave.isvsvn,
            report_data=report_data,
            miscselect=enclave.miscselect,
            cet_attributes=enclave.cet_attributes,
            isvextprodid=enclave.isvextprodid,
            configid=enclave.configid,
            configsvn=enclave.configsvn,
            isvfamilyid=enclave.isvfamilyid,
        )
        key = self._report_key(target, self._boot_id)
        return Report(body, self._boot_id, _cmac(key, body.encode())).encode()

    def verify_report(self, verifier: Enclave, report: bytes) -> ReportBody:
        """Check, as `verifier`, a report made for it on this processor.

        Raises MalformedStructure, or AuthenticationFailed when the MAC is not one of this processor for this enclave.
        """
        parsed = parse_report(report)
        key = self.egetkey(verifier, KeyRequest(KeyName.REPORT, self.cpusvn, key_id=parsed.key_id))
        if not hmac.compare_digest(_cmac(key, parsed.body.encode()), parsed.mac):
            raise AuthenticationFailed("the local report was not made on this platform for this enclave")
        return parsed.body

    def egetkey(self, enclave: Enclave, request: KeyRequest) -> bytes:
        """Return the 16-byte key that this enclave may have; raises KeyDenied.

        Security versions above the current ones are refused, older ones are not: new code reads what old code sealed.
        """
        if request.key_name is KeyName.REPORT:
            return self._report_key(enclave.target_info(), request.key_id)
        self._require_allowed(enclave, request)
        bound = bytes(one | other for one, other in zip(request.attribute_mask, _ALWAYS_BOUND, strict=True))
        policy = request.key_policy if request.key_name is KeyName.SEAL else KeyPolicy.MRSIGNER
        return self._derive_key(
            request.key_name,
            policy,
            isvfamilyid=enclave.isvfamilyid if KeyPolicy.ISVFAMILYID in policy else bytes(16),
            isvextprodid=enclave.isvextprodid if KeyPolicy.ISVEXTPRODID in policy else bytes(16),
            isvprodid=0 if KeyPolicy.NOISVPRODID in policy else enclave.isvprodid,
            isvsvn=request.isvsvn,
            attributes=masked(enclave.attributes.encode(), bound),
            attribute_mask=bound,
            mrenclave=enclave.mrenclave if KeyPolicy.MRENCLAVE in policy else bytes(32),
            mrsigner=enclave.mrsigner if KeyPolicy.MRSIGNER in policy else bytes(32),
            key_id=request.key_id if request.key_name is KeyName.SEAL else bytes(32),
            cpusvn=request.cpusvn,
            miscselect=enclave.miscselect & request.miscmask,
            miscmask=request.miscmask,
            configid=enclave.configid if KeyPolicy.CONFIGID in policy else bytes(64),
            configsvn=request.configsvn if KeyPolicy.CONFIGID in policy else 0,
            cet_attributes=enclave.cet_attributes & request.cet_attributes_mask,
            cet_attributes_mask=request.cet_attributes_mask,
        )

    def _require_allowed(self, enclave: Enclave, request: KeyRequest) -> None:
        if any(asked > ours for asked, ours in zip(request.cpusvn, self.cpusvn, strict=True)):
            raise KeyDenied("SGX_INVALID_CPUSVN", "the processor's security version is older than the one asked for")
        if request.isvsvn > enclave.isvsvn:
            raise KeyDenied(
                "SGX_INVALID_ISVSVN",
                f"security version {request.isvsvn} is asked for; this enclave has {enclave.isvsvn}",
                hint="Run a build at least as new as the one that sealed the data.",
            )
        if request.configsvn > enclave.configsvn:
            raise KeyDenied("SGX_INVALID_CONFIGSVN", "the configuration's security version is older")
        if request.key_policy & _KSS_POLICIES and not enclave.attributes.has(AttributeFlag.KSS):
            raise KeyDenied("SGX_INVALID_ATTRIBUTE", "the policy needs key separation, which this enclave has off")
        needs = {KeyName.EINITTOKEN: AttributeFlag.EINITTOKEN_KEY} | dict.fromkeys(
            PROVISIONING_KEYS, AttributeFlag.PROVISIONKEY
        )
        if (flag := needs.get(request.key_name)) is not None and not enclave.attributes.has(flag):
            raise KeyDenied("SGX_INVALID_ATTRIBUTE", f"{request.key_name.name} keys need the attribute {flag.name}")

    def _report_key(self, target: TargetInfo, key_id: bytes) -> bytes:
        return self._derive_key(
            KeyName.REPORT,
            KeyPolicy(0),
            attributes=target.attributes.encode(),
            mrenclave=target.mrenclave,
            key_id=key_id,
            cpusvn=self.cpusvn,
            miscselect=target.miscselect,
            configid=target.configid,
            configsvn=target.configsvn,
            cet_attributes=target.cet_attributes,
        )

    def _derive_key(
        self,
        name: KeyName,
        policy: KeyPolicy,
        *,
        attributes: bytes,
        mrenclave: bytes,
        key_id: bytes,
        cpusvn: bytes,
        miscselect: int,
        configid: bytes,
        configsvn: int,
        cet_attributes: int,
        isvfamilyid: bytes = bytes(16),
        isvextprodid: bytes = bytes(16),
        isvprodid: int = 0,
        isvsvn: int = 0,
        attribute_mask: bytes = bytes(16),
        mrsigner: bytes = bytes(32),
        miscmask: int = 0,
        cet_attributes_mask: int = 0,
    ) -> bytes:
        dependencies = _DEPENDENCIES.pack(
            name,
            isvfamilyid,
            isvextprodid,
            isvprodid,
            isvsvn,
            attributes,
            attribute_mask,
            mrenclave,
            mrsigner,
            key_id,
            cpusvn,
            miscselect,
            miscmask,
            policy,
            configid,
            configsvn,
            cet_attributes,
            cet_attributes_mask,
        )
        return _cmac(self._root_key, dependencies)


def _cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()
