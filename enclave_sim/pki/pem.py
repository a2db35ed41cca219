"""Certificate chains as PEM, read in one form only: 64 columns, line feeds, no text around.

Intel's quoting enclave ends the chain inside a quote with a zero byte (of the C string); one is taken there.
"""

from __future__ import annotations

import base64
import binascii

from core.errors import MalformedMessage

CERTIFICATE_BYTES_MAX = 4096
CHAIN_CERTIFICATES_MAX = 4
_BEGIN = b"-----BEGIN CERTIFICATE-----\n"
_END = b"-----END CERTIFICATE-----\n"
_COLUMNS = 64


class MalformedPem(MalformedMessage):
    """Bytes that are not a chain of PEM certificates in canonical form."""


def encode_chain(certificates: tuple[bytes, ...]) -> bytes:
    """Return DER certificates as one PEM text."""
    return b"".join(_encode(der) for der in certificates)


def parse_chain(pem: bytes) -> tuple[bytes, ...]:
    """Return the DER certificates of a PEM text; raises MalformedPem."""
    text = pem.removesuffix(b"\0")
    if not text.endswith(b"\n"):
        text += b"\n"
    blocks = text.split(_BEGIN)
    if blocks[0] or not 1 <= len(blocks) - 1 <= CHAIN_CERTIFICATES_MAX:
        raise MalformedPem("the certificate chain is not PEM, or too long")
    return tuple(_decode(block) for block in blocks[1:])


def _encode(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = (text[start : start + _COLUMNS] + b"\n" for start in range(0, len(text), _COLUMNS))
    return _BEGIN + b"".join(lines) + _END


def _decode(block: bytes) -> bytes:
    if not block.endswith(_END):
        raise MalformedPem("a certificate is not PEM")
    try:
        der = base64.b64decode(block.removesuffix(_END).replace(b"\n", b""), validate=True)
    except binascii.Error:
        raise MalformedPem("a certificate is not base64") from None
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise MalformedPem(f"a certificate of {len(der)} bytes; at most {CERTIFICATE_BYTES_MAX} are read")
    if _encode(der) != _BEGIN + block:
        raise MalformedPem("a certificate's PEM is not in its canonical form")
    return der
