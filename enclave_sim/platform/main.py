"""The platform's process: measures roles, launches them as enclaves, serves each as its CPU, and tells how each ended.

    python -m enclave_sim.platform.main --host-fd N --fuses PATH --parent PID

The host asks over the inherited socket; descriptors meant for an enclave are inherited by the platform first and closed
here once the enclave has them. What an enclave measures is read once, at start, so that all roles agree. The end of
the host's channel, or of the host, ends the platform; the end of the platform ends the enclaves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, assert_never

from core.errors import ChannelClosed, CocoError
from core.ports import Transport
from enclave_sim.boundary.messages import FAILURE_CHARACTERS_MAX, Role, printable
from enclave_sim.boundary.socket_transport import open_fd_transport, open_socket_transport
from enclave_sim.platform.cpu import EnclaveIdentity, EnclaveKind, SimulatedCpu
from enclave_sim.platform.fuses import load_or_create_fuses, sealed_keys_beside
from enclave_sim.platform.measurement import measure
from enclave_sim.platform.messages import (
    FROM_PLATFORM,
    TO_PLATFORM,
    Exited,
    Kill,
    Launch,
    Launched,
    Measure,
    Measured,
    PlatformFailed,
)
from enclave_sim.platform.service import serve_enclave
from enclave_sim.process import die_with_parent, forbid_inspection, ignore_terminal_signals, spawn

KIND_OF_ROLE: dict[Role, EnclaveKind] = {"manager": "manager", "executor": "worker", "gateway": "worker"}


class Platform:
    """See the module. `run` returns when the host is gone."""

    def __init__(self, host: Transport, cpu: SimulatedCpu, measurements: dict[EnclaveKind, bytes]) -> None:
        self._host = host
        self._cpu = cpu
        self._measurements = measurements
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            while True:
                message = TO_PLATFORM.decode(await self._host.receive())
                match message:
                    case Measure():
                        await self._send(Measured(*self._measured(), self._cpu.platform_id))
                    case Launch():
                        await self._launch(message)
                    case Kill(enclave):
                        self._kill(enclave)
                    case _:
                        assert_never(message)
        except ChannelClosed:
            return
        finally:
            for enclave in self._processes:
                self._kill(enclave)

    def _measured(self) -> tuple[bytes, bytes]:
        return self._measurements["manager"], self._measurements["worker"]

    async def _launch(self, message: Launch) -> None:
        kind = KIND_OF_ROLE[message.role]
        ours, theirs = socket.socketpair()
        given = [message.host_fd, *message.peer_fds, *([message.listen_fd] if message.listen_fd >= 0 else [])]
        arguments = ["--role", message.role, "--host-fd", str(message.host_fd), "--parent", str(os.getpid())]
        arguments += ["--platform-fd", str(theirs.fileno())]
        for fd in message.peer_fds:
            arguments += ["--peer-fd", str(fd)]
        if message.listen_fd >= 0:
            arguments += ["--listen-fd", str(message.listen_fd)]
        process = await spawn(
            "enclave_sim.enclave_main",
            arguments,
            descriptors=[theirs.fileno(), *given],
            error_fd=sys.stderr.fileno(),
        )
        theirs.close()
        # The listening socket goes to every gateway; the host closes its copy, and the last gateway's exit frees it.
        for fd in given:
            os.close(fd)
        self._processes[message.enclave] = process
        identity = EnclaveIdentity(measurement=self._measurements[kind], kind=kind)
        self._start(serve_enclave(self._cpu, identity, await open_socket_transport(ours)))
        await self._send(Launched(message.enclave, process.pid))
        self._start(self._watch(message.enclave, process))

    def _kill(self, enclave: int) -> None:
        process = self._processes.get(enclave)
        if process is not None and process.returncode is None:
            process.kill()

    async def _watch(self, enclave: int, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        await self._send(Exited(enclave, status))

    async def _send(self, message: Measured | Launched | Exited) -> None:
        await self._host.send(FROM_PLATFORM.encode(message))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _run(host_fd: int, fuses: Path) -> int:
    host = await open_fd_transport(host_fd)
    try:
        cpu = SimulatedCpu(load_or_create_fuses(fuses, sealed_keys_beside(fuses)))
        await Platform(host, cpu, {"manager": measure("manager"), "worker": measure("worker")}).run()
    except ChannelClosed:
        return 0
    except CocoError as error:
        message = printable(error.message, FAILURE_CHARACTERS_MAX)
        hint = printable(error.hint, FAILURE_CHARACTERS_MAX)
        await host.send(FROM_PLATFORM.encode(PlatformFailed(type(error).__name__, message, hint, error.exit_code)))
        return error.exit_code
    finally:
        await host.close()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="enclave_sim.platform.main", description="The simulated CPU of one node.")
    parser.add_argument("--host-fd", type=int, required=True)
    parser.add_argument("--fuses", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    ignore_terminal_signals()
    die_with_parent(arguments.parent)
    forbid_inspection()
    return asyncio.run(_run(arguments.host_fd, arguments.fuses))


if __name__ == "__main__":
    sys.exit(main())
