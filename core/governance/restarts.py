"""What members sign when a network starts again: the request of the node that would start it, and their approvals.

Under the policy `members` every start after the first needs them; under either policy a start does that gives up the
disks of nodes which are lost (`accept_loss`). A request is made anew, with a nonce of its own, at each start of the
node that makes it. An approval is a COSE_Sign1 of the type "restart-approval" (signed.py) whose payload, JSON, repeats
what the member was shown: {"network", "service", "node", "view", "seqno", "new_view", "nonce", "accept_loss",
"request": SHA-256 of the whole request}. Both stand in the ledger (`public:coco.restarts`), in the first block of the
start.

Invariant: an approval counts for one request, of one member, once. DESIGN section 5.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from core import limits
from core.crypto.hashing import sha256
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution
from core.governance.signed import Kind, parse, sign, verify_signature
from core.types import Digest

RESTARTS = "public:coco.restarts"
REQUEST_VERSION = 1
NONCE_BYTES = 32

_KINDS: tuple[Kind, ...] = ("restart-approval",)
_DIGEST = re.compile(r"[0-9a-f]{64}")
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class DiskOfNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A disk that counts: who wrote it, in which slot ("" for one that is none any more), and how far it reaches."""

    slot: str
    node: str
    view: Number
    seqno: Number


class MissingDisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A voter of the last configuration whose disk was not shown."""

    slot: str
    node: str


class RestartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node would do. Digests, node ids and the nonce are hexadecimal.

    network: the constitution's digest. service: SHA-256 of the service's certificate (DER). node, slot: who would start
    the network, under an id made at this start. view, seqno, root: the end of the ledger it would go on from, and the
    Merkle root over all entries up to there. new_view: that it would begin. disks: that count, the node's own first.
    accept_loss: they are fewer than a quorum, or a quorum that cannot decide: what else was acknowledged is given up.
    """

    version: int
    network: str
    service: str
    node: str
    slot: str
    view: Number
    seqno: Number
    root: str
    new_view: Number
    nonce: str
    disks: tuple[DiskOfNode, ...]
    missing: tuple[MissingDisk, ...]
    accept_loss: bool

    def encode(self) -> bytes:
        """Return the one form of it, whose digest members sign."""
        return msgspec.json.encode(self)

    def digest(self) -> Digest:
        return sha256(self.encode())

    @classmethod
    def decode(cls, data: bytes) -> RestartRequest:
        """Decode and check; raises MalformedMessage for all but what `encode` returns, LimitExceeded."""
        if len(data) > limits.RESTART_REQUEST_BYTES_MAX:
            raise LimitExceeded(f"a restart request of {len(data)} bytes")
        try:
            request = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedMessage(f"the restart request does not parse: {error}") from None
        if request.version != REQUEST_VERSION:
            raise MalformedMessage(f"the restart request has version {request.version}; this is {REQUEST_VERSION}")
        for name in ("network", "service", "node", "root", "nonce"):
            if _DIGEST.fullmatch(getattr(request, name)) is None:
                raise MalformedMessage(f"the restart request's {name} is not 64 hexadecimal digits")
        if request.encode() != data:
            raise MalformedMessage("the restart request is not in its one form")
        return request


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module."""

    network: str
    service: str
    node: str
    view: Number
    seqno: Number
    new_view: Number
    nonce: str
    accept_loss: bool
    request: str

    @classmethod
    def of(cls, request: RestartRequest) -> _Payload:
        fields = {name: getattr(request, name) for name in cls.__struct_fields__ if name != "request"}
        return cls(**fields, request=request.digest().hex())


class ApprovalRefused(AuthenticationFailed):
    """An approval does not count. reason: its word."""

    exit_code = 6
    reason: ClassVar[str]


class ApprovalMalformed(ApprovalRefused):
    """No approval at all."""

    reason = "malformed"


class ApprovalNotSigned(ApprovalRefused):
    """No actor of the network has signed it, or other bytes than these."""

    reason = "not-signed"


class ApproverNoMember(ApprovalRefused):
    """An actor that is no member."""

    reason = "not-a-member"


class ApprovedAnotherNetwork(ApprovalRefused):
    """Another constitution's network."""

    reason = "another-network"


class ApprovedAnotherService(ApprovalRefused):
    """Another service under the same constitution."""

    reason = "another-service"


class ApprovedAnotherNode(ApprovalRefused):
    """Another node is to start the network, or this one before it was started anew."""

    reason = "another-node"


class ApprovedAnotherEnd(ApprovalRefused):
    """Another end of the ledger, or another view to begin."""

    reason = "another-end"


class ApprovedAnotherNonce(ApprovalRefused):
    """A request of another start."""

    reason = "another-nonce"


class ApprovedOtherTerms(ApprovalRefused):
    """The same end, but other disks, or another word on whether a loss is accepted."""

    reason = "other-terms"


class ApprovedTwice(ApprovalRefused):
    """The member has approved already."""

    reason = "repeated"


def sign_approval(request: RestartRequest, *, certificate: str, key: PrivateKey, created_at: int) -> bytes:
    """Return a member's approval. certificate: the member's (PEM), for key."""
    payload = msgspec.json.encode(_Payload.of(request))
    return sign("restart-approval", payload, certificate=certificate, key=key, created_at=created_at)


def approvals_needed(constitution: Constitution, *, accept_loss: bool) -> int:
    """Return how many members must approve of a start after the first; 0: none.

    To accept a loss it takes more than half of them in any case: so two survivors that do not know of each other cannot
    both be approved of, unless a member approves of both.
    """
    needed = constitution.restart_approvals if constitution.restart == "members" else 0
    return max(needed, len(constitution.members) // 2 + 1) if accept_loss else needed


class Approvals:
    """Counts the members that approve of one request. Invariant: each counts once."""

    def __init__(self, request: RestartRequest, constitution: Constitution) -> None:
        self.request = request
        self.needed = approvals_needed(constitution, accept_loss=request.accept_loss)
        self._constitution = constitution
        self._taken: dict[str, bytes] = {}

    @property
    def members(self) -> Sequence[str]:
        """Who has approved, in the order in which they came."""
        return tuple(self._taken)

    @property
    def messages(self) -> Sequence[bytes]:
        return tuple(self._taken.values())

    @property
    def are_enough(self) -> bool:
        return len(self._taken) >= self.needed

    def take(self, data: bytes) -> str:
        """Count an approval, and return whose it is; raises an ApprovalRefused."""
        member = verify_approval(data, self.request, self._constitution)
        if member in self._taken:
            raise ApprovedTwice(f"{member} has approved already", hint="Each member counts once.")
        self._taken[member] = data
        return member


def verify_approval(data: bytes, request: RestartRequest, constitution: Constitution) -> str:
    """Return the member that approves of this request; raises an ApprovalRefused."""
    try:
        parsed = parse(data, _KINDS)
        payload = msgspec.json.decode(parsed.payload, type=_Payload)
    except (MalformedMessage, LimitExceeded, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ApprovalMalformed(f"not an approval of a restart: {error}") from None
    try:
        actor = verify_signature(parsed, constitution)
    except AuthenticationFailed as error:
        raise ApprovalNotSigned(error.message, hint=error.hint) from None
    if actor.role != "member":
        raise ApproverNoMember(f"{actor.name} is a participant", hint="Only members take part in a restart.")
    _compare(payload, _Payload.of(request))
    return actor.name


def _compare(found: _Payload, wanted: _Payload) -> None:
    again = "Approve of the request as it is now: coco node restart approve."
    if found.network != wanted.network:
        raise ApprovedAnotherNetwork("the approval is for another network", hint=again)
    if found.service != wanted.service:
        raise ApprovedAnotherService("the approval is for another service than this network's", hint=again)
    if (found.view, found.seqno, found.new_view) != (wanted.view, wanted.seqno, wanted.new_view):
        raise ApprovedAnotherEnd(
            f"the approval is for a start after {found.view}.{found.seqno} with view {found.new_view}; "
            f"this one is after {wanted.view}.{wanted.seqno} with view {wanted.new_view}",
            hint=again,
        )
    if found.node != wanted.node:
        raise ApprovedAnotherNode(f"the approval is for a start by node {found.node[:16]}", hint=again)
    if found.nonce != wanted.nonce:
        raise ApprovedAnotherNonce("the approval is for a request of another start", hint=again)
    if found != wanted:
        raise ApprovedOtherTerms("the approval is for a request with other disks or terms", hint=again)


class RestartRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the ledger holds of a start that members approved of. approvals: base64 of their messages."""

    request: RestartRequest
    approvals: tuple[str, ...]

    @classmethod
    def of(cls, approvals: Approvals) -> RestartRecord:
        return cls(approvals.request, tuple(base64.b64encode(one).decode() for one in approvals.messages))

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> RestartRecord:
        """Decode; raises MalformedMessage."""
        try:
            record = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedMessage(f"the record of a restart does not parse: {error}") from None
        RestartRequest.decode(record.request.encode())
        return record

    def verify(self, constitution: Constitution) -> Approvals:
        """Count the approvals; raises MalformedMessage, an ApprovalRefused, CocoError when they are too few."""
        counted = Approvals(self.request, constitution)
        for approval in self.approvals:
            try:
                counted.take(base64.b64decode(approval, validate=True))
            except (binascii.Error, ValueError):
                raise MalformedMessage("an approval in the record of a restart is not base64") from None
        if not counted.are_enough:
            raise CocoError(f"{len(counted.members)} members approved of the restart; {counted.needed} must")
        return counted


def restart_row(request: RestartRequest) -> bytes:
    """Return the key under which a start stands in its table: the view that it begins."""
    return str(request.new_view).encode()
