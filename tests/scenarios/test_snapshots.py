"""A snapshot of a network of real processes, asked for on the command line, and a start from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from eth_account import Account

from cli.errors import Refused
from tests.scenarios.conftest import Network, send_value
from tests.support.crash_load import state_of, unlock

CHAIN_ID = 77_003
TRANSFERS = 12


def log_of(network: Network) -> str:
    return (network.host_directory / "node0" / "host.log").read_text()


def test_a_snapshot_on_request_and_a_start_from_it(make_network: Callable[..., Network]) -> None:
    network = make_network("crash", "--organisation", "alpha", "--chain-id", str(CHAIN_ID), "--fund", "purse=1000")
    connection = network.connect("alpha")
    network.coco("account", "bind", "purse", "--network", "crash")
    purse, to = unlock(network, "purse"), Account.create()
    for nonce in range(TRANSFERS):
        send_value(connection, purse, CHAIN_ID, nonce, to.address, value=1)
    asked = json.loads(network.coco("node", "snapshot", "crash", "--json").stdout)
    assert Path(asked["file"]).stat().st_size == asked["bytes"]
    send_value(connection, purse, CHAIN_ID, TRANSFERS, to.address, value=1)
    before = state_of(network, [purse])
    early, late = (int(connection.rpc("eth_getBalance", purse.address, at), 16) for at in ("0x4", "latest"))
    assert early > late

    network.coco("network", "stop", "crash")
    network.coco("network", "start", "crash")
    assert f"started from snapshots/{Path(asked['file']).name}" in log_of(network)
    assert state_of(network, [purse]) == before
    connection = network.connect("alpha")
    with pytest.raises(Refused):
        connection.rpc("eth_getBalance", purse.address, "0x4")
    assert int(connection.rpc("eth_getBalance", purse.address), 16) == late
    send_value(connection, purse, CHAIN_ID, TRANSFERS + 1, to.address, value=1)
    ledger = str(network.host_directory / "node0" / "disk" / "ledger")
    assert "sound" in network.coco("ledger", "verify", ledger).stdout

    network.coco("network", "stop", "crash")
    stopped = network.coco("node", "snapshot", "crash", check=False)
    assert stopped.returncode == 3
    assert "no node runs" in stopped.stderr
