"""The nodes that `coco network create --nodes N` puts on this machine: their slots, addresses and ports."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cli.errors import WrongUse
from core.errors import CocoError

if TYPE_CHECKING:
    from enclave_sim.host_config import HostConfig

NODES_MAX = 9
PEER_PORTS_AFTER = 100
"""Nodes listen for one another at their own port plus this, where the port is not left to the system."""

_PEER_PORTS = range(20_000, 32_000)
"""Below what systems give to outgoing connections, so that a port chosen now is free later."""
_ATTEMPTS_MAX = 200


def default_members(nodes: int) -> tuple[str, ...]:
    """Return the organisations of a network for which none was named: one for each node."""
    return tuple(f"org{number}" for number in range(1, nodes + 1))


def plan_nodes(options: Mapping[str, Any], names: Sequence[str]) -> list[HostConfig]:
    """Return the configuration of each node of this machine, by the options of `coco network create`.

    A network of one node listens for no others unless --peer-address says where they reach it. Raises WrongUse,
    CocoError.
    """
    from enclave_sim.host_config import HostConfig

    count, port, peer_address = options["nodes"], options["port"], options["peer_address"]
    if peer_address:
        _check_peer_address(peer_address)
    if peer_address and count > 1:
        raise WrongUse(
            "--peer-address is one node's", hint="Leave it out: several nodes of one machine find each other."
        )
    if port and port + PEER_PORTS_AFTER + count > 65_535:
        raise WrongUse(f"port {port} leaves no room for {count} nodes", hint="Choose a lower one, or --port 0.")
    taken: set[int] = set()
    configs = []
    for number in range(count):
        config = HostConfig(
            name=f"node{number}",
            address=options["address"],
            port=port + number if port else 0,
            names=tuple(names),
            platform=options["platform"],
            slot=f"node{number + 1}",
            peer_address=peer_address,
            peer_port=int(peer_address.rpartition(":")[2]) if peer_address else None,
        )
        if count > 1:
            peer_port = port + PEER_PORTS_AFTER + number if port else free_port(config.address, taken)
            taken.add(peer_port)
            config = msgspec.structs.replace(config, peer_port=peer_port)
            config = msgspec.structs.replace(config, peer_address=config.reached_at(peer_port))
        config.check()
        configs.append(config)
    return configs


def free_port(address: str, taken: set[int]) -> int:
    """Return a port that nothing listens on now, and that is none of `taken`; raises CocoError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(_ATTEMPTS_MAX):
        port = random.choice(_PEER_PORTS)  # noqa: S311 - a port is no secret.
        if port in taken:
            continue
        with socket.socket(family) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        return port
    raise CocoError(f"no free port was found on {address}", hint="Give --port.")


def _check_peer_address(address: str) -> None:
    from enclave_sim.host_config import split_address

    try:
        split_address(address)
    except ValueError as error:
        raise WrongUse(f"--peer-address: {error}", hint="Write HOST:PORT, such as node1.example.org:8543.") from None
