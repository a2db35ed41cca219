"""The platform's process: measures enclaves, launches them, serves each as its CPU, and tells how each ended.

    python -m enclave_sim.platform.main --host-fd N --channels-fd N --fuses PATH --parent PID
                                        [--tee sgx|vsm] [--sigstruct KIND=PATH ...]

The host asks over the inherited socket; descriptors meant for an enclave are inherited by the platform first and closed
here once the enclave has them; those of an enclave that is started later are passed. A message that does not parse, or
asks for what cannot be, is refused and counted. What an enclave measures is read once, at start, so that all roles
agree, and written to DIR/node0/evidence with what verifiers need. The end of the host's channel, or of the host, ends
the platform; the end of the platform ends the enclaves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import stat
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never

from core.errors import ChannelClosed, CocoError, LimitExceeded, MalformedMessage
from core.ports import Transport
from enclave_sim.boundary.descriptors import DescriptorReceiver
from enclave_sim.boundary.messages import FAILURE_CHARACTERS_MAX, Role, printable
from enclave_sim.boundary.socket_transport import open_fd_transport, open_socket_transport
from enclave_sim.loader.channel import REFUSED_EXIT_CODE
from enclave_sim.platform.code_list import CodeChanged
from enclave_sim.platform.code_service import CodeService, CodeStore
from enclave_sim.platform.cpu import PRODUCT, EnclaveIdentity, EnclaveKind
from enclave_sim.platform.evidence import Evidence, NodeCode
from enclave_sim.platform.fuses import evidence_beside
from enclave_sim.platform.launching import launch_identities
from enclave_sim.platform.machine import Machine
from enclave_sim.platform.machines import make_machine
from enclave_sim.platform.measurement import measure_node
from enclave_sim.platform.messages import (
    FROM_PLATFORM,
    TO_PLATFORM,
    CodeRefused,
    Exited,
    FromPlatform,
    Kill,
    Launch,
    Launched,
    Measure,
    Measured,
    PlatformFailed,
    PlatformNotice,
    PlatformRefused,
)
from enclave_sim.platform.service import serve_enclave
from enclave_sim.platform.starting import start_enclave
from enclave_sim.process import die_with_parent, forbid_inspection, ignore_terminal_signals

KIND_OF_ROLE: dict[Role, EnclaveKind] = {
    "manager": "manager",
    "executor": "worker",
    "gateway": "worker",
    "reader": "worker",
}
PASSED_SECONDS_MAX = 5.0
"""For descriptors that the host passes before it asks for the enclave that they are for."""


class Platform:
    """See the module. `run` returns when the host is gone. refused: messages of the host that were refused."""

    def __init__(
        self,
        host: Transport,
        cpu: Machine,
        identities: Mapping[EnclaveKind, EnclaveIdentity],
        channels: DescriptorReceiver | None = None,
        public: Callable[[], bytes] = lambda: b"{}",
        signed_by: str = "",
        code: Mapping[EnclaveKind, CodeService] | None = None,
    ) -> None:
        self._host = host
        self._cpu = cpu
        self._identities = identities
        self._signed_by = signed_by
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._channels = channels
        self._public = public
        self._code = code or {}
        self.refused = 0

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._take(TO_PLATFORM.decode(await self._host.receive()))
                except (MalformedMessage, LimitExceeded) as error:
                    self.refused += 1
                    reason = printable(error.message, FAILURE_CHARACTERS_MAX)
                    await self._send(PlatformRefused(reason, self.refused))
        except ChannelClosed:
            return
        finally:
            for enclave in self._processes:
                self._kill(enclave)

    async def _take(self, message: Measure | Launch | Kill) -> None:
        match message:
            case Measure():
                await self._send(self._measured())
            case Launch():
                await (self._launch(message) if message.host_fd >= 0 else self._launch_passed(message))
            case Kill(enclave):
                self._kill(enclave)
            case _:
                assert_never(message)

    async def _launch_passed(self, message: Launch) -> None:
        """Launch with the descriptors that were passed for this enclave. Raises MalformedMessage."""
        if self._channels is None:
            raise MalformedMessage("no descriptors can be passed here")
        try:
            async with asyncio.timeout(PASSED_SECONDS_MAX):
                passed = await self._channels.receive()
        except TimeoutError:
            raise MalformedMessage(f"no descriptors were passed for enclave {message.enclave}") from None
        if (passed.peer, passed.number, len(passed.sockets)) != ("enclave", message.enclave, 2):
            passed.close()
            raise MalformedMessage(f"the descriptors that were passed are not those of enclave {message.enclave}")
        host_fd, channels_fd = (each.detach() for each in passed.sockets)
        try:
            await self._launch(Launch(message.enclave, message.role, host_fd, (), -1, channels_fd))
        except MalformedMessage:
            os.close(host_fd)
            os.close(channels_fd)
            raise

    async def tell(self, text: str) -> None:
        """Say something for the host's log."""
        await self._send(PlatformNotice(text))

    def _measured(self) -> Measured:
        manager, worker = (self._identities[kind].measurement for kind in ("manager", "worker"))
        return Measured(manager, worker, self._cpu.platform_id, self._cpu.tee, self._signed_by)

    async def _launch(self, message: Launch) -> None:
        kind = KIND_OF_ROLE[message.role]
        given = _given(message)
        self._check(message, given)
        ours, theirs = socket.socketpair()
        arguments = ["--role", message.role, "--host-fd", str(message.host_fd), "--parent", str(os.getpid())]
        arguments += ["--platform-fd", str(theirs.fileno())]
        for fd in message.peer_fds:
            arguments += ["--peer-fd", str(fd)]
        if message.listen_fd >= 0:
            arguments += ["--listen-fd", str(message.listen_fd)]
        if message.channels_fd >= 0:
            arguments += ["--channels-fd", str(message.channels_fd)]
        try:
            process, handing_code = await start_enclave(
                self._code[kind],
                "enclave_sim.enclave_main",
                arguments,
                descriptors=[theirs.fileno(), *given],
                error_fd=sys.stderr.fileno(),
                on_refused=lambda reason: self._start(self._send_refused(message.enclave, reason)),
            )
        except CodeChanged as error:
            ours.close()
            await self._send_refused(message.enclave, error.message)
            await self._send(Exited(message.enclave, REFUSED_EXIT_CODE))
            return
        finally:
            theirs.close()
        self._keep(handing_code)
        # The listening socket goes to every gateway; the host closes its copy, and the last gateway's exit frees it.
        for fd in given:
            os.close(fd)
        self._processes[message.enclave] = process
        identity = self._identities[kind]
        self._start(serve_enclave(self._cpu, identity, await open_socket_transport(ours), self._public))
        await self._send(Launched(message.enclave, process.pid))
        self._start(self._watch(message.enclave, process))

    async def _send_refused(self, enclave: int, reason: str) -> None:
        await self._send(CodeRefused(enclave, printable(reason, FAILURE_CHARACTERS_MAX)))

    def _check(self, message: Launch, given: Sequence[int]) -> None:
        """Raise MalformedMessage for a request that cannot be met."""
        running = self._processes.get(message.enclave)
        if running is not None and running.returncode is None:
            raise MalformedMessage(f"enclave {message.enclave} runs already")
        if len(set(given)) != len(given) or not all(_is_given_socket(fd) for fd in given):
            raise MalformedMessage(f"enclave {message.enclave} is to have descriptors that are no sockets of its own")

    def _kill(self, enclave: int) -> None:
        process = self._processes.get(enclave)
        if process is not None and process.returncode is None:
            process.kill()

    async def _watch(self, enclave: int, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        await self._send(Exited(enclave, status))

    async def _send(self, message: FromPlatform) -> None:
        await self._host.send(FROM_PLATFORM.encode(message))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._keep(asyncio.create_task(work))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _given(message: Launch) -> list[int]:
    """The descriptors that an enclave is given."""
    return [message.host_fd, *message.peer_fds, *(fd for fd in (message.listen_fd, message.channels_fd) if fd >= 0)]


def _is_given_socket(fd: int) -> bool:
    try:
        return fd > sys.stderr.fileno() and stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


async def _run(arguments: argparse.Namespace) -> int:
    host = await open_fd_transport(arguments.host_fd)
    channels = DescriptorReceiver(socket.socket(fileno=arguments.channels_fd))
    fuses: Path = arguments.fuses
    try:
        machine = make_machine(arguments.tee, fuses)
        manager, worker = measure_node()
        measurements: dict[EnclaveKind, bytes] = {"manager": manager.mrenclave, "worker": worker.mrenclave}
        given = dict(arguments.sigstruct)
        identities, signers = launch_identities(measurements, given, fuses, datetime.now(UTC).date())
        evidence = Evidence(machine, evidence_beside(fuses), NodeCode(manager, worker, signers))
        evidence.write()
        store = CodeStore()
        code: dict[EnclaveKind, CodeService] = {
            "manager": CodeService(manager.code, store),
            "worker": CodeService(worker.code, store),
        }
        signed_by = str(signers["manager"])
        platform = Platform(host, machine, identities, channels, evidence.published, signed_by, code)
        renewing = asyncio.create_task(evidence.run(platform.tell, asyncio.sleep))
        try:
            await platform.run()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
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


def _sigstruct(text: str) -> tuple[str, Path]:
    """Parse KIND=PATH."""
    kind, _, path = text.partition("=")
    if kind not in PRODUCT:
        raise argparse.ArgumentTypeError(f"not KIND=PATH: {text!r}")
    return kind, Path(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="enclave_sim.platform.main", description="The simulated CPU of one node.")
    parser.add_argument("--host-fd", type=int, required=True)
    parser.add_argument("--channels-fd", type=int, required=True)
    parser.add_argument("--fuses", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--tee", choices=("sgx", "vsm"), default="sgx")
    parser.add_argument("--sigstruct", type=_sigstruct, default=[], action="append")
    arguments = parser.parse_args()
    ignore_terminal_signals()
    die_with_parent(arguments.parent)
    forbid_inspection()
    return asyncio.run(_run(arguments))


if __name__ == "__main__":
    sys.exit(main())
