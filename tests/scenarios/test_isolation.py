"""What the enclaves of a running node can no longer do, tried from inside, and what others can do to them.

A third party's adapter tries everything in the executor, in readers and in a gateway: tests/support/coco_probe.py.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.node import tls_memory
from enclave_sim.isolation.syscalls import ARCHITECTURES
from enclave_sim.status import read_status
from tests.scenarios.conftest import ROOT, Network
from tests.support.unprivileged import USER

ENCLAVES = {"manager", "executor", "gateway-1", "reader-1", "reader-2"}
SUPPORT = ROOT / "tests" / "support"
ENTRY_POINTS = "[coco.adapters]\nprobe = coco_probe:Probe\n"
METADATA = "Metadata-Version: 2.1\nName: coco-probe\nVersion: 1.0.0\n"
RECORD = "coco_probe.py,,\ncoco_probe-1.0.0.dist-info/METADATA,,\ncoco_probe-1.0.0.dist-info/entry_points.txt,,\n"

pytestmark = [
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or platform.machine() not in ARCHITECTURES,
        reason="no system-call filter is made for this system, and the node says so: tests/enclave_sim/isolation",
    ),
    pytest.mark.skipif(
        not tls_memory.is_possible(),
        reason="this interpreter's TLS takes keys from files only, so gateways may read files, and the node says so",
    ),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an interpreter with everything that this one has, and the probe as an installed package."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(symlinks=True).create(folder)
    site = next(folder.glob("lib/python3*/site-packages"))
    (site / "coco_probe.py").write_bytes((SUPPORT / "coco_probe.py").read_bytes())
    information = site / "coco_probe-1.0.0.dist-info"
    information.mkdir()
    for name, text in (("METADATA", METADATA), ("RECORD", RECORD), ("entry_points.txt", ENTRY_POINTS)):
        (information / name).write_text(text)
    others = [path for path in sys.path if path.endswith("-packages")]
    added = "".join(f"import site; site.addsitedir({path!r})\n" for path in others)
    (site / "others.pth").write_text(f"{ROOT}\n{added}")
    return str(folder / "bin" / "python")


@pytest.fixture
def make(python: str) -> Iterator[Callable[..., Network]]:
    """Return a function (*what runs the interpreter) that creates and starts a network."""
    made: list[Network] = []
    # Not below pytest's folder, where no other user may look.
    folder = tempfile.TemporaryDirectory(prefix="coco-")

    def start(*before: str) -> Network:
        home = Path(folder.name)
        if before and os.getuid() == 0:
            os.chown(home, USER, USER)
        network = Network("isolated", home, python=(*before, python))
        made.append(network)
        network.coco("network", "create", "isolated", "--port", "0", "-d", "probe")
        network.coco("network", "start", "isolated")
        return network

    yield start
    for network in made:
        network.close()
    folder.cleanup()


def pids(network: Network) -> dict[str, int]:
    status = read_status(network.host_directory)
    assert status is not None
    assert status.less_isolation == {}
    assert {name for name in status.pids if name not in ("host", "platform")} == ENCLAVES
    return {name: pid for name, pid in status.pids.items() if name in ENCLAVES}


def ask(network: Network, path: str) -> dict[str, Any]:
    """Return the report of the process that the path leads to."""
    client = network.home / "clients" / "isolated"
    url = urllib.parse.urlsplit((client / "url").read_text().strip())
    token = (client / "identities" / "org1" / "token").read_text().strip()
    context = ssl.create_default_context(cafile=str(client / "front-end-ca.pem"))
    connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=60)
    try:
        connection.request("POST", f"/probe{path}", body=b"{}", headers={"authorization": f"Bearer {token}"})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        report: dict[str, Any] = json.loads(body)
        return report
    finally:
        connection.close()


def check_threads(pid: int) -> None:
    """Every thread has the filters and can gain no privileges."""
    tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
    assert tasks
    for status in tasks:
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (facts["Seccomp"], facts["NoNewPrivs"]) == ("2", "1")


def check_report(report: dict[str, Any], pid: int) -> None:
    assert {name: what for name, what in report["attempts"].items() if what != "EPERM"} == {}
    assert len(report["attempts"]) > 40
    assert {name: what for name, what in report["allowed"].items() if what != "done"} == {}
    assert report["thread"] is True, "a thread that is started now can do more"
    assert report["late import"] == "refused"
    assert report["pid"] == pid


def test_no_enclave_opens_a_file_or_a_socket_or_starts_a_process(make: Callable[..., Network]) -> None:
    network = make()
    enclaves = pids(network)
    for pid in enclaves.values():
        check_threads(pid)
    check_report(ask(network, "/execute"), enclaves["executor"])
    check_report(ask(network, "/query"), enclaves["reader-1"])
    check_report(ask(network, "/route"), enclaves["gateway-1"])
    _check_reader_that_is_started_again(network, enclaves["reader-1"])
    log = (network.host_directory / "node0" / "host.log").read_text()
    assert "LESS ISOLATION" not in log
    assert set(re.findall(r"import of (\S+)", log)) == {"colorsys"}, "a module came too late"
    assert "executor: isolation: open was tried" in log
    network.coco("network", "stop", "isolated")
    assert "stopped in order" in (network.host_directory / "node0" / "host.log").read_text()


def _check_reader_that_is_started_again(network: Network, before: int) -> None:
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (pid := pids(network)["reader-1"]) == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    check_threads(pid)
    check_report(ask(network, "/query"), pid)


def test_a_process_of_the_same_user_looks_into_no_enclave(make: Callable[..., Network], python: str) -> None:
    """Everything runs as a user without privileges; what is refused of enclaves is done to a process beside them."""
    unprivileged = (sys.executable, str(SUPPORT / "unprivileged.py"))
    network = make(*unprivileged)
    enclaves = pids(network)
    beside = subprocess.Popen(
        [*unprivileged, python, "-c", "print('ready', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert beside.stdout is not None
        assert beside.stdout.readline() == b"ready\n"
        looked = subprocess.run(
            [*unprivileged, python, str(SUPPORT / "look_into.py"), *map(str, enclaves.values()), str(beside.pid)],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    finally:
        beside.communicate(b"\n", timeout=60)
    answer = json.loads(looked.stdout)
    found = answer["found"]
    not_told_apart = {name for name, what in found.pop(str(beside.pid)).items() if what != "done"}
    assert answer["uid"] == (USER if os.getuid() == 0 else os.getuid())
    for name, pid in enclaves.items():
        assert set(found[str(pid)].values()) == {"refused"}, (name, found[str(pid)])
    if not_told_apart:
        pytest.skip(f"this system refuses the same of any process, so nothing is shown: {sorted(not_told_apart)}")


def require_isolation(network: Network) -> None:
    file = network.host_directory / "network.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "isolation": "required"}))


def test_a_node_that_must_be_isolated_starts_where_it_is(make: Callable[..., Network]) -> None:
    network = make()
    network.coco("network", "stop", "isolated")
    require_isolation(network)
    started = network.coco("network", "start", "isolated", "--json")
    assert "less isolation" not in started.stderr
    assert json.loads(started.stdout)["less_isolation"] == {}
    assert set(pids(network)) == ENCLAVES


def test_a_kernel_without_filters_is_told_of_loudly_or_refused(make: Callable[..., Network]) -> None:
    network = make(sys.executable, str(SUPPORT / "without_filters.py"))
    stated = network.coco("network", "status", "isolated", "--json")
    missing = json.loads(stated.stdout)["less_isolation"]
    assert missing == {name: ["no system-call filter: Function not implemented"] for name in ENCLAVES}
    for command in ("status", "start"):
        if command == "start":
            network.coco("network", "stop", "isolated")
        warning = network.coco("network", command, "isolated").stderr
        assert "WARNING: less isolation of " in warning
        assert "no system-call filter" in warning
    log = (network.host_directory / "node0" / "host.log").read_text()
    assert "manager: LESS ISOLATION: no system-call filter: Function not implemented" in log
    network.coco("network", "stop", "isolated")
    require_isolation(network)
    refused = network.coco("network", "start", "isolated", check=False)
    assert refused.returncode != 0
    assert "manager's process cannot be isolated as required: no system-call filter" in refused.stderr
    assert '"isolation" to "best"' in refused.stderr
    assert network.coco("network", "status", "isolated", check=False).returncode == 3
