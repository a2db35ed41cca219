"""What the (untrusted) host tells each enclave at start. Nothing here is secret or decides a rule."""

from __future__ import annotations

from typing import Literal

from core import limits
from core.codec import Message


class ManagerConfig(Message, frozen=True):
    """genesis: the constitution (canonical JSON) to create a network with when the ledger is empty, else ignored
    but for its digest, which must match the ledger's. names: DNS names and IP addresses of the front-end certificate.
    worker_measurement: 32 bytes, the only worker the manager pairs with. sealing: to which of its identities the
    manager seals its keys. snapshot_entries: from one snapshot to the next; 0: none but those that are asked for.

    slot: the name under which the constitution's members know this node. peer_address: HOST:PORT at which the other
    nodes' managers reach this one, "" where there are none. authorization: a member's ticket or delegation for the slot
    (core/governance/joining.py), b"" where there is none. contacts: HOST:PORT of nodes of the network to ask.
    tick_ms: the consensus engine's tick. ticket_seconds: how long the node waits for a ticket for its key when
    `authorization` is not for it; 0: it does not.
    """

    genesis: bytes
    names: tuple[str, ...]
    worker_measurement: bytes
    chunk_bytes_min: int = limits.CHUNK_BYTES_MIN
    sealing: Literal["signer", "enclave"] = "signer"
    snapshot_entries: int = limits.SNAPSHOT_ENTRIES
    slot: str = "node1"
    peer_address: str = ""
    authorization: bytes = b""
    contacts: tuple[str, ...] = ()
    tick_ms: int = 100
    ticket_seconds: int = 0

    @property
    def joins(self) -> bool:
        """Whether the node is to join a network, and not to begin one."""
        return bool(self.authorization) or self.ticket_seconds > 0


class ExecutorConfig(Message, frozen=True):
    """manager_measurement: 32 bytes, the only manager the executor pairs with. gateways, readers: how many connect.

    block_commands_max, block_bytes_max: a block that holds these closes. block_commands_enough, block_wait_ms: see
    pace.py.
    """

    manager_measurement: bytes
    gateways: int = 1
    block_commands_max: int = limits.BLOCK_COMMANDS_MAX
    block_bytes_max: int = limits.BLOCK_BYTES_MAX
    readers: int = 0
    block_commands_enough: int = limits.BLOCK_COMMANDS_ENOUGH
    block_wait_ms: int = limits.BLOCK_WAIT_MS


class GatewayConfig(Message, frozen=True):
    """worker_measurement: 32 bytes, of the executor (and of this gateway: both are the worker enclave).

    readers: how many answer queries: 0, all go to the executor; 1; 2, one of them for simulations only.
    """

    worker_measurement: bytes
    connections_max: int = limits.CONNECTIONS_MAX
    request_bytes_max: int = limits.REQUEST_BYTES_MAX
    readers: int = 0


class ReaderConfig(Message, frozen=True):
    """number: from 1."""

    number: int
