"""The host's processes, for real: start, orderly stop, and the death of every one of them."""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import CocoError, IncompatibleData, StorageFailed
from core.governance.constitution import Constitution
from enclave_sim import host
from enclave_sim.boundary.socket_transport import open_socket_transport
from enclave_sim.host_config import HostConfig, NodePaths
from enclave_sim.status import Status, node_lock, read_status, running_pid, stored_status, write_status

NODE_STOPPED = 3
MakeNetwork = Callable[..., Path]
RunProcess = Callable[[Path], Any]


def is_alive(pid: int) -> bool:
    """Whether a process runs (one that waits to be reaped does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_gone(pids: dict[str, int]) -> None:
    deadline = time.monotonic() + 30
    while any(is_alive(pid) for pid in pids.values()):
        assert time.monotonic() < deadline, [name for name, pid in pids.items() if is_alive(pid)]
        time.sleep(0.02)


def get(port: int, ca: Path, path: str) -> bytes:
    """Return the body of an answer over TLS, pinned to the CA."""
    context = ssl.create_default_context(cafile=str(ca))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
    try:
        connection.request("GET", path, headers={"authorization": "Bearer token of org1"})
        response = connection.getresponse()
        assert response.status == 200
        return response.read()
    finally:
        connection.close()


def descriptors(pid: int) -> dict[int, str]:
    """Return what a process has open, as the kernel names it."""
    folder = Path(f"/proc/{pid}/fd")
    return {int(name): os.readlink(folder / name) for name in os.listdir(folder)}


def test_a_node_in_the_background(make_network: MakeNetwork, constitution: Constitution) -> None:
    """Start, serve, refuse a second start, keep descriptors apart, stop, start again after kill -9 of the host."""
    directory = make_network(HostConfig(gateways=2))
    paths = NodePaths(directory)
    assert read_status(directory) is None
    assert host.stop(directory) is False
    status = host.start_detached(directory)
    try:
        assert read_status(directory) == status
        assert set(status.pids) == {
            "host", "platform", "manager", "executor", "gateway-1", "gateway-2", "reader-1", "reader-2",
        }  # fmt: skip
        assert status.service["network"] == "demo"
        assert paths.front_end_ca.read_text() == status.service["front_end_ca"]
        assert paths.service_certificate.read_text() == status.service["service_certificate"]
        assert b"demo" in get(status.port, paths.front_end_ca, "/node/network")
        with pytest.raises(CocoError, match="already running") as second:
            host.start_detached(directory)
        assert "coco network stop" in second.value.hint
        _check_descriptors(status)
        os.kill(status.pids["host"], signal.SIGKILL)
        wait_gone(status.pids)
        assert read_status(directory) is None
        assert stored_status(directory) is not None
        again = host.start_detached(directory)
        assert b"demo" in get(again.port, paths.front_end_ca, "/node/network")
        assert again.service["view"] == status.service["view"] + 1
        assert host.stop(directory) is True
        wait_gone(again.pids)
    finally:
        host.stop(directory)
    assert read_status(directory) is None
    assert not paths.status.exists()
    assert constitution.digest().hex() == again.service["constitution_digest"]


def _check_descriptors(status: Status) -> None:
    """Standard streams to nowhere, the event loop's own, and the sockets that the role was given; nothing else."""
    sockets = {"manager": 4, "executor": 9, "gateway-1": 8, "gateway-2": 8, "reader-1": 7, "reader-2": 7}
    for name, expected in sockets.items():
        opened = descriptors(status.pids[name])
        assert {opened[0], opened[1], opened[2]} == {os.devnull}
        others = [what for fd, what in opened.items() if fd > 2]
        # uvloop wakes itself by a socket pair or an eventfd of its own, and polls by epoll.
        files = [what for what in others if what.startswith("/") and not what.startswith("/dev/")]
        assert files == [], name
        assert expected <= sum(what.startswith("socket:") for what in others) <= expected + 2, name


@pytest.mark.parametrize(
    ("victim", "told"),
    [
        ("manager", "manager enclave died (signal 9); the node has stopped"),
        ("executor", "worker enclave (executor) died (signal 9); the node has stopped"),
        ("gateway-1", "worker enclave (gateway-1) died (signal 9); the node has stopped"),
        ("platform", "the platform process died (signal 9); the node has stopped"),
    ],
)
def test_a_killed_process_takes_the_node_down(
    make_network: MakeNetwork, run_process: RunProcess, victim: str, told: str
) -> None:
    directory = make_network()
    process = run_process(directory)
    status: Status = process.wait_running()
    os.kill(status.pids[victim], signal.SIGKILL)
    code, out, err = process.wait_ended()
    assert (code, out) == (NODE_STOPPED, "")
    assert told in err
    assert "Every answered transaction is on disk; start again with: coco network start" in err
    wait_gone(status.pids)
    assert read_status(directory) is None
    assert told in NodePaths(directory).log.read_text()


def test_ctrl_c_stops_the_node_in_order(make_network: MakeNetwork, run_process: RunProcess) -> None:
    directory = make_network()
    process = run_process(directory)
    status: Status = process.wait_running()
    process.process.send_signal(signal.SIGINT)
    code, out, err = process.wait_ended()
    assert (code, out, err) == (0, "", "")
    wait_gone(status.pids)
    lines = NodePaths(directory).log.read_text().splitlines()
    assert lines[-1].endswith("host: stopped in order")
    assert not any("NodeStopped" in line or "ChannelClosed" in line for line in lines)


async def test_garbage_of_a_host_is_refused_and_the_enclave_still_stops_in_order(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real manager process, with a host that speaks nonsense to it before and while it runs."""
    directory = make_network()
    ends: list[Any] = []

    async def open_and_keep(end: socket.socket) -> Any:
        transport = await open_socket_transport(end)
        ends.append(transport)
        return transport

    monkeypatch.setattr("enclave_sim.supervisor.open_socket_transport", open_and_keep)
    stop, running = asyncio.Event(), asyncio.Event()
    work = asyncio.create_task(host.run_host(directory, on_running=lambda _: running.set(), stop_requested=stop))
    waiting = asyncio.create_task(running.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for enclave in ends[:3]:
        for data in (b"", b"\x01", b"\x02junk", b"\x01\x91\x7f", b"x" * 100_000):
            await enclave.send(data)
    deadline = time.monotonic() + 20
    while (log := NodePaths(directory).log.read_text()).count("refused a message of the host (5 so far)") < 3:
        assert time.monotonic() < deadline, log
        await asyncio.sleep(0.02)
    stop.set()
    await work


async def test_a_full_disk_stops_the_node_with_its_own_error(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_network()

    def full(_: int, __: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("enclave_sim.disk.os.write", full)
    with pytest.raises(CocoError, match="No space left on device") as caught:
        await host.run_host(directory, stop_requested=asyncio.Event())
    assert caught.value.exit_code == StorageFailed.exit_code
    assert "Free space" in caught.value.hint


def test_a_busy_port_is_told(make_network: MakeNetwork) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        directory = make_network(HostConfig(port=port))
        with pytest.raises(CocoError, match=f"port {port} on 127.0.0.1 is in use") as caught:
            host.start_detached(directory)
    assert "network.json" in caught.value.hint
    assert read_status(directory) is None


def test_an_address_of_another_machine_is_told(make_network: MakeNetwork) -> None:
    directory = make_network(HostConfig(address="192.0.2.1"))
    with pytest.raises(CocoError, match=r"cannot listen on 192\.0\.2\.1"):
        host.start_detached(directory)


def test_damaged_fuses_are_told_with_their_exit_code(make_network: MakeNetwork) -> None:
    directory = make_network()
    fuses = NodePaths(directory).fuses
    fuses.parent.mkdir(parents=True, exist_ok=True)
    fuses.write_bytes(b"short")
    with pytest.raises(CocoError, match="holds 5 bytes") as caught:
        host.start_detached(directory)
    assert caught.value.exit_code == IncompatibleData.exit_code


def test_a_constitution_that_cannot_be_run_is_told(make_network: MakeNetwork) -> None:
    directory = make_network()
    (directory / "genesis.json").write_bytes(b"{}")
    with pytest.raises(CocoError, match="constitution"):
        host.start_detached(directory)


@pytest.mark.parametrize(
    ("data", "kind", "told"),
    [
        (b'{"version": 99}', IncompatibleData, "version 99"),
        (b'{"version": 1, "gateways": 0}', CocoError, "gateways is 0"),
        (b'{"version": 1, "port": 70000}', CocoError, "port is 70000"),
        (b'{"version": 1, "names": []}', CocoError, "names is empty"),
        (b'{"version": 1, "unknown": 1}', CocoError, "does not parse"),
        (b'{"version": 1, "platform": "tdx"}', CocoError, "does not parse"),
        (b'{"version": 1, "sigstruct": {"gateway": "x"}}', CocoError, "does not parse"),
        (b"not JSON", CocoError, "does not parse"),
    ],
)
def test_a_wrong_configuration_is_told(
    make_network: MakeNetwork, data: bytes, kind: type[CocoError], told: str
) -> None:
    directory = make_network()
    (directory / "network.json").write_bytes(data)
    with pytest.raises(kind, match=told):
        host.start_detached(directory)


def test_no_network_is_told(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="does not exist"):
        host.start_detached(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_directory_on_the_command_line(tmp_path: Path, run_process: RunProcess) -> None:
    code, out, err = run_process(tmp_path).wait_ended()
    assert (code, out) == (1, "")
    assert "coco network create" in err
    assert "Traceback" not in err


def test_a_host_that_falls_silent_is_ended(make_network: MakeNetwork) -> None:
    directory = make_network()
    with pytest.raises(CocoError, match="said nothing for"):
        host.start_detached(directory, silence_max=0.01)
    deadline = time.monotonic() + 20
    while running_pid(directory) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# The lock and the status file.


def test_the_lock_is_held_once(tmp_path: Path) -> None:
    with node_lock(tmp_path):
        assert running_pid(tmp_path) == os.getpid()
        with pytest.raises(CocoError, match="already running"), node_lock(tmp_path):
            pass
    assert running_pid(tmp_path) is None
    with node_lock(tmp_path):
        pass


def test_a_status_without_a_lock_does_not_count(tmp_path: Path) -> None:
    status = Status(os.getpid(), "127.0.0.1", 1, "https://127.0.0.1:1", {"host": os.getpid()}, "now", {})
    with node_lock(tmp_path) as left_behind:
        assert left_behind is None
        write_status(tmp_path, status)
        assert read_status(tmp_path) == status
    assert read_status(tmp_path) is None
    write_status(tmp_path, status)
    NodePaths(tmp_path).lock.write_text(str(os.getpid()))
    assert read_status(tmp_path) is None
    with node_lock(tmp_path) as left_behind:
        assert left_behind == status
        assert read_status(tmp_path) is None


@pytest.mark.parametrize("data", [b"", b"{}", b"not JSON", b'{"pid": "x"}'])
def test_a_damaged_status_is_none(tmp_path: Path, data: bytes) -> None:
    with node_lock(tmp_path):
        NodePaths(tmp_path).status.write_bytes(data)
        assert read_status(tmp_path) is None


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    with node_lock(tmp_path):
        child = subprocess.Popen(["sleep", "30"])
    try:
        assert running_pid(tmp_path) is None
    finally:
        child.kill()
        child.wait()
