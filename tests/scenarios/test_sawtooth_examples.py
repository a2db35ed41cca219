"""Sawtooth's examples, run as a reader runs them: in processes of their own, against real networks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.scenarios.conftest import ROOT, Network


def run(*command: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def test_the_intkey_example(make_network: Callable[..., Network]) -> None:
    network = make_network("saw", "--adapter", "sawtooth", "--organisation", "alpha")
    lines = run("examples/sawtooth_intkey.py", "saw", "alpha", COCO_HOME=str(network.home))
    assert lines[:3] == [
        "the batch is COMMITTED",
        "the name counts 42",
        'the next batch is INVALID: Verb is "dec", but result would be less than 0',
    ]
    assert re.fullmatch(r"the first transaction wrote [0-9a-f]+ at 1cf126[0-9a-f]{6}", lines[3])
    assert re.fullmatch(r"block \d+ has state root [0-9a-f]{64}", lines[4])


def test_the_game_that_a_third_party_does_not_see(tmp_path: Path) -> None:
    lines = run("-m", "examples.sawtooth_tictactoe", "--home", str(tmp_path / "home"))
    sight = lines[lines.index("What each party sees of it:") + 1 :]
    for player in ("north", "south"):
        assert f"  {player} sees: P1-WIN" in sight
        assert f"  {player}  6 of 7 batches, 6 transactions, 1 state entries" in sight
    assert "  east sees no game" in sight
    assert "  east   0 of 7 batches, 0 transactions, 0 state entries" in sight
    assert any("invalid - Not this player's turn" in line for line in lines)
