"""What /proc says of processes and the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.load.processes import Usage, children_of, machine, usage_of, usages

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def test_usage_is_read_from_the_right_fields(tmp_path: Path) -> None:
    directory = tmp_path / "42"
    directory.mkdir()
    ticks = os.sysconf("SC_CLK_TCK")
    (directory / "stat").write_text(f"42 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 {3 * ticks} {ticks} 0 0 20 0")
    (directory / "status").write_text("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 10 kB\n")
    assert usage_of(42, tmp_path) == Usage(4.0, 2048 * 1024)
    assert usage_of(43, tmp_path) is None
    (directory / "stat").write_text("42 (x")
    assert usage_of(42, tmp_path) is None


def test_this_process_and_its_children() -> None:
    used = usages({"own": os.getpid(), "none": 2**22 + 1})
    assert list(used) == ["own"]
    assert used["own"].cpu_s > 0
    assert used["own"].memory_peak_bytes > 2**20
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in children_of(os.getpid())
    finally:
        child.communicate(b"\n")
    assert child.pid not in children_of(os.getpid())


def test_the_machine_is_described(tmp_path: Path) -> None:
    described = machine()
    assert isinstance(described["cores"], int)
    assert described["python"]
    assert machine(tmp_path)["memory_gib"] == 0.0
