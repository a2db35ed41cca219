"""What entries say of nodes, judged by what came before: each writes what members decided and an actor signed.

Pure functions from the state before an entry to what is wrong with it. They never trust a record to fit another: a
ledger may hold anything. The evidence that a node gave is verified again, as of when it came (node_evidence.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.crypto.certificates import fingerprint
from core.errors import CocoError, MalformedMessage
from core.governance.authorizations import AUTHORIZATIONS, AuthorizationUse, parse_authorization
from core.governance.joining import check_recorded_join
from core.governance.restarts import RESTARTS, RestartRecord, approvals_needed
from core.governance.slots import SLOTS, SlotRecord
from core.kv.write_set import Writes
from core.ledger.epoch_records import EPOCHS, EpochRecord, read_epoch
from core.ledger.key_wrapping import EPOCH_KEYS, WRAPPED_BYTES, epoch_key_row
from core.ledger.secrets import EpochSecret
from core.ledger.tables import ENDORSED_CERTIFICATES, NODES, SERVICE, SINGLETON_KEY, NodeInfo, ServiceInfo
from core.node.admission import VerifyEvidence
from core.node.manager_tables import CURRENT, FRONT_END, SystemState, Tables, start_writes
from core.node.node_evidence import verify_recorded, verify_recorded_joining
from core.node.system_work import join_writes, promotion_writes, removal_writes
from core.types import Digest, NodeId, Seqno, View

START_TABLES_MIN = frozenset({NODES, ENDORSED_CERTIFICATES, SERVICE, EPOCHS, FRONT_END, SLOTS})
START_TABLES = START_TABLES_MIN | {RESTARTS}
JOIN_TABLES = frozenset({NODES, ENDORSED_CERTIFICATES, SLOTS, AUTHORIZATIONS})
CHANGE_TABLES = frozenset({NODES, SLOTS})
EPOCH_TABLES = frozenset({EPOCHS, EPOCH_KEYS})


@dataclass(frozen=True, slots=True)
class LedgerEnd:
    """Where a ledger ends: its last signature, and the Merkle root over all entries up to there."""

    view: int
    seqno: int
    root: Digest


def judge_start(
    tables: Tables, state: SystemState, end: LedgerEnd | None, verify: VerifyEvidence | None
) -> Sequence[str]:
    """Judge the start of a network with one node. Its epoch has been judged. end: before it, None for the first.

    verify: None: its evidence is not.
    """
    found = read_epoch(tables)
    if found is None or set(tables) | {RESTARTS} != START_TABLES:
        return ["its record of a node's start does not have its form"]
    number, epoch = found
    node = NodeId(epoch.node)
    try:
        slots = {name: _slot(value) for name, value in tables[SLOTS].items()}
        own = [(name, slot) for name, slot in slots.items() if slot.node == node and slot.state == "active"]
        if len(own) != 1:
            return ["it starts a node in no slot, or in several"]
        (name, slot) = own[0]
        info = _node(tables, node)
        if verify is not None:
            verify_recorded(info.quote_info, node, state.constitution, verify)
        expected = start_writes(
            state,
            info,
            _text(tables[ENDORSED_CERTIFICATES].get(node.encode())),
            EpochSecret(number, Seqno(epoch.first_seqno), View(epoch.view), node, b""),
            ServiceInfo.decode(tables[SERVICE].get(SINGLETON_KEY) or b"").cert,
            _text(tables[FRONT_END].get(CURRENT)),
            slot=_text(name),
            address=slot.address,
            approved=read_approved(tables),
        )
        _check_approved(expected, tables, state, epoch, _text(name), end)
    except CocoError as error:
        return [f"its record of a node's start cannot be: {error.message}"]
    return _compare(tables, expected, "a start of its node", frozenset({EPOCHS, SERVICE}))


def read_approved(tables: Tables) -> RestartRecord | None:
    """Return what members approved of, None for nothing; raises MalformedMessage."""
    rows = list(tables.get(RESTARTS, {}).values())
    if not rows:
        return None
    if len(rows) != 1 or rows[0] is None:
        raise MalformedMessage("it does not hold one approval of its members")
    return RestartRecord.decode(rows[0])


def _check_approved(
    expected: Writes, tables: Tables, state: SystemState, epoch: EpochRecord, slot: str, end: LedgerEnd | None
) -> None:
    """Raise CocoError unless members approved of this very start, where they must. expected: what it writes."""
    record = read_approved(tables)
    if record is None:
        if end is not None and approvals_needed(state.constitution, accept_loss=False):
            raise CocoError("the constitution has members approve of it, and they did not")
        return
    if end is None:
        raise CocoError("members approved of a start that is the network's first")
    record.verify(state.constitution)
    service = expected[SERVICE][SINGLETON_KEY] or b""
    request = record.request
    asked = (request.network, request.service, request.node, request.slot, request.new_view)
    wanted = (
        state.constitution.digest().hex(),
        fingerprint(ServiceInfo.decode(service).cert),
        epoch.node,
        slot,
        epoch.view,
    )
    if asked != wanted:
        raise CocoError("members approved of another start")
    if (request.view, request.seqno, request.root) != (end.view, end.seqno, end.root.hex()):
        raise CocoError(f"members approved of a start after {request.view}.{request.seqno}, not after this ledger")


def judge_join(tables: Tables, state: SystemState, verify: VerifyEvidence | None) -> Sequence[str]:
    """Judge the joining of a node: its actor has signed for it, its slot was voted for, its evidence holds."""
    if set(tables) != JOIN_TABLES or not len(tables[AUTHORIZATIONS]) == len(tables[ENDORSED_CERTIFICATES]) == 1:
        return ["its record of a node's joining does not have its form"]
    ((_, used),) = tables[AUTHORIZATIONS].items()
    ((raw, certificate),) = tables[ENDORSED_CERTIFICATES].items()
    node = NodeId(raw.decode("ascii", "replace"))
    try:
        message = AuthorizationUse.decode(used or b"").message_bytes()
        info = _node(tables, node)
        decision = check_recorded_join(message, node, state)
        if decision.is_repeat:
            return ["it lets a node in that is in already"]
        if decision.drops is not None and not state.was_registered(decision.drops):
            return [f"it drops node {decision.drops[:16]}, which was never registered"]
        if verify is not None:
            shown = parse_authorization(message)
            verify_recorded_joining(info.quote_info, node, shown, state.constitution, verify)
        expected = join_writes(state, decision, info, _text(certificate))
    except CocoError as error:
        return [f"it lets a node in that may not join: {error.message}"]
    return _compare(tables, expected, f"the joining of node {node[:16]}")


def judge_change(tables: Tables, state: SystemState) -> Sequence[str]:
    """Judge a promotion or a removal: the first follows a joining, the second a vote."""
    if len(tables.get(SLOTS, {})) != 1:
        return ["it changes nodes without the one slot that they are in"]
    ((raw, value),) = tables[SLOTS].items()
    try:
        name, after = _text(raw), _slot(value)
    except CocoError as error:
        return [error.message]
    before = state.slots.get(name)
    if before is None:
        return [f"it makes the slot {name[:40]}, which no vote has admitted"]
    if not all(state.was_registered(node) for node in before.nodes):
        return [f"it changes the slot {name}, whose nodes were never registered"]
    if before.state == "joining" and after.state == "active":
        return _compare(tables, promotion_writes(state, name), f"the promotion of the slot {name}")
    if before.state == "removing" and after.state == "removed":
        return _compare(tables, removal_writes(state, name), f"the removal of the slot {name}")
    return [f"it makes the slot {name} {after.state}, which was {before.state}, without a vote for it"]


def judge_epoch(tables: Tables, state: SystemState, seqno: int, leader: str | None) -> Sequence[str]:
    """Judge a new epoch in a view that goes on: made by its leader, for all trusted nodes and nobody else."""
    found = read_epoch(tables)
    if found is None or set(tables) != EPOCH_TABLES:
        return ["its record of an epoch does not have its form, or its turn"]
    number, epoch = found
    wrong = []
    if epoch.node != leader:
        wrong.append("its epoch is of another node than leads the view")
    if not seqno < epoch.first_seqno <= seqno + 2:
        wrong.append("its epoch begins at another place than right after it")
    wanted = {epoch_key_row(number, node) for node in state.trusted_nodes()}
    rows = tables[EPOCH_KEYS]
    if set(rows) != wanted or any(value is None or len(value) != WRAPPED_BYTES for value in rows.values()):
        wrong.append("its epoch's key is not there for each trusted node, or is for another")
    return wrong


def _compare(tables: Tables, expected: Writes, what: str, but: frozenset[str] = frozenset()) -> Sequence[str]:
    """Compare what an entry writes; `but` was judged otherwise."""
    return [
        f"it writes other than {what} does to {name}"
        for name in sorted({*tables, *expected} - but)
        if dict(tables.get(name, {})) != expected.get(name, {})
    ]


def _node(tables: Tables, node: NodeId) -> NodeInfo:
    """Return the record of a node that becomes trusted; raises CocoError. Its key, the ledger's own audit compares."""
    value = tables[NODES].get(node.encode())
    if value is None:
        raise CocoError(f"there is no record of node {node[:16]}")
    info = NodeInfo.decode(value)
    if info.status != "Trusted":
        raise CocoError(f"the record of node {node[:16]} says that it is retired")
    return info


def _slot(value: bytes | None) -> SlotRecord:
    if value is None:
        raise CocoError("it deletes a slot")
    return SlotRecord.decode(value)


def _text(value: bytes | None) -> str:
    try:
        return (value or b"").decode("ascii")
    except UnicodeDecodeError:
        raise CocoError("what should be text is none") from None
