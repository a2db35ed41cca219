"""What both sides say in the clear before TLS, and how TLS then covers it.

    hello = length (2 bytes, big-endian) | "coco node" | version | mode | nonce (32 bytes)

Anyone in between can change a hello. Nothing comes of it: the digest of both hellos is the one application protocol
(ALPN, RFC 7301) that the initiator offers and the responder takes, so that a difference ends the handshake at its
first message, and TLS's own transcript, signed by both sides, covers the offer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from core.crypto.hashing import sha256
from core.node.attested_tls.claims import NONCE_BYTES
from core.node.attested_tls.errors import HelloMalformed

HELLO_VERSION = 1
_NAME = b"coco node"
_BODY_BYTES = len(_NAME) + 2 + NONCE_BYTES
_START = _BODY_BYTES.to_bytes(2, "big") + _NAME + bytes([HELLO_VERSION])
HELLO_BYTES = 2 + _BODY_BYTES


class Mode(Enum):
    """How the sides know each other. JOIN: by evidence made for this connection. PINNED: by the registered key."""

    JOIN = 1
    PINNED = 2


@dataclass(frozen=True, slots=True)
class Hello:
    mode: Mode
    nonce: bytes

    def encode(self) -> bytes:
        return _START + bytes([self.mode.value]) + self.nonce


def parse_hello(data: bytes) -> Hello:
    """Parse HELLO_BYTES bytes; raises HelloMalformed."""
    check_hello_start(data)
    if len(data) != HELLO_BYTES:
        raise HelloMalformed(f"a hello of {len(data)} bytes; it has {HELLO_BYTES}")
    try:
        return Hello(Mode(data[len(_START)]), data[len(_START) + 1 :])
    except ValueError:
        raise HelloMalformed(f"a hello of unknown mode {data[len(_START)]}") from None


def check_hello_start(data: bytes | bytearray) -> None:
    """Raise HelloMalformed as soon as these first bytes cannot become a hello."""
    if data[: len(_START)] != _START[: len(data)]:
        raise HelloMalformed(
            "the other side does not begin as a node of this version does",
            hint="Check that the address is a node's, and that both run versions that work together.",
        )


def protocol_of(initiator: Hello, responder: Hello) -> bytes:
    """Return the application protocol (ALPN) of a connection with these hellos."""
    return b"coco node 1 " + sha256(b"coco node hellos 1", initiator.encode(), responder.encode()).hex().encode()
