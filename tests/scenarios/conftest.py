"""Real networks for scenario tests: made by the `coco` command line, run as separate processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from cli.connection import Connection, connect

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Network:
    """A network in a home directory of its own. Commands run in processes of their own, as a user's do.

    python: how the interpreter is run.
    """

    name: str
    home: Path
    connections: list[Connection] = field(default_factory=list)
    python: tuple[str, ...] = (sys.executable,)

    def coco(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COCO_HOME": str(self.home), "COCO_PASSWORD": ""}
        done = subprocess.run(
            [*self.python, "-m", "cli.main", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            pytest.fail(f"coco {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    @property
    def host_directory(self) -> Path:
        return self.home / "networks" / self.name

    def connect(self, identity: str) -> Connection:
        connection = connect(self.name, identity, home=self.home)
        self.connections.append(connection)
        return connection

    def bind(self, connection: Connection, account: LocalAccount) -> None:
        message = connection.rpc("coco_bindMessage", account.address)
        signature = account.sign_message(encode_defunct(text=message)).signature
        connection.rpc("coco_bind", message, "0x" + bytes(signature).hex())

    def new_account(self, connection: Connection) -> LocalAccount:
        account: LocalAccount = Account.create()
        self.bind(connection, account)
        return account

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.coco("network", "stop", self.name, check=False)


@pytest.fixture
def make_network(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    """Return a function (name, *create options) that creates and starts a network."""
    made: list[Network] = []

    def make(name: str = "scenario", *options: str, start: bool = True) -> Network:
        network = Network(name, tmp_path / "home")
        made.append(network)
        network.coco("network", "create", name, "--port", "0", *options)
        if start:
            network.coco("network", "start", name)
        return network

    yield make
    for network in made:
        network.close()


def send_value(connection: Connection, account: LocalAccount, chain_id: int, nonce: int, to: str, **fields: Any) -> str:
    """Sign and send a free transaction; returns its hash once it is committed."""
    transaction = {
        "chainId": chain_id, "nonce": nonce, "to": to, "value": 0, "gas": 21_000, "type": 2,
        "maxFeePerGas": 0, "maxPriorityFeePerGas": 0, **fields,
    }  # fmt: skip
    signed = account.sign_transaction(transaction)
    return str(connection.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
