"""What the manager tells its executor of the ledger and the network, for whoever asks the node about itself.

LedgerNews carries one JSON object. Members that are not named here are the manager's own, and shown as they are in the
node's status under "ledger".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from core.errors import InvariantBroken

Role = Literal["leader", "follower", "learner", "removed", ""]
"""What a node is in consensus: "" for one that takes no part, removed for one that knows it never will again."""


class KnownNode(msgspec.Struct, frozen=True):
    """A node that the ledger knows. status: as in `public:ccf.gov.nodes.info` (Pending, Trusted, Retired).

    slot: the name that it fills; member: whose node it is. address: HOST:PORT for the other nodes, "" where there are
    none.
    """

    node_id: str
    slot: str = ""
    member: str = ""
    address: str = ""
    status: str = ""
    role: Role = ""


class NodeNews(msgspec.Struct, frozen=True):
    """role: this node's. leader: the node id of who leads, "" when that is not known.

    clock_behind_seconds: 0 unless blocks are dated too far ahead of this node's clock (BLOCK_TIME_AHEAD_SECONDS_MAX).
    """

    role: Role = ""
    leader: str = ""
    nodes: tuple[KnownNode, ...] = ()
    clock_behind_seconds: int = 0


def read_news(status: bytes) -> tuple[Mapping[str, Any], NodeNews]:
    """Return what a LedgerNews tells of the ledger, and what it tells of nodes. Raises InvariantBroken."""
    try:
        document = msgspec.json.decode(status, type=dict[str, Any])
        of_nodes = {name: document.pop(name) for name in NodeNews.__struct_fields__ if name in document}
        return document, msgspec.convert(of_nodes, NodeNews)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvariantBroken(f"the manager told news that nobody understands: {error}") from None
