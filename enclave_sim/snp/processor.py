"""A simulated SEV-SNP secure processor and its vendor.

The chain has AMD's shape (ARK, ASK, VCEK) and every name says (SIMULATED), but its authorities sign with ECDSA P-256
where AMD's sign with RSA-4096: RSA keys cannot be derived from one secret.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding

from enclave_sim.pki.issuing import Validity, issue_certificate, issue_revocation_list, make_issuer, make_root
from enclave_sim.snp.report import SnpReport, SnpTcb
from enclave_sim.snp.vcek import CHIP_ID_BYTES, VcekFacts, encode_vcek_extensions

POLICY_DEFAULT = 0x30000
_P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)


class SimulatedSnp:
    """A processor. fuses: 32 secret random bytes; its key (VCEK) is another at each TCB, as AMD's is."""

    def __init__(self, fuses: bytes, tcb: SnpTcb) -> None:
        if len(fuses) != 32:
            raise ValueError("fuses are 32 bytes")
        self._fuses = fuses
        scalar = int.from_bytes(self._derive(b"vcek" + tcb.encode(), 72), "big") % (_P384_ORDER - 1) + 1
        self._vcek = ec.derive_private_key(scalar, ec.SECP384R1())
        self.facts = VcekFacts(self._derive(b"chip id", CHIP_ID_BYTES), tcb)

    def __repr__(self) -> str:
        return f"<SimulatedSnp {self.facts.chip_id[:8].hex()}>"

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._vcek.public_key()

    def report(
        self, measurement: bytes, report_data: bytes, *, guest_svn: int = 0, policy: int = POLICY_DEFAULT
    ) -> bytes:
        """Return the report on a guest; measurement: 48 bytes, report data: 64 (ValueError otherwise)."""
        if len(measurement) != 48 or len(report_data) != 64:
            raise ValueError("a measurement is 48 bytes and report data 64")
        tcb = self.facts.tcb
        unsigned = SnpReport(
            version=2,
            guest_svn=guest_svn,
            policy=policy,
            family_id=bytes(16),
            image_id=bytes(16),
            vmpl=0,
            current_tcb=tcb,
            platform_info=1,
            key_information=0,
            report_data=report_data,
            measurement=measurement,
            host_data=bytes(32),
            id_key_digest=bytes(48),
            author_key_digest=bytes(48),
            report_id=self._derive(b"report id" + measurement, 32),
            report_id_ma=b"\xff" * 32,
            reported_tcb=tcb,
            cpuid=bytes(24),
            chip_id=self.facts.chip_id,
            committed_tcb=tcb,
            firmware_versions=bytes.fromhex("0437010004370100"),
            launch_tcb=tcb,
            r=bytes(72),
            s=bytes(72),
        )
        signed = unsigned.signed()
        r, s = decode_dss_signature(self._vcek.sign(signed, ec.ECDSA(SHA384(), deterministic_signing=True)))
        return signed + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)

    def _derive(self, label: bytes, size_bytes: int) -> bytes:
        info = b"coco simulated SNP 1 " + label
        return HKDF(algorithm=SHA256(), length=size_bytes, salt=None, info=info).derive(self._fuses)


class SimulatedSnpVendor:
    """Stands where AMD stands. secret: 32 random bytes; validity: of all its certificates."""

    def __init__(self, secret: bytes, validity: Validity) -> None:
        self._validity = validity
        self._ark = make_root(secret, "Coco ARK-Milan (SIMULATED)", validity)
        self._ask = make_issuer(self._ark, secret, "Coco SEV-Milan (SIMULATED)", validity)

    @property
    def root_certificate(self) -> bytes:
        """The root certificate (DER), which goes into trust stores."""
        return self._ark.der

    def issue_vcek_chain(self, processor: SimulatedSnp) -> tuple[bytes, bytes, bytes]:
        """Certify a processor's key; returns VCEK, ASK and ARK (DER)."""
        extensions = encode_vcek_extensions(processor.facts)
        common_name = "Coco SEV-VCEK (SIMULATED)"
        vcek = issue_certificate(self._ask, common_name, processor.public_key(), self._validity, extensions=extensions)
        return vcek.public_bytes(Encoding.DER), self._ask.der, self._ark.der

    def revocation_list(self, validity: Validity, *, revoke_ask: bool = False) -> bytes:
        """Return the ARK's list (DER)."""
        serials = (self._ask.certificate.serial_number,) if revoke_ask else ()
        return issue_revocation_list(self._ark, validity, serials)
