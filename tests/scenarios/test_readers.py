"""Readers of a real network: reads see what was written, hold up nobody, and come back when they are killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from cli.connection import Connection
from cli.errors import Refused
from tests.scenarios.conftest import Network, send_value

CHAIN_ID = 77_003
LOOP = "0x5b5a195a190a505f56"
"""Raises large numbers to large powers until the gas is out: slow also when compiled."""
"""JUMPDEST, PUSH1 0, JUMP: runs until its gas or its time is used up."""


def processes(network: Network) -> dict[str, int]:
    status = json.loads((network.host_directory / "node0" / "status.json").read_text())
    return dict(status["pids"])


def own_balance(connection: Connection, account: LocalAccount) -> int:
    """Ask the simulating reader: initialization code that returns an address's balance."""
    code = f"0x73{account.address[2:]}3160005260206000f3"
    return int(str(connection.rpc("eth_call", {"from": account.address, "data": code}, "latest")), 16)


def loop(connection: Connection, account: LocalAccount) -> str:
    """Run a call into its bounds; returns what was said of it."""
    with pytest.raises(Refused) as refused:
        connection.rpc("eth_call", {"from": account.address, "data": LOOP, "gas": hex(16_000_000)}, "latest")
    return str(refused.value)


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network("readers", "--organisation", "alpha", "--organisation", "beta", "--chain-id", str(CHAIN_ID))


def test_a_client_reads_what_it_has_written_under_load(network: Network) -> None:
    """On both readers, at once after the answer, with four clients that write and read side by side."""

    def work(number: int) -> None:
        connection = network.connect("alpha" if number % 2 else "beta")
        account = network.new_account(connection)
        for nonce in range(15):
            sent = send_value(connection, account, CHAIN_ID, nonce, account.address)
            receipt: Any = connection.rpc("eth_getTransactionReceipt", sent)
            assert receipt is not None
            assert int(str(connection.rpc("eth_getTransactionCount", account.address, "latest")), 16) == nonce + 1
            block = int(receipt["blockNumber"], 16)
            assert int(str(connection.rpc("eth_blockNumber")), 16) >= block
            assert own_balance(connection, account) == 0
            # NUMBER of the block that is simulated: after the newest one.
            number_code = "0x4360005260206000f3"
            simulated = connection.rpc("eth_call", {"from": account.address, "data": number_code}, "latest")
            assert int(str(simulated), 16) >= block

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, number) for number in range(4)]:
            future.result(120)


SLOW_CALLS = 8
"""Outstanding at any time, of one identity: a reader that served first come, first served would end them all first."""


def test_slow_calls_hold_up_neither_look_ups_nor_writes_nor_another_identity(network: Network) -> None:
    """Counted in slow calls that end meanwhile, not in seconds: whoever has to queue behind them counts them all."""
    connection, slow_connection = network.connect("beta"), network.connect("alpha")
    account, slow_account = network.new_account(connection), network.new_account(slow_connection)
    stop, told = threading.Event(), Counter[str]()

    def keep_looping() -> None:
        own = network.connect("alpha")
        while not stop.is_set():
            told[loop(own, slow_account)] += 1

    def ended() -> int:
        """How many ran to their bounds; on a slow machine others are refused, which have waited for too long."""
        return sum(count for text, count in told.items() if "out of gas" in text or "execution aborted" in text)

    with ThreadPoolExecutor(SLOW_CALLS) as pool:
        loops = [pool.submit(keep_looping) for _ in range(SLOW_CALLS)]
        try:
            while not ended():
                time.sleep(0.05)
            before = ended()
            assert own_balance(connection, account) == 0
            while_asking = ended() - before
            for nonce in range(10):
                sent = send_value(connection, account, CHAIN_ID, nonce, account.address)
                assert connection.rpc("eth_getTransactionReceipt", sent) is not None
            while_writing = ended() - before - while_asking
        finally:
            stop.set()
        for each in loops:
            each.result(300)
    assert while_asking < SLOW_CALLS - 2, told
    assert while_writing < 20, told  # A look-up or a write behind a slow call would wait for one each time.
    known = "out of gas", "execution aborted", "too much to do"
    assert all(any(reason in text for reason in known) for text in told), told


def test_a_killed_reader_is_started_again_and_the_node_goes_on(network: Network) -> None:
    connection = network.connect("alpha")
    account = network.new_account(connection)
    before = processes(network)
    stop = threading.Event()
    sent: list[str] = []

    def write() -> None:
        own = network.connect("alpha")
        while not stop.is_set():
            sent.append(send_value(own, account, CHAIN_ID, len(sent), account.address))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for name in ("reader-1", "reader-2"):
            count = len(sent)
            os.kill(before[name], signal.SIGKILL)
            deadline = time.monotonic() + 60
            while processes(network)[name] == before[name] or len(sent) < count + 5:
                assert time.monotonic() < deadline
                assert writer.is_alive()
                time.sleep(0.05)
    finally:
        stop.set()
        writer.join(60)
    after = processes(network)
    assert {name for name in before if before[name] != after[name]} == {"reader-1", "reader-2"}
    receipts = [connection.rpc("eth_getTransactionReceipt", each) for each in sent]
    assert all(receipts)
    assert own_balance(connection, account) == 0
    older: Any = receipts[position := max(0, len(receipts) - 50)]
    count_then = connection.rpc("eth_getTransactionCount", account.address, older["blockNumber"])
    assert int(str(count_then), 16) == position + 1


@pytest.mark.parametrize("readers", [0, 1])
def test_fewer_readers(make_network: Callable[..., Network], readers: int) -> None:
    network = make_network("few", "--organisation", "alpha", "--chain-id", str(CHAIN_ID), start=False)
    file = network.host_directory / "network.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "readers": readers}))
    network.coco("network", "start", "few")
    names = {name for name in processes(network) if name.startswith("reader")}
    assert names == {f"reader-{number}" for number in range(1, readers + 1)}
    connection = network.connect("alpha")
    account = network.new_account(connection)
    sent = send_value(connection, account, CHAIN_ID, 0, account.address)
    assert connection.rpc("eth_getTransactionReceipt", sent) is not None
    assert own_balance(connection, account) == 0
