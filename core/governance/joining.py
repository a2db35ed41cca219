"""Whether a node may join: the leader's question about the node (`check_join`), and the node's about the network
(`check_ticket` before it asks, `check_welcome` before it believes an answer). Each refusal has a class of its own.

The leader believes evidence (manifests), the ledger (slots, votes, what was used) and its actor's signature; the node
its own actor's signature, and what that names: network, service, code. Neither believes a host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core import limits
from core.crypto.certificates import fingerprint, public_key_of, verify_issued_under
from core.crypto.keys import PublicKey
from core.errors import AuthenticationFailed, CocoError
from core.governance.authorizations import Authorization, AuthorizationUse, Measurements, parse_authorization
from core.governance.constitution import Constitution, Identity
from core.governance.join_refusals import (
    AddressDiffers,
    AnotherNodesTicket,
    AuthorizationExpired,
    AuthorizationFromTheFuture,
    AuthorizationMalformed,
    AuthorizationNotSigned,
    DelegationExhausted,
    MeasurementDiffers,
    NodeRegistered,
    NotApprovedYet,
    NotTheSlotsMember,
    SlotDiffers,
    SlotRemoved,
    TicketUsed,
    UnknownSlot,
    WrongNetwork,
    WrongService,
)
from core.governance.manifests import MANAGER
from core.governance.messages import AdmitNode
from core.governance.proposals import Proposals
from core.governance.slots import SlotRecord, Slots, dropped_by_joining, join
from core.ports import ReportClaims
from core.types import Digest, NodeId

_SIGN_ANEW = "Have its member sign another one: coco node ticket, or coco node delegate."


class Register(Protocol):
    """What the ledger says of nodes (core.node.manager_tables.SystemState)."""

    @property
    def constitution(self) -> Constitution: ...

    @property
    def slots(self) -> Slots: ...

    @property
    def proposals(self) -> Proposals: ...

    @property
    def authorizations(self) -> Mapping[Digest, AuthorizationUse]: ...

    @property
    def service_certificate(self) -> str:
        """PEM."""
        ...

    def was_registered(self, node: NodeId) -> bool:
        """Say whether there is a record of this node, trusted or retired."""
        ...


@dataclass(frozen=True, slots=True)
class JoinDecision:
    """A node may join. replaces: the slot's node that takes part until the new one is promoted; drops: one that was
    joining itself and is taken out at once. record: the slot's next; use: of the authorization, as it is recorded.

    is_repeat: this very node was let in before and has not had the answer: nothing is to be written.
    """

    slot: str
    member: str
    address: str
    node: NodeId
    replaces: NodeId | None
    drops: NodeId | None
    authorization: Digest
    record: SlotRecord
    use: AuthorizationUse
    is_repeat: bool = False


def check_join(
    authorization: bytes,
    address: str,
    *,
    claims: ReportClaims | None,
    node: NodeId,
    register: Register,
    now: float,
) -> JoinDecision:
    """Decide whether a node may join; raises a JoinRefused or a ManifestRefused.

    claims: of the node's evidence, which was made for this channel and verified; None for a node that came as a
    registered one. node: the id of the key that the channel proved. now: Unix seconds.
    """
    if claims is None:
        raise NodeRegistered("this node is registered, so it has nothing to ask", hint="Restart it under a new key.")
    register.constitution.check_admitted(claims, MANAGER)
    shown, actor = _verify_signed(authorization, register.constitution)
    _check_time(shown, now)
    if claims.measurement.hex() != shown.ticket.measurements.manager:
        raise MeasurementDiffers(
            f"the node's code measures {claims.measurement.hex()}; {actor.name} signed for "
            f"{shown.ticket.measurements.manager}",
            hint=_SIGN_ANEW,
        )
    return _decide(shown, actor, address, node, register)


def check_recorded_join(message: bytes, node: NodeId, register: Register) -> JoinDecision:
    """Decide as `check_join` did, for an auditor: without evidence and without the time. Raises a JoinRefused."""
    shown, actor = _verify_signed(message, register.constitution)
    return _decide(shown, actor, shown.ticket.address, node, register)


def check_ticket(
    authorization: bytes,
    *,
    constitution: Constitution,
    node: NodeId,
    measurements: Measurements,
    slot: str,
    address: str,
    now: float,
) -> Authorization:
    """Check, in the enclave that wants to join, what its member signed for it; raises a JoinRefused.

    constitution: the one it was given; the ticket says whether it is the network's. measurements: its own enclaves'.
    """
    shown, actor = _verify_signed(authorization, constitution)
    ticket = shown.ticket
    _check_time(shown, now)
    if ticket.slot != slot:
        raise SlotDiffers(f"{actor.name} signed for the slot {ticket.slot}; this node is {slot[:40]}", hint=_SIGN_ANEW)
    if ticket.address != address:
        raise AddressDiffers(f"{actor.name} signed for {ticket.address}; this node is {address[:80]}", hint=_SIGN_ANEW)
    _check_node(shown, node)
    for what, signed, own in (
        ("manager", ticket.measurements.manager, measurements.manager),
        ("worker", ticket.measurements.worker, measurements.worker),
    ):
        if signed != own:
            raise MeasurementDiffers(f"this node's {what} measures {own}; {actor.name} signed for {signed}")
    return shown


def check_welcome(
    authorization: Authorization,
    *,
    constitution: Constitution,
    claims: ReportClaims,
    peer: PublicKey,
    node_certificate: str,
    service_certificate: str,
    answered_constitution: bytes,
    now: float,
) -> None:
    """Check who let this node in, before the answer is believed; raises a JoinRefused or a ManifestRefused.

    authorization: as `check_ticket` returned it. claims, peer: of the node that answers, as the channel verified them.
    The rest: as the answer has it.
    """
    constitution.check_admitted(claims, MANAGER)
    ticket = authorization.ticket
    if answered_constitution != constitution.encode():
        raise WrongNetwork("the node that answers runs under another constitution", hint="Do not use it.")
    try:
        if fingerprint(service_certificate) != ticket.service:
            raise WrongService("the node that answers is of another service than the one the member signed for")
        # Its validity says nothing here: the clock is the host's, and the ticket names the service's certificate.
        verify_issued_under(node_certificate, service_certificate, at=None)
        endorsed = public_key_of(node_certificate)
    except CocoError as error:
        if isinstance(error, WrongService):
            raise
        raise WrongService(f"the service did not endorse the node that answers: {error.message}") from None
    if endorsed != peer:
        raise WrongService("the node that answers shows another node's certificate")
    _check_time(authorization, now)


def _verify_signed(data: bytes, constitution: Constitution) -> tuple[Authorization, Identity]:
    """Return an authorization for this network, and who signed it; raises a JoinRefused."""
    try:
        shown = parse_authorization(data)
    except CocoError as error:
        raise AuthorizationMalformed(f"this is no authorization: {error.message}", hint=_SIGN_ANEW) from None
    if shown.ticket.network != constitution.digest().hex():
        raise WrongNetwork(
            f"the authorization is for network {shown.ticket.network[:16]}; this is {constitution.digest().hex()[:16]}",
            hint="Give the genesis constitution and the authorization of the same network.",
        )
    try:
        return shown, shown.verify_signer(constitution)
    except AuthenticationFailed as error:
        raise AuthorizationNotSigned(error.message, hint=error.hint or _SIGN_ANEW) from None


def _check_time(shown: Authorization, now: float) -> None:
    if shown.created_at > now + limits.GOVERNANCE_MESSAGE_AGE_SECONDS_MAX:
        raise AuthorizationFromTheFuture(
            f"the authorization was signed {shown.created_at - now:.0f} s from now", hint="Check the clocks."
        )
    if now > shown.ticket.not_after:
        raise AuthorizationExpired(
            f"the authorization expired {now - shown.ticket.not_after:.0f} s ago", hint=_SIGN_ANEW
        )


def _decide(shown: Authorization, actor: Identity, address: str, node: NodeId, register: Register) -> JoinDecision:
    """Decide by the ledger alone; raises a JoinRefused."""
    ticket, name = shown.ticket, shown.ticket.slot
    if _fingerprint(register.service_certificate) != ticket.service:
        raise WrongService("the authorization is for another service than this network's", hint=_SIGN_ANEW)
    _check_node(shown, node)
    record = _find_slot(name, register)
    if record.member != actor.name:
        raise NotTheSlotsMember(f"the slot {name} is {record.member}'s; {actor.name} signed", hint=_SIGN_ANEW)
    if not address == ticket.address == record.address:
        raise AddressDiffers(
            f"the slot {name} is at {record.address}; the authorization says {ticket.address}, the node {address[:80]}",
            hint="All three must be the same.",
        )
    use = register.authorizations.get(shown.digest, AuthorizationUse.of(shown.message, 0))
    if record.state == "joining" and (record.node, record.authorization) == (node, shown.digest.hex()):
        return _decision(shown, record, node, use, is_repeat=True)
    if use.uses >= ticket.count:
        if ticket.is_delegation:
            raise DelegationExhausted(
                f"{use.uses} nodes have joined by this delegation, as many as may", hint=_SIGN_ANEW
            )
        raise TicketUsed("a node has joined by this ticket before", hint=_SIGN_ANEW)
    if register.was_registered(node):
        raise NodeRegistered("a node with this key is registered, or was", hint="Restart it: it makes a new key.")
    return _decision(shown, record, node, AuthorizationUse.of(shown.message, use.uses + 1))


def _decision(
    shown: Authorization, record: SlotRecord, node: NodeId, use: AuthorizationUse, *, is_repeat: bool = False
) -> JoinDecision:
    after = record if is_repeat else join(record, node, shown.digest)
    return JoinDecision(
        slot=shown.ticket.slot,
        member=record.member,
        address=record.address,
        node=node,
        replaces=NodeId(after.replaces) if after.replaces else None,
        drops=None if is_repeat else dropped_by_joining(record),
        authorization=shown.digest,
        record=after,
        use=use,
        is_repeat=is_repeat,
    )


def _find_slot(name: str, register: Register) -> SlotRecord:
    record = register.slots.get(name)
    if record is None:
        proposed = any(
            isinstance(action, AdmitNode) and action.args.slot == name
            for proposal in register.proposals.values()
            if proposal.state == "Open"
            for action in proposal.actions
        )
        if proposed:
            raise NotApprovedYet(f"the slot {name} is proposed, and not decided", hint="The node asks again by itself.")
        raise UnknownSlot(
            f"the network has no slot {name}", hint="A member proposes it: coco node approve SLOT; then others vote."
        )
    if record.state in ("removing", "removed"):
        raise SlotRemoved(f"the slot {name} is {record.state}", hint="Members admit another slot: coco node approve.")
    return record


def _check_node(shown: Authorization, node: NodeId) -> None:
    if shown.ticket.node is not None and shown.ticket.node != node:
        raise AnotherNodesTicket(
            f"the ticket is for node {shown.ticket.node[:16]}; this is {node[:16]}",
            hint="A ticket is for one start of one node. A delegation is for several: coco node delegate.",
        )


def _fingerprint(certificate: str) -> str:
    try:
        return fingerprint(certificate)
    except CocoError:
        return ""
