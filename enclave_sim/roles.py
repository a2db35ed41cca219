"""Put a role of core/node together: pair its channels, then hand it what it needs. For processes and one-process nodes.

The executor opens the pairing with the manager, and each gateway with the executor.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from core.adapter.loading import load_adapters
from core.crypto.keys import PrivateKey
from core.errors import LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution
from core.node.admission import Published, nothing_published
from core.node.attested_tls.tls_context import TlsContexts
from core.node.config import ExecutorConfig, GatewayConfig, ManagerConfig
from core.node.executor import Executor, LoadAdapters
from core.node.gateway import Gateway
from core.node.manager import Manager
from core.node.manager_joining import TicketDesk
from core.node.messages import TO_GATEWAY, FrontEnd
from core.node.pairing import pair
from core.node.peers.dialler import Dialler
from core.node.peers.network import NodePeers, PeerSettings
from core.node.peers.timing import PeerTiming
from core.ports import Attestor, Disk, ReportClaims, Sealer, Transport
from enclave_sim.platform.remote import PublishedEvidence
from enclave_sim.verify.manifest import ManifestVerifier, verify_own_evidence

MANAGER_EXECUTOR = "manager-executor"
EXECUTOR_GATEWAY = "executor-gateway"

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reach:
    """How a manager reaches other nodes. contexts: made before its process was isolated."""

    dialler: Dialler
    contexts: TlsContexts = field(default_factory=TlsContexts)
    timing: PeerTiming = field(default_factory=PeerTiming)


def make_peers(
    reach: Reach,
    key: PrivateKey,
    constitution: Constitution,
    *,
    attestor: Attestor,
    published: Published,
    log: Log,
) -> NodePeers:
    """Return the channels to the other nodes' managers, started. key: the node's.

    Evidence is verified under the constitution's TEE manifest, and must be admitted by it (NodePeers.rule).
    """
    settings = PeerSettings(
        key=key,
        source=PublishedEvidence(attestor, published),
        verifier_of=ManifestVerifier,
        constitution=constitution,
        clock=time.time,
        contexts=reach.contexts,
        timing=reach.timing,
    )
    peers = NodePeers(settings, reach.dialler, log)
    peers.start()
    return peers


class FrontEndWatch:
    """A gateway's channel to the executor that calls `on_front_end` once, with the first FrontEnd that passes."""

    def __init__(self, transport: Transport, on_front_end: Callable[[FrontEnd], None]) -> None:
        self._transport = transport
        self._on_front_end: Callable[[FrontEnd], None] | None = on_front_end

    async def send(self, message: bytes) -> None:
        await self._transport.send(message)

    async def receive(self) -> bytes:
        data = await self._transport.receive()
        if self._on_front_end is not None:
            try:
                message = TO_GATEWAY.decode(data)
            except (MalformedMessage, LimitExceeded):
                return data  # The gateway says what is wrong with it.
            if isinstance(message, FrontEnd):
                self._on_front_end(message)
                self._on_front_end = None
        return data

    async def close(self) -> None:
        """Do nothing: the executor takes a closed channel for a death, so whoever ends the gateway closes it."""


async def make_manager(
    config: ManagerConfig,
    *,
    disk: Disk,
    sealer: Sealer,
    attestor: Attestor,
    executor: Transport,
    log: Log,
    published: Published = nothing_published,
    reach: Reach | None = None,
    tickets: TicketDesk | None = None,
) -> Manager:
    """Pair with the executor and return the manager. published, tickets: see Manager. reach: None in a network of one
    node.
    """
    worker: list[ReportClaims] = []
    paired = await pair(
        executor,
        attestor,
        peer_measurement=config.worker_measurement,
        purpose=MANAGER_EXECUTOR,
        initiator=False,
        on_peer=worker.append,
    )
    connect = None
    if reach is not None:
        connect = partial(make_peers, reach, attestor=attestor, published=published, log=log)
    return Manager(
        config,
        connect=connect,
        tickets=tickets,
        worker=worker[0],
        verify=verify_own_evidence,
        disk=disk,
        sealer=sealer,
        attestor=attestor,
        executor=paired,
        clock=time.time,
        log=log,
        published=published,
    )


async def make_executor(
    config: ExecutorConfig,
    *,
    attestor: Attestor,
    manager: Transport,
    gateways: Sequence[Transport],
    log: Log,
    load: LoadAdapters = load_adapters,
) -> Executor:
    """Pair with the manager and the gateways, all at once, and return the executor."""
    # Executor and gateways are one and the same enclave, so a gateway must measure what this executor does.
    own = await attestor.own_measurement()
    to_manager = pair(
        manager, attestor, peer_measurement=config.manager_measurement, purpose=MANAGER_EXECUTOR, initiator=True
    )
    to_gateways = [
        pair(gateway, attestor, peer_measurement=own, purpose=EXECUTOR_GATEWAY, initiator=False) for gateway in gateways
    ]
    paired_manager, *paired_gateways = await asyncio.gather(to_manager, *to_gateways)
    return Executor(config, manager=paired_manager, gateways=paired_gateways, clock=time.time, log=log, load=load)


async def make_gateway(
    config: GatewayConfig,
    *,
    attestor: Attestor,
    executor: Transport,
    listener: socket.socket,
    log: Log,
    on_front_end: Callable[[FrontEnd], None],
    load: LoadAdapters = load_adapters,
) -> Gateway:
    """Pair with the executor and return the gateway. on_front_end: called once it has what it needs to serve."""
    paired = await pair(
        executor,
        attestor,
        peer_measurement=config.worker_measurement,
        purpose=EXECUTOR_GATEWAY,
        initiator=True,
    )
    return Gateway(config, executor=FrontEndWatch(paired, on_front_end), listener=listener, log=log, load=load)
