"""What the host tells each process when it starts it, from network.json and what the platform measured."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core import limits
from core.node.config import ExecutorConfig, GatewayConfig, ManagerConfig
from enclave_sim.boundary.messages import Start, StartExecutor, StartGateway, StartManager
from enclave_sim.host_config import HostConfig
from enclave_sim.platform.messages import Measured
from enclave_sim.ticket_hosting import TicketHosting


@dataclass(frozen=True, slots=True)
class Peering:
    """What a node of several has beside its configuration.

    listener: for the other nodes' connections. address: HOST:PORT by which they reach it. authorization: a member's
    ticket or delegation for its slot. tickets: of a node that may wait for one.
    """

    listener: socket.socket | None = None
    address: str = ""
    authorization: bytes = b""
    tickets: TicketHosting | None = None


ALONE = Peering()


def start_messages(config: HostConfig, genesis: bytes, measured: Measured, peering: Peering) -> Sequence[Start]:
    """Return them for the manager, the executor and the gateways; readers are started later (reader_hosting.py)."""
    manager = ManagerConfig(
        genesis,
        config.names,
        measured.worker,
        sealing=config.sealing,
        snapshot_entries=config.snapshot_entries,
        slot=config.slot,
        peer_address=peering.address,
        authorization=peering.authorization,
        contacts=config.contacts,
        tick_ms=config.tick_ms,
        ticket_seconds=config.ticket_seconds,
    )
    executor = ExecutorConfig(
        measured.manager,
        config.gateways,
        config.block_commands_max,
        config.block_bytes_max,
        config.readers,
        config.block_commands_enough,
        config.block_wait_ms,
    )
    connections_max = max(1, limits.CONNECTIONS_MAX // config.gateways)
    gateway = GatewayConfig(measured.worker, connections_max, readers=config.readers)
    required = config.isolation == "required"
    return [
        StartManager(manager, required),
        StartExecutor(executor, required),
        *[StartGateway(gateway, required)] * config.gateways,
    ]


def machine_arguments(config: HostConfig, fuses: Path) -> list[str]:
    """Return which machine the platform is, and what signs the enclaves: files, from the network's directory."""
    arguments = ["--tee", config.platform]
    for kind, file in config.sigstruct.items():
        arguments += ["--sigstruct", f"{kind}={fuses.parents[2] / file}"]
    return arguments
