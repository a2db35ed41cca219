"""Every benchmark still runs: at its smallest size where a few seconds are enough, else as far as its `--help`.

What is asserted is that figures are there, and counts; never how long something took.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 300

RUN = ("accounts", "consensus", "evm", "ledger", "node_channel", "worst_case")
NEED_A_NETWORK = ("compare", "confidentiality", "network", "reads", "rpc")
"""These start networks, or need other end points."""
PARTS = (
    "confidentiality_off",
    "interpreter",
    "ledger_work",
    "load_client",
    "load_token",
    "pipeline_executor",
    "temporary_network",
)
"""What others are made of, and load_token, whose compiler has tests of its own."""


def call(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as documents show it."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


def output(name: str, *arguments: str) -> str:
    done = call(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def report(name: str, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output(name, *arguments, "--json"))
    return found


def test_every_benchmark_is_looked_at_here() -> None:
    assert sorted((*RUN, *NEED_A_NETWORK, *PARTS)) == sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", NEED_A_NETWORK)
def test_one_that_needs_a_network_tells_its_options(name: str) -> None:
    # By its path: some are shown so.
    command = ["-m", f"benchmarks.{name}"] if name in ("compare", "confidentiality") else [f"benchmarks/{name}.py"]
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


def test_an_option_that_there_is_not_is_refused() -> None:
    done = call("consensus", "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


@pytest.mark.parametrize("name", PARTS)
def test_a_part_can_be_imported(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__


def test_accounts() -> None:
    found = report("accounts", "--accounts", "20", "--against", "10", "--rounds", "1", "--transfers", "4")
    assert set(found) == {"transfer_us", "ratio"}
    assert {size: set(row) for size, row in found["transfer_us"].items()} == {
        "10": {"us", "lowest"},
        "20": {"us", "lowest"},
    }


def test_memory_of_accounts() -> None:
    found = report("accounts", "--memory", "--accounts", "1200")
    assert {kind: [rows for rows, _ in steps] for kind, steps in found.items()} == {
        "account": [1000, 1200],
        "slot": [1000, 1200],
    }


def test_consensus() -> None:
    lines = output("consensus", "--blocks", "32", "--bytes", "100").splitlines()
    shape = r" ?(1|16) at a time: \d+ us per block for three nodes, \d+ us for the leader"
    assert [bool(re.fullmatch(shape, line)) for line in lines] == [True, True]


def test_evm() -> None:
    (result,) = report("evm", "--only", "ERC-721", "--seconds", "0.001")["results"]
    assert result["name"] == "ERC-721 mint"
    assert result["gas_used"] > 21_000
    assert result["ratio"] > 0


def test_ledger() -> None:
    done = call("ledger", "--accounts", "20", "--json")
    assert done.returncode == 0, done.stderr
    assert "20 transfers executed and written" in done.stderr
    found = json.loads(done.stdout)
    assert (found["accounts"], found["entries"] > 20) == (20, True)
    for name in ("sealing_us", "execution_us", "replay_us_per_entry", "replay_to_execution", "start_to_replay"):
        assert found[name] > 0
    accounts, whole = found["start"]["accounts"], found["start"]["with_history"]
    assert 20 < accounts["rows"] < whole["rows"]
    assert 0 < accounts["file_bytes_per_account"] < whole["file_bytes_per_account"]
    assert 0 < accounts["memory_bytes_per_account"] < whole["memory_bytes_per_account"]


def test_node_channel() -> None:
    lines = output("node_channel").splitlines()
    assert [line.split()[0] for line in lines] == ["join", "pinned", "open", "network", "network"]
    assert all(re.search(r"\d (ms|MB/s|messages/s)", line) for line in lines)


def test_worst_case() -> None:
    (result,) = report("worst_case", "--only", "JUMPDEST")["results"]
    assert result["name"] == "JUMPDEST"
    assert result["seconds_after"] >= 0
