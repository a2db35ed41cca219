"""Proposals (`public:coco.proposals`): who must agree to what, and what a ballot changes. Pure functions.

Each kind of action has a policy; a proposal goes by the strictest of its actions'. One whose actions any one member
may take is carried out at once and leaves no record. A proposer's own vote approves. A ballot counts once and may be
changed by a newer one while the proposal is open. A proposal is rejected as soon as approval is out of reach, and
expires; the time is that of the members' messages, which the ledger holds, so that anyone can decide the same again.
What was decided is checked again when it is carried out: where it cannot be any more, the proposal has failed.

Source: CCF, "Proposing and Voting for a Proposal", whose states these are, with Expired for its Dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, assert_never

import msgspec
from msgspec.structs import replace

from core import limits
from core.errors import AuthenticationFailed, CocoError, LimitExceeded, MalformedMessage
from core.governance.messages import (
    Action,
    AdmitNode,
    Ballot,
    Proposal,
    RemoveNode,
    SetDefaultAdapter,
    VerifiedMessage,
    Withdrawal,
)
from core.governance.slots import SlotRecord, Slots, admit, begin_removal
from core.types import Digest

PROPOSALS = "public:coco.proposals"
REASON_CHARACTERS_MAX = 400

Policy = Literal["one", "majority"]
POLICIES: Mapping[type[Action], Policy] = {
    SetDefaultAdapter: "one",
    AdmitNode: "majority",
    RemoveNode: "majority",
}
"""Whose agreement each action needs: any one member's, or that of more than half of the members."""

ProposalState = Literal["Open", "Accepted", "Rejected", "Withdrawn", "Expired", "Failed"]


class Vote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's newest ballot. created_at: Unix seconds, as the member signed."""

    approve: bool
    created_at: int


class ProposalRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal with the votes of members on it, by name. reason: why it failed."""

    actions: tuple[Action, ...]
    member: str
    created_at: int
    state: ProposalState
    ballots: dict[str, Vote]
    reason: str = ""

    def encode(self) -> bytes:
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def decode(cls, data: bytes) -> ProposalRecord:
        """Decode; raises MalformedMessage."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedMessage(f"a proposal's record does not parse: {error}") from None

    @property
    def expires_at(self) -> int:
        """Unix seconds."""
        return self.created_at + limits.PROPOSAL_SECONDS_MAX


Proposals = Mapping[Digest, ProposalRecord]


@dataclass(frozen=True, slots=True)
class Effects:
    """What carrying out actions changes. default_adapter: None for no change."""

    default_adapter: str | None = None
    slots: dict[str, SlotRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a message changes: records of proposals, and the effects of what is carried out with it."""

    proposals: dict[Digest, ProposalRecord]
    effects: Effects


def is_voted(actions: Sequence[Action]) -> bool:
    """Say whether one member alone may not take these actions."""
    return any(POLICIES[type(action)] != "one" for action in actions)


def approvals_needed(actions: Sequence[Action], members: int) -> int:
    """Return how many members must approve."""
    return members // 2 + 1 if is_voted(actions) else 1


def decide(message: VerifiedMessage, proposals: Proposals, slots: Slots, members: Collection[str]) -> Decision:
    """Return what a verified message changes, which is not a repeated one. Raises CocoError for one that may not be."""
    expired = _expired(proposals, message.created_at)
    open_now = {name: one for name, one in proposals.items() if one.state == "Open" and name not in expired}
    match message.body:
        case Proposal(actions):
            record = _propose(message, actions, open_now, slots)
            proposal = message.digest
        case Ballot(proposal, approve):
            record = _vote(message, _find(proposal, proposals, expired), approve)
        case Withdrawal(proposal):
            record = _withdraw(message, _find(proposal, proposals, expired))
        case _:
            assert_never(message.body)
    record = _resolve(record, members)
    effects = Effects()
    if record.state == "Accepted":
        try:
            effects = effects_of(record.actions, slots, proposal)
        except CocoError as error:
            if not is_voted(record.actions):
                raise
            record = replace(record, state="Failed", reason=str(error)[:REASON_CHARACTERS_MAX])
    changed = dict(expired)
    if is_voted(record.actions):
        changed[proposal] = record
    return Decision(changed, effects)


def effects_of(actions: Sequence[Action], slots: Slots, proposal: Digest) -> Effects:
    """Return what the actions change, one after the other; raises CocoError for the first that cannot be."""
    default_adapter: str | None = None
    changed: dict[str, SlotRecord] = {}
    for action in actions:
        now = {**slots, **changed}
        match action:
            case SetDefaultAdapter(args=args):
                default_adapter = args.adapter
            case AdmitNode(args=args):
                changed[args.slot] = admit(now, args.slot, args.member, args.address, proposal)
            case RemoveNode(args=args):
                changed[args.slot] = begin_removal(now, args.slot)
            case _:
                assert_never(action)
    return Effects(default_adapter, changed)


def _propose(
    message: VerifiedMessage, actions: tuple[Action, ...], open_now: Proposals, slots: Slots
) -> ProposalRecord:
    effects_of(actions, slots, message.digest)
    if is_voted(actions):
        same = next((name for name, one in open_now.items() if one.actions == actions), None)
        if same is not None:
            raise CocoError(
                f"this is proposed already, as {same.hex()}",
                hint=f"Vote for it: coco governance vote {same.hex()[:16]}",
            )
        own = sum(one.member == message.member for one in open_now.values())
        if len(open_now) >= limits.PROPOSALS_OPEN_MAX or own >= limits.PROPOSALS_OPEN_PER_MEMBER_MAX:
            raise LimitExceeded(
                f"{own} proposals of {message.member} are open, of {len(open_now)} in all",
                hint="Withdraw one, or wait until they are decided.",
            )
    vote = Vote(approve=True, created_at=message.created_at)
    return ProposalRecord(actions, message.member, message.created_at, "Open", {message.member: vote})


def _vote(message: VerifiedMessage, record: ProposalRecord, approve: bool) -> ProposalRecord:
    before = record.ballots.get(message.member)
    if before is not None and before.created_at >= message.created_at:
        # Else whoever held back a ballot could undo the one that was meant to replace it.
        raise AuthenticationFailed(
            f"{message.member} has voted at the same time or later", hint="Sign the ballot again, and send it."
        )
    if before is not None and before.approve == approve:
        raise CocoError(f"{message.member} has voted so already", hint="The vote counts; nothing is left to do.")
    vote = Vote(approve, message.created_at)
    return replace(record, ballots={**record.ballots, message.member: vote})


def _withdraw(message: VerifiedMessage, record: ProposalRecord) -> ProposalRecord:
    if record.member != message.member:
        raise AuthenticationFailed(f"the proposal is {record.member}'s", hint="Vote against it instead.")
    return replace(record, state="Withdrawn")


def _resolve(record: ProposalRecord, members: Collection[str]) -> ProposalRecord:
    if record.state != "Open":
        return record
    votes = [vote.approve for name, vote in record.ballots.items() if name in members]
    needed = approvals_needed(record.actions, len(members))
    if sum(votes) >= needed:
        return replace(record, state="Accepted")
    if len(members) - votes.count(False) < needed:
        return replace(record, state="Rejected")
    return record


def _find(proposal: Digest, proposals: Proposals, expired: Proposals) -> ProposalRecord:
    """Return an open proposal; raises CocoError."""
    record = expired.get(proposal, proposals.get(proposal))
    if record is None:
        raise CocoError(
            f"there is no proposal {proposal.hex()}", hint="coco governance proposals lists those there are."
        )
    if record.state != "Open":
        raise CocoError(f"the proposal is {record.state.lower()}, so nothing about it can be changed")
    return record


def _expired(proposals: Proposals, at: int) -> dict[Digest, ProposalRecord]:
    """Return the open proposals that have expired at that time, as they are to be recorded."""
    return {
        name: replace(one, state="Expired")
        for name, one in proposals.items()
        if one.state == "Open" and at > one.expires_at
    }
