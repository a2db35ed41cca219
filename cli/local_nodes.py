"""The nodes of one network that this machine hosts: what they are called, and where each has its files.

The first has the network's own directory, networks/NAME, as the only one of a network with one node has; each further
one has networks/NAME/nodes/SLOT, of the same shape. All of a machine's nodes run on simulated machines of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cli.errors import NotFound
from cli.files import read_private

FOLDER = "nodes"
FIRST_SLOT = "node1"
_NUMBER = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class LocalNode:
    """slot: what the network's members call it. directory: of the shape that enclave_sim/host_config.py tells."""

    slot: str
    directory: Path


class _Named(msgspec.Struct):
    slot: str = FIRST_SLOT


def local_nodes(directory: Path) -> list[LocalNode]:
    """Return the nodes in a network's directory, the first one in front; none for a network that is elsewhere."""
    if not (directory / "network.json").is_file():
        return []
    further = [
        LocalNode(path.name, path) for path in (directory / FOLDER).glob("*") if (path / "network.json").is_file()
    ]
    return [LocalNode(_slot_of(directory), directory), *sorted(further, key=lambda one: _natural(one.slot))]


def find_node(network: str, nodes: Sequence[LocalNode], slot: str | None) -> LocalNode:
    """Return the node of a slot, the first one for None; raises NotFound."""
    for node in nodes:
        if slot in (None, node.slot):
            return node
    raise NotFound(
        f"this machine has no node {str(slot)[:64]} of network {network}",
        hint=f"It has {', '.join(node.slot for node in nodes)}. Those of others: coco node status",
    )


def node_directory(directory: Path, slot: str) -> Path:
    """Return where a further node of a network has its files."""
    return directory / FOLDER / slot


def _slot_of(directory: Path) -> str:
    """Read what the first node is called; a file that cannot be read is told of when the node is started."""
    try:
        return msgspec.json.decode(read_private(directory / "network.json") or b"{}", type=_Named).slot
    except msgspec.DecodeError:
        return FIRST_SLOT


def _natural(name: str) -> list[str | int]:
    """Order node10 after node9."""
    return [int(part) if part.isdigit() else part for part in _NUMBER.split(name)]
