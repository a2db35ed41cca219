"""Administrative messages of members: proposals, ballots on them, and withdrawals. Their form is signed.py's.

Payloads, JSON: of a proposal {"actions": [{"name", "args"}], "network"}, of a ballot {"approve", "network"}, of a
withdrawal {"network"}; network: the constitution's digest, hexadecimal. What a ballot or a withdrawal is about stands
in the header. Source: CCF, whose ballots are scripts, ours a yes or a no. A message counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, assert_never

import msgspec

from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution
from core.governance.names import check_address, check_slot_name
from core.governance.signed import Kind, parse, sign, verify_age, verify_signature
from core.types import Digest

ACTIONS_MAX = 64
_KINDS: tuple[Kind, ...] = ("proposal", "ballot", "withdrawal")

PayloadT = TypeVar("PayloadT", bound="_Payload")


class AdapterArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    adapter: str


class AdmitArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """member: the actor whose node it is. address: HOST:PORT at which the other nodes reach it."""

    slot: str
    member: str
    address: str


class RemoveArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    slot: str


class SetDefaultAdapter(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="set_default_adapter"
):
    """Change what "/" and the command line speak, to one of the network's live adapters."""

    args: AdapterArguments


class AdmitNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="admit_node"):
    """Put a slot on the list of nodes: an actor's node may join there."""

    args: AdmitArguments


class RemoveNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="remove_node"):
    """Take a slot off the list of nodes, with the node that is in it."""

    args: RemoveArguments


Action = SetDefaultAdapter | AdmitNode | RemoveNode
"""The closed set of administrative actions."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Carry these out together, or none."""

    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Ballot:
    """A member's vote on a proposal."""

    proposal: Digest
    approve: bool


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Its proposer takes a proposal back."""

    proposal: Digest


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """A member's message. digest: by which a repetition is known; a proposal's is the proposal's id."""

    member: str
    created_at: int
    digest: Digest
    body: Proposal | Ballot | Withdrawal


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    network: str


class _ProposalPayload(_Payload, frozen=True, forbid_unknown_fields=True, kw_only=True):
    actions: tuple[Action, ...]


class _BallotPayload(_Payload, frozen=True, forbid_unknown_fields=True, kw_only=True):
    approve: bool


def set_default_adapter(adapter: str) -> Action:
    """Make the action."""
    return SetDefaultAdapter(args=AdapterArguments(adapter))


def admit_node(slot: str, member: str, address: str) -> Action:
    """Make the action."""
    return AdmitNode(args=AdmitArguments(slot, member, address))


def remove_node(slot: str) -> Action:
    """Make the action."""
    return RemoveNode(args=RemoveArguments(slot))


def sign_message(
    actions: Sequence[Action], *, network: Digest, certificate: str, key: PrivateKey, created_at: int
) -> bytes:
    """Return a signed proposal. network: the constitution's digest; certificate: the member's (PEM), for key."""
    payload = msgspec.json.encode(_ProposalPayload(network=network.hex(), actions=tuple(actions)))
    return sign("proposal", payload, certificate=certificate, key=key, created_at=created_at)


def sign_ballot(
    proposal: Digest, approve: bool, *, network: Digest, certificate: str, key: PrivateKey, created_at: int
) -> bytes:
    """Return a signed ballot on a proposal."""
    payload = msgspec.json.encode(_BallotPayload(network=network.hex(), approve=approve))
    return sign("ballot", payload, certificate=certificate, key=key, created_at=created_at, proposal=proposal)


def sign_withdrawal(proposal: Digest, *, network: Digest, certificate: str, key: PrivateKey, created_at: int) -> bytes:
    """Return the signed withdrawal of a proposal."""
    payload = msgspec.json.encode(_Payload(network.hex()))
    return sign("withdrawal", payload, certificate=certificate, key=key, created_at=created_at, proposal=proposal)


def verify_message(data: bytes, constitution: Constitution, now: float | None) -> VerifiedMessage:
    """Verify a message of a member of this network, made about now (Unix seconds). Repetitions are the caller's.

    now=None, for an auditor: its age is not judged, since when it was accepted is not recorded.

    Raises AuthenticationFailed for who signed what and when, MalformedMessage and LimitExceeded for its shape, and
    CocoError for an action this network cannot carry out.
    """
    parsed = parse(data, _KINDS)
    actor = verify_signature(parsed, constitution)
    if actor.role != "member":
        raise AuthenticationFailed(f"{actor.name} is a participant", hint="Only members administer a network.")
    if now is not None:
        verify_age(parsed.created_at, now)
    body: Proposal | Ballot | Withdrawal
    if parsed.proposal is None:
        body = Proposal(_decode(parsed.payload, _ProposalPayload, constitution).actions)
        _check_actions(body.actions, constitution)
    elif parsed.kind == "ballot":
        body = Ballot(parsed.proposal, _decode(parsed.payload, _BallotPayload, constitution).approve)
    else:
        _decode(parsed.payload, _Payload, constitution)
        body = Withdrawal(parsed.proposal)
    return VerifiedMessage(actor.name, parsed.created_at, parsed.digest, body)


def proposal_id(data: bytes) -> Digest:
    """Return the id under which a proposal that was signed here is known; raises MalformedMessage."""
    return parse(data, _KINDS[:1]).digest


def _decode(data: bytes, kind: type[PayloadT], constitution: Constitution) -> PayloadT:
    try:
        payload = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"what the message asks for does not parse: {error}") from None
    if payload.network != constitution.digest().hex():
        raise AuthenticationFailed("the message was signed for another network")
    return payload


def _check_actions(actions: Sequence[Action], constitution: Constitution) -> None:
    """Raise CocoError for what this network cannot do, whatever its state."""
    if not 0 < len(actions) <= ACTIONS_MAX:
        raise LimitExceeded(f"{len(actions)} actions; a message holds 1 to {ACTIONS_MAX}")
    for action in actions:
        match action:
            case SetDefaultAdapter(args=args):
                _check_live(args.adapter, constitution)
            case AdmitNode(args=args):
                check_slot_name(args.slot)
                check_address(args.address)
                _check_actor(args.member, constitution)
            case RemoveNode(args=args):
                check_slot_name(args.slot)
            case _:
                assert_never(action)


def _check_live(adapter: str, constitution: Constitution) -> None:
    if adapter not in constitution.adapters:
        live = ", ".join(sorted(constitution.adapters))
        raise CocoError(f"adapter {adapter[:32]!r} is not live on this network", hint=f"Live adapters: {live}.")


def _check_actor(name: str, constitution: Constitution) -> None:
    actors = sorted(identity.name for identity in constitution.identities)
    if name not in actors:
        raise CocoError(
            f"{name[:64]!r} is not an actor of this network", hint=f"Its actors: {', '.join(actors)[:300]}."
        )
