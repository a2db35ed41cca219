"""A network whose entries an audit judges as they are written; for tests of what it finds."""

from __future__ import annotations

from typing import Any

from core.crypto.keys import PrivateKey
from core.kv.write_set import Writes, encode_domain
from core.ledger.entry import EntrySealer, ParsedEntry, parse_entry
from core.ledger.key_wrapping import wrap_epoch_key
from core.ledger.secrets import EntryKey, EpochSecret
from core.ledger.tables import RootSignature, SignedRoot
from core.node.audit_rules import SystemRules
from core.node.system_work import epoch_writes, join_writes
from core.types import NodeId, Seqno, View
from tests.support.governance_bench import Network, node_info, node_of

NODES, SLOTS = "public:ccf.gov.nodes.info", "public:coco.slots"
CERTIFICATES, AUTHORIZATIONS = "public:ccf.gov.nodes.endorsed_certificates", "public:coco.authorizations"
PROPOSALS, MESSAGES = "public:coco.proposals", "public:coco.governance.messages"


class Audited(Network):
    """A network whose writes the audit sees as they come, each as an entry of its own."""

    def __post_init__(self) -> None:
        self.rules, self.seqno = SystemRules(), 0
        super().__post_init__()
        assert self.audit_new() == []
        assert self.sign_view(1, node_of(self.first)) == []

    def audit_new(self, view: int = 1) -> list[str]:
        """Audit what was written since the last time."""
        wrong: list[str] = []
        for writes in self.written:
            wrong += self.judge(writes, view)
        self.written.clear()
        return wrong

    def judge(self, writes: Writes, view: int = 1) -> list[str]:
        return list(self.rules.take(self.entry(encode_domain(writes), view), writes))

    def sign_view(self, view: int, node: str) -> list[str]:
        signed = SignedRoot(RootSignature(node, self.seqno + 1, view, "00" * 32, ""), b"")
        return list(self.rules.take_signature(self.entry(b"", view), signed))

    def entry(self, public: bytes, view: int) -> ParsedEntry:
        sealer = EntrySealer(EntryKey(bytes(32), node_of(self.first), View(view)), Seqno(self.seqno))
        self.seqno += 1
        return parse_entry(sealer.seal(Seqno(self.seqno), public, b"").data)

    def applicant(self) -> tuple[PrivateKey, bytes]:
        key = PrivateKey.generate()
        return key, self.ticket("node2", "beta", "n2:1", node_of(key))

    def joined(self) -> PrivateKey:
        self.admit()
        key, ticket = self.applicant()
        self.join(ticket, key)
        assert self.audit_new() == []
        return key

    def joining(self, key: PrivateKey, ticket: bytes) -> Writes:
        """What the leader would write, without writing it."""
        return join_writes(self.state, self.check(ticket, node_of(key)), node_info(key), self.endorse(key))

    def new_epoch(self, number: int = 2, *, recipients: Any = None, **changes: Any) -> Writes:
        fields = {"first_seqno": self.seqno + 2, "view": 1, "node": node_of(self.first)} | changes
        secret = EpochSecret(
            number, Seqno(fields["first_seqno"]), View(fields["view"]), NodeId(fields["node"]), bytes(32)
        )
        keys = [self.first] if recipients is None else recipients
        wrapped = {
            node_of(one): wrap_epoch_key(bytes(32), one.public_key(), network=self.digest, epoch=number) for one in keys
        }
        return epoch_writes(secret, wrapped)
