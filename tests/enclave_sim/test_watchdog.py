"""A process that does not come back to its work ends, though it holds the interpreter's lock."""

from __future__ import annotations

import signal
import subprocess
import sys

BEATS = "from enclave_sim.watchdog import Watchdog\nw = Watchdog(processor_seconds_max=1, seconds_max={})\nw.beat()\n"


def run(code: str, seconds_max: float = 60) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", BEATS.format(seconds_max) + code], capture_output=True, timeout=120)


def test_computing_in_compiled_code_without_end() -> None:
    done = run("pow(3, 10**9, 10**9 + 7)\n2 ** (1 << 36) % 7")
    assert done.returncode == -signal.SIGXCPU
    assert (done.stdout, done.stderr) == (b"", b"")


def test_waiting_in_compiled_code_without_end() -> None:
    done = run("import ctypes; ctypes.PyDLL(None).sleep(100)", 0.1)
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == (b"", b"")


def test_one_that_beats_lives_on() -> None:
    code = "import time\nend = time.process_time() + 2.5\nwhile time.process_time() < end: w.beat()\nprint('alive')"
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"alive\n", b"")
