"""kill -9 in the middle of a load, of each process and of all at once: what was answered is there after a start."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from tests.scenarios.conftest import Network, send_value
from tests.support.crash_load import HONEST_REFUSALS, ROLES, Load, processes, state_of, unlock, until_gone

CHAIN_ID = 77_001
SENDERS = 4
ANSWERED_BEFORE_THE_KILL = 60


@pytest.mark.parametrize("victims", [*((role,) for role in ROLES), ROLES], ids=lambda v: "+".join(v))
def test_what_was_answered_survives(make_network: Callable[..., Network], victims: tuple[str, ...]) -> None:
    network = make_network("crash", "--organisation", "alpha", "--chain-id", str(CHAIN_ID), "--fund", "purse=1000")
    connection = network.connect("alpha")
    network.coco("account", "bind", "purse", "--network", "crash")
    purse = unlock(network, "purse")
    senders = [Account.create() for _ in range(SENDERS)]
    for nonce, account in enumerate(senders):
        network.bind(connection, account)
        send_value(connection, purse, CHAIN_ID, nonce, account.address, value=10**18)
    before = state_of(network, senders)

    load = Load(network, senders, CHAIN_ID)
    load.start()
    load.wait_for(ANSWERED_BEFORE_THE_KILL)
    running = processes(network)
    for role in victims:
        for name, pid in running.items():
            if name.startswith(role):
                os.kill(pid, signal.SIGKILL)
    load.join()
    assert [each for each in load.surprises if not any(said in each for said in HONEST_REFUSALS)] == []
    until_gone(network, list(running.values()))

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
