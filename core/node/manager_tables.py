"""The system's own tables (`public:ccf.*` and `public:coco.*`), which only the manager writes, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.governance.authorizations import AUTHORIZATIONS, AuthorizationUse
from core.governance.constitution import Constitution
from core.governance.messages import VerifiedMessage
from core.governance.proposals import PROPOSALS, ProposalRecord, decide
from core.governance.restarts import RESTARTS, RestartRecord, restart_row
from core.governance.slots import SLOTS, SlotRecord, restart
from core.kv.write_set import Writes, decode_domain, encode_domain, table_names
from core.ledger.epoch_records import EPOCHS, epoch_row
from core.ledger.secrets import EpochSecret
from core.ledger.tables import (
    ENDORSED_CERTIFICATES,
    NODES,
    SERVICE,
    SINGLETON_KEY,
    DomainCodec,
    NodeInfo,
    ServiceInfo,
)
from core.node.system_tables import is_system_table
from core.types import Digest, NodeId

CONSTITUTION = "public:coco.constitution"
SETTINGS = "public:coco.settings"
FRONT_END = "public:coco.front_end"
MESSAGES = "public:coco.governance.messages"
REJECTED = "public:coco.governance.rejected"

CURRENT = b"current"
DEFAULT_ADAPTER = b"default_adapter"
GOVERNANCE = "coco"
"""What an entry draft names instead of an adapter when it carries a governance message."""

SNAPSHOT = "coco.snapshot"
"""What it names when the manager is to put the evidence of a snapshot there."""

SYSTEM = "coco.system"
"""What it names when the manager is to put there what it has to record itself."""

FIRST_SLOT = "node1"
"""Where nothing else is said."""

REASON_CHARACTERS_MAX = 400
EMPTY_DOMAIN = encode_domain({})
WRITE_SETS = DomainCodec(encode_domain, decode_domain, table_names)

Tables = Mapping[str, Mapping[bytes, bytes | None]]


class SystemState:
    """The part of the system's tables that the manager decides by. What a `copy` shares is copied before it changes."""

    def __init__(self, constitution: Constitution) -> None:
        self.constitution = constitution
        self.constitution_seen = False
        self.default_adapter = constitution.default_adapter
        self.service_certificate = ""
        self.epoch = 0
        """The newest one's number."""
        self.nodes: dict[bytes, NodeInfo] = {}
        self.certificates: dict[str, str] = {}
        """Of every node there ever was (PEM), since receipts show them. All copies share it: it only grows, and what
        an entry that is rolled back had put there is never asked for."""
        self.slots: dict[str, SlotRecord] = {}
        self.voters_before: frozenset[NodeId] = frozenset()
        """Who voted before the newest change of that which was seen here; nobody, where it is known to be committed: by
        a snapshot, which stands for what is committed only."""
        self.proposals: dict[Digest, ProposalRecord] = {}
        self.authorizations: dict[Digest, AuthorizationUse] = {}
        self._accepted: set[bytes] = set()
        self._shared: frozenset[str] = frozenset()
        """Names of what another copy holds as well."""

    def copy(self) -> SystemState:
        """Return the state as it is now, which what happens to either does not change. Costs the same for any size."""
        twin = SystemState.__new__(SystemState)
        self._shared = frozenset({"nodes", "slots", "proposals", "authorizations", "_accepted"})
        vars(twin).update(vars(self))
        return twin

    def was_registered(self, node: NodeId) -> bool:
        """Say whether there is a record of this node, trusted or retired."""
        return node.encode() in self.nodes

    def trusted_nodes(self) -> list[NodeId]:
        """Return the nodes that are registered and not retired, in the order of their ids."""
        return sorted(
            NodeId(node.decode("ascii", "replace")) for node, info in self.nodes.items() if info.status == "Trusted"
        )

    @property
    def voters(self) -> frozenset[NodeId]:
        """Return the nodes that vote in consensus: those of the slots but for learners."""
        return frozenset(node for record in self.slots.values() for node in record.voters)

    @property
    def members(self) -> list[str]:
        """The names of those who vote."""
        return self.constitution.members

    def absorb(self, public: bytes) -> None:
        """Take in one replayed entry; raises MalformedMessage or AuthenticationFailed for what cannot be."""
        if any(is_system_table(name) for name in table_names(public)):
            self.absorb_tables(decode_domain(public))

    def absorb_tables(self, tables: Tables) -> None:
        """Take in what system tables hold; raises as `absorb`. Taking in the same again changes nothing."""
        if CONSTITUTION in tables:
            if tables[CONSTITUTION].get(CURRENT) != self.constitution.encode():
                raise AuthenticationFailed("the ledger's constitution is not the one these keys were sealed for")
            self.constitution_seen = True
        adapter = tables.get(SETTINGS, {}).get(DEFAULT_ADAPTER)
        if adapter is not None:
            self.default_adapter = adapter.decode("utf-8", "replace")
        service = tables.get(SERVICE, {}).get(SINGLETON_KEY)
        if service is not None:
            self.service_certificate = ServiceInfo.decode(service).cert
        self._absorb_nodes(tables)
        for number in tables.get(EPOCHS, {}):
            if not number.isdigit() or len(number) > 18:
                raise MalformedMessage("an epoch's number is none")
            self.epoch = max(self.epoch, int(number))
        voters = self.voters
        for name, value in tables.get(SLOTS, {}).items():
            self._own("slots")[name.decode("ascii", "replace")] = SlotRecord.decode(_present(value, "a slot's record"))
        if self.voters != voters:
            # A start is no change by consensus: whoever starts a network was given the disks of a quorum before.
            self.voters_before = frozenset() if FRONT_END in tables else voters
        for digest, value in tables.get(PROPOSALS, {}).items():
            self._own("proposals")[Digest(digest)] = ProposalRecord.decode(_present(value, "a proposal"))
        for digest, value in tables.get(AUTHORIZATIONS, {}).items():
            self._own("authorizations")[Digest(digest)] = AuthorizationUse.decode(_present(value, "an authorization"))
        if MESSAGES in tables:
            self._own("_accepted").update(tables[MESSAGES])

    def accept(self, message: VerifiedMessage, data: bytes) -> Writes:
        """Carry out a verified message, take that in, and return what it writes.

        Raises CocoError for a message that was carried out before or may not be; nothing has changed then.
        """
        if message.digest in self._accepted:
            raise AuthenticationFailed("the message was carried out before", hint="Sign a new one.")
        decision = decide(message, self.proposals, self.slots, self.members)
        writes: Writes = {MESSAGES: {message.digest: data}}
        adapter = decision.effects.default_adapter
        if adapter is not None:
            writes[SETTINGS] = {DEFAULT_ADAPTER: adapter.encode()}
        if decision.proposals:
            writes[PROPOSALS] = {digest: record.encode() for digest, record in decision.proposals.items()}
        if decision.effects.slots:
            writes[SLOTS] = slot_rows(decision.effects.slots)
        self.absorb_tables(writes)
        return writes

    def _absorb_nodes(self, tables: Tables) -> None:
        for node, value in tables.get(NODES, {}).items():
            self._own("nodes")[node] = NodeInfo.decode(_present(value, "a node's record"))
        for node, value in tables.get(ENDORSED_CERTIFICATES, {}).items():
            if value is not None:
                self.certificates[node.decode("ascii", "replace")] = value.decode("ascii", "replace")

    def _own(self, name: str) -> Any:
        """Return a container that may be changed."""
        if name in self._shared:
            setattr(self, name, getattr(self, name).copy())
            self._shared -= {name}
        return getattr(self, name)


def slot_rows(slots: Mapping[str, SlotRecord]) -> dict[bytes, bytes | None]:
    """Return what the table of slots says of these."""
    return {name.encode(): record.encode() for name, record in sorted(slots.items())}


def _present(value: bytes | None, what: str) -> bytes:
    if value is None:
        raise MalformedMessage(f"{what} is deleted")
    return value


def rejection(digest: Digest, error: CocoError) -> tuple[Writes, str]:
    """Return what records a rejected message (digest: of all its bytes), and the reason it gives."""
    reason = str(error)[:REASON_CHARACTERS_MAX]
    return {REJECTED: {digest: msgspec.json.encode({"reason": reason})}}, reason


def genesis_writes(constitution: Constitution) -> Writes:
    """The first entry: the constitution itself."""
    return {CONSTITUTION: {CURRENT: constitution.encode()}}


def start_writes(
    state: SystemState,
    node: NodeInfo,
    certificate: str,
    secret: EpochSecret,
    service_certificate: str,
    front_end_certificate: str,
    *,
    slot: str = FIRST_SLOT,
    address: str = "",
    approved: RestartRecord | None = None,
) -> Writes:
    """What each start of a network with one node records: the node in its slot and in place of all others, the epoch,
    the authorities, and what members approved of. Not taken in. Raises CocoError for a slot that it cannot start in.

    certificate: the node's, endorsed by the service (PEM). address: HOST:PORT at which other nodes reach it.
    """
    nodes: dict[bytes, bytes | None] = {
        old: info.retired().encode() for old, info in sorted(state.nodes.items()) if info.status == "Trusted"
    }
    nodes[secret.node.encode()] = node.encode()
    return {
        NODES: nodes,
        ENDORSED_CERTIFICATES: {secret.node.encode(): certificate.encode()},
        SERVICE: {SINGLETON_KEY: ServiceInfo(service_certificate, "Open").encode()},
        EPOCHS: epoch_row(secret),
        FRONT_END: {CURRENT: front_end_certificate.encode()},
        SLOTS: slot_rows(restart(state.slots, slot, secret.node, address, state.members[0])),
        **({RESTARTS: {restart_row(approved.request): approved.encode()}} if approved is not None else {}),
    }
