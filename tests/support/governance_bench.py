"""A network of three members and a participant, on paper: its keys, what they sign, and the state that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from core.crypto.certificates import fingerprint, self_signed
from core.crypto.keys import PrivateKey
from core.governance.authorizations import Measurements, sign_delegation, sign_ticket
from core.governance.constitution import Constitution, Identity
from core.governance.joining import JoinDecision, check_join
from core.governance.messages import (
    Action,
    VerifiedMessage,
    admit_node,
    sign_ballot,
    sign_message,
    sign_withdrawal,
    verify_message,
)
from core.kv.write_set import Writes
from core.ledger.secrets import EpochSecret
from core.ledger.tables import NodeInfo, QuoteInfo
from core.node.manager_keys import NodeSecrets, make_secrets
from core.node.manager_tables import SystemState, genesis_writes, start_writes
from core.node.system_work import join_writes, promotion_writes, removal_writes
from core.ports import ReportClaims
from core.types import Digest, NodeId, Seqno, View
from tests.support.manifests import FAKE_ROOT, FAKE_WORKER, admitting

NOW = 1_800_000_000
DAY = 86_400
MEMBERS = ("alpha", "beta", "gamma")
ACTORS = (*MEMBERS, "partner")
_START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = {name: PrivateKey.generate() for name in (*ACTORS, "stranger")}
CERTIFICATES = {name: self_signed(name, key, not_before=_START, days=3650) for name, key in KEYS.items()}
MEASUREMENTS = Measurements("ab" * 32, "cd" * 32)
CLAIMS = ReportClaims(
    measurement=b"\xab" * 32,
    signer=FAKE_WORKER.signer,
    security_version=1,
    report_data=bytes(64),
    platform="fake",
    tee="sgx",
    debug=False,
    simulated=True,
    product=1,
    root=FAKE_ROOT,
    tcb_status="UpToDate",
)
"""Of a node that may join."""


def make_constitution(members: Sequence[str] = MEMBERS, network: str = "three") -> Constitution:
    return Constitution(
        version=2,
        network=network,
        identities=(
            *(Identity(name, "member", CERTIFICATES[name]) for name in members),
            Identity("partner", "participant", CERTIFICATES["partner"]),
        ),
        adapters={"kv": {}, "ethereum": {}},
        default_adapter="ethereum",
        **admitting("kv", "ethereum", roots=(FAKE_ROOT,), signers=(FAKE_WORKER.signer,)),
    )


@dataclass
class Network:
    """A network that began with one node in slot node1 of its first member. Time goes on with each message."""

    constitution: Constitution = field(default_factory=make_constitution)
    now: int = NOW
    view: int = 1

    def __post_init__(self) -> None:
        digest = self.constitution.digest()
        self.secrets: NodeSecrets = make_secrets(digest, self.constitution.network, self.now)
        self.state = SystemState(self.constitution)
        self.first = PrivateKey.generate()
        self.written: list[Writes] = []
        self.write(genesis_writes(self.constitution))
        self.write(self.start(self.first))

    @property
    def digest(self) -> Digest:
        return self.constitution.digest()

    @property
    def service(self) -> str:
        return fingerprint(self.secrets.service_certificate)

    def write(self, writes: Writes) -> Writes:
        """Take in what the leader would write."""
        self.state.absorb_tables(writes)
        self.written.append(writes)
        return writes

    def start(self, key: PrivateKey, *, slot: str = "node1", address: str = "n1:1", number: int = 0) -> Writes:
        node = key.public_key().node_id()
        secret = EpochSecret(number or self.state.epoch + 1, Seqno(1), View(self.view), node, bytes(32))
        return start_writes(
            self.state, node_info(key), self.endorse(key), secret,
            self.secrets.service_certificate, self.secrets.front_end_certificate, slot=slot, address=address,
        )  # fmt: skip

    def endorse(self, key: PrivateKey) -> str:
        return self.secrets.endorse_node(key.public_key(), self.now)

    # Messages.

    def sign(self, who: str, *actions: Action) -> bytes:
        self.now += 1
        return sign_message(actions, created_at=self.now, **self.credentials(who))

    def sign_ballot(self, who: str, proposal: Digest, approve: bool = True) -> bytes:
        self.now += 1
        return sign_ballot(proposal, approve, created_at=self.now, **self.credentials(who))

    def sign_withdrawal(self, who: str, proposal: Digest) -> bytes:
        self.now += 1
        return sign_withdrawal(proposal, created_at=self.now, **self.credentials(who))

    def credentials(self, who: str) -> dict[str, Any]:
        return {"network": self.digest, "certificate": CERTIFICATES[who], "key": KEYS[who]}

    def verify(self, data: bytes) -> VerifiedMessage:
        return verify_message(data, self.constitution, self.now)

    def accept(self, data: bytes) -> Digest:
        """Carry a message out and return its digest; raises CocoError."""
        message = self.verify(data)
        self.written.append(self.state.accept(message, data))
        return message.digest

    def propose(self, who: str, *actions: Action) -> Digest:
        return self.accept(self.sign(who, *actions))

    def vote(self, who: str, proposal: Digest, approve: bool = True) -> None:
        self.accept(self.sign_ballot(who, proposal, approve))

    def pass_(self, *actions: Action) -> Digest:
        """Propose, and have as many approve as it takes."""
        members = self.state.members
        proposal = self.propose(members[0], *actions)
        for name in members[1 : len(members) // 2 + 1]:
            self.vote(name, proposal)
        return proposal

    # Nodes.

    def ticket(self, slot: str, member: str, address: str, node: NodeId | None, **changes: Any) -> bytes:
        """Sign a ticket, or with node None a delegation. changes: other fields."""
        fields: dict[str, Any] = {
            "network": self.digest, "service": self.service, "slot": slot, "address": address,
            "measurements": MEASUREMENTS, "not_after": self.now + DAY, "created_at": self.now,
            "certificate": CERTIFICATES[member], "key": KEYS[member],
        } | changes  # fmt: skip
        if node is None:
            return sign_delegation(**{"count": 2} | fields)
        return sign_ticket(node=node, **fields)

    def check(self, authorization: bytes, node: NodeId, address: str = "n2:1", **changes: Any) -> JoinDecision:
        claims = changes.get("claims", CLAIMS)
        return check_join(
            authorization, address, claims=claims, node=node, register=self.state, now=changes.get("now", self.now)
        )

    def join(self, authorization: bytes, key: PrivateKey, address: str = "n2:1") -> JoinDecision:
        decision = self.check(authorization, key.public_key().node_id(), address)
        self.write(join_writes(self.state, decision, node_info(key), self.endorse(key)))
        return decision

    def admit(self, slot: str = "node2", member: str = "beta", address: str = "n2:1") -> None:
        self.pass_(admit_node(slot, member, address))

    def promote(self, slot: str) -> None:
        self.write(promotion_writes(self.state, slot))

    def remove(self, slot: str) -> None:
        self.write(removal_writes(self.state, slot))


def node_info(key: PrivateKey) -> NodeInfo:
    return NodeInfo("Trusted", key.public_key().to_pem(), QuoteInfo(""))


def node_of(key: PrivateKey) -> NodeId:
    return key.public_key().node_id()


def other_claims(**changes: Any) -> ReportClaims:
    return replace(CLAIMS, **changes)
