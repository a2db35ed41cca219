"""CCF's published tools, run in their own environment (`.venv-ccf`, made by `make test`), each in a process."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-ccf" / "bin" / "python"
CHECKERS = ROOT / "tests" / "ccf" / "checkers"
SECONDS_MAX = 300


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a tool said. text: its output and errors together."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class CcfTools:
    """python: the environment's interpreter, which holds the package `ccf` and nothing of ours."""

    python: Path

    def read_ledger(self, *arguments: str | Path, script: bool = False) -> Judgement:
        """Run `read_ledger`: as a module, or by the console script that the package installs."""
        found = str(self.python.with_name("read_ledger.py"))
        command = [str(self.python), found] if script else [str(self.python), "-m", "ccf.read_ledger"]
        done = _run([*command, *map(str, arguments)], "")
        return Judgement(done.returncode, done.stdout + done.stderr)

    def check(self, checker: str, request: object) -> Any:
        """Run tests/ccf/checkers/<checker>.py: a JSON request on its input, a JSON answer on its output."""
        done = _run([str(self.python), "-I", str(CHECKERS / f"{checker}.py")], json.dumps(request))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        command, input=text, capture_output=True, text=True, env=environment, timeout=SECONDS_MAX, check=False
    )
