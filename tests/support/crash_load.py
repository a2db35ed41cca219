"""A load of transfers on a network of real processes, and the killing of those."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from cli.errors import Refused, Unreachable
from cli.store import Store
from cli.wallet import Wallet
from core.errors import CocoError
from tests.scenarios.conftest import Network, send_value

HONEST_REFUSALS = ("the outcome is not known", "the executor is gone")
"""A gateway that outlives the manager for a moment says that it does not know, or sends nothing on any more."""
ROLES = ("host", "platform", "manager", "executor", "gateway")


@dataclass(slots=True)
class Load:
    """Senders that each send transfers one after another until the node is gone, and what was answered."""

    network: Network
    senders: list[LocalAccount]
    chain_id: int
    answered: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._send, args=(each,)) for each in self.senders]
        for thread in self.threads:
            thread.start()

    def _send(self, account: LocalAccount) -> None:
        try:
            connection = self.network.connect("alpha")
            nonce = int(connection.rpc("eth_getTransactionCount", account.address), 16)
        except (CocoError, OSError):
            return  # The node was gone before there was a load.
        while True:
            try:
                to = f"0x{0x1234_0000 + nonce % 7:040x}"
                self.answered.append(send_value(connection, account, self.chain_id, nonce, to, value=1))
                nonce += 1
            except Unreachable:
                return
            except Refused as error:
                self.surprises.append(str(error))
                return

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.answered) < count:
            if time.monotonic() > deadline or not any(thread.is_alive() for thread in self.threads):
                pytest.fail(f"only {len(self.answered)} answered; {self.surprises}")
            time.sleep(0.01)

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client waits for an answer that never comes"


def processes(network: Network) -> dict[str, int]:
    """Return role -> process id."""
    status = json.loads((network.host_directory / "node0" / "status.json").read_text())
    return {"host": status["pid"], **status["pids"]}


def all_gone(pids: list[int]) -> bool:
    return not any(os.path.exists(f"/proc/{pid}") and not _is_zombie(pid) for pid in pids)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def until_gone(network: Network, pids: list[int], seconds_max: float = 30) -> None:
    """Wait until no process of a node is left; fails when one stays."""
    deadline = time.monotonic() + seconds_max
    while not all_gone(pids):
        if time.monotonic() > deadline:
            pytest.fail(f"processes of {network.name} are left over")
        time.sleep(0.05)


def state_of(network: Network, senders: list[LocalAccount]) -> dict[str, Any]:
    """Return everything the identity can read: blocks with transactions, receipts, balances, nonces."""
    connection = network.connect("alpha")
    head = int(connection.rpc("eth_blockNumber"), 16)
    blocks = [connection.rpc("eth_getBlockByNumber", hex(number), True) for number in range(head + 1)]
    return {
        "blocks": blocks,
        "receipts": [connection.rpc("eth_getBlockReceipts", hex(number)) for number in range(head + 1)],
        "balances": {each.address: int(connection.rpc("eth_getBalance", each.address), 16) for each in senders},
        "nonces": {each.address: int(connection.rpc("eth_getTransactionCount", each.address), 16) for each in senders},
    }


def unlock(network: Network, name: str) -> LocalAccount:
    """Return an account of the command line's, whose password is empty."""
    return Wallet(Store(network.home).client(network.name).accounts_directory).unlock(name, "")
