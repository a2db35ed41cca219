"""The host's own configuration and the layout of a node's directory. None of it is trusted or secret.

DIR/network.json         HostConfig, written by whoever creates the network
DIR/genesis.json         the constitution
DIR/node0/lock           held (flock) by the running host
DIR/node0/status.json    written once the node runs
DIR/node0/host.log       the host's and the enclaves' log lines, size-bounded
DIR/node0/front-end-ca.pem, service.pem
DIR/node0/ticket-request.json, ticket-answer.json   of a node that joins by a ticket (ticket_hosting.py)
DIR/node0/disk/          what the manager enclave stores through ocalls
DIR/node0/platform/      the simulated machine's secrets (fuses, authority, development signing key); real ones are
                         not on the machine's disk
DIR/node0/evidence/      quote, collateral.json, root.pem, code.json, manager.sgxs, worker.sgxs: all public
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from core import limits
from core.errors import CocoError, IncompatibleData

DATA_DIRECTORY_VERSION = 1
GATEWAYS_MAX = 16
CONFIG_BYTES_MAX = 1 * limits.MEBIBYTE
TICK_MS_MIN, TICK_MS_MAX = 10, 10_000
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


class HostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """DIR/network.json. port 0 picks a free one. names: DNS names and IP addresses in the front-end certificate.

    readers: processes that answer queries: 0, the executor does; 1; 2, one of them for simulations (eth_call) only.
    block_commands_max, block_bytes_max: a block that holds so much closes at once. block_commands_enough,
    block_wait_ms: while no other is being committed, a block waits for as many commands as the last one held, but for
    no more, and no longer (0: not at all).
    snapshot_entries: ledger entries from one snapshot to the next; 0: none but those that are asked for.
    sealing: whose keys open the node's secrets again: any code of the same signer, or the very same enclave only.
    isolation: what becomes of a node whose enclaves cannot be isolated wholly: it runs and says so, or does not start.
    platform: which TEE the machine simulates. sigstruct: files, by kind of enclave (`manager`, `worker`), that sign the
    code (`coco enclave sign`); a kind without one is signed by the machine's own development key.

    Of networks of several nodes: peer_port: at which the other nodes' connections are taken (0 picks a free one; none
    without it). peer_address: HOST:PORT, or HOST, by which the others reach it; by default `address`. slot: the name
    under which the members know this node. authorization: the file of a member's ticket or delegation for it. contacts:
    HOST:PORT of nodes to ask when it joins. tick_ms: the tick of consensus. ticket_seconds: how long the node waits for
    a ticket for its key, in that file, where what the file holds is not for it; 0: it does not.
    """

    version: int = DATA_DIRECTORY_VERSION
    name: str = "node0"
    address: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    gateways: int = 1
    block_commands_max: int = limits.BLOCK_COMMANDS_MAX
    block_bytes_max: int = limits.BLOCK_BYTES_MAX
    block_commands_enough: int = limits.BLOCK_COMMANDS_ENOUGH
    block_wait_ms: int = limits.BLOCK_WAIT_MS
    readers: int = limits.READERS_MAX
    sealing: Literal["signer", "enclave"] = "signer"
    snapshot_entries: int = limits.SNAPSHOT_ENTRIES
    isolation: Literal["best", "required"] = "best"
    platform: Literal["sgx", "vsm"] = "sgx"
    sigstruct: dict[Literal["manager", "worker"], str] = {}
    peer_port: int | None = None
    peer_address: str = ""
    slot: str = "node1"
    authorization: str = ""
    contacts: tuple[str, ...] = ()
    tick_ms: int = 100
    ticket_seconds: int = 0

    def encode(self) -> bytes:
        """Return it as JSON for a person to read."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> HostConfig:
        """Decode and check; raises IncompatibleData for another version, CocoError for anything else wrong."""
        try:
            version = msgspec.json.decode(data, type=_Versioned).version
            if version != DATA_DIRECTORY_VERSION:
                raise IncompatibleData(
                    f"the data directory is of version {version}; this build reads {DATA_DIRECTORY_VERSION}",
                    hint="Run the build that made it, or create a new network in another directory.",
                )
            config = msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise CocoError(f"network.json does not parse: {error}", hint="Correct it, or create it again.") from None
        config.check()
        return config

    def check(self) -> None:
        """Raise CocoError for values no host can run with."""
        bounds = (
            ("port", self.port, 0, 65_535),
            ("gateways", self.gateways, 1, GATEWAYS_MAX),
            ("readers", self.readers, 0, limits.READERS_MAX),
            ("snapshot_entries", self.snapshot_entries, 0, limits.SNAPSHOT_ENTRIES_MAX),
            ("block_commands_max", self.block_commands_max, 1, limits.BLOCK_COMMANDS_MAX),
            ("block_bytes_max", self.block_bytes_max, 1, limits.BLOCK_BYTES_MAX),
            ("block_commands_enough", self.block_commands_enough, 1, limits.BLOCK_COMMANDS_MAX),
            ("block_wait_ms", self.block_wait_ms, 0, limits.BLOCK_WAIT_MS_MAX),
            ("peer_port", self.peer_port or 0, 0, 65_535),
            ("ticket_seconds", self.ticket_seconds, 0, limits.TICKET_SECONDS_MAX),
            ("tick_ms", self.tick_ms, TICK_MS_MIN, TICK_MS_MAX),
        )
        for name, value, low, high in bounds:
            if not low <= value <= high:
                raise CocoError(f"{name} is {value} in network.json", hint=f"Give a value from {low} to {high}.")
        if not self.names:
            raise CocoError("names is empty in network.json", hint="Give at least one name, such as localhost.")
        if len(self.contacts) > limits.CONSENSUS_NODES_MAX:
            raise CocoError("network.json has too many contacts", hint="Give a few nodes of the network.")
        for contact in self.contacts:
            check_address(contact)
        if self.ticket_seconds and not (self.authorization and self.has_peers):
            raise CocoError(
                "ticket_seconds without authorization and contacts in network.json",
                hint="Name the file in which the ticket will be, and whom to ask then.",
            )

    @property
    def has_peers(self) -> bool:
        """Whether the node has to do with others."""
        return self.peer_port is not None or bool(self.contacts)

    def reached_at(self, port: int) -> str:
        """Return HOST:PORT at which others reach the node that listens on this port."""
        host = self.peer_address or (self.names[0] if self.address in _EVERYWHERE else self.address)
        try:
            check_address(host)
        except CocoError:
            return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        return host


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT or [IPV6]:PORT; raises ValueError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    digits = port.isascii() and port.isdigit()
    if not (colon and host and digits and 0 < int(port) < 65_536) or len(address) > limits.PEER_ADDRESS_BYTES_MAX:
        raise ValueError(f"{address[:100]!r} is not HOST:PORT")
    return host, int(port)


def check_address(address: str) -> None:
    """Raise CocoError unless it is HOST:PORT."""
    try:
        split_address(address)
    except ValueError as error:
        raise CocoError(
            f"{error} (network.json)", hint="Write it as node2.example.com:7000 or [2001:db8::2]:7000."
        ) from None


class _Versioned(msgspec.Struct):
    version: int


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where everything of a node lives, from the network's directory."""

    directory: Path

    @property
    def network(self) -> Path:
        return self.directory / "network.json"

    @property
    def genesis(self) -> Path:
        return self.directory / "genesis.json"

    @property
    def node(self) -> Path:
        return self.directory / "node0"

    @property
    def lock(self) -> Path:
        return self.node / "lock"

    @property
    def status(self) -> Path:
        return self.node / "status.json"

    @property
    def log(self) -> Path:
        return self.node / "host.log"

    @property
    def disk(self) -> Path:
        return self.node / "disk"

    @property
    def fuses(self) -> Path:
        return self.node / "platform" / "fuses"

    @property
    def evidence(self) -> Path:
        return self.node / "evidence"

    @property
    def ticket_request(self) -> Path:
        return self.node / "ticket-request.json"

    @property
    def ticket_answer(self) -> Path:
        return self.node / "ticket-answer.json"

    @property
    def front_end_ca(self) -> Path:
        return self.node / "front-end-ca.pem"

    @property
    def service_certificate(self) -> Path:
        return self.node / "service.pem"


def read_config(directory: Path) -> tuple[HostConfig, bytes]:
    """Return DIR/network.json and the bytes of DIR/genesis.json; raises CocoError when there is no network."""
    paths = NodePaths(directory)
    return HostConfig.decode(_read(paths.network)), _read(paths.genesis)


def read_authorization(directory: Path, config: HostConfig) -> bytes:
    """Return the bytes of the configured ticket or delegation, b"" without one; raises CocoError.

    Its name is relative to the directory. Where the node may wait for a ticket, there need not be a file.
    """
    if not config.authorization:
        return b""
    path = directory / config.authorization
    try:
        with path.open("rb") as file:
            data = file.read(limits.GOVERNANCE_MESSAGE_BYTES_MAX + 1)
    except OSError as error:
        if config.ticket_seconds and isinstance(error, FileNotFoundError):
            return b""
        raise CocoError(
            f"the authorization {path} cannot be read: {error.strerror}",
            hint="Correct authorization in network.json, or have a member sign another.",
        ) from None
    if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
        raise CocoError(f"the authorization {path} is too large", hint="It is no ticket or delegation of a member.")
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(16 * CONFIG_BYTES_MAX + 1)
    except FileNotFoundError:
        raise CocoError(f"{path} does not exist", hint="Create a network first: coco network create") from None
    except OSError as error:
        raise CocoError(f"{path} cannot be read: {error.strerror}", hint="Check its permissions.") from None
    if len(data) > 16 * CONFIG_BYTES_MAX:
        raise CocoError(f"{path} is too large", hint="It was not written by coco. Create the network again.")
    return data
