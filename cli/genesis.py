"""Making a network: organisations' credentials, the constitution, and the first configuration of its host.

The private keys and tokens go to the client side. The constitution, which the host reads, holds certificates and the
SHA-256 of each token.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from cli.errors import WrongUse
from cli.files import ensure_directory, read_private, write_private
from cli.local_nodes import node_directory
from cli.manifests import Manifests
from cli.store import Defaults, Store, check_name
from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.governance.constitution import CONSTITUTION_VERSION, Constitution, Identity
from enclave_sim.host_config import HostConfig

ADAPTER_GROUP = "coco.adapters"
CERTIFICATE_DAYS = 3650
TOKEN_BYTES = 32
CLOCK_TOLERANCE = timedelta(hours=1)
"""Certificates begin to be valid this long before they are made, for machines whose clocks are behind."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """An actor with its secrets. certificate: PEM."""

    name: str
    role: Literal["member", "participant"]
    certificate: str
    key: bytes = field(repr=False)
    token: str = field(repr=False)

    def public(self) -> Identity:
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        return Identity(self.name, self.role, self.certificate, (digest,))


def make_organisation(name: str, role: Literal["member", "participant"]) -> Organisation:
    """Make an organisation's P-256 key, its certificate (which may issue others) and a random bearer token."""
    check_name("an organisation", name)
    key = PrivateKey.generate()
    certificate = self_signed(name, key, not_before=datetime.now(UTC) - CLOCK_TOLERANCE, days=CERTIFICATE_DAYS)
    return Organisation(name, role, certificate, key.to_pkcs8_pem(), secrets.token_urlsafe(TOKEN_BYTES))


def make_organisations(members: Sequence[str], participants: Sequence[str]) -> list[Organisation]:
    """Make all organisations of a network; raises WrongUse for a name that is there twice."""
    names = [*members, *participants]
    for name in names:
        if names.count(name) > 1:
            raise WrongUse(f"the organisation {name} is named twice", hint="Each has a name and a role of its own.")
    return [make_organisation(name, "member") for name in members] + [
        make_organisation(name, "participant") for name in participants
    ]


def installed_adapters() -> dict[str, EntryPoint]:
    """Return the adapters installed beside coco, by the names of their entry points."""
    return {point.name: point for point in sorted(entry_points(group=ADAPTER_GROUP), key=lambda point: point.name)}


def check_adapters(network: str, adapters: Mapping[str, dict[str, Any]]) -> None:
    """Raise WrongUse or CocoError unless every adapter is installed and accepts its settings."""
    installed = installed_adapters()
    for name, settings in adapters.items():
        if name not in installed:
            raise WrongUse(
                f"there is no adapter {name}",
                hint=f"Installed: {', '.join(installed) or 'none'}. An adapter is a package with an entry point "
                f"in {ADAPTER_GROUP}.",
            )
        try:
            adapter = installed[name].load()
        except ImportError as error:
            raise CocoError(f"adapter {name} cannot be loaded: {error}", hint="Install its package again.") from error
        adapter(settings, network)


def make_constitution(
    network: str,
    organisations: Sequence[Organisation],
    adapters: Mapping[str, dict[str, Any]],
    default_adapter: str,
    manifests: Manifests,
    *,
    restart: Literal["sealed", "members"] = "sealed",
    restart_members: int | None = None,
    reads: Literal["linearizable", "session"] = "linearizable",
) -> Constitution:
    """Return a constitution that a network can run under; raises CocoError that names what is wrong.

    restart_members: how many take part in a restart; None: more than half of them.
    """
    constitution = Constitution(
        version=CONSTITUTION_VERSION,
        network=network,
        identities=tuple(organisation.public() for organisation in organisations),
        adapters=dict(adapters),
        default_adapter=default_adapter,
        tee_manifest=manifests.tee,
        code_manifest=manifests.code,
        restart=restart,
        restart_members=msgspec.UNSET if restart_members is None else restart_members,
        reads=UNSET if reads == "linearizable" else reads,
    )
    constitution.check()
    return constitution


def write_network(
    store: Store, constitution: Constitution, organisations: Sequence[Organisation], configs: Sequence[HostConfig]
) -> None:
    """Write host side and client side. configs: of the nodes on this machine, the first one in front.

    network.json comes last, the first node's at the very end: a network without it does not exist.
    """
    network = constitution.network
    host = ensure_directory(store.network_directory(network))
    client = store.new_client(network)
    for organisation in organisations:
        client.add_identity(
            organisation.name,
            key=organisation.key,
            certificate=organisation.certificate.encode(),
            token=organisation.token,
        )
    fork = constitution.adapters.get("ethereum", {}).get("fork")
    defaults = client.defaults()
    client.set_defaults(
        Defaults(
            identity=organisations[0].name,
            account=defaults.account,
            adapter=constitution.default_adapter,
            fork=str(fork) if fork else None,
            constitution=constitution.digest().hex(),
        )
    )
    first, *further = configs
    for config in further:
        write_node(node_directory(host, config.slot), constitution.encode(), config, machine_of=host)
    write_private(host / "genesis.json", constitution.encode())
    write_private(host / "network.json", first.encode())


def write_node(directory: Path, genesis: bytes, config: HostConfig, *, machine_of: Path | None = None) -> None:
    """Write the host's side of one node. machine_of: a node's directory whose simulated vendor this machine has, too.

    The machine's fuses are its own, and made when it is first started; what certifies it and signs its code is shared.
    """
    ensure_directory(directory)
    if machine_of is not None:
        share_vendor(machine_of, directory)
    write_private(directory / "genesis.json", genesis)
    write_private(directory / "network.json", config.encode())


def share_vendor(source: Path, directory: Path) -> None:
    """Give a node's simulated machine the authority, and the development key, of another one's."""
    from enclave_sim.host_config import NodePaths
    from enclave_sim.platform.fuses import AUTHORITY_FILE
    from enclave_sim.platform.launching import DEVELOPMENT_KEY_FILE

    ours, theirs = NodePaths(directory).fuses, NodePaths(source).fuses
    for folder in (ours.parent.parent, ours.parent):
        ensure_directory(folder)
    for name in (AUTHORITY_FILE, DEVELOPMENT_KEY_FILE):
        secret = read_private(theirs.with_name(name))
        if secret is not None:
            write_private(ours.with_name(name), secret)


def read_constitution(store: Store, network: str) -> Constitution | None:
    """Return the constitution of a network that this machine hosts, None for another."""
    path = store.network_directory(network) / "genesis.json"
    try:
        return Constitution.decode(path.read_bytes())
    except FileNotFoundError:
        return None


def parse_setting(text: str) -> tuple[str, str, Any]:
    """Parse ADAPTER.NAME=VALUE, where VALUE is JSON or else a string; raises WrongUse."""
    path, equals, value = text.partition("=")
    adapter, dot, name = path.partition(".")
    if not (equals and dot and adapter and name):
        raise WrongUse(f"not a setting: {text[:80]!r}", hint="Write ADAPTER.NAME=VALUE, such as kv.entries_max=100.")
    try:
        return adapter, name, msgspec.json.decode(value.encode())
    except msgspec.DecodeError:
        return adapter, name, value
