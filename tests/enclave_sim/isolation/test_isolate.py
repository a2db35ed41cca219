"""Real processes under the filter: what each role can no longer do, and what the kernel does not give."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from core.node import tls_memory
from enclave_sim.boundary.messages import Role
from enclave_sim.isolation import isolate as module
from enclave_sim.isolation import kernel
from enclave_sim.isolation.isolate import Isolation, isolate
from enclave_sim.isolation.kernel import IsolationMissing, keep_out_of_swap
from enclave_sim.isolation.syscalls import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[3]
WITHOUT_FILTERS = (sys.executable, str(ROOT / "tests" / "support" / "without_filters.py"))
ROLES = get_args(Role)
needs_filters = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in ARCHITECTURES,
    reason="no system-call filter is made for this system",
)

START = f"""
import json
import sys
sys.path.insert(0, {str(ROOT)!r})
from core.node import tls_memory
from enclave_sim.isolation.isolate import before_event_loop, isolate
from enclave_sim.process import forbid_inspection
from tests.support.coco_probe import report
lines = []
before_event_loop()
forbid_inspection()
"""
REPORT = """
isolation = isolate(ROLE, lines.append)
print(json.dumps({"report": report(), "missing": isolation.missing, "holds": isolation.holds, "lines": lines}))
"""


def run(text: str, *before: str) -> dict[str, Any]:
    """Return what a program prints as JSON. before: what runs the interpreter, in isolated mode as enclaves run."""
    done = subprocess.run(
        [*before, sys.executable, "-I", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_filters
@pytest.mark.parametrize("role", ROLES)
def test_a_role_does_its_work_and_nothing_else(role: str) -> None:
    if role == "gateway" and not tls_memory.is_possible():
        pytest.skip("this interpreter's TLS takes keys from files only")
    found = run(START + REPORT.replace("ROLE", repr(role)))
    assert {name: what for name, what in found["report"]["attempts"].items() if what != "EPERM"} == {}
    assert {name: what for name, what in found["report"]["allowed"].items() if what != "done"} == {}
    assert found["report"]["thread"] is True
    assert found["report"]["late import"] == "refused"
    assert "allowed system calls only" in found["holds"]
    assert not any("system-call" in reason for reason in found["missing"])
    assert "isolation: open was tried (1 times so far)" in found["lines"]
    assert not any("coco-probe" in line for line in found["lines"]), "arguments are nobody's business"


@needs_filters
def test_threads_that_run_already_are_isolated_too() -> None:
    found = run(
        START
        + """
import threading
begin, ended, seen = threading.Event(), threading.Event(), []
def work():
    begin.wait()
    seen.append(report()["attempts"])
thread = threading.Thread(target=work)
thread.start()
isolate("executor", lines.append)
begin.set()
thread.join()
print(json.dumps(seen[0]))
"""
    )
    assert set(found.values()) == {"EPERM"}


@needs_filters
def test_an_io_uring_made_before_is_a_way_out_and_is_told() -> None:
    """The first step keeps event loops from making one, or this finds it."""
    pytest.importorskip("uvloop")
    ring = 'import uvloop; loop = uvloop.new_event_loop(); isolation = isolate("reader", lines.append)'
    shown = "; print(json.dumps(isolation.missing))"
    assert not any("io_uring" in reason for reason in run(START + ring + shown))
    missing = run(START.replace("before_event_loop()\n", "") + ring + shown)
    if not any("io_uring" in reason for reason in missing):
        pytest.skip("this kernel, or this event loop, makes no io_uring")


TLS = """
import ssl
from datetime import UTC, datetime
from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.node.tls import server_context
made = []
for name in ("before", "after"):
    if name == "after":
        isolation = isolate("gateway", lines.append)
    key = PrivateKey.generate()
    chain = self_signed("localhost", key, not_before=datetime.now(UTC), days=2)
    context = server_context(chain.encode(), key.to_pkcs8_pem(), [chain])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cadata=chain)
    pipes = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    ends = [context.wrap_bio(*pipes, server_side=True), client.wrap_bio(*pipes[::-1])]
    for end in (ends[1], ends[0], ends[1], ends[0]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    made.append(ends[1].getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(chain))
print(json.dumps({"made": made, "report": report(), "missing": isolation.missing}))
"""


@needs_filters
@pytest.mark.skipif(not tls_memory.is_possible(), reason="this interpreter's TLS takes keys from files only")
def test_a_gateway_takes_up_new_certificates() -> None:
    found = run(START + TLS)
    assert found["made"] == [True, True]
    assert set(found["report"]["attempts"].values()) == {"EPERM"}


@needs_filters
def test_a_gateway_whose_tls_takes_files_only_may_read_files_and_says_so() -> None:
    found = run(START + "tls_memory.is_possible = lambda: False\n" + TLS)
    assert found["made"] == [True, True]
    assert "files can be opened for reading: this Python's TLS library takes keys from files only" in found["missing"]
    assert found["report"]["attempts"]["open to read"] == "done"
    assert found["report"]["attempts"]["open to write"] == "EPERM"
    assert found["report"]["attempts"]["TCP socket"] == "EPERM"


@needs_filters
def test_a_kernel_without_filters() -> None:
    found = run(START + REPORT.replace("ROLE", "'executor'").replace("report()", "None"), *WITHOUT_FILTERS)
    assert "no system-call filter: Function not implemented" in found["missing"]
    assert "allowed system calls only" not in found["holds"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Everything is given, and nothing is done to the process that runs the tests."""
    monkeypatch.setattr(module, "preload", lambda: None)
    monkeypatch.setattr(module, "stop_loading", lambda: None)
    monkeypatch.setattr(module, "watch", lambda *_: None)
    monkeypatch.setattr(module, "check_not_inspectable", lambda: None)
    monkeypatch.setattr(module, "check_no_ring", lambda: None)
    monkeypatch.setattr(module, "keep_out_of_swap", lambda: "memory locked")
    monkeypatch.setattr(module, "install_filter", lambda *_: None)
    return monkeypatch


def missing(reason: str) -> Any:
    def refuse(*_: object) -> None:
        raise IsolationMissing(reason)

    return refuse


def test_what_is_given(given: pytest.MonkeyPatch) -> None:
    wanted = Isolation(("no debuggers, no dumps", "memory locked", "allowed system calls only"), ())
    assert isolate("manager", lambda _: None, required=True) == wanted


@pytest.mark.parametrize("step", ["check_not_inspectable", "keep_out_of_swap", "install_filter", "check_no_ring"])
def test_each_thing_that_is_missing_is_told_or_refused(given: pytest.MonkeyPatch, step: str) -> None:
    given.setattr(module, step, missing("not here"))
    assert isolate("manager", lambda _: None).missing == ("not here",)
    with pytest.raises(IsolationMissing, match="manager's process cannot be isolated as required: not here") as raised:
        isolate("manager", lambda _: None, required=True)
    assert "network.json" in raised.value.hint


def test_a_system_that_is_not_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.sys, "platform", "darwin")
    for step in (lambda: kernel.install_filter([]), kernel.check_not_inspectable, keep_out_of_swap):
        with pytest.raises(IsolationMissing, match="darwin"):
            step()


class FakeLibrary:
    def __init__(self, locks: int, dumpable: int = 0) -> None:
        self._locks, self._dumpable = locks, dumpable

    def mlockall(self, flags: int) -> int:
        assert flags == 7
        return self._locks

    def prctl(self, *_: int) -> int:
        return self._dumpable


@pytest.mark.parametrize(
    ("limit", "may", "locks", "swap", "outcome"),
    [
        (kernel.resource.RLIM_INFINITY, False, 0, True, "memory locked"),
        (65_536, True, 0, True, "memory locked"),
        (65_536, False, 0, False, "no swap space"),
        (kernel.resource.RLIM_INFINITY, False, -1, False, "no swap space"),
        (65_536, False, 0, True, None),
        (kernel.resource.RLIM_INFINITY, False, -1, True, None),
    ],
)
def test_memory_is_locked_or_cannot_be_swapped_out(
    monkeypatch: pytest.MonkeyPatch, limit: int, may: bool, locks: int, swap: bool, outcome: str | None
) -> None:
    monkeypatch.setattr(kernel.resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(kernel, "_may_lock", lambda: may)
    monkeypatch.setattr(kernel, "_libc", lambda: FakeLibrary(locks))
    monkeypatch.setattr(kernel, "_has_swap", lambda: swap)
    if outcome is None:
        with pytest.raises(IsolationMissing, match="memory may be swapped out"):
            keep_out_of_swap()
    else:
        assert keep_out_of_swap() == outcome


def test_a_process_that_can_be_inspected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_libc", lambda: FakeLibrary(0, dumpable=1))
    with pytest.raises(IsolationMissing, match="dumpable"):
        kernel.check_not_inspectable()
    monkeypatch.setattr(kernel, "_libc", lambda: FakeLibrary(0))
    monkeypatch.setattr(kernel.resource, "getrlimit", lambda _: (0, 1))
    with pytest.raises(IsolationMissing, match="core dumps"):
        kernel.check_not_inspectable()
