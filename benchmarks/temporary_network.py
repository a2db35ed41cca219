"""A network of real processes for one benchmark, made by the `coco` command line in a directory of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from cli.connection import Connection, connect
from cli.store import Store
from cli.wallet import Wallet

NETWORK = "bench"
ORGANISATION = "bench-org"
FUNDED = "treasury"


@dataclass(frozen=True, slots=True)
class TemporaryNetwork:
    home: Path
    connection: Connection
    treasury: LocalAccount

    @property
    def headers(self) -> tuple[str, ...]:
        return (f"Authorization: Bearer {self.connection.token}",)

    def bind(self, account: LocalAccount) -> None:
        """Prove an address to the benchmark's identity."""
        message = self.connection.rpc("coco_bindMessage", account.address)
        signature = account.sign_message(encode_defunct(text=message)).signature
        self.connection.rpc("coco_bind", message, "0x" + bytes(signature).hex())


def coco(home: Path, *arguments: str) -> None:
    """Run the command line; raises RuntimeError with what it said."""
    command = [sys.executable, "-m", "cli.main", "--home", str(home), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"coco {' '.join(arguments)} failed: {done.stderr}")


@contextmanager
def temporary_network(*create_options: str, readers: int | None = None) -> Iterator[TemporaryNetwork]:
    """Create, start and at the end stop a network with one organisation and a funded account, bound to it.

    readers: other than the default of the host's configuration.
    """
    with tempfile.TemporaryDirectory(prefix="coco-bench-") as directory:
        home = Path(directory)
        coco(home, "network", "create", NETWORK, "--organisation", ORGANISATION, "--port", "0",
             "--fund", f"{FUNDED}=1000000", *create_options)  # fmt: skip
        if readers is not None:
            file = home / "networks" / NETWORK / "network.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "readers": readers}))
        coco(home, "network", "start", NETWORK)
        try:
            connection = connect(NETWORK, ORGANISATION, home=home)
            treasury = Wallet(Store(home).client(NETWORK).accounts_directory).unlock(FUNDED, "")
            network = TemporaryNetwork(home, connection, treasury)
            network.bind(treasury)
            yield network
        finally:
            coco(home, "network", "stop", NETWORK)


def accounts(count: int) -> list[LocalAccount]:
    """Return fresh accounts."""
    return [Account.create() for _ in range(count)]
