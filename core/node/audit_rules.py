"""What the system's and adapters' tables must say, so that every change of the network's rules is explained.

Replays what the manager decided (`SystemState`, `start_writes`), from the ledger alone: the constitution is its first
entry and stays; a change of settings stands in one entry with the member's message that asked for it, whose signature
is verified again; each view begins with a record of its epoch and is led by the node named there; adapters write their
own tables.

What nobody can check afterwards: how old a message was when it was accepted (the manager compared its `created_at`
with a clock that the ledger does not record), and why one was rejected (only its digest and the reason stand there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from core.errors import CocoError
from core.governance.constitution import Constitution
from core.governance.messages import SetDefaultAdapter, VerifiedMessage, verify_message
from core.kv.write_set import PUBLIC_PREFIX
from core.ledger.audit import Tables
from core.ledger.entry import ParsedEntry
from core.ledger.tables import ENDORSED_CERTIFICATES, NODES, SERVICE, SINGLETON_KEY, SNAPSHOT_EVIDENCE, SignedRoot
from core.node.manager_tables import (
    CONSTITUTION,
    CURRENT,
    DEFAULT_ADAPTER,
    EPOCHS,
    FRONT_END,
    MESSAGES,
    REJECTED,
    SETTINGS,
)
from core.types import Digest

_START_TABLES = frozenset({NODES, ENDORSED_CERTIFICATES, SERVICE, EPOCHS, FRONT_END})
_MESSAGE_TABLES = frozenset({MESSAGES, SETTINGS})
_KINDS = (
    frozenset({CONSTITUTION}),
    _START_TABLES,
    _MESSAGE_TABLES,
    frozenset({REJECTED}),
    frozenset({SNAPSHOT_EVIDENCE}),
)
"""What the tables of one entry of the manager are, together."""


class _Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first_seqno: int
    node: str
    view: int


class _Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


class _SnapshotEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hash: str
    version: int
    state_digest: str = ""


class SystemRules:
    """See the module. One of a ledger."""

    def __init__(self) -> None:
        self._constitution: Constitution | None = None
        self._settings: dict[str, str] = {}
        self._accepted: dict[Digest, VerifiedMessage] = {}
        self._rejected = 0
        self._epochs: dict[int, _Epoch] = {}
        self._last_epoch = 0
        self._views_judged = set[int]()
        self.snapshots: dict[int, tuple[int, str]] = {}
        """Evidence's seqno -> (snapshot's seqno, hash)."""

    def take(self, entry: ParsedEntry, tables: Tables) -> Sequence[str]:
        if not tables:
            return self._first(entry, frozenset())
        names = frozenset(tables)
        adapters = self._constitution.adapters if self._constitution else {}
        for adapter in adapters:
            prefix = f"{PUBLIC_PREFIX}{adapter}."
            if all(name.startswith(prefix) for name in names):
                return self._first(entry, frozenset())
        wrong = list(self._first(entry, names))
        if not any(names <= kind for kind in _KINDS):
            return [
                *wrong,
                f"it writes {', '.join(sorted(names))[:300]}, which is neither the system's nor one adapter's",
            ]
        if CONSTITUTION in tables:
            wrong += self._take_constitution(tables[CONSTITUTION])
        if names & _MESSAGE_TABLES:
            wrong += self._take_message(tables)
        if REJECTED in tables:
            wrong += self._take_rejection(tables[REJECTED])
        if names & _START_TABLES:
            wrong += self._take_start(entry, tables)
        if SNAPSHOT_EVIDENCE in tables:
            wrong += self._take_snapshot(entry, tables[SNAPSHOT_EVIDENCE])
        return wrong

    def take_signature(self, entry: ParsedEntry, signed: SignedRoot) -> Sequence[str]:
        if entry.view in self._views_judged:
            return []
        self._views_judged.add(entry.view)
        epoch = self._epochs.get(entry.view)
        if epoch is None:
            return [f"view {entry.view} began without a record of its epoch"]
        if epoch.node != signed.node.node:
            return [f"view {entry.view} is led by another node than its epoch's record names"]
        return []

    def facts(self) -> Mapping[str, object]:
        found: dict[str, object] = {
            "epochs": len(self._epochs),
            "messages_accepted": [
                {"created_at": one.created_at, "digest": one.digest.hex(), "member": one.member}
                for one in self._accepted.values()
            ],
            "messages_rejected": self._rejected,
            "settings": dict(self._settings),
            "snapshots": len(self.snapshots),
        }
        if self._constitution is not None:
            found["network"] = self._constitution.network
            found["constitution_digest"] = self._constitution.digest().hex()
        return found

    def _first(self, entry: ParsedEntry, names: frozenset[str]) -> Sequence[str]:
        if entry.seqno == 1 and CONSTITUTION not in names:
            return ["the ledger does not begin with a constitution"]
        return []

    def _take_constitution(self, writes: Mapping[bytes, bytes | None]) -> Sequence[str]:
        if self._constitution is not None:
            return ["it replaces the constitution, which no message can ask for"]
        value = writes.get(CURRENT)
        if value is None or len(writes) != 1:
            return ["it does not hold exactly one constitution"]
        try:
            constitution = Constitution.decode(value)
        except CocoError as error:
            return [f"no network can run under its constitution: {error.message}"]
        self._constitution = constitution
        self._settings["default_adapter"] = constitution.default_adapter
        return [] if constitution.encode() == value else ["the constitution is not in its one canonical form"]

    def _take_message(self, tables: Tables) -> Sequence[str]:
        if self._constitution is None:
            return ["a message before there is a constitution"]
        messages = tables.get(MESSAGES, {})
        if len(messages) != 1:
            return ["it changes settings without exactly one message that asks for it"]
        ((digest, data),) = messages.items()
        if data is None:
            return ["it deletes a message"]
        try:
            message = verify_message(data, self._constitution, now=None)
        except CocoError as error:
            return [f"it carries out a message that does not verify: {error.message}"]
        if message.digest != digest:
            return ["its message stands under another digest than its own"]
        if message.digest in self._accepted:
            return ["it carries out a message a second time"]
        self._accepted[message.digest] = message
        settings: dict[bytes, bytes | None] = {}
        for action in message.actions:
            match action:
                case SetDefaultAdapter(args=args):
                    settings[DEFAULT_ADAPTER] = args.adapter.encode()
        written = dict(tables.get(SETTINGS, {}))
        self._settings.update({key.decode(): value.decode() for key, value in settings.items() if value is not None})
        return [] if written == settings else ["it changes other settings than its message asks for"]

    def _take_rejection(self, writes: Mapping[bytes, bytes | None]) -> Sequence[str]:
        self._rejected += len(writes)
        for digest, value in writes.items():
            if len(digest) != 32 or _decode(value, _Rejection) is None:
                return ["its record of a rejected message does not have its form"]
        return []

    def _take_start(self, entry: ParsedEntry, tables: Tables) -> Sequence[str]:
        wrong = []
        if entry.view in self._views_judged:
            wrong.append("it records a node's start though its view has begun before")
        for key, value in tables.get(EPOCHS, {}).items():
            epoch = _decode(value, _Epoch)
            number = int(key) if key.isdigit() and len(key) < 20 else 0
            if epoch is None or str(number).encode() != key or number <= self._last_epoch:
                wrong.append("its record of an epoch does not have its form, or its turn")
            elif epoch.view != entry.view or epoch.first_seqno > entry.seqno:
                wrong.append("its record of an epoch is for another view or place")
            else:
                # A start that failed once its keys were sealed leaves out a number.
                self._epochs[epoch.view], self._last_epoch = epoch, number
        for node, value in tables.get(NODES, {}).items():
            if value is None:
                wrong.append(f"it deletes the record of node {node.decode('ascii', 'replace')[:16]}")
        return wrong

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
