"""What is told of attempts that are refused: what and how often, never with which arguments."""

from __future__ import annotations

import subprocess
import sys

import pytest

from enclave_sim.boundary.messages import Role
from enclave_sim.isolation.watch import KINDS_MAX, _tried

PROGRAM = """
import sys
from importlib import import_module
from enclave_sim.isolation.watch import watch
lines = []
watch("executor", lines.append)
for number in range(120):
    try:
        open("/nonexistent-secret")
    except OSError:
        pass
for number in range(100):
    try:
        (__import__ if number % 2 else import_module)(f"missing_{number}")
    except ImportError:
        pass
import _sre, zipimport
print(*lines, sep="\\n")
"""


def test_the_first_tenth_and_hundredth_time_is_told() -> None:
    """In a process of its own: an audit hook stays for good."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert [line for line in lines if " open " in line] == [
        f"isolation: open was tried ({count} times so far)" for count in (1, 10, 100)
    ]
    assert "isolation: import of missing_0 was tried (1 times so far)" in lines
    assert "import of missing_1 was" in done.stdout
    assert not any(name in done.stdout for name in ("_sre", "zipimport")), "these are part of the interpreter"
    assert "secret" not in done.stdout
    assert len({line.split(" was tried")[0] for line in lines}) == KINDS_MAX


@pytest.mark.parametrize(
    ("role", "event", "arguments", "told"),
    [
        ("executor", "open", ("/etc/passwd", "r", 0), "open"),
        ("executor", "open", (3, "r", 0), None),
        ("executor", "socket.__new__", (None, 2, 1, 0), "socket"),
        ("executor", "socket.__new__", (None, -1, -1, -1), None),
        ("gateway", "socket.__new__", (None, 2, 1, 0), None),
        ("manager", "os.fork", (), "os.fork"),
        ("manager", "compile", (b"", "x"), None),
    ],
)
def test_what_is_told(role: Role, event: str, arguments: tuple[object, ...], told: str | None) -> None:
    assert _tried(role, event, arguments) == told
