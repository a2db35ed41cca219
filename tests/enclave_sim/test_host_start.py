"""Starting a host in the background: what bounds it, what it tells meanwhile, what a failed start leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

from core.errors import CocoError
from enclave_sim import host
from enclave_sim.boundary.messages import ReportedFailure
from enclave_sim.detached import Report, await_report, send_progress, send_report
from enclave_sim.disk import DirectoryDisk
from enclave_sim.host_config import HostConfig, NodePaths, read_config
from enclave_sim.host_log import HostLog
from enclave_sim.status import Status
from enclave_sim.supervisor import Supervisor
from tests.enclave_sim.conftest import MakeNetwork

STATUS = Status(1, "127.0.0.1", 8443, "https://127.0.0.1:8443", {}, "now", {})


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], int]]:
    receive_fd, send_fd = os.pipe()
    with os.fdopen(receive_fd, "rb", buffering=0) as reports:
        yield reports, send_fd
    os.close(send_fd)


def test_a_start_that_says_how_far_it_is_may_take_long(pipe: tuple[IO[bytes], int]) -> None:
    reports, fd = pipe
    told: list[str] = []

    def replay() -> None:
        for number in range(8):
            time.sleep(0.1)
            send_progress(fd, f"{number} entries")
        send_report(fd, Report(pid=os.getpid(), status=STATUS))

    thread = threading.Thread(target=replay)
    thread.start()
    assert await_report(reports, 0.5, Path("log"), told.append) == STATUS
    thread.join()
    assert told == [f"{number} entries" for number in range(8)]


def test_a_start_that_falls_silent_is_ended(pipe: tuple[IO[bytes], int]) -> None:
    reports, fd = pipe
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        send_report(fd, Report(pid=process.pid))
        send_report(fd, Report(pid=process.pid, progress="1 entry"))
        with pytest.raises(CocoError, match=r"said nothing for 0\.2 s") as caught:
            await_report(reports, 0.2, Path("/somewhere/host.log"))
        assert process.wait(10) == -signal.SIGKILL
    assert "/somewhere/host.log" in caught.value.hint


def test_a_failure_after_progress_is_told(pipe: tuple[IO[bytes], int]) -> None:
    reports, fd = pipe
    send_progress(fd, "x" * 10_000)
    send_report(fd, Report.of_error(1, CocoError("the ledger is damaged", hint="Restore it.")))
    with pytest.raises(ReportedFailure, match="the ledger is damaged"):
        await_report(reports, 5, Path("log"))


def test_a_starter_that_does_not_read_holds_nothing_up(pipe: tuple[IO[bytes], int]) -> None:
    reports, fd = pipe
    for _ in range(2000):
        send_progress(fd, "x" * 200)
    assert len(reports.read(2**20)) < 2000 * 200


def test_progress_to_nobody_is_no_harm() -> None:
    receive_fd, send_fd = os.pipe()
    os.close(receive_fd)
    send_progress(send_fd, "1 entry")
    os.close(send_fd)
    send_progress(send_fd, "2 entries")


def test_what_the_enclaves_say_while_they_start_is_passed_on(make_network: MakeNetwork) -> None:
    directory = make_network()
    told: list[str] = []
    try:
        host.start_detached(directory, on_progress=told.append)
    finally:
        host.stop(directory)
    assert any("ready: view 1" in line for line in told)


def test_a_failed_start_leaves_nothing_but_its_cause_in_the_log(make_network: MakeNetwork) -> None:
    directory = make_network(HostConfig(gateways=2))
    (directory / "genesis.json").write_bytes(b"{}")
    with pytest.raises(CocoError, match="constitution"):
        host.start_detached(directory)
    text = NodePaths(directory).log.read_text()
    assert "stopped: the constitution" in text
    assert "never retrieved" not in text
    assert "Traceback" not in text


def test_a_busy_port_names_the_file_to_change(make_network: MakeNetwork) -> None:
    directory = make_network(HostConfig(address="192.0.2.1"))
    with pytest.raises(CocoError) as caught:
        host.start_detached(directory)
    assert str(directory / "network.json") in caught.value.hint


async def test_a_start_that_is_given_up_leaves_no_exception_behind(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio complains on standard error, which is the log, of what nobody took."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    directory = make_network()
    config, genesis = read_config(directory)
    paths = NodePaths(directory)
    paths.node.mkdir(exist_ok=True)
    with closing(HostLog(paths.log)) as log, closing(DirectoryDisk(paths.disk)) as disk:
        supervisor = Supervisor(config, genesis, paths.fuses, disk, log)

        async def failure() -> CocoError:
            return CocoError("the manager enclave died")

        monkeypatch.setattr(supervisor, "_failure", failure)
        supervisor._first_end.set()
        with pytest.raises(CocoError, match="the manager enclave died"):
            await supervisor._unless_ended(asyncio.gather(loop.create_future(), loop.create_future()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()
    assert complaints == []
