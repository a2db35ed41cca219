"""What channels need of the host. An enclave can neither connect nor accept: it asks, and is handed streams."""

from __future__ import annotations

from typing import Protocol

from core.errors import ChannelClosed
from core.node.attested_tls.transport import ByteStream
from core.node.peer_messages import PeerUnreachable


class Dialler(Protocol):
    """Untrusted: what it returns may lead anywhere, and end at any time."""

    async def dial(self, address: str) -> ByteStream:
        """Return a connection to HOST:PORT. Raises PeerUnreachable."""
        ...

    async def accept(self) -> ByteStream:
        """Return the next connection that someone made to this node. Raises ChannelClosed when there will be none."""
        ...


class NoDialler:
    """Where the host has neither ways out nor in: a network of one node."""

    async def dial(self, address: str) -> ByteStream:
        """Raise PeerUnreachable."""
        raise PeerUnreachable(f"this node reaches no others, so not {address}", hint="Set peer_port in network.json.")

    async def accept(self) -> ByteStream:
        """Raise ChannelClosed."""
        raise ChannelClosed("the host accepts no connections of other nodes")
