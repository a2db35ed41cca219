"""Nodes that join, are promoted and are removed: the leader's part, by entries of its own. DESIGN sections 5 and 7.

What is decided and not done is read off the tables (system_work.py), so that the next leader takes up what this one
leaves. The executor is asked for a block, its entry filled in here, and proposed together with the change of
configuration. A change that consensus does not take at that moment leaves the entry empty, and is tried again.

A node never takes itself out: it would sign a block that says that it is trusted no more. It hands over first.

A node that joins gives evidence over its key besides that of its channel; it is verified when the node asks, and stands
beside the key in the ledger (node_evidence.py).

Invariant: keys are handed to a node only once its record is committed, and only to the node that the record names.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Sequence, Set
from dataclasses import dataclass
from typing import Any, assert_never

from core import limits
from core.consensus.configuration import (
    ChangeKind,
    ConfigurationChange,
    NodeChange,
    decode_configuration,
    encode_change,
)
from core.consensus.engine import ChangeRefused, NotLeader, TransferPending
from core.crypto.keys import PublicKey
from core.errors import CocoError
from core.governance.join_refusals import describe_refusal
from core.governance.joining import JoinDecision, check_join
from core.kv.write_set import Writes, encode_domain
from core.ledger.key_wrapping import wrap_epoch_key
from core.ledger.secrets import EpochSecret
from core.ledger.tables import NodeInfo, QuoteInfo
from core.node.admission import VerifyEvidence
from core.node.manager_blocks import Own
from core.node.manager_keys import NodeSecrets
from core.node.manager_tables import EMPTY_DOMAIN, SystemState
from core.node.node_evidence import EvidenceRules, verify_joining
from core.node.peer_messages import (
    Body,
    EpochKey,
    Inbound,
    JoinAccepted,
    JoinDenied,
    JoinRequest,
    MemberNode,
)
from core.node.replication.leadership import Leadership
from core.node.replication.register import registered
from core.node.system_work import (
    NewEpoch,
    Promotion,
    Removal,
    due_work,
    epoch_writes,
    join_writes,
    promotion_writes,
    removal_writes,
)
from core.types import NodeId, Seqno, View

NOT_LEADING_RETRY_SECONDS = 1


@dataclass(slots=True)
class _Joiner:
    """A node that waits for its answer."""

    request: JoinRequest
    inbound: Inbound
    evidence: QuoteInfo
    is_recorded: bool = False


@dataclass(frozen=True, slots=True)
class _Proposal:
    """What an entry is to record, with the change that belongs to it."""

    writes: Writes
    change: ConfigurationChange | None


class Membership:
    """See the module. spawn: begins a task whose failure is the node's. secrets_now: the node's keys, as they are."""

    def __init__(
        self,
        leadership: Leadership,
        state: Callable[[], SystemState],
        *,
        secrets_now: Callable[[], NodeSecrets],
        connected: Callable[[], Set[NodeId]],
        verify: VerifyEvidence,
        clock: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        log: Callable[[str], None],
    ) -> None:
        """state: as of the newest block, committed or not."""
        self._leadership = leadership
        self._state = state
        self._secrets = secrets_now
        self._connected = connected
        self._verify = verify
        self._clock = clock
        self._spawn = spawn
        self._log = log
        self._joiners: dict[NodeId, _Joiner] = {}
        self._is_asked = False
        self._members: frozenset[NodeId] = frozenset()
        self._voters: frozenset[NodeId] = frozenset()

    # Requests to join.

    async def take(self, inbound: Inbound, request: JoinRequest) -> None:
        """Take a request to join; whoever sent it gets its answer when it is decided, or at once."""
        if inbound.answer is None:
            return
        if not self._leadership.leads:
            await inbound.answer(self._elsewhere())
            return
        try:
            decision = self._check(inbound, request)
            rules = EvidenceRules(self._state().constitution, self._verify, int(self._clock()))
            evidence = verify_joining(request.evidence, inbound.sender, inbound.claims, rules)
        except CocoError as error:
            refusal = describe_refusal(error)
            self._log(f"node {inbound.sender[:16]} may not join ({refusal.reason}): {refusal.message}")
            await inbound.answer(JoinDenied(refusal.reason, refusal.message, refusal.hint, refusal.retry_seconds))
            return
        if len(self._joiners) >= limits.JOINERS_MAX and inbound.sender not in self._joiners:
            denied = JoinDenied("overloaded", "many nodes are joining", "Wait a little.", NOT_LEADING_RETRY_SECONDS)
            await inbound.answer(denied)
            return
        self._joiners[inbound.sender] = _Joiner(request, inbound, evidence, is_recorded=decision.is_repeat)
        if decision.is_repeat and self._is_committed(inbound.sender):
            await self._welcome(inbound.sender)
        else:
            self.look()

    def lose(self) -> None:
        """Another node leads: send those that wait to it."""
        self._is_asked = False
        joiners, self._joiners = self._joiners, {}
        for joiner in joiners.values():
            self._spawn(_reply(joiner.inbound, self._elsewhere()))

    def _elsewhere(self) -> JoinDenied:
        leader = self._leadership.leader
        address = next((one.address for node, one in self._nodes().items() if node == leader), "")
        return JoinDenied(
            "not-leader", "this node does not lead", "The leader is asked next.", NOT_LEADING_RETRY_SECONDS, address
        )

    def _check(self, inbound: Inbound, request: JoinRequest) -> JoinDecision:
        return check_join(
            request.authorization,
            request.address,
            claims=inbound.claims,
            node=inbound.sender,
            register=self._state(),
            now=self._clock(),
        )

    # What is to be recorded.

    def look(self) -> None:
        """Have the executor propose a block if there is something to record that consensus would take now."""
        if self._is_asked or not self._leadership.leads:
            return
        if self._next(View(0), Seqno(1)) is not None:
            self._is_asked = True
            self._leadership.ask_for_work()
        elif self._leadership.node in self._leaving():
            self.hand_over()

    def _leaving(self) -> set[NodeId]:
        """Return the nodes that are to be taken out, as soon as that can be."""
        leaving = set[NodeId]()
        for work in due_work(self._state()):
            if isinstance(work, Removal):
                leaving.update(work.nodes)
            elif isinstance(work, Promotion) and work.replaces and work.node in self._members:
                leaving.add(work.replaces)
        return leaving

    def hand_over(self) -> bool:
        """Have another node lead, if this one does: it stops, or is to be taken out. Returns whether one was asked."""
        driver = self._leadership.driver
        if not self._leadership.view:
            return False
        others = sorted((self._voters - self._leaving() - {self._leadership.node}) & set(self._connected()))
        if others and driver.status.transferring_to is None:
            self._log(f"hands over to node {others[0][:16]}")
            driver.transfer_leadership(others[0])
        return bool(others)

    def fill(self, view: View, seqno: Seqno) -> Own:
        """Return what the entry of that seqno is to hold, which may be nothing."""
        self._is_asked = False
        found = self._next(view, seqno)
        if found is None:
            return Own(EMPTY_DOMAIN)
        change = encode_change(found.change) if found.change is not None else b""
        return Own(encode_domain(found.writes), change=change)

    def _next(self, view: View, seqno: Seqno) -> _Proposal | None:
        for proposal in self._candidates(view, seqno):
            if proposal.change is None:
                return proposal
            try:
                self._leadership.driver.check_change(encode_change(proposal.change))
            except (ChangeRefused, NotLeader, TransferPending):
                continue
            return proposal
        return None

    def _candidates(self, view: View, seqno: Seqno) -> Sequence[_Proposal]:
        """view: 0 to find out only whether there is anything."""
        state = self._state()
        found = []
        for work in due_work(state):
            match work:
                case Removal(_, nodes) if self._leadership.node in nodes:
                    continue
                case Promotion(_, _, replaces) if self._leadership.node == replaces:
                    continue
                case Removal(slot, nodes):
                    found.append(_Proposal(removal_writes(state, slot), self._removing(nodes)))
                case NewEpoch(number, nodes):
                    found.append(_Proposal(self._epoch(state, number, nodes, view, seqno) if view else {}, None))
                case Promotion(slot, node, replaces):
                    out = self._removing((replaces,) if replaces else ())
                    more = out.changes if out is not None else ()
                    change = ConfigurationChange((NodeChange(ChangeKind.ADD_VOTER, node), *more))
                    found.append(_Proposal(promotion_writes(state, slot), change))
                case _:
                    assert_never(work)
        found += self._joining(state)
        return found

    def _joining(self, state: SystemState) -> list[_Proposal]:
        found = []
        for node, joiner in list(self._joiners.items()):
            if joiner.is_recorded:
                continue
            try:
                decision = self._check(joiner.inbound, joiner.request)
            except CocoError as error:
                # It was decided otherwise since the node asked.
                refusal = describe_refusal(error)
                denied = JoinDenied(refusal.reason, refusal.message, refusal.hint, refusal.retry_seconds)
                del self._joiners[node]
                self._spawn(_reply(joiner.inbound, denied))
                continue
            if decision.is_repeat:
                joiner.is_recorded = True
                continue
            dropped = self._removing((decision.drops,) if decision.drops else ())
            more = dropped.changes if dropped is not None else ()
            change = ConfigurationChange((NodeChange(ChangeKind.ADD_LEARNER, node), *more))
            info = NodeInfo("Trusted", joiner.inbound.public_key.to_pem(), joiner.evidence)
            certificate = self._secrets().endorse_node(joiner.inbound.public_key, self._clock())
            found.append(_Proposal(join_writes(state, decision, info, certificate), change))
        return found

    def _removing(self, nodes: Sequence[NodeId]) -> ConfigurationChange | None:
        """Return the change that takes out those of the nodes that are in the configuration; None for nobody."""
        changes = tuple(NodeChange(ChangeKind.REMOVE, node) for node in sorted(nodes) if node in self._members)
        return ConfigurationChange(changes) if changes else None

    def _epoch(self, state: SystemState, number: int, nodes: Sequence[NodeId], view: View, seqno: Seqno) -> Writes:
        """Make a new epoch, whose key seals what comes after the block (its entry, and the signature)."""
        leader = self._leadership.node
        secret = EpochSecret(number, Seqno(seqno + 2), view, leader, secrets.token_bytes(32))
        network = state.constitution.digest()
        wrapped = {
            node: wrap_epoch_key(
                secret.key, PublicKey.from_pem(state.nodes[node.encode()].public_key), network=network, epoch=number
            )
            for node in nodes
        }
        self._log(f"epoch {number} begins at entry {secret.first_seqno}, for {len(wrapped)} nodes")
        return epoch_writes(secret, wrapped)

    # What is committed.

    def configured(self, configuration: bytes) -> None:
        """Take note of the configuration in force."""
        decoded = decode_configuration(configuration)
        self._members, self._voters = decoded.members, frozenset(decoded.voters)

    @property
    def members(self) -> frozenset[NodeId]:
        return self._members

    async def committed(self) -> None:
        """Answer those whose record is committed now, and look for more to do."""
        for node in list(self._joiners):
            if self._is_committed(node):
                await self._welcome(node)
        self.look()

    def _is_committed(self, node: NodeId) -> bool:
        return node in self._nodes() and node in self._members

    def _nodes(self) -> dict[NodeId, MemberNode]:
        nodes, _ = registered(self._leadership.driver.committed_state)
        return {node: MemberNode(node, one.public_key.to_der(), one.address) for node, one in nodes.items()}

    async def _welcome(self, node: NodeId) -> None:
        joiner = self._joiners.pop(node)
        state, kept = self._leadership.driver.committed_state, self._secrets()
        record = next(name for name, slot in state.slots.items() if slot.node == node)
        accepted = JoinAccepted(
            node_certificate=state.certificates[self._leadership.node],
            service_certificate=kept.service_certificate,
            service_key=kept.service_key.to_pkcs8_der(),
            front_end_certificate=kept.front_end_certificate,
            front_end_key=kept.front_end_key.to_pkcs8_der(),
            epochs=tuple(
                EpochKey(one.epoch, one.first_seqno, one.first_view, one.node, one.key) for one in kept.epochs
            ),
            constitution=state.constitution.encode(),
            certificate=state.certificates[node],
            slot=record,
            nodes=tuple(self._nodes().values()),
        )
        self._log(f"node {node[:16]} joins in slot {record}")
        self._spawn(_reply(joiner.inbound, accepted))


async def _reply(inbound: Inbound, body: Body) -> None:
    """Answer a request."""
    if inbound.answer is not None:
        await inbound.answer(body)
