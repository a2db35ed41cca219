"""The simulated CPU: from its fuses it derives the keys that vouch for enclaves and seal their data.

Shaped after SGX: EREPORT (a report MAC'ed under a key only this CPU has), EGETKEY (sealing keys bound to measurement
or signer, product and security version) and a quoting key. The formats are our own until they become SGX's.

    report = "COCOREP1" | measurement 32 | signer 32 | product u16 | security version u16 | flags u8 | data 64 | MAC 32
    quote  = "COCOQUO1" | the same claims | public key (DER, u16 length) | ECDSA P-256 signature (DER, u16 length)

Integers are little-endian. Invariant: only `identity`, which the launcher fixed from the files it measured, goes into
a report, a quote or a key; an enclave chooses nothing but `data`. This is a SIMULATION: whoever reads the fuses is
the CPU.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from core.errors import AuthenticationFailed
from core.ports import ReportClaims

TEE = "simulated"
"""The `tee` of every claim made here: no hardware stands behind it."""

FUSES_BYTES = 32
REPORT_DATA_BYTES = 64
KEY_ID_BYTES = 32
SECURITY_VERSION = 1
DEVELOPMENT_SIGNER = hashlib.sha256(b"coco simulated development signer").digest()
"""The signer of every simulated enclave, standing for MRSIGNER: new code of the same signer opens the old data."""

EnclaveKind = Literal["manager", "worker"]
SealPolicy = Literal["signer", "measurement"]

PRODUCT: dict[EnclaveKind, int] = {"manager": 1, "worker": 2}
"""Part of every sealing key, so that a worker never derives a manager's, though one signer signs both."""

_CLAIMS = struct.Struct("<32s32sHHB64s")
_REPORT_MAGIC = b"COCOREP1"
_QUOTE_MAGIC = b"COCOQUO1"
_REPORT_BYTES = len(_REPORT_MAGIC) + _CLAIMS.size + 32
_QUOTE_BYTES_MAX = 1024
_DEBUG_FLAG = 1
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class EnclaveIdentity:
    """Who an enclave is: 32-byte measurement and signer, product (manager or worker), security version."""

    measurement: bytes
    kind: EnclaveKind
    signer: bytes = DEVELOPMENT_SIGNER
    security_version: int = SECURITY_VERSION
    debug: bool = False


class SimulatedCpu:
    """See the module. fuses: 32 secret random bytes."""

    def __init__(self, fuses: bytes) -> None:
        if len(fuses) != FUSES_BYTES:
            raise ValueError("fuses are 32 bytes")
        self._fuses = fuses
        self._report_key = self._derive(b"report")
        # A 64-byte value modulo the order is unbiased for all purposes (FIPS 186-5, A.2.1).
        scalar = int.from_bytes(self._derive(b"quoting key", size_bytes=64), "big") % (_P256_ORDER - 1) + 1
        self._quoting_key = ec.derive_private_key(scalar, ec.SECP256R1())
        self._quoting_public = self._quoting_key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        self.platform_id = platform_id(self._quoting_public)

    def __repr__(self) -> str:
        return f"<SimulatedCpu {self.platform_id}>"

    def report(self, identity: EnclaveIdentity, report_data: bytes) -> bytes:
        """Return a local report; report_data: 64 bytes (ValueError otherwise)."""
        body = _REPORT_MAGIC + _pack_claims(identity, report_data)
        return body + hmac.digest(self._report_key, body, "sha256")

    def verify_report(self, report: bytes) -> ReportClaims:
        """Verify a report of this CPU; raises AuthenticationFailed."""
        body, mac = report[:-32], report[-32:]
        expected = hmac.digest(self._report_key, body, "sha256")
        if len(report) != _REPORT_BYTES or not hmac.compare_digest(mac, expected) or body[:8] != _REPORT_MAGIC:
            raise AuthenticationFailed("the local report was not made on this platform")
        return _unpack_claims(body[8:], self.platform_id)

    def quote(self, identity: EnclaveIdentity, report_data: bytes) -> bytes:
        """Return a quote, which `verify_quote` checks anywhere; report_data: 64 bytes (ValueError otherwise)."""
        body = _QUOTE_MAGIC + _pack_claims(identity, report_data) + _prefixed(self._quoting_public)
        return body + _prefixed(self._quoting_key.sign(body, ec.ECDSA(SHA256())))

    def sealing_key(self, identity: EnclaveIdentity, policy: SealPolicy, security_version: int, key_id: bytes) -> bytes:
        """Return the 32-byte key for this identity under that policy; key_id: 32 public bytes, one per key.

        Raises AuthenticationFailed for a security version above the enclave's own: newer code sealed it.
        """
        if not 0 <= security_version <= identity.security_version:
            raise AuthenticationFailed(
                f"sealed at security version {security_version}; this enclave has {identity.security_version}",
                hint="Run a build at least as new as the one that sealed the data.",
            )
        bound = identity.measurement if policy == "measurement" else identity.signer
        context = struct.pack("<HH", PRODUCT[identity.kind], security_version) + bound + key_id
        return self._derive(b"seal " + policy.encode(), context)

    def _derive(self, label: bytes, context: bytes = b"", size_bytes: int = 32) -> bytes:
        info = b"coco simulated cpu 1 " + len(label).to_bytes(2, "little") + label + context
        return HKDF(algorithm=SHA256(), length=size_bytes, salt=None, info=info).derive(self._fuses)


def platform_id(quoting_public_key: bytes) -> str:
    """Return the id of the platform with that quoting key (DER): its SHA-256 in hexadecimal."""
    return hashlib.sha256(quoting_public_key).hexdigest()


def unpack_quote(quote: bytes) -> ReportClaims:
    """Check the form and the signature of a quote, against the key it holds itself; raises AuthenticationFailed.

    Which platforms to believe is for the caller: see verify.py.
    """
    if len(quote) > _QUOTE_BYTES_MAX or quote[:8] != _QUOTE_MAGIC:
        raise AuthenticationFailed("not a simulated quote")
    key_start = len(_QUOTE_MAGIC) + _CLAIMS.size
    public, signature_start = _take_prefixed(quote, key_start)
    signature, end = _take_prefixed(quote, signature_start)
    if end != len(quote):
        raise AuthenticationFailed("not a simulated quote: trailing bytes")
    try:
        key = load_der_public_key(public)
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise AuthenticationFailed("the quoting key is not P-256")
        key.verify(signature, quote[:signature_start], ec.ECDSA(SHA256()))
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        raise AuthenticationFailed("the quote's signature does not verify") from None
    return _unpack_claims(quote[len(_QUOTE_MAGIC) : key_start], platform_id(public))


def _pack_claims(identity: EnclaveIdentity, report_data: bytes) -> bytes:
    if len(report_data) != REPORT_DATA_BYTES or len(identity.measurement) != 32:
        raise ValueError("report data is 64 bytes and a measurement 32")
    flags = _DEBUG_FLAG if identity.debug else 0
    return _CLAIMS.pack(
        identity.measurement,
        identity.signer,
        PRODUCT[identity.kind],
        identity.security_version,
        flags,
        report_data,
    )


def _unpack_claims(packed: bytes, platform: str) -> ReportClaims:
    measurement, signer, _product, security_version, flags, report_data = _CLAIMS.unpack(packed)
    return ReportClaims(
        measurement=measurement,
        signer=signer,
        security_version=security_version,
        report_data=report_data,
        platform=platform,
        tee=TEE,
        debug=bool(flags & _DEBUG_FLAG),
        simulated=True,
    )


def _prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "little") + data


def _take_prefixed(data: bytes, start: int) -> tuple[bytes, int]:
    end = start + 2 + int.from_bytes(data[start : start + 2], "little")
    if start + 2 > len(data) or end > len(data):
        raise AuthenticationFailed("not a simulated quote: cut short")
    return data[start + 2 : end], end
