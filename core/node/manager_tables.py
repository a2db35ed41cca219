"""The system's own tables (`public:ccf.*` and `public:coco.*`), which only the manager writes, and what they hold."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from core.errors import AuthenticationFailed, CocoError, MalformedMessage
from core.governance.constitution import Constitution
from core.governance.messages import SetDefaultAdapter, VerifiedMessage
from core.kv.write_set import Writes, decode_domain, encode_domain, table_names
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
from core.types import Digest

CONSTITUTION = "public:coco.constitution"
SETTINGS = "public:coco.settings"
EPOCHS = "public:coco.epochs"
FRONT_END = "public:coco.front_end"
MESSAGES = "public:coco.governance.messages"
REJECTED = "public:coco.governance.rejected"

CURRENT = b"current"
DEFAULT_ADAPTER = b"default_adapter"
GOVERNANCE = "coco"
"""What an entry draft names instead of an adapter when it carries a governance message."""

SNAPSHOT = "coco.snapshot"
"""What it names when the manager is to put the evidence of a snapshot there."""

REASON_CHARACTERS_MAX = 400
EMPTY_DOMAIN = encode_domain({})
WRITE_SETS = DomainCodec(encode_domain, decode_domain, table_names)


class SystemState:
    """The part of the system's tables that the manager decides by."""

    def __init__(self, constitution: Constitution) -> None:
        self.constitution = constitution
        self.constitution_seen = False
        self.default_adapter = constitution.default_adapter
        self.nodes: dict[bytes, NodeInfo] = {}
        self.certificates: dict[str, str] = {}
        """Of every node there ever was (PEM), since receipts show them."""
        self._accepted: set[bytes] = set()

    def absorb(self, public: bytes) -> None:
        """Take in one replayed entry; raises MalformedMessage or AuthenticationFailed for what cannot be."""
        if any(is_system_table(name) for name in table_names(public)):
            self.absorb_tables(decode_domain(public))

    def absorb_tables(self, tables: Writes) -> None:
        """Take in what system tables hold; raises as `absorb`."""
        if CONSTITUTION in tables:
            if tables[CONSTITUTION].get(CURRENT) != self.constitution.encode():
                raise AuthenticationFailed("the ledger's constitution is not the one these keys were sealed for")
            self.constitution_seen = True
        adapter = tables.get(SETTINGS, {}).get(DEFAULT_ADAPTER)
        if adapter is not None:
            self.default_adapter = adapter.decode("utf-8", "replace")
        for node, value in tables.get(NODES, {}).items():
            if value is None:
                raise MalformedMessage("a node's record is deleted")
            self.nodes[node] = NodeInfo.decode(value)
        for node, value in tables.get(ENDORSED_CERTIFICATES, {}).items():
            if value is not None:
                self.certificates[node.decode("ascii", "replace")] = value.decode("ascii", "replace")
        self._accepted.update(tables.get(MESSAGES, ()))

    def accept(self, message: VerifiedMessage, data: bytes) -> Writes:
        """Carry out a verified message and return what it writes; raises CocoError for a repeated one."""
        if message.digest in self._accepted:
            raise AuthenticationFailed("the message was carried out before", hint="Sign a new one.")
        settings: dict[bytes, bytes | None] = {}
        for action in message.actions:
            match action:
                case SetDefaultAdapter(args=args):
                    settings[DEFAULT_ADAPTER] = args.adapter.encode()
                    self.default_adapter = args.adapter
        self._accepted.add(message.digest)
        return {MESSAGES: {message.digest: data}, SETTINGS: settings}


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
) -> Writes:
    """What each start of a node records: the new node in place of the old ones, the epoch, and the authorities.

    certificate: the node's, endorsed by the service (PEM).
    """
    nodes: dict[bytes, bytes | None] = {
        old: replace(info, status="Retired").encode()
        for old, info in sorted(state.nodes.items())
        if info.status == "Trusted"
    }
    nodes[secret.node.encode()] = node.encode()
    epoch = {"first_seqno": secret.first_seqno, "node": secret.node, "view": secret.first_view}
    return {
        NODES: nodes,
        ENDORSED_CERTIFICATES: {secret.node.encode(): certificate.encode()},
        SERVICE: {SINGLETON_KEY: ServiceInfo(service_certificate, "Open").encode()},
        EPOCHS: {str(secret.epoch).encode(): msgspec.json.encode(epoch)},
        FRONT_END: {CURRENT: front_end_certificate.encode()},
    }
