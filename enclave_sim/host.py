"""The untrusted host of one node, as a process and as what the command line and tests start and stop.

    python -m enclave_sim.host DIR [--foreground]

It owns the disk, the listening socket and the processes, and never holds plaintext or keys. The layout of DIR is in
host_config.py, the exit codes are those of core/errors.py.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec
from cryptography.x509 import load_pem_x509_certificates

from core.errors import CocoError, NodeStopped
from enclave_sim.boundary.messages import ReportedFailure, Running
from enclave_sim.detached import Report, await_report, send_progress, send_report
from enclave_sim.disk import DirectoryDisk
from enclave_sim.host_config import HostConfig, NodePaths, read_authorization, read_config
from enclave_sim.host_log import HostLog
from enclave_sim.listener import bind
from enclave_sim.process import command, environment
from enclave_sim.snapshot_request import on_snapshot_signal, snapshot_signal_ignored
from enclave_sim.start_messages import Peering
from enclave_sim.status import (
    AlreadyRunning,
    Status,
    node_lock,
    read_status,
    running_pid,
    wait_until_stopped,
    write_file,
    write_status,
)
from enclave_sim.supervisor import Supervisor
from enclave_sim.ticket_hosting import TicketHosting

__all__ = ["AlreadyRunning", "HostConfig", "Status", "read_status", "run_host", "start_detached", "stop"]

START_SILENCE_SECONDS_MAX = 60.0
"""A start may take as long as the ledger is, as long as it says how far it is."""

STOP_SECONDS_MAX = 120.0

MAJORITY_LOST = "MajorityLost"
"""The error (core/node/replication/unled.py) after which a node is started again."""

RESTART_PAUSE_SECONDS_MAX = 60.0
"""Before the node is started again: a second the first time, twice as long each time."""


async def run_host(
    directory: Path,
    *,
    foreground: bool = False,
    on_running: Callable[[Status], None] | None = None,
    stop_requested: asyncio.Event | None = None,
    on_line: Callable[[str, str], None] | None = None,
) -> None:
    """Run the node of a directory until a signal (TERM, INT, HUP) or stop_requested; returns after an orderly stop.

    foreground: log to standard error as well. on_running: called once the node serves. on_line: called with source and
    text of each line of the log. Signals are taken over when stop_requested is None. Raises CocoError when the node
    cannot start, and NodeStopped or what an enclave reported when it dies.

    A node that ended since its network lost its majority is started again, under a new identity, to join it or to bring
    its disk: after each time that it says so once, later each time.
    """
    config, genesis = read_config(directory)
    paths = NodePaths(directory)
    with ExitStack() as stack:
        left_behind = stack.enter_context(node_lock(directory))
        log = stack.enter_context(closing(HostLog(paths.log, to_stderr=foreground, on_line=on_line)))
        try:
            stack.enter_context(snapshot_signal_ignored())
            stop = stop_requested if stop_requested is not None else _stop_on_signals(stack)
            port, was_here = config.port, left_behind is not None and left_behind.port == config.port
            for restarts in count():
                life = _Life(directory, config, genesis, stop, log)
                try:
                    await life.run(port, on_running if not restarts else None, was_here=was_here)
                    break
                except ReportedFailure as error:
                    # What its members signed may be there only since it started.
                    config, genesis = read_config(directory)
                    if error.kind != MAJORITY_LOST or not (config.authorization or config.ticket_seconds):
                        raise
                    log.line("host", f"starts the node again: {error.message}")
                    port, was_here = life.port, True
                paths.status.unlink(missing_ok=True)
                if await _stopped_within(stop, min(2.0**restarts, RESTART_PAUSE_SECONDS_MAX)):
                    break
        except CocoError as error:
            log.line("host", f"stopped: {error.message} {error.hint}")
            raise
        log.line("host", "stopped in order")


@dataclass(slots=True)
class _Life:
    """One identity of a node: its processes, from start to end. port: where it listens, once it does."""

    directory: Path
    config: HostConfig
    genesis: bytes
    stop: asyncio.Event
    log: HostLog
    port: int = 0

    async def run(self, port: int, on_running: Callable[[Status], None] | None, *, was_here: bool) -> None:
        """port: 0 picks a free one. was_here: a life before used it."""
        config, paths = self.config, NodePaths(self.directory)
        with ExitStack() as stack:
            listener = stack.enter_context(bind(config.address, port, left_behind=was_here, config_file=paths.network))
            self.port = listener.getsockname()[1]
            peering = _peering(self.directory, config, stack, self.log)
            disk = stack.enter_context(closing(DirectoryDisk(paths.disk)))
            supervisor = Supervisor(config, self.genesis, paths.fuses, disk, self.log, peering)
            await _run(supervisor, self.directory, config, listener, self.stop, on_running, self.log)


async def _stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _peering(directory: Path, config: HostConfig, stack: ExitStack, log: HostLog) -> Peering:
    """Return what the node has for others: a listener, where they reach it, and a member's word for it."""
    authorization = read_authorization(directory, config)
    tickets = stack.enter_context(closing(TicketHosting(directory, config, log, given=authorization)))
    if config.peer_port is None:
        return Peering(authorization=authorization, tickets=tickets)
    file = NodePaths(directory).network
    listener = bind(config.address, config.peer_port, left_behind=False, config_file=file, setting="peer_port")
    stack.enter_context(listener)
    return Peering(listener, config.reached_at(listener.getsockname()[1]), authorization, tickets)


async def _run(
    supervisor: Supervisor,
    directory: Path,
    config: HostConfig,
    listener: socket.socket,
    stop: asyncio.Event,
    on_running: Callable[[Status], None] | None,
    log: HostLog,
) -> None:
    """Start, serve and stop the processes; none is left behind, however this ends."""
    address, port = listener.getsockname()[:2]
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(supervisor.start(listener))
    ending: asyncio.Task[None] | None = None
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        status = _status(await starting, config, address, port, supervisor)
        _write_files(directory, starting.result(), status)
        supervisor.on_change = lambda: _write_pids(directory, status, supervisor.pids, log)
        log.line("host", f"running: {status.url}")
        if on_running is not None:
            on_running(status)
        on_snapshot_signal(supervisor.take_snapshot)
        ending = asyncio.create_task(supervisor.wait_for_end())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            await ending
        else:
            log.line("host", "stopping")
            ending.cancel()
            await supervisor.stop()
    finally:
        for task in (stopping, starting, ending):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task})
        await supervisor.close()


def _status(running: Running, config: HostConfig, address: str, port: int, supervisor: Supervisor) -> Status:
    shown = address if address in config.names else config.names[0]
    return Status(
        pid=os.getpid(),
        address=address,
        port=port,
        url=f"https://[{shown}]:{port}" if ":" in shown else f"https://{shown}:{port}",
        pids={"host": os.getpid(), **supervisor.pids},
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        service=msgspec.json.decode(running.service, type=dict),
        less_isolation=supervisor.less_isolation,
        peer_address=supervisor.peer_address,
    )


def _write_files(directory: Path, running: Running, status: Status) -> None:
    """Write what clients pin, then the status that says the node runs."""
    paths = NodePaths(directory)
    write_file(paths.front_end_ca, certificate_authority(running.certificate_chain))
    certificate = status.service.get("service_certificate")
    if isinstance(certificate, str):
        write_file(paths.service_certificate, certificate.encode())
    quote = status.service.get("quote")
    if isinstance(quote, str):
        write_file(paths.evidence / "quote", base64.b64decode(quote))
    write_status(directory, status)


def _write_pids(directory: Path, status: Status, pids: dict[str, int], log: HostLog) -> None:
    """Write the status again, with the processes there are now. The node goes on when that cannot be written."""
    try:
        write_status(directory, msgspec.structs.replace(status, pids={"host": os.getpid(), **pids}))
    except CocoError as error:
        log.line("host", f"{error.message} {error.hint}")


def certificate_authority(chain: bytes) -> bytes:
    """Return the last certificate of a chain (PEM, leaf first), the front end's CA."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return load_pem_x509_certificates(chain)[-1].public_bytes(Encoding.PEM)


def _stop_on_signals(stack: ExitStack) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
        stack.callback(loop.remove_signal_handler, number)
    return stop


def start_detached(
    directory: Path,
    silence_max: float = START_SILENCE_SECONDS_MAX,
    on_progress: Callable[[str], None] | None = None,
) -> Status:
    """Start the node's host in the background; return once it serves.

    silence_max: seconds without a line of its log. on_progress: called with what its enclaves say meanwhile. Raises
    what kept it from starting (with the exit code it had there), or CocoError when it falls silent.
    """
    directory = directory.resolve()
    read_config(directory)  # A mistake in the files is told from here, without a process.
    paths = NodePaths(directory)
    paths.node.mkdir(mode=0o700, exist_ok=True)
    receive_fd, send_fd = os.pipe()
    with closing(os.fdopen(receive_fd, "rb", buffering=0)) as reports, closing(HostLog(paths.log)) as log:
        try:
            starter = subprocess.Popen(
                command("enclave_sim.host", [str(directory), "--report-fd", str(send_fd)]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log.fileno(),
                env=environment(),
                cwd=directory,
                pass_fds=(send_fd,),
                start_new_session=True,
            )
        finally:
            os.close(send_fd)
        starter.wait()
        return await_report(reports, silence_max, paths.log, on_progress)


def stop(directory: Path, timeout: float = STOP_SECONDS_MAX) -> bool:
    """Stop the node in order and wait until it is gone; returns whether it ran. timeout: seconds; raises NodeStopped.

    Everything that was answered is on disk before and after.
    """
    pid = running_pid(directory)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_until_stopped(directory, timeout):
        raise NodeStopped(
            f"the node in {directory} (process {pid}) did not stop within {timeout:.0f} s",
            hint=f"See {NodePaths(directory).log}. To end it at once: kill -9 {pid}; nothing answered is lost.",
        )
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="enclave_sim.host", description="The untrusted host of one node.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--foreground", action="store_true", help="log to standard error as well")
    parser.add_argument("--report-fd", type=int, default=-1, help="go to the background, and report here")
    arguments = parser.parse_args()
    report_fd: int = arguments.report_fd
    if report_fd >= 0:
        if os.fork():
            os._exit(0)
        os.set_inheritable(report_fd, False)
        send_report(report_fd, Report(pid=os.getpid()))

    starting = report_fd >= 0

    def on_line(source: str, text: str) -> None:
        if starting:
            send_progress(report_fd, f"{source}: {text}")

    def on_running(status: Status) -> None:
        nonlocal starting
        if report_fd >= 0:
            starting = False
            send_report(report_fd, Report(pid=os.getpid(), status=status))
            os.close(report_fd)
        else:
            sys.stderr.write(f"running: {status.url}\n")

    work = run_host(arguments.directory, foreground=arguments.foreground, on_running=on_running, on_line=on_line)
    try:
        asyncio.run(work)
    except CocoError as error:
        if report_fd >= 0:
            send_report(report_fd, Report.of_error(os.getpid(), error))
        else:
            sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
