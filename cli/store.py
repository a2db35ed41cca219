"""Where the command line keeps its state, and the rule that divides it.

    COCO_HOME/networks/<network>/   the host's: configuration, constitution, sealed data. No client key, no plaintext.
    COCO_HOME/clients/<network>/    the client's: pinned CA, url (a line for each node), identities/, accounts/,
                                    contracts/, current.json
    COCO_HOME/clients/current.json  which network is meant when none is named

A client of a network that runs elsewhere has the second without the first.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import NotFound, StateDamaged, WrongUse
from cli.files import Record, ensure_directory, read_private, read_record, write_private, write_record
from core.errors import StorageFailed

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_$-][A-Za-z0-9_$.-]{0,139}")
NODES_MAX = 64
"""How many nodes of a network a client keeps."""

_CONTRACT_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,127}")


class CurrentNetwork(Record, frozen=True, kw_only=True):
    """The network that is meant when none is named, and the adapter chosen while there was no network."""

    network: str | None = None
    adapter: str | None = None


class Defaults(Record, frozen=True, kw_only=True):
    """What is meant on one network when it is not named, and what is known of the network.

    fork: the EVM's version that contracts are compiled for. constitution: its digest, hexadecimal, the network's name
    among all networks.
    """

    identity: str | None = None
    account: str | None = None
    adapter: str | None = None
    fork: str | None = None
    constitution: str | None = None


class ContractRecord(Record, frozen=True, kw_only=True):
    """A deployed contract that commands can name."""

    name: str = ""
    address: str = ""
    abi: list[dict[str, Any]] = []  # noqa: RUF012 - msgspec copies the default.
    transaction: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The credentials of one organisation. The key and the token are secrets."""

    name: str
    directory: Path

    @property
    def certificate_file(self) -> Path:
        return self.directory / "certificate.pem"

    @property
    def key_file(self) -> Path:
        return self.directory / "key.pem"

    def token(self) -> str:
        """Return the bearer token; raises StateDamaged."""
        data = read_private(self.directory / "token")
        try:
            token = (data or b"").decode("ascii").strip()
        except UnicodeDecodeError:
            token = ""
        if not token or not token.isprintable() or " " in token:
            raise StateDamaged(
                f"identity {self.name} has no readable token in {self.directory / 'token'}",
                hint="Copy it from the machine that made the network.",
            )
        return token


def check_name(kind: str, name: str) -> str:
    """Return a name that is safe as a file name everywhere; raises WrongUse."""
    if not _NAME.fullmatch(name):
        raise WrongUse(
            f"{name[:64]!r} is no name for {kind}",
            hint="A name has 1 to 32 of a-z, 0-9, - and _, and starts with a letter or digit.",
        )
    return name


def check_contract_name(name: str) -> str:
    """Return a name that a contract can be remembered by; raises WrongUse."""
    if not _CONTRACT_NAME.fullmatch(name):
        raise WrongUse(
            f"{name[:64]!r} is no name for a contract", hint="Give one of letters, digits, _, $ and -: --name NAME"
        )
    return name


class ClientStore:
    """The client side of one network."""

    def __init__(self, directory: Path, network: str) -> None:
        self.directory = directory
        self.network = network

    @property
    def ca_file(self) -> Path:
        return self.directory / "front-end-ca.pem"

    @property
    def accounts_directory(self) -> Path:
        return self.directory / "accounts"

    def elsewhere(self, file: Path) -> str:
        """Return the end of a hint that names the other networks whose client side holds this file, or ""."""
        return elsewhere(self.directory, file)

    def url(self) -> str | None:
        """Return the address of the node to ask first, or None while none is known."""
        return next(iter(self.urls()), None)

    def urls(self) -> tuple[str, ...]:
        """Return the nodes' addresses, the one to ask first in front; raises StateDamaged."""
        data = read_private(self.directory / "url")
        urls = (data or b"").decode("ascii", "replace").split()
        if data is not None and (not urls or len(urls) > NODES_MAX):
            raise self._bad_url("no address" if not urls else f"{len(urls)} addresses")
        for url in urls:
            if not re.fullmatch(r"https://[^\s/?#@]+(:[0-9]{1,5})?", url):
                raise self._bad_url(f"no address: {url[:80]!r}")
        return tuple(urls)

    def _bad_url(self, what: str) -> StateDamaged:
        return StateDamaged(
            f"{self.directory / 'url'} holds {what}", hint="Write https://HOST:PORT, a line for each node."
        )

    def set_url(self, *urls: str) -> None:
        """Keep the nodes' addresses, the one to ask first in front."""
        write_private(self.directory / "url", "".join(f"{url}\n" for url in urls).encode())

    def pinned_ca(self) -> bytes | None:
        return read_private(self.ca_file)

    def pin_ca(self, pem: bytes) -> None:
        write_private(self.ca_file, pem)

    @property
    def root_file(self) -> Path:
        """The root under which the node's quotes verify, of the simulated machine that hosts it."""
        return self.directory / "platform-root.pem"

    def pinned_root(self) -> bytes | None:
        return read_private(self.root_file)

    def pin_root(self, pem: bytes) -> None:
        write_private(self.root_file, pem)

    def defaults(self) -> Defaults:
        return read_record(self.directory / "current.json", Defaults) or Defaults()

    def set_defaults(self, defaults: Defaults) -> None:
        write_record(self.directory / "current.json", defaults)

    def identities(self) -> list[str]:
        return _names(self.directory / "identities", "certificate.pem")

    def identity(self, name: str | None) -> Identity:
        """Return the named identity, else the default one, else the only one; raises NotFound."""
        chosen = name or self.defaults().identity
        known = self.identities()
        if chosen is None and len(known) == 1:
            chosen = known[0]
        if chosen is None:
            raise NotFound(
                f"no identity on network {self.network} is chosen",
                hint=f"Give --identity NAME. Known: {', '.join(known) or 'none'}.",
            )
        if chosen not in known:
            raise NotFound(
                f"there is no identity {chosen} on network {self.network}",
                hint=f"Known: {', '.join(known) or 'none'}. Its credentials belong in {self.directory}/identities/."
                + self.elsewhere(Path("identities", chosen, "certificate.pem")),
            )
        return Identity(chosen, self.directory / "identities" / chosen)

    def add_identity(self, name: str, *, key: bytes, certificate: bytes, token: str) -> Identity:
        """Keep an organisation's key (PEM), certificate (PEM) and bearer token."""
        directory = ensure_directory(self.directory / "identities" / check_name("an identity", name))
        write_private(directory / "key.pem", key)
        write_private(directory / "token", token.encode() + b"\n")
        write_private(directory / "certificate.pem", certificate)
        return Identity(name, directory)

    def contracts(self) -> list[str]:
        directory = self.directory / "contracts"
        return sorted(file.stem for file in directory.glob("*.json")) if directory.is_dir() else []

    def contract(self, name: str) -> ContractRecord | None:
        if not _CONTRACT_NAME.fullmatch(name):
            return None
        return read_record(self.directory / "contracts" / f"{name}.json", ContractRecord)

    def add_contract(self, contract: ContractRecord) -> None:
        """Remember a deployed contract; an older one of the same name is forgotten. Raises WrongUse, StorageFailed."""
        check_contract_name(contract.name)
        write_record(self.directory / "contracts" / f"{contract.name}.json", contract)


class Store:
    """All of COCO_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def network_directory(self, name: str) -> Path:
        """Return the host's directory of a network, existing or not; raises WrongUse for a bad name."""
        return self.home / "networks" / check_name("a network", name)

    def networks(self) -> list[str]:
        """Return the networks this machine hosts."""
        return _names(self.home / "networks", "network.json")

    def client_networks(self) -> list[str]:
        """Return the networks this machine is a client of."""
        return _names(self.home / "clients", "identities")

    def client(self, name: str | None) -> ClientStore:
        """Return the client side of the named network, or of the current one; raises NotFound."""
        network = self.choose(name)
        if network not in self.client_networks():
            if network in self.networks():
                raise NotFound(
                    f"this machine hosts network {network}, but is no client of it",
                    hint=f"Copy clients/{network}/ to {self.home} from the machine that made the network, with the "
                    "identities that belong here.",
                )
            raise self._unknown(network, self.client_networks())
        return ClientStore(self.home / "clients" / network, network)

    def new_client(self, name: str) -> ClientStore:
        return ClientStore(ensure_directory(self.home / "clients" / check_name("a network", name)), name)

    def host_directory(self, name: str | None) -> tuple[str, Path]:
        """Return name and directory of a network that this machine hosts; raises NotFound."""
        network = self.choose(name)
        directory = self.network_directory(network)
        if not (directory / "network.json").is_file():
            if network in self.client_networks():
                raise NotFound(
                    f"network {network} is not hosted on this machine",
                    hint="It is started, stopped and looked after where it is hosted. To ask it: coco node status",
                )
            raise self._unknown(network, self.networks())
        return network, directory

    def is_client(self, network: str) -> bool:
        """Return whether this machine has a client side of the network."""
        return network in self.client_networks()

    def choose(self, name: str | None) -> str:
        """Return the named network, else the current one, else the only one; raises NotFound."""
        if name is not None:
            return check_name("a network", name)
        known = sorted({*self.networks(), *self.client_networks()})
        current = self.current().network
        if current in known:
            return current
        if len(known) == 1:
            return known[0]
        if not known:
            raise NotFound("there is no network yet", hint="Make one: coco network create demo")
        raise NotFound("several networks are known", hint=f"Name one of {', '.join(known)} (--network NAME).")

    def current(self) -> CurrentNetwork:
        return read_record(self.home / "clients" / "current.json", CurrentNetwork) or CurrentNetwork()

    def set_current(self, current: CurrentNetwork) -> None:
        write_record(self.home / "clients" / "current.json", current)

    def remove(self, network: str) -> None:
        """Remove host side and client side of a network; raises StorageFailed."""
        for directory in (self.network_directory(network), self.home / "clients" / network):
            try:
                if directory.exists():
                    shutil.rmtree(directory)
            except OSError as error:
                raise StorageFailed(f"{directory} cannot be removed: {error.strerror}") from error
        if self.current().network == network:
            self.set_current(CurrentNetwork(adapter=self.current().adapter))

    def _unknown(self, network: str, known: list[str]) -> NotFound:
        return NotFound(
            f"there is no network {network} under {self.home}",
            hint=f"Known: {', '.join(known)}." if known else f"Make it: coco network create {network}",
        )


def elsewhere(client_directory: Path, file: Path) -> str:
    """Return the end of a hint that names the other networks that this machine has such a file of, or ""."""
    if not all(_FILE_NAME.fullmatch(part) for part in file.parts) or not client_directory.parent.is_dir():
        return ""
    others = sorted(
        other.name
        for other in client_directory.parent.iterdir()
        if other != client_directory and _NAME.fullmatch(other.name) and (other / file).is_file()
    )
    return f" Network {others[0]} has one: --network {others[0]}" if others else ""


def _names(directory: Path, member: str) -> list[str]:
    """Return the subdirectories that hold `member`."""
    if not directory.is_dir():
        return []
    return sorted(path.name for path in directory.iterdir() if _NAME.fullmatch(path.name) and (path / member).exists())
