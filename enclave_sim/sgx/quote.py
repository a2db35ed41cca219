"""ECDSA quotes: version 3 (SGX) and version 4 (TDX), as Intel's DCAP quote generation library writes them.

    v3: header 48 | REPORT body 384 | length u32 | signature 64 | attestation key 64 | certification
    v4: header 48 | TD report body 584 | length u32 | signature 64 | attestation key 64 | type 6 u16 | length u32 |
        certification
    certification: QE REPORT body 384 | its signature 64 | u16 | QE authentication data | type u16 | u32 | data

The signature covers header and body. Integers are little-endian; keys are X | Y, signatures r | s, both big-endian.
Parsing is strict: `parse_quote(data).encode() == data`, and a quote has one encoding only. Source: Intel SGX ECDSA
QuoteLibReference, appendix A; Intel TDX DCAP Quoting Library API, appendix A.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from enclave_sim.sgx.fields import Cursor, MalformedStructure, unpack_exactly
from enclave_sim.sgx.report import REPORT_BODY_BYTES, ReportBody, parse_report_body
from enclave_sim.sgx.tdx import TD_REPORT_BODY_BYTES, TdReportBody, parse_td_report_body

HEADER_BYTES = 48
QUOTE_BYTES_MAX = 32 * 1024
SGX_VERSION = 3
TDX_VERSION = 4
SGX_TEE_TYPE = 0
TDX_TEE_TYPE = 0x81
ECDSA_P256 = 2
INTEL_QE_VENDOR_ID = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
QE_AUTHENTICATION_DATA_BYTES = 32
PCK_CHAIN_TYPE = 5
"""Certification data: the PCK chain (leaf, intermediate, root) as PEM."""
QE_REPORT_TYPE = 6
"""Certification data of version 4: QE report and what certifies it."""

_HEADER = struct.Struct("<HHIHH16s20s")


@dataclass(frozen=True, slots=True)
class QuoteHeader:
    """user_data: 20 bytes, of which the first 16 identify the quoting enclave's platform."""

    version: int
    tee_type: int
    qe_svn: int
    pce_svn: int
    user_data: bytes
    vendor_id: bytes = INTEL_QE_VENDOR_ID
    attestation_key_type: int = ECDSA_P256

    def encode(self) -> bytes:
        """Return the 48 bytes."""
        return _HEADER.pack(
            self.version,
            self.attestation_key_type,
            self.tee_type,
            self.qe_svn,
            self.pce_svn,
            self.vendor_id,
            self.user_data,
        )


@dataclass(frozen=True, slots=True)
class QuoteSignature:
    """What vouches for header and body.

    attestation_key signs them; qe_report binds that key; qe_report_signature is by the PCK, certified by the chain.
    """

    signature: bytes
    attestation_key: bytes
    qe_report: ReportBody
    qe_report_signature: bytes
    qe_authentication_data: bytes
    pck_chain_pem: bytes

    def encode(self, version: int) -> bytes:
        """Return the signature data, without its length."""
        certification = (
            self.qe_report.encode()
            + self.qe_report_signature
            + _prefixed(self.qe_authentication_data, 2)
            + _certification(PCK_CHAIN_TYPE, self.pck_chain_pem)
        )
        if version == TDX_VERSION:
            certification = _certification(QE_REPORT_TYPE, certification)
        return self.signature + self.attestation_key + certification


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote on an SGX enclave (version 3) or a TDX trust domain (version 4)."""

    header: QuoteHeader
    body: ReportBody | TdReportBody
    signature: QuoteSignature

    def signed(self) -> bytes:
        """Return the bytes that the attestation key signs."""
        return self.header.encode() + self.body.encode()

    def encode(self) -> bytes:
        return self.signed() + _prefixed(self.signature.encode(self.header.version), 4)


def parse_header(data: bytes) -> QuoteHeader:
    """Parse 48 bytes; raises MalformedStructure for versions, key types, vendors and TEEs other than ours."""
    version, key_type, tee_type, qe_svn, pce_svn, vendor_id, user_data = unpack_exactly(_HEADER, data, "quote header")
    if version not in (SGX_VERSION, TDX_VERSION):
        raise MalformedStructure("quote header", f"version {version}; 3 (SGX) and 4 (TDX) are read")
    if tee_type != (SGX_TEE_TYPE if version == SGX_VERSION else TDX_TEE_TYPE):
        raise MalformedStructure("quote header", f"TEE type {tee_type:#x} in version {version}")
    if key_type != ECDSA_P256:
        raise MalformedStructure("quote header", f"attestation key type {key_type}; 2 (ECDSA P-256) is read")
    if vendor_id != INTEL_QE_VENDOR_ID:
        raise MalformedStructure("quote header", f"quoting enclave of the unknown vendor {vendor_id.hex()}")
    return QuoteHeader(version, tee_type, qe_svn, pce_svn, user_data)


def parse_quote(data: bytes) -> Quote:
    """Parse a whole quote; raises MalformedStructure. Verifies nothing."""
    if len(data) > QUOTE_BYTES_MAX:
        raise MalformedStructure("quote", f"{len(data)} bytes; at most {QUOTE_BYTES_MAX} are read")
    cursor = Cursor(data, "quote")
    header = parse_header(cursor.take(HEADER_BYTES))
    body: ReportBody | TdReportBody
    if header.version == SGX_VERSION:
        body = parse_report_body(cursor.take(REPORT_BODY_BYTES))
    else:
        body = parse_td_report_body(cursor.take(TD_REPORT_BODY_BYTES))
    signature_data = cursor.take(cursor.take_integer(4))
    cursor.finish()
    return Quote(header, body, _parse_signature(signature_data, header.version))


def without_padding(data: bytes) -> bytes:
    """Return a quote without the zero bytes that TDX's kernel interface hands out after it.

    Files of quotes often hold the whole fixed buffer. The verifier itself takes no trailing bytes, so this is for
    whoever reads a file. Data that is no quote, or has other bytes after it, is returned as it is.
    """
    sizes = {SGX_VERSION: REPORT_BODY_BYTES, TDX_VERSION: TD_REPORT_BODY_BYTES}
    body_bytes = sizes.get(int.from_bytes(data[:2], "little"))
    if body_bytes is None:
        return data
    start = HEADER_BYTES + body_bytes + 4
    end = start + int.from_bytes(data[start - 4 : start], "little")
    return data[:end] if end < len(data) and not any(data[end:]) else data


def _parse_signature(data: bytes, version: int) -> QuoteSignature:
    cursor = Cursor(data, "quote signature data")
    signature, attestation_key = cursor.take(64), cursor.take(64)
    if version == TDX_VERSION:
        certification = _take_certification(cursor, QE_REPORT_TYPE)
        cursor.finish()
        cursor = Cursor(certification, "QE report certification data")
    qe_report = parse_report_body(cursor.take(REPORT_BODY_BYTES))
    qe_report_signature = cursor.take(64)
    authentication_data = cursor.take(cursor.take_integer(2))
    if len(authentication_data) != QE_AUTHENTICATION_DATA_BYTES:
        raise MalformedStructure("quote signature data", f"{len(authentication_data)} bytes of QE authentication data")
    pck_chain_pem = _take_certification(cursor, PCK_CHAIN_TYPE)
    cursor.finish()
    return QuoteSignature(
        signature, attestation_key, qe_report, qe_report_signature, authentication_data, pck_chain_pem
    )


def _take_certification(cursor: Cursor, expected_type: int) -> bytes:
    kind = cursor.take_integer(2)
    if kind != expected_type:
        raise MalformedStructure("quote signature data", f"certification data of type {kind}; expected {expected_type}")
    return cursor.take(cursor.take_integer(4))


def _certification(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "little") + _prefixed(data, 4)


def _prefixed(data: bytes, length_bytes: int) -> bytes:
    return len(data).to_bytes(length_bytes, "little") + data
