"""Three nodes of three organisations, as the command line makes them, while the leader is killed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.scenarios.conftest import ROOT

SECONDS_MAX = 900
"""On a machine that has nothing else to do, one minute."""


def test_the_story_goes_on_while_the_leader_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.supply_chain.several_nodes", "--home", str(tmp_path / "home")]
    done = subprocess.run(
        [*command, "--port", "0"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    first, second = re.findall(r"(node[123]) leads", done.stdout)
    assert first != second
    for slot in ("node1", "node2", "node3"):
        assert f"{slot}: 6 of 6 answered transactions" in done.stdout
