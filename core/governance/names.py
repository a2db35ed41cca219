"""Names of slots and addresses of nodes, as the list of nodes may hold them."""

from __future__ import annotations

import re

from core.errors import CocoError

_SLOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_ADDRESS = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")


def check_slot_name(name: str) -> str:
    """Return a name that a slot may have; raises CocoError."""
    if _SLOT.fullmatch(name) is None:
        raise CocoError(
            f"not the name of a slot: {name[:40]!r}", hint="Use up to 32 of a-z, 0-9, _ and -, a letter or digit first."
        )
    return name


def check_address(address: str) -> str:
    """Return an address at which nodes reach a node; raises CocoError."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[1]) < 65_536:
        raise CocoError(
            f"not a node's address: {address[:80]!r}", hint="Write HOST:PORT, such as node2.example.org:8500."
        )
    return address
