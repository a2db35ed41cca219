"""The examples, run as a reader runs them: in processes of their own, against real networks."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.conftest import ROOT, Network

STORY = [sys.executable, "-m", "examples.supply_chain"]


def test_the_erc20_example(make_network: Callable[..., Network], tmp_path: Path) -> None:
    network = make_network("example", "--organisation", "alpha")
    connection = network.connect("alpha")
    token_file = network.home / "clients" / "example" / "identities" / "alpha" / "token"
    key_file = tmp_path / "key"
    key_file.write_text(secrets.token_hex(32))
    arguments = [connection.url, str(token_file), str(connection.ca_file), str(key_file)]
    command = [sys.executable, "examples/erc20_token.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    deployed, transferred, balance, logs, reverted = done.stdout.splitlines()
    assert re.fullmatch(r"deployed at 0x[0-9a-fA-F]{40} in block 1", deployed)
    assert transferred.startswith("transferred 250 for ")
    assert (balance, logs) == ("balance of the friend: 250", "logs: 2")
    assert reverted == "a transfer of too much reverts with ERC20InsufficientBalance"


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_make_run_tells_the_story_serves_and_stops(tmp_path: Path, interruption: signal.Signals) -> None:
    process = subprocess.Popen(
        [*STORY, "--home", str(tmp_path / "home")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ},
    )  # fmt: skip
    assert process.stdout is not None
    shown = []
    for line in process.stdout:
        shown.append(line)
        if "get_block" in line:
            break
    text = "".join(shown)
    try:
        assert "0 of 4 plaintexts found" in text
        competitor = re.search(r"competitor +(\d+) +(\d+) +(\d+)  (.*)", text)
        assert competitor is not None
        assert competitor.groups() == ("0", "0", "0", "refused (NotAParty)")
        snippet = text[text.index("from web3 import Web3") :]
        pasted = subprocess.run(
            [sys.executable], input=snippet, capture_output=True, text=True, timeout=60, check=False
        )
        assert pasted.stdout.startswith("20170 6 "), pasted.stderr
    finally:
        process.send_signal(interruption)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "Stopping the network" in rest
    deadline = time.monotonic() + 20
    while _processes_of(tmp_path):
        assert time.monotonic() < deadline, "the network still runs"
        time.sleep(0.1)


def _processes_of(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(directory).encode() in command:
                found.append(int(entry.name))
    return found
