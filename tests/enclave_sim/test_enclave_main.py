"""How an enclave's process ends, and what it tells of it."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import ChannelClosed, InvariantBroken, StorageFailed
from core.node.config import GatewayConfig, ManagerConfig
from enclave_sim import enclave_main
from enclave_sim.boundary.messages import TO_ENCLAVE, TO_HOST, Failed, StartGateway, StartManager, Stop, Stopped
from enclave_sim.boundary.socket_transport import SocketTransport, open_socket_transport
from enclave_sim.isolation.isolate import Isolation
from enclave_sim.process import BROKEN_EXIT_CODE, HOST_GONE_EXIT_CODE


class FakeRole:
    """Runs until told to stop, or raises at once."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error
        self._stop = asyncio.Event()

    async def run(self) -> None:
        if self._error is not None:
            raise self._error
        await self._stop.wait()

    def request_stop(self) -> None:
        self._stop.set()


class Launched:
    """`run_enclave` as a task, and the host's end of its channel."""

    def __init__(self, host: SocketTransport, task: asyncio.Task[int], others: list[socket.socket]) -> None:
        self.host = host
        self.task = task
        self.others = others

    async def hear_failure(self) -> Failed:
        while True:
            message = TO_HOST.decode(await self.host.receive())
            if isinstance(message, Failed):
                return message


@pytest.fixture
async def launch(monkeypatch: pytest.MonkeyPatch) -> Any:
    launched: list[Launched] = []

    async def start(role: str, made: Callable[[], FakeRole]) -> Launched:
        async def make(*_: object, **given: Any) -> FakeRole:
            if role == "gateway":
                given["listener"].close()
            return made()

        monkeypatch.setattr(enclave_main, f"make_{role}", make)
        # It would isolate the process that runs the tests, for good.
        monkeypatch.setattr(enclave_main, "isolate", lambda *_, required: Isolation((), ("a test",)))
        (ours, host_end), (platform, platform_end), (peer, peer_end) = (socket.socketpair() for _ in range(3))
        listener = socket.create_server(("127.0.0.1", 0))
        arguments = argparse.Namespace(
            role=role,
            host_fd=host_end.detach(),
            platform_fd=platform_end.detach(),
            peer_fds=[peer_end.detach()],
            listen_fd=listener.detach(),
            channels_fd=-1,
        )
        task = asyncio.create_task(enclave_main.run_enclave(arguments))
        launched.append(Launched(await open_socket_transport(ours), task, [platform, peer]))
        if role != "gateway":
            socket.close(arguments.listen_fd)
        return launched[-1]

    yield start
    for one in launched:
        await one.host.close()
        one.task.cancel()
        await asyncio.gather(one.task, return_exceptions=True)
        for other in one.others:
            other.close()
    asyncio.get_running_loop().set_exception_handler(None)


START = TO_ENCLAVE.encode(StartManager(ManagerConfig(b"{}", ("localhost",), bytes(32))))


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (StorageFailed("the disk is full", hint="Free space."), "StorageFailed", StorageFailed.exit_code),
        (ChannelClosed("the other end is gone"), "ChannelClosed", 1),
        (InvariantBroken("two leaders"), "InvariantBroken", BROKEN_EXIT_CODE),
        (KeyError("the parties' secret"), "KeyError", BROKEN_EXIT_CODE),
    ],
)
async def test_an_error_is_told_with_its_exit_code_and_without_payload(
    launch: Any, error: BaseException, kind: str, code: int
) -> None:
    enclave: Launched = await launch("manager", lambda: FakeRole(error))
    await enclave.host.send(START)
    failed = await enclave.hear_failure()
    assert (failed.kind, failed.exit_code) == (kind, code)
    assert "secret" not in failed.message + failed.hint
    if kind == "KeyError":
        assert "test_enclave_main.py" in failed.message
    assert await enclave.task == code


async def test_the_end_of_the_host_ends_the_enclave(launch: Any) -> None:
    enclave: Launched = await launch("manager", FakeRole)
    await enclave.host.send(START)
    await enclave.host.close()
    assert await enclave.task == HOST_GONE_EXIT_CODE


async def test_the_end_of_the_host_before_the_start_ends_the_enclave(launch: Any) -> None:
    enclave: Launched = await launch("manager", FakeRole)
    await enclave.host.close()
    assert await enclave.task == HOST_GONE_EXIT_CODE


async def test_a_stopped_gateway_stays_until_the_host_ends_it(launch: Any) -> None:
    enclave: Launched = await launch("gateway", FakeRole)
    await enclave.host.send(TO_ENCLAVE.encode(StartGateway(GatewayConfig(bytes(32)))))
    await enclave.host.send(TO_ENCLAVE.encode(Stop()))
    assert TO_HOST.decode(await enclave.host.receive()) == Stopped()
    assert not enclave.task.done()
    enclave.host.end()
    assert await enclave.task == 0
