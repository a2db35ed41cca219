"""kill -9 in the middle of a load, of each process and of all at once: what was answered is there after a start."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from cli.errors import Refused, Unreachable
from tests.scenarios.conftest import Network, send_value

CHAIN_ID = 77_001
SENDERS = 4
ANSWERED_BEFORE_THE_KILL = 60
HONEST_REFUSALS = ("the outcome is not known", "answered with status 503: 'the executor is gone'")
ROLES = ("host", "platform", "manager", "executor", "gateway")


@dataclass(slots=True)
class Load:
    """Senders that each send transfers one after another until the node is gone, and what was answered."""

    network: Network
    senders: list[LocalAccount]
    answered: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._send, args=(each,)) for each in self.senders]
        for thread in self.threads:
            thread.start()

    def _send(self, account: LocalAccount) -> None:
        connection = self.network.connect("alpha")
        nonce = 0
        while True:
            try:
                to = f"0x{0x1234_0000 + nonce % 7:040x}"
                self.answered.append(send_value(connection, account, CHAIN_ID, nonce, to, value=1))
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
    import json

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


@pytest.mark.parametrize("victims", [*((role,) for role in ROLES), ROLES], ids=lambda v: "+".join(v))
def test_what_was_answered_survives(make_network: Callable[..., Network], victims: tuple[str, ...]) -> None:
    network = make_network("crash", "--organisation", "alpha", "--chain-id", str(CHAIN_ID), "--fund", "purse=1000")
    connection = network.connect("alpha")
    network.coco("account", "bind", "purse", "--network", "crash")
    purse = _unlock(network)
    senders = [Account.create() for _ in range(SENDERS)]
    for nonce, account in enumerate(senders):
        network.bind(connection, account)
        send_value(connection, purse, CHAIN_ID, nonce, account.address, value=10**18)
    before = state_of(network, senders)

    load = Load(network, senders)
    load.start()
    load.wait_for(ANSWERED_BEFORE_THE_KILL)
    running = processes(network)
    for role in victims:
        for name, pid in running.items():
            if name.startswith(role):
                os.kill(pid, signal.SIGKILL)
    load.join()
    # A gateway that outlives the manager for a moment says that it does not know, or that it sends nothing on any more.
    assert [each for each in load.surprises if not any(said in each for said in HONEST_REFUSALS)] == []
    deadline = time.monotonic() + 30
    while not all_gone(list(running.values())):
        assert time.monotonic() < deadline, "processes of the node are left over"
        time.sleep(0.05)

    network.coco("network", "start", "crash")
    after = state_of(network, senders)
    hashes = {each["hash"] for block in after["blocks"] for each in block["transactions"]}
    assert set(load.answered) <= hashes
    assert after["blocks"][: len(before["blocks"])] == before["blocks"]
    check_against_model(after, before, senders)
    network.coco("network", "stop", "crash")
    network.coco("network", "start", "crash")
    assert state_of(network, senders) == after


def check_against_model(after: dict[str, Any], before: dict[str, Any], senders: list[LocalAccount]) -> None:
    """Balances and nonces must be what the ledger's transactions make of the state before the load."""
    sent: Counter[str] = Counter()
    for block in after["blocks"][len(before["blocks"]) :]:
        for transaction in block["transactions"]:
            assert int(transaction["nonce"], 16) == sent[transaction["from"].lower()]
            sent[transaction["from"].lower()] += 1
    for account in senders:
        count = sent[account.address.lower()]
        assert after["nonces"][account.address] == count
        assert after["balances"][account.address] == before["balances"][account.address] - count


def _unlock(network: Network) -> LocalAccount:
    from cli.store import Store
    from cli.wallet import Wallet

    return Wallet(Store(network.home).client("crash").accounts_directory).unlock("purse", "")
