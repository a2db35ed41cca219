"""Why a node may not join: one class per reason, each with its word on the wire. A refused manifest has its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.errors import AuthenticationFailed, CocoError
from core.governance.manifests import ManifestRefused


class JoinRefused(AuthenticationFailed):
    """A node may not join, or does not. retry_seconds: after which it may be otherwise; 0: not by waiting."""

    exit_code = 6
    reason: ClassVar[str]
    retry_seconds: ClassVar[int] = 0


class AuthorizationMalformed(JoinRefused):
    """What the node shows is no authorization."""

    reason = "authorization-malformed"


class AuthorizationNotSigned(JoinRefused):
    """No actor of the network has signed the authorization."""

    reason = "authorization-not-signed"


class WrongNetwork(JoinRefused):
    """The authorization is for another network, or the network is another than it says."""

    reason = "wrong-network"


class WrongService(JoinRefused):
    """The service is another than the authorization names, or did not endorse the node that answers."""

    reason = "wrong-service"


class NotApprovedYet(JoinRefused):
    """The slot is proposed, and not decided."""

    reason = "not-approved-yet"
    retry_seconds = 10


class UnknownSlot(JoinRefused):
    """Nobody has proposed the slot."""

    reason = "unknown-slot"
    retry_seconds = 30


class SlotRemoved(JoinRefused):
    """The slot was taken off the list of nodes."""

    reason = "slot-removed"


class NotTheSlotsMember(JoinRefused):
    """Another actor than the slot's has signed."""

    reason = "not-the-slots-member"


class AddressDiffers(JoinRefused):
    """Node, authorization and slot do not name the same address."""

    reason = "address-differs"


class SlotDiffers(JoinRefused):
    """The authorization is for another slot than the node's."""

    reason = "slot-differs"


class AnotherNodesTicket(JoinRefused):
    """The ticket names another node."""

    reason = "another-nodes-ticket"


class TicketUsed(JoinRefused):
    """A node has joined by this ticket before."""

    reason = "ticket-used"


class DelegationExhausted(JoinRefused):
    """As many nodes have joined by this delegation as it was signed for."""

    reason = "delegation-exhausted"


class AuthorizationExpired(JoinRefused):
    """The authorization counts no more."""

    reason = "authorization-expired"


class AuthorizationFromTheFuture(JoinRefused):
    """The authorization was signed later than now."""

    reason = "authorization-from-the-future"
    retry_seconds = 60


class MeasurementDiffers(JoinRefused):
    """The node's code is not the code that the authorization names."""

    reason = "measurement-differs"


class NodeRegistered(JoinRefused):
    """A node with this key is registered, or was."""

    reason = "node-registered"


class TicketNotGiven(JoinRefused):
    """No ticket that counts came while the node kept its key."""

    reason = "ticket-not-given"


class EvidenceMissing(JoinRefused):
    """The node gives no evidence over its key."""

    reason = "evidence-missing"


class EvidenceInvalid(JoinRefused):
    """The evidence over the node's key is not genuine, or cannot be judged."""

    reason = "evidence-invalid"


class EvidenceOfAnotherNode(JoinRefused):
    """The evidence is over another key than the node's."""

    reason = "evidence-of-another-node"


class EvidenceDiffers(JoinRefused):
    """The evidence over the node's key is of another enclave than the one at the other end of the channel."""

    reason = "evidence-differs"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as it is sent (core.node.peer_messages.JoinDenied)."""

    reason: str
    message: str
    hint: str
    retry_seconds: int


def describe_refusal(error: CocoError) -> Refusal:
    """Return how a refusal is sent. What is neither a JoinRefused nor a ManifestRefused has the reason "refused"."""
    match error:
        case JoinRefused():
            return Refusal(error.reason, error.message, error.hint, error.retry_seconds)
        case ManifestRefused():
            return Refusal(error.reason, error.message, error.hint, 0)
        case _:
            return Refusal("refused", error.message, error.hint, 0)
