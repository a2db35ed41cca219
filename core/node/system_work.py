"""What the leader itself has to record: what members decided and is not done yet, and what each piece of it writes.

Governance only changes the tables of slots and proposals; nodes join, are promoted and are removed by entries of the
leader's own. `due_work` reads off the tables what is to be done, so that a new leader takes up what the last one left.
None of the writes here is taken in: whoever seals them does that (`SystemState.absorb_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import InvariantBroken
from core.governance.authorizations import AUTHORIZATIONS
from core.governance.joining import JoinDecision
from core.governance.slots import SLOTS, SlotRecord, promote, remove
from core.kv.write_set import Writes
from core.ledger.epoch_records import EPOCHS, epoch_row
from core.ledger.key_wrapping import EPOCH_KEYS, epoch_key_row
from core.ledger.secrets import EpochSecret
from core.ledger.tables import ENDORSED_CERTIFICATES, NODES, NodeInfo
from core.node.manager_tables import SystemState, slot_rows
from core.types import NodeId


@dataclass(frozen=True, slots=True)
class Removal:
    """Take these nodes of a slot out of consensus, and record `removal_writes` with that.

    A leader among them hands its leadership on first: the entry retires it, and no root that a retired node signs is
    believed, that of this very block included.
    """

    slot: str
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Promotion:
    """Once the learner `node` has caught up: make it a voter, take `replaces` out, and record `promotion_writes`.

    A leader that is replaced hands its leadership on first, as one that is removed.
    """

    slot: str
    node: NodeId
    replaces: NodeId | None


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """A removed node knows the newest epoch's key: make a new one for these nodes, and record `epoch_writes`."""

    number: int
    nodes: tuple[NodeId, ...]


Work = Removal | Promotion | NewEpoch


def due_work(state: SystemState) -> list[Work]:
    """Return what is decided and not done, in this order: removals, the epoch that they ask for, promotions.

    A new epoch waits for the removals, so that one is made for all of them.
    """
    slots = sorted(state.slots.items())
    work: list[Work] = [Removal(name, record.nodes) for name, record in slots if record.state == "removing"]
    if not work and any(record.epoch == state.epoch for _, record in slots if record.state == "removed"):
        work.append(NewEpoch(state.epoch + 1, tuple(state.trusted_nodes())))
    for name, record in slots:
        if record.state == "joining":
            replaced = NodeId(record.replaces) if record.replaces else None
            work.append(Promotion(name, NodeId(record.node), replaced))
    return work


def join_writes(state: SystemState, decision: JoinDecision, node: NodeInfo, certificate: str) -> Writes:
    """What a node's joining records. certificate: the node's, endorsed by the service (PEM)."""
    if decision.is_repeat:
        raise InvariantBroken("a node that was let in is recorded a second time")
    nodes = {} if decision.drops is None else _retired(state, decision.drops)
    nodes[decision.node.encode()] = node.encode()
    return {
        NODES: nodes,
        ENDORSED_CERTIFICATES: {decision.node.encode(): certificate.encode()},
        SLOTS: slot_rows({decision.slot: decision.record}),
        AUTHORIZATIONS: {decision.authorization: decision.use.encode()},
    }


def promotion_writes(state: SystemState, slot: str) -> Writes:
    """What a node's promotion records; the node that it replaces is retired."""
    record = _record(state, slot)
    writes: Writes = {SLOTS: slot_rows({slot: promote(record)})}
    if record.replaces:
        writes[NODES] = _retired(state, NodeId(record.replaces))
    return writes


def removal_writes(state: SystemState, slot: str) -> Writes:
    """What a slot's removal records, once it is decided; its nodes are retired."""
    record = _record(state, slot)
    writes: Writes = {SLOTS: slot_rows({slot: remove(record, state.epoch)}), NODES: {}}
    for node in record.nodes:
        writes[NODES] |= _retired(state, node)
    return writes


def epoch_writes(secret: EpochSecret, wrapped: Mapping[NodeId, bytes]) -> Writes:
    """What a new epoch in a view that goes on records. wrapped: its key, to each trusted node's own."""
    rows: dict[bytes, bytes | None] = {epoch_key_row(secret.epoch, node): key for node, key in sorted(wrapped.items())}
    return {EPOCHS: epoch_row(secret), EPOCH_KEYS: rows}


def _record(state: SystemState, slot: str) -> SlotRecord:
    record = state.slots.get(slot)
    if record is None:
        raise InvariantBroken(f"there is no slot {slot[:40]}")
    return record


def _retired(state: SystemState, node: NodeId) -> dict[bytes, bytes | None]:
    info = state.nodes.get(node.encode())
    if info is None:
        raise InvariantBroken(f"node {node[:16]} of a slot is not registered")
    return {node.encode(): info.retired().encode()}
