"""What the system's and adapters' tables must say, so that every change of the network's rules is explained.

Decides again what the manager decided (`SystemState`), from the ledger alone: the constitution is its first entry and
stays; settings, proposals and slots change in one entry with the member's message that asked for it, whose signature is
verified again, and only by the votes that stand in the ledger; nodes come and go as audit_nodes.py has it; each view
begins with a start, or with a signature of an active node, which leads it; adapters write their own tables.

What nobody can check afterwards: how old a message was when it was accepted (the manager compared its `created_at`
with a clock that the ledger does not record), and why one was rejected (only its digest and the reason stand there).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from core.errors import CocoError
from core.governance.authorizations import AUTHORIZATIONS
from core.governance.constitution import Constitution
from core.governance.messages import VerifiedMessage, verify_message
from core.governance.proposals import PROPOSALS
from core.governance.slots import SLOTS, slot_of
from core.kv.write_set import PUBLIC_PREFIX
from core.ledger.audit import Tables
from core.ledger.entry import ParsedEntry
from core.ledger.epoch_records import EPOCHS, read_epoch
from core.ledger.key_wrapping import EPOCH_KEYS
from core.ledger.merkle import MerkleFrontier
from core.ledger.tables import ENDORSED_CERTIFICATES, NODES, SERVICE, SINGLETON_KEY, SNAPSHOT_EVIDENCE, SignedRoot
from core.node.admission import VerifyEvidence
from core.node.audit_nodes import (
    CHANGE_TABLES,
    EPOCH_TABLES,
    JOIN_TABLES,
    START_TABLES,
    LedgerEnd,
    judge_change,
    judge_epoch,
    judge_join,
    judge_start,
    read_approved,
)
from core.node.manager_tables import (
    CONSTITUTION,
    CURRENT,
    FRONT_END,
    MESSAGES,
    REJECTED,
    SETTINGS,
    SystemState,
)
from core.types import Digest, NodeId

_MESSAGE_TABLES = frozenset({MESSAGES, SETTINGS, PROPOSALS, SLOTS})
_KINDS = (
    frozenset({CONSTITUTION}),
    START_TABLES,
    JOIN_TABLES,
    CHANGE_TABLES,
    EPOCH_TABLES,
    _MESSAGE_TABLES,
    frozenset({REJECTED}),
    frozenset({SNAPSHOT_EVIDENCE}),
)
"""What the tables of one entry of the manager are, together."""
_ASKED_FOR = {SETTINGS: "settings", PROPOSALS: "proposals", SLOTS: "slots"}


class _Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


class _SnapshotEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hash: str
    version: int
    state_digest: str = ""


class SystemRules:
    """See the module. One of a ledger. verify: of the nodes' evidence, which is not looked at without it."""

    def __init__(self, verify: VerifyEvidence | None = None) -> None:
        self._verify = verify
        self._state: SystemState | None = None
        self._accepted: dict[Digest, VerifiedMessage] = {}
        self._rejected = 0
        self._starts: dict[int, str] = {}
        """View -> the node that started the network again with it."""
        self._leaders: dict[int, str] = {}
        """View -> the node that signs in it."""
        self._joined = 0
        self._approved = 0
        self._losses: list[str] = []
        """Ends after which members gave up what else there was."""
        self._frontier = MerkleFrontier()
        self._end: LedgerEnd | None = None
        """The newest signature."""
        self._epochs = 0
        self.snapshots: dict[int, tuple[int, str]] = {}
        """Evidence's seqno -> (snapshot's seqno, hash)."""

    def take(self, entry: ParsedEntry, tables: Tables) -> Sequence[str]:
        wrong = self._take(entry, tables)
        self._frontier.append(entry.leaf)
        return wrong

    def _take(self, entry: ParsedEntry, tables: Tables) -> Sequence[str]:
        names = frozenset(tables)
        wrong = list(self._first(entry, names))
        if not names or self._is_an_adapters(names):
            return wrong
        if not any(names <= kind for kind in _KINDS):
            return [
                *wrong,
                f"it writes {', '.join(sorted(names))[:300]}, which is neither the system's nor one adapter's",
            ]
        if CONSTITUTION in names:
            return [*wrong, *self._take_constitution(tables[CONSTITUTION])]
        if REJECTED in names:
            return [*wrong, *self._take_rejection(tables[REJECTED])]
        if SNAPSHOT_EVIDENCE in names:
            return [*wrong, *self._take_snapshot(entry, tables[SNAPSHOT_EVIDENCE])]
        if self._state is None:
            return [*wrong, "it changes the network before there is a constitution"]
        wrong += self._judge(entry, tables, self._state)
        try:
            self._state.absorb_tables(tables)
        except CocoError as error:
            wrong.append(f"what it writes does not have its form: {error.message}")
        return wrong

    def take_signature(self, entry: ParsedEntry, signed: SignedRoot) -> Sequence[str]:
        self._frontier.append(entry.leaf)
        self._end = LedgerEnd(entry.view, entry.seqno, self._frontier.root())
        return self._take_leader(entry, signed)

    def _take_leader(self, entry: ParsedEntry, signed: SignedRoot) -> Sequence[str]:
        if entry.view in self._leaders:
            return []
        node = self._leaders[entry.view] = signed.node.node
        started = self._starts.get(entry.view)
        if started is not None:
            what = f"view {entry.view} is led by another node than its epoch's record names"
            return [] if started == node else [what]
        if not self._leaders.keys() - {entry.view}:
            return [f"view {entry.view} began without a record of its epoch"]
        slots = self._state.slots if self._state else {}
        name = slot_of(slots, NodeId(node))
        if name is None or (slots[name].state == "joining" and slots[name].node == node):
            return [f"view {entry.view} is led by a node that is in no slot, or is joining still"]
        return []

    def facts(self) -> Mapping[str, object]:
        state = self._state
        found: dict[str, object] = {
            "epochs": self._epochs,
            "evidence_verified": self._verify is not None,
            "losses_accepted": list(self._losses),
            "messages_accepted": [
                {"created_at": one.created_at, "digest": one.digest.hex(), "member": one.member}
                for one in self._accepted.values()
            ],
            "messages_rejected": self._rejected,
            "nodes_joined": self._joined,
            "settings": {"default_adapter": state.default_adapter} if state else {},
            "snapshots": len(self.snapshots),
            "starts": len(self._starts),
            "starts_approved": self._approved,
        }
        if state is not None:
            found["network"] = state.constitution.network
            found["constitution_digest"] = state.constitution.digest().hex()
            found["proposals"] = dict(Counter(record.state for record in state.proposals.values()))
            found["slots"] = {
                name: {"member": slot.member, "node": slot.node, "state": slot.state}
                for name, slot in sorted(state.slots.items())
            }
        return found

    def _is_an_adapters(self, names: frozenset[str]) -> bool:
        adapters = self._state.constitution.adapters if self._state else {}
        return any(all(name.startswith(f"{PUBLIC_PREFIX}{adapter}.") for name in names) for adapter in adapters)

    def _first(self, entry: ParsedEntry, names: frozenset[str]) -> Sequence[str]:
        if entry.seqno == 1:
            return [] if CONSTITUTION in names else ["the ledger does not begin with a constitution"]
        if self._leaders and entry.view not in self._leaders and not names & {EPOCHS, FRONT_END, SERVICE}:
            return [f"view {entry.view} begins with neither a start nor its leader's signature"]
        return []

    def _judge(self, entry: ParsedEntry, tables: Tables, state: SystemState) -> Sequence[str]:
        """Judge what changes settings, slots or nodes, by the state before it."""
        names = frozenset(tables)
        if AUTHORIZATIONS in names:
            self._joined += 1
            return judge_join(tables, state, self._verify)
        if names & {EPOCHS, EPOCH_KEYS} or names & {SERVICE, FRONT_END, ENDORSED_CERTIFICATES}:
            return self._take_epoch(entry, tables, state)
        if NODES in names or (names == {SLOTS}):
            return judge_change(tables, state)
        return self._take_message(tables, state)

    def _take_epoch(self, entry: ParsedEntry, tables: Tables, state: SystemState) -> Sequence[str]:
        """Judge the start of the network with one node, or a new epoch in a view that goes on."""
        found = read_epoch(tables)
        # A start that failed once its keys were sealed leaves out a number.
        if found is None or found[0] <= state.epoch:
            return ["its record of an epoch does not have its form, or its turn"]
        _, epoch = found
        self._epochs += 1
        wrong: list[str] = []
        if epoch.view != entry.view:
            wrong.append("its record of an epoch is for another view")
        if EPOCH_KEYS in tables:
            return [*wrong, *judge_epoch(tables, state, entry.seqno, self._leaders.get(entry.view))]
        if entry.view in self._leaders:
            wrong.append("it records a node's start though its view has begun before")
        if epoch.first_seqno > entry.seqno:
            wrong.append("its record of an epoch is for another place")
        self._starts[epoch.view] = epoch.node
        return wrong or self._take_start(tables, state)

    def _take_start(self, tables: Tables, state: SystemState) -> Sequence[str]:
        wrong = judge_start(tables, state, self._end, self._verify)
        approved = None if wrong else read_approved(tables)
        if approved is not None:
            self._approved += 1
            if approved.request.accept_loss:
                self._losses.append(f"{approved.request.view}.{approved.request.seqno}")
        return wrong

    def _take_constitution(self, writes: Mapping[bytes, bytes | None]) -> Sequence[str]:
        if self._state is not None:
            return ["it replaces the constitution, which no message can ask for"]
        value = writes.get(CURRENT)
        if value is None or len(writes) != 1:
            return ["it does not hold exactly one constitution"]
        try:
            constitution = Constitution.decode(value)
        except CocoError as error:
            return [f"no network can run under its constitution: {error.message}"]
        self._state = SystemState(constitution)
        return [] if constitution.encode() == value else ["the constitution is not in its one canonical form"]

    def _take_message(self, tables: Tables, state: SystemState) -> Sequence[str]:
        messages = tables.get(MESSAGES, {})
        if len(messages) != 1:
            what = " and ".join(_ASKED_FOR[name] for name in sorted(tables) if name in _ASKED_FOR)
            return [f"it changes {what or 'nothing'} without exactly one message that asks for it"]
        ((digest, data),) = messages.items()
        if data is None:
            return ["it deletes a message"]
        try:
            message = verify_message(data, state.constitution, now=None)
        except CocoError as error:
            return [f"it carries out a message that does not verify: {error.message}"]
        if message.digest != digest:
            return ["its message stands under another digest than its own"]
        if message.digest in self._accepted:
            return ["it carries out a message a second time"]
        self._accepted[message.digest] = message
        try:
            expected = state.copy().accept(message, data)
        except CocoError as error:
            return [f"it carries out a message that may not be: {error.message}"]
        return [
            f"it changes other {what} than its message asks for"
            for name, what in _ASKED_FOR.items()
            if dict(tables.get(name, {})) != expected.get(name, {})
        ]

    def _take_rejection(self, writes: Mapping[bytes, bytes | None]) -> Sequence[str]:
        self._rejected += len(writes)
        for digest, value in writes.items():
            if len(digest) != 32 or _decode(value, _Rejection) is None:
                return ["its record of a rejected message does not have its form"]
        return []

    def _take_snapshot(self, entry: ParsedEntry, writes: Mapping[bytes, bytes | None]) -> Sequence[str]:
        evidence = _decode(writes.get(SINGLETON_KEY), _SnapshotEvidence) if len(writes) == 1 else None
        if evidence is None or not 0 < evidence.version < entry.seqno:
            return ["its evidence of a snapshot does not have its form"]
        if evidence.hash != entry.claims.hex():
            return ["its evidence of a snapshot is not what it claims"]
        self.snapshots[entry.seqno] = (evidence.version, evidence.hash)
        return []


def _decode(value: bytes | None, kind: type[Any]) -> Any:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
