"""Collateral: everything besides the quote that a verifier needs, in the JSON shape that DCAP tools share.

Chains are PEM; revocation lists DER in hexadecimal; documents JSON as text; signatures r | s in hexadecimal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from core.errors import LimitExceeded, MalformedMessage

COLLATERAL_BYTES_MAX = 1024 * 1024
SIGNATURE_BYTES = 64
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.IGNORECASE)


class MalformedCollateral(MalformedMessage):
    """A collateral file that is not the expected JSON."""


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    pck_crl_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: str
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: str
    pck_certificate_chain: str | None = None
    """Some tools add it. The chain is read from the quote alone, which it is part of."""


@dataclass(frozen=True, slots=True)
class Collateral:
    """Bytes exactly as signed or issued: chains PEM, lists DER, documents JSON, signatures 64 bytes."""

    pck_crl_issuer_chain: bytes
    root_ca_crl: bytes
    pck_crl: bytes
    tcb_info_issuer_chain: bytes
    tcb_info: bytes
    tcb_info_signature: bytes
    qe_identity_issuer_chain: bytes
    qe_identity: bytes
    qe_identity_signature: bytes

    def to_json(self) -> bytes:
        """Return the file's content."""
        return msgspec.json.format(
            msgspec.json.encode(
                {
                    "pck_crl_issuer_chain": self.pck_crl_issuer_chain.decode(),
                    "root_ca_crl": self.root_ca_crl.hex(),
                    "pck_crl": self.pck_crl.hex(),
                    "tcb_info_issuer_chain": self.tcb_info_issuer_chain.decode(),
                    "tcb_info": self.tcb_info.decode(),
                    "tcb_info_signature": self.tcb_info_signature.hex(),
                    "qe_identity_issuer_chain": self.qe_identity_issuer_chain.decode(),
                    "qe_identity": self.qe_identity.decode(),
                    "qe_identity_signature": self.qe_identity_signature.hex(),
                }
            ),
            indent=2,
        )


def parse_collateral(data: bytes) -> Collateral:
    """Parse a collateral file; raises MalformedCollateral, LimitExceeded."""
    if len(data) > COLLATERAL_BYTES_MAX:
        raise LimitExceeded(f"collateral of {len(data)} bytes; at most {COLLATERAL_BYTES_MAX} are read")
    try:
        shape = msgspec.json.decode(data, type=_Shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedCollateral(f"the collateral is not the expected JSON: {error}") from None
    tcb_info_signature = _bytes_of(shape.tcb_info_signature, "tcb_info_signature")
    qe_identity_signature = _bytes_of(shape.qe_identity_signature, "qe_identity_signature")
    if {len(tcb_info_signature), len(qe_identity_signature)} != {SIGNATURE_BYTES}:
        raise MalformedCollateral(f"a signature in the collateral is not {SIGNATURE_BYTES} bytes")
    return Collateral(
        pck_crl_issuer_chain=shape.pck_crl_issuer_chain.encode(),
        root_ca_crl=_bytes_of(shape.root_ca_crl, "root_ca_crl"),
        pck_crl=_bytes_of(shape.pck_crl, "pck_crl"),
        tcb_info_issuer_chain=shape.tcb_info_issuer_chain.encode(),
        tcb_info=shape.tcb_info.encode(),
        tcb_info_signature=tcb_info_signature,
        qe_identity_issuer_chain=shape.qe_identity_issuer_chain.encode(),
        qe_identity=shape.qe_identity.encode(),
        qe_identity_signature=qe_identity_signature,
    )


def _bytes_of(text: str, name: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise MalformedCollateral(f"{name} in the collateral is not hexadecimal")
    return bytes.fromhex(text)
