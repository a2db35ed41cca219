"""What a node asks its member to sign: a JSON file, which anybody may have changed on its way.

{"version": 1, "network": constitution digest, "slot", "address", "node": node id, "public_key": PEM, "quote" and
"collateral": base64, "measurements": {"manager", "worker"}, "until": Unix seconds}. The quote is over the node's id;
who signs verifies it first. The rest is the host's word: a ticket that says other than is so is of no use to anybody.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from core import limits
from core.crypto.keys import PublicKey
from core.errors import CocoError, LimitExceeded, MalformedMessage
from core.governance.authorizations import Measurements
from core.governance.names import check_address, check_slot_name
from core.types import NodeId

REQUEST_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TicketRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module. until: how long the node keeps its key."""

    network: str
    slot: str
    address: str
    node: str
    public_key: str
    quote: str
    collateral: str
    measurements: Measurements
    until: int
    version: int = REQUEST_VERSION

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @property
    def node_id(self) -> NodeId:
        return NodeId(self.node)

    @property
    def quote_bytes(self) -> bytes:
        return _bytes(self.quote)

    @property
    def collateral_bytes(self) -> bytes:
        return _bytes(self.collateral)

    def check(self) -> None:
        """Raise CocoError for a request that means nothing."""
        if self.version != REQUEST_VERSION:
            raise MalformedMessage(f"the request has version {self.version}; this build reads {REQUEST_VERSION}")
        check_slot_name(self.slot)
        check_address(self.address)
        for name, value in (("network", self.network), ("node", self.node)):
            if _DIGEST.fullmatch(value) is None:
                raise MalformedMessage(f"the request's {name} is not 64 hexadecimal digits")
        if PublicKey.from_pem(self.public_key).node_id() != self.node:
            raise MalformedMessage("the request names a node by another id than its key's")
        _bytes(self.quote), _bytes(self.collateral)


def parse_request(data: bytes) -> TicketRequest:
    """Parse a request, and verify nothing; raises MalformedMessage, LimitExceeded, CocoError."""
    if len(data) > limits.TICKET_REQUEST_BYTES_MAX:
        raise LimitExceeded(f"a request of {len(data)} bytes; the bound is {limits.TICKET_REQUEST_BYTES_MAX}")
    try:
        request = msgspec.json.decode(data, type=TicketRequest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"this is no request for a ticket: {error}") from None
    try:
        request.check()
    except MalformedMessage:
        raise
    except CocoError as error:
        raise MalformedMessage(f"this is no request for a ticket: {error.message}") from None
    return request


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage("the request's evidence is not base64") from None
