"""The platform's process refuses what it does not understand or cannot do, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from enclave_sim.boundary.descriptors import DescriptorReceiver, DescriptorSender
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair
from enclave_sim.loader.channel import REFUSED_EXIT_CODE
from enclave_sim.platform import main
from enclave_sim.platform.code_list import CodeList
from enclave_sim.platform.code_service import CodeService, CodeStore
from enclave_sim.platform.cpu import EnclaveIdentity, EnclaveKind, SimulatedCpu
from enclave_sim.platform.main import Platform
from enclave_sim.platform.measurement import measure_node
from enclave_sim.platform.messages import (
    FROM_PLATFORM,
    TO_PLATFORM,
    CodeRefused,
    Exited,
    Kill,
    Launch,
    Launched,
    Measure,
    Measured,
    PlatformRefused,
)

FUSES = bytes(range(32))


class Bench:
    def __init__(self, code: CodeList | None = None) -> None:
        self.host, theirs = memory_pair()
        passing, passed = socket.socketpair()
        self.passing = DescriptorSender(passing)
        self.receiver = DescriptorReceiver(passed)
        manager, worker = EnclaveIdentity(bytes(32), "manager"), EnclaveIdentity(bytes([1]) * 32, "worker")
        identities: dict[EnclaveKind, EnclaveIdentity] = {"manager": manager, "worker": worker}
        services: dict[EnclaveKind, CodeService] = {} if code is None else {"manager": CodeService(code, CodeStore())}
        self.platform = Platform(theirs, SimulatedCpu(FUSES, FUSES), identities, self.receiver, code=services)
        self.task = asyncio.create_task(self.platform.run())

    async def answer(self) -> object:
        return FROM_PLATFORM.decode(await asyncio.wait_for(self.host.receive(), 5))

    async def refused(self, message: bytes) -> str:
        """Send it, and return why it was refused; then the platform must still answer."""
        await self.host.send(message)
        answer = await self.answer()
        assert isinstance(answer, PlatformRefused)
        assert answer.count == self.platform.refused
        await self.host.send(TO_PLATFORM.encode(Measure()))
        assert isinstance(await self.answer(), Measured)
        return answer.reason


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.host.close()
    await made.task
    made.passing.close()
    made.receiver.close()


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x02junk", b"\x01\x91\x7f", TO_PLATFORM.encode(Measure())[:-1], b"\x01" + b"\xff" * 1000]
)
async def test_what_does_not_parse_is_refused(bench: Bench, data: bytes) -> None:
    assert await bench.refused(data)
    assert bench.platform.refused == 1


async def test_refusals_are_counted(bench: Bench) -> None:
    for count in range(1, 4):
        await bench.refused(b"junk")
        assert bench.platform.refused == count


async def test_descriptors_that_an_enclave_cannot_have_are_refused(bench: Bench) -> None:
    given, other = socket.socketpair()
    file = os.open(os.devnull, os.O_RDONLY)
    try:
        for launch in (
            Launch(0, "manager", 2, (), -1),
            Launch(0, "manager", file, (), -1),
            Launch(0, "manager", 900_000, (), -1),
            Launch(0, "manager", given.fileno(), (given.fileno(),), -1),
            Launch(0, "gateway", given.fileno(), (), file),
            Launch(0, "gateway", given.fileno(), (), -1, file),
        ):
            assert "no sockets of its own" in await bench.refused(TO_PLATFORM.encode(launch))
        assert given.fileno() >= 0
        given.send(b"still open")
        assert other.recv(16) == b"still open"
    finally:
        os.close(file)
        given.close()
        other.close()


async def test_passed_descriptors_must_be_there_and_be_the_enclaves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "PASSED_SECONDS_MAX", 0.01)
    request = TO_PLATFORM.encode(Launch(7, "reader", -1, (), -1))
    assert "no descriptors were passed for enclave 7" in await bench.refused(request)
    for peer, number, count in (("enclave", 8, 2), ("reader", 7, 2), ("enclave", 7, 1)):
        ends = [socket.socketpair() for _ in range(count)]
        bench.passing.send(peer, number, [end[0] for end in ends])  # type: ignore[arg-type]
        assert "not those of enclave 7" in await bench.refused(request)
        for _, end in ends:
            assert end.recv(1) == b""  # The other end was closed.
            end.close()


async def test_an_unknown_enclave_cannot_be_killed_and_that_is_no_harm(bench: Bench) -> None:
    await bench.host.send(TO_PLATFORM.encode(Kill(99)))
    await bench.refused(b"junk")


async def test_the_end_of_the_host_ends_it() -> None:
    bench = Bench()
    host: MemoryTransport = bench.host
    await host.close()
    with contextlib.closing(bench.receiver), contextlib.closing(bench.passing):
        await asyncio.wait_for(bench.task, 5)


@pytest.mark.parametrize(
    ("changed", "launched"), [("enclave_sim/enclave_main.py", True), ("enclave_sim/loader/boot.py", False)]
)
async def test_an_enclave_whose_code_was_changed_is_not_run(changed: str, launched: bool) -> None:
    """The file is told, and the process ends: by itself, or is not started where it would run the file first."""
    code = measure_node()[0].code
    wrong = replace(code.files[changed], digest=bytes(32))
    bench = Bench(replace(code, files={**code.files, changed: wrong}))
    given, other = socket.socketpair()
    await bench.host.send(TO_PLATFORM.encode(Launch(3, "manager", given.detach(), (), -1)))
    answers = [FROM_PLATFORM.decode(await asyncio.wait_for(bench.host.receive(), 60)) for _ in range(2 + launched)]
    assert launched == any(isinstance(one, Launched) for one in answers)
    assert Exited(3, REFUSED_EXIT_CODE) in answers
    [refused] = [one for one in answers if isinstance(one, CodeRefused)]
    assert refused.enclave == 3
    assert changed in refused.reason
    other.close()
    await bench.host.close()
    await bench.task
    bench.passing.close()
    bench.receiver.close()
