"""The quoting enclave: turns a report made on its own processor into a quote that anyone can check.

It checks the report's MAC first, so nobody but an enclave of this processor gets a quote. Its attestation key comes
from its own seal key, so it is the same after a restart; the provisioning certification enclave's key (PCK), which
vouches for it, comes from the processor. Its identity is simulated: the MRSIGNER is SHA-256 of a label, not of a key.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from enclave_sim.pki.keys import p256_key, raw_public_key, raw_signature
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.cpu import Enclave, SimulatedSgx
from enclave_sim.sgx.keyrequest import KeyName, KeyPolicy, KeyRequest
from enclave_sim.sgx.quote import SGX_TEE_TYPE, SGX_VERSION, Quote, QuoteHeader, QuoteSignature
from enclave_sim.sgx.report import ReportBody, TargetInfo, parse_report

QE_ISVSVN = 8
QE_ISVPRODID = 1
QE_AUTHENTICATION_DATA = bytes(range(32))
"""What Intel's reference quoting enclave puts there as well."""


def quoting_enclave_identity(isvsvn: int = QE_ISVSVN) -> Enclave:
    """Return who the simulated quoting enclave is; its collateral (QE identity) must say the same."""
    return Enclave(
        mrenclave=hashlib.sha256(b"coco quoting enclave (SIMULATED) measurement").digest(),
        mrsigner=hashlib.sha256(b"coco quoting enclave (SIMULATED) signer").digest(),
        attributes=Attributes(AttributeFlag.INIT | AttributeFlag.MODE64BIT | AttributeFlag.PROVISIONKEY, 0xE7),
        isvprodid=QE_ISVPRODID,
        isvsvn=isvsvn,
    )


def provisioning_key(cpu: SimulatedSgx) -> ec.EllipticCurvePrivateKey:
    """Return the processor's PCK, which its provisioning certification enclave uses; the authority certifies it."""
    return p256_key(cpu.derive(b"provisioning certification key", 64))


class QuotingEnclave:
    """See the module. pck_chain_pem: leaf, intermediate and root, the leaf certifying this processor's PCK."""

    def __init__(
        self, cpu: SimulatedSgx, pck_chain_pem: bytes, *, pce_svn: int, enclave: Enclave | None = None
    ) -> None:
        self._cpu = cpu
        self._pck_chain_pem = pck_chain_pem
        self._pck = provisioning_key(cpu)
        self._pce_svn = pce_svn
        self._enclave = enclave or quoting_enclave_identity()
        self._attestation_key = self._make_attestation_key()
        self._qe_report, self._qe_report_signature = self._certify()
        self._platform_id = cpu.derive(b"quoting enclave id", 16)

    def target_info(self) -> TargetInfo:
        """Return for whom a report must be made to become a quote."""
        return self._enclave.target_info()

    def quote(self, report: bytes) -> bytes:
        """Return the quote of a 432-byte report; raises MalformedStructure, or AuthenticationFailed for its MAC."""
        body = self._cpu.verify_report(self._enclave, report)
        header = QuoteHeader(
            SGX_VERSION, SGX_TEE_TYPE, self._enclave.isvsvn, self._pce_svn, self._platform_id + bytes(4)
        )
        return Quote(
            header,
            body,
            QuoteSignature(
                signature=raw_signature(self._attestation_key, header.encode() + body.encode()),
                attestation_key=raw_public_key(self._attestation_key),
                qe_report=self._qe_report,
                qe_report_signature=self._qe_report_signature,
                qe_authentication_data=QE_AUTHENTICATION_DATA,
                pck_chain_pem=self._pck_chain_pem,
            ),
        ).encode()

    def _make_attestation_key(self) -> ec.EllipticCurvePrivateKey:
        request = KeyRequest(KeyName.SEAL, self._cpu.cpusvn, KeyPolicy.MRENCLAVE, self._enclave.isvsvn)
        seal_key = self._cpu.egetkey(self._enclave, request)
        return p256_key(HKDF(algorithm=SHA256(), length=64, salt=None, info=b"attestation key").derive(seal_key))

    def _certify(self) -> tuple[ReportBody, bytes]:
        """Bind the attestation key in a report of this enclave, and have the PCK sign it, as the PCE does."""
        bound = hashlib.sha256(raw_public_key(self._attestation_key) + QE_AUTHENTICATION_DATA).digest()
        report = self._cpu.ereport(self._enclave, self._enclave.target_info(), bound + bytes(32))
        body = parse_report(report).body
        return body, raw_signature(self._pck, body.encode())
