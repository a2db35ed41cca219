"""What an actor signs for a node of its own (`public:coco.authorizations`): the entry on the list of nodes is thereby
signed by its member.

A ticket is for one node, by its id; a delegation for so many nodes, one after the other, of the code it names, so that
a node can come back without anybody being asked. Both are COSE_Sign1 messages of the type "authorization" (signed.py).
Payload, JSON: {"network": constitution digest, "service": SHA-256 of the service's certificate (DER), "slot",
"address", "measurements": {"manager", "worker"}, "node": node id or null, "count", "not_after": Unix seconds}; digests
and measurements are hexadecimal.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated

import msgspec

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.governance.constitution import Constitution, Identity
from core.governance.names import check_address, check_slot_name
from core.governance.signed import SECONDS_MAX, Kind, ParsedMessage, parse, sign, verify_signature
from core.types import Digest, NodeId

AUTHORIZATIONS = "public:coco.authorizations"

_KINDS: tuple[Kind, ...] = ("authorization",)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MEASUREMENT = re.compile(r"[0-9a-f]{64}(?:[0-9a-f]{32})?")


class Measurements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a node's enclaves, hexadecimal."""

    manager: str
    worker: str


class Ticket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module. node: None for a delegation."""

    network: str
    service: str
    slot: str
    address: str
    measurements: Measurements
    node: str | None
    count: Annotated[int, msgspec.Meta(ge=1, le=limits.DELEGATION_COUNT_MAX)]
    not_after: Annotated[int, msgspec.Meta(ge=0, lt=SECONDS_MAX)]

    @property
    def is_delegation(self) -> bool:
        return self.node is None

    def check(self) -> None:
        """Raise CocoError for a ticket that means nothing."""
        check_slot_name(self.slot)
        check_address(self.address)
        for name, value in (("network", self.network), ("service", self.service), ("node", self.node or "0" * 64)):
            if _DIGEST.fullmatch(value) is None:
                raise MalformedMessage(f"the authorization's {name} is not 64 hexadecimal digits")
        for value in (self.measurements.manager, self.measurements.worker):
            if _MEASUREMENT.fullmatch(value) is None:
                raise MalformedMessage(f"the authorization has a measurement of another form: {value[:100]!r}")
        if self.node is not None and self.count != 1:
            raise MalformedMessage(f"the authorization is for one node, {self.count} times")


@dataclass(frozen=True, slots=True)
class Authorization:
    """A ticket as it was signed. Nothing is verified. message: the COSE_Sign1; digest: by which it is known."""

    ticket: Ticket
    created_at: int
    digest: Digest
    message: bytes
    parsed: ParsedMessage

    def verify_signer(self, constitution: Constitution) -> Identity:
        """Return the actor that signed; raises AuthenticationFailed."""
        return verify_signature(self.parsed, constitution)


class AuthorizationUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the ledger holds of an authorization. message: base64; uses: nodes that have joined by it."""

    message: str
    uses: int

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def of(cls, message: bytes, uses: int) -> AuthorizationUse:
        return cls(base64.b64encode(message).decode(), uses)

    @classmethod
    def decode(cls, data: bytes) -> AuthorizationUse:
        """Decode; raises MalformedMessage."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedMessage(f"the record of an authorization does not parse: {error}") from None

    def message_bytes(self) -> bytes:
        """Return the COSE_Sign1; raises MalformedMessage."""
        try:
            return base64.b64decode(self.message, validate=True)
        except (binascii.Error, ValueError):
            raise MalformedMessage("an authorization in the ledger is not base64") from None


def sign_ticket(
    *,
    network: Digest,
    service: str,
    slot: str,
    address: str,
    measurements: Measurements,
    node: NodeId,
    not_after: int,
    certificate: str,
    key: PrivateKey,
    created_at: int,
) -> bytes:
    """Return a ticket for one node. service: fingerprint of the service's certificate; times: Unix seconds."""
    ticket = Ticket(network.hex(), service, slot, address, measurements, node, 1, not_after)
    return _sign(ticket, certificate, key, created_at)


def sign_delegation(
    *,
    network: Digest,
    service: str,
    slot: str,
    address: str,
    measurements: Measurements,
    count: int,
    not_after: int,
    certificate: str,
    key: PrivateKey,
    created_at: int,
) -> bytes:
    """Return a delegation for so many nodes. service: fingerprint of the service's certificate; times: Unix seconds."""
    ticket = Ticket(network.hex(), service, slot, address, measurements, None, count, not_after)
    return _sign(ticket, certificate, key, created_at)


def parse_authorization(data: bytes) -> Authorization:
    """Parse a ticket or a delegation, and verify nothing; raises MalformedMessage, LimitExceeded, CocoError."""
    parsed = parse(data, _KINDS)
    try:
        ticket = msgspec.json.decode(parsed.payload, type=Ticket)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"the authorization does not parse: {error}") from None
    ticket.check()
    _check_period(ticket, parsed.created_at)
    return Authorization(ticket, parsed.created_at, parsed.digest, data, parsed)


def verify_authorization(data: bytes, constitution: Constitution) -> tuple[Authorization, Identity]:
    """Return an authorization of an actor of this network, and the actor. When and for what it counts, others judge.

    Raises AuthenticationFailed, MalformedMessage, LimitExceeded, CocoError.
    """
    authorization = parse_authorization(data)
    if authorization.ticket.network != constitution.digest().hex():
        raise AuthenticationFailed("the authorization was signed for another network")
    return authorization, authorization.verify_signer(constitution)


def _sign(ticket: Ticket, certificate: str, key: PrivateKey, created_at: int) -> bytes:
    ticket.check()
    _check_period(ticket, created_at)
    if not 1 <= ticket.count <= limits.DELEGATION_COUNT_MAX:
        raise CocoError(f"a delegation for {ticket.count} nodes", hint=f"Say 1 to {limits.DELEGATION_COUNT_MAX}.")
    payload = msgspec.json.encode(ticket)
    return sign("authorization", payload, certificate=certificate, key=key, created_at=created_at)


def _check_period(ticket: Ticket, created_at: int) -> None:
    if not 0 <= ticket.not_after - created_at <= limits.AUTHORIZATION_SECONDS_MAX:
        days = limits.AUTHORIZATION_SECONDS_MAX // 86_400
        raise MalformedMessage(f"the authorization does not end within {days} days of when it was signed")
