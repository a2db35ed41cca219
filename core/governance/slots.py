"""The list of nodes (`public:coco.slots`): what may happen to a slot, as pure functions from one record to the next.

    admitted -> joining -> active -> removing -> removed

A slot is admitted by vote, for one actor and one address. A node of that actor joins it as a learner and becomes active
when it is promoted. It may be replaced by another node of the actor's, which is joining then, as often as the actor
signs for it; the node replaced takes part until the new one is promoted. A vote for removal makes a slot removing; once
its nodes are taken out of consensus it is removed, and its name is used up: what was signed for it counts no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from core import limits
from core.errors import CocoError, InvariantBroken, MalformedMessage
from core.types import Digest, NodeId

SLOTS = "public:coco.slots"

SlotState = Literal["admitted", "joining", "active", "removing", "removed"]


class SlotRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One slot. member: the actor whose nodes it takes. node: in it now, "" for none. replaces: a node that takes part
    until `node` is promoted, "" for none. authorization: digest (hexadecimal) of what its actor signed for `node`, ""
    for a node that started the network. admitted_by: the proposal's id, "" for the slot that a network began with.

    epoch: of a removed slot, the newest epoch whose key its nodes had; 0 when it never had one.
    """

    member: str
    address: str
    state: SlotState
    node: str = ""
    replaces: str = ""
    authorization: str = ""
    admitted_by: str = ""
    epoch: int = 0

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> SlotRecord:
        """Decode; raises MalformedMessage."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedMessage(f"a slot's record does not parse: {error}") from None

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """The nodes of the slot that take part in consensus, or are about to."""
        return tuple(NodeId(node) for node in (self.node, self.replaces) if node)

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """The nodes of the slot that vote in consensus."""
        if self.state == "joining":
            return (NodeId(self.replaces),) if self.replaces else ()
        return self.nodes if self.state in ("active", "removing") else ()


Slots = Mapping[str, SlotRecord]


def slot_of(slots: Slots, node: NodeId) -> str | None:
    """Return the name of the slot that a node is in now, None for any other node."""
    return next((name for name, record in slots.items() if node in record.nodes and record.state != "removed"), None)


def admit(slots: Slots, name: str, member: str, address: str, proposal: Digest) -> SlotRecord:
    """Return the record of a new slot; raises CocoError when there cannot be one."""
    taken = slots.get(name)
    if taken is not None:
        what = "was removed, and its name is used up" if taken.state == "removed" else f"is {taken.member}'s already"
        raise CocoError(f"the slot {name} {what}", hint="Choose another name. coco governance slots lists them.")
    if member_of_address := next((one for one, slot in slots.items() if _lives_at(slot, address)), None):
        raise CocoError(f"the address {address} is slot {member_of_address}'s", hint="Give the new node its own.")
    if sum(slot.state != "removed" for slot in slots.values()) >= limits.SLOTS_MAX:
        raise CocoError(f"the network has {limits.SLOTS_MAX} slots, as many as it can have", hint="Remove one first.")
    return SlotRecord(member, address, "admitted", admitted_by=proposal.hex())


def begin_removal(slots: Slots, name: str) -> SlotRecord:
    """Return the record of a slot whose removal is decided; raises CocoError."""
    record = slots.get(name)
    if record is None:
        raise CocoError(f"there is no slot {name[:40]}", hint="coco governance slots lists them.")
    if record.state in ("removing", "removed"):
        raise CocoError(f"the slot {name} is {record.state} already", hint="There is nothing left to decide.")
    others = any(slot.state == "active" for other, slot in slots.items() if other != name)
    if (record.state == "active" or record.replaces) and not others:
        raise CocoError(f"the slot {name} has the last node that is active", hint="Let another node join first.")
    return replace(record, state="removing") if record.node else replace(record, state="removed")


def join(record: SlotRecord, node: NodeId, authorization: Digest) -> SlotRecord:
    """Return the record once a node was let in. A node that was not promoted yet is dropped for it (`dropped_by`)."""
    if record.state not in ("admitted", "joining", "active"):
        raise InvariantBroken(f"a node joins a slot that is {record.state}")
    replaced = record.node if record.state == "active" else record.replaces
    return replace(record, state="joining", node=node, replaces=replaced, authorization=authorization.hex())


def dropped_by_joining(record: SlotRecord) -> NodeId | None:
    """Return the node that another one's joining drops at once: one that is joining itself."""
    return NodeId(record.node) if record.state == "joining" else None


def promote(record: SlotRecord) -> SlotRecord:
    """Return the record once its node takes part in full, in the place of the one it replaces."""
    if record.state != "joining":
        raise InvariantBroken(f"a node of a slot that is {record.state} is promoted")
    return replace(record, state="active", replaces="")


def remove(record: SlotRecord, epoch: int) -> SlotRecord:
    """Return the record once its nodes are out. epoch: the newest one."""
    if record.state != "removing":
        raise InvariantBroken(f"the nodes of a slot that is {record.state} are removed")
    return replace(record, state="removed", node="", replaces="", epoch=epoch)


def restart(slots: Slots, name: str, node: NodeId, address: str, first_member: str) -> dict[str, SlotRecord]:
    """Return what changes when a network starts, or starts again, with one node, in this slot. Raises CocoError.

    The first start makes the slot, for the constitution's first member. All other nodes are retired by a start: their
    slots wait for a node again, or are removed where that was decided.
    """
    if not slots:
        return {name: SlotRecord(first_member, address, "active", node)}
    own = slots.get(name)
    if own is None or own.state in ("removing", "removed"):
        what = f"the slot {name} is {own.state}" if own else f"the network has no slot {name[:40]}"
        raise CocoError(f"{what}, so it cannot be started there", hint=f"Its slots: {', '.join(sorted(slots))[:300]}.")
    changed = {
        name: replace(own, address=address or own.address, state="active", node=node, replaces="", authorization="")
    }
    for other, record in slots.items():
        if other != name and record.nodes:
            state: SlotState = "removed" if record.state == "removing" else "admitted"
            changed[other] = replace(record, state=state, node="", replaces="", authorization="")
    return changed


def _lives_at(record: SlotRecord, address: str) -> bool:
    return bool(address) and record.address == address and record.state != "removed"
