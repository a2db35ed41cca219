"""How a node comes by what its member signs for it: it was given it, or it waits for it, with its key in memory.

A ticket names one key, which is made when the node starts. So a node that is to join by a ticket makes its key, shows
it with evidence over it to its host, for its member, and waits. What comes is checked here before anybody is asked;
what does not count is told, and the node goes on waiting. The host can keep a ticket from the node, and no more.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.crypto.keys import PublicKey
from core.errors import InvariantBroken
from core.governance.authorizations import Authorization, Measurements
from core.governance.constitution import Constitution
from core.governance.join_refusals import JoinRefused, Refusal, TicketNotGiven, describe_refusal
from core.governance.joining import check_ticket
from core.governance.ticket_requests import TicketRequest
from core.node.config import ManagerConfig
from core.node.node_evidence import make_evidence
from core.node.peer_messages import NodeEvidence
from core.ports import Attestor, ReportClaims


class TicketDesk(Protocol):
    """The host's part: it shows to people what is to be signed, and brings what was."""

    async def want(self, request: bytes) -> None:
        """Show what is to be signed (core/governance/ticket_requests.py)."""
        ...

    async def receive(self) -> bytes:
        """Return what was brought next."""
        ...

    async def answer(self, refusal: Refusal | None) -> None:
        """Say whether it counts: None: it does, and nothing more is wanted."""
        ...


@dataclass(frozen=True, slots=True)
class OwnNode:
    """A node before anybody knows it. measurements: of its enclaves; evidence: over its key."""

    config: ManagerConfig
    key: PublicKey
    measurements: Measurements
    evidence: NodeEvidence


async def describe_own(
    config: ManagerConfig, key: PublicKey, attestor: Attestor, worker: ReportClaims, published: Mapping[str, Any]
) -> OwnNode:
    """Return what this node is. worker: as it paired; published: the platform's public words."""
    own = await attestor.own_measurement()
    measurements = Measurements(own.hex(), worker.measurement.hex())
    return OwnNode(config, key, measurements, await make_evidence(attestor, published, key.node_id()))


async def own_authorization(
    own: OwnNode, desk: TicketDesk | None, *, clock: Callable[[], float], log: Callable[[str], None]
) -> Authorization:
    """Return what this node's member signed for it, checked. Raises a JoinRefused; TicketNotGiven after a while."""
    config = own.config
    try:
        return _check(own, config.authorization, clock())
    except JoinRefused as refusal:
        if not config.ticket_seconds:
            raise
        if config.authorization:
            log(f"what its directory holds is not for this node ({refusal.reason}): {refusal.message}")
    if desk is None:
        raise InvariantBroken("a node that nobody can bring a ticket to is to wait for one")
    try:
        async with asyncio.timeout(config.ticket_seconds):
            return await _wait(own, desk, clock, log)
    except TimeoutError:
        raise TicketNotGiven(
            f"no ticket for node {own.key.node_id()[:16]} came within {config.ticket_seconds} s",
            hint="Start it again: it makes another key, for which its member signs anew. Or use a delegation.",
        ) from None


async def _wait(
    own: OwnNode, desk: TicketDesk, clock: Callable[[], float], log: Callable[[str], None]
) -> Authorization:
    node, slot = own.key.node_id(), own.config.slot
    await desk.want(_request(own, clock()).encode())
    log(f"waits for a ticket for its key, up to {own.config.ticket_seconds} s: slot {slot}, node {node}")
    while True:
        data = await desk.receive()
        try:
            authorization = _check(own, data, clock())
        except JoinRefused as refusal:
            log(f"a ticket is refused ({refusal.reason}): {refusal.message}")
            await desk.answer(describe_refusal(refusal))
            continue
        await desk.answer(None)
        log(f"has a ticket for node {node[:16]}")
        return authorization


def _check(own: OwnNode, data: bytes, now: float) -> Authorization:
    config = own.config
    return check_ticket(
        data,
        constitution=Constitution.decode(config.genesis),
        node=own.key.node_id(),
        measurements=own.measurements,
        slot=config.slot,
        address=config.peer_address,
        now=now,
    )


def _request(own: OwnNode, now: float) -> TicketRequest:
    config = own.config
    return TicketRequest(
        network=Constitution.decode(config.genesis).digest().hex(),
        slot=config.slot,
        address=config.peer_address,
        node=own.key.node_id(),
        public_key=own.key.to_pem(),
        quote=base64.b64encode(own.evidence.quote).decode(),
        collateral=base64.b64encode(own.evidence.collateral).decode(),
        measurements=own.measurements,
        until=int(now) + config.ticket_seconds,
    )
