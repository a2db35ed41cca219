"""An enclave's dispatcher against a hostile host: it refuses, says so, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.errors import ChannelClosed, StorageFailed
from core.node.config import ExecutorConfig, GatewayConfig, ManagerConfig
from core.ports import FileInfo, Transport
from enclave_sim.boundary import host_link
from enclave_sim.boundary.host_link import HostLink
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair
from enclave_sim.boundary.messages import (
    TO_ENCLAVE,
    TO_HOST,
    DiskAppend,
    DiskData,
    DiskDone,
    DiskFailed,
    DiskFiles,
    DiskList,
    DiskPatch,
    DiskRead,
    DiskRemove,
    DiskRename,
    DiskReplace,
    DiskResult,
    DiskTruncate,
    Failed,
    Isolated,
    LogLine,
    Refused,
    Running,
    Start,
    StartExecutor,
    StartGateway,
    StartManager,
    Stop,
    Stopped,
    TakeSnapshot,
)

MANAGER = ManagerConfig(b"{}", ("localhost",), bytes(32))


class Enclave:
    """A manager's link, served, and the host's end of its channel."""

    def __init__(self) -> None:
        self.host, end = memory_pair()
        self.link = HostLink(end, "manager")
        self.serving = asyncio.create_task(self.link.serve())

    async def say(self, message: Start | Stop | DiskResult) -> None:
        await self.host.send(TO_ENCLAVE.encode(message))

    async def hear(self) -> object:
        return TO_HOST.decode(await self.host.receive())


@pytest.fixture
async def enclave() -> AsyncIterator[Enclave]:
    enclave = Enclave()
    yield enclave
    await enclave.host.close()
    with pytest.raises(ChannelClosed):
        await enclave.serving


async def test_the_configuration_arrives(enclave: Enclave) -> None:
    await enclave.say(StartManager(MANAGER))
    assert await enclave.link.started == MANAGER
    assert enclave.link.isolation_required is False


async def test_isolation_may_be_required(enclave: Enclave) -> None:
    await enclave.say(StartManager(MANAGER, isolation_required=True))
    await enclave.link.started
    assert enclave.link.isolation_required is True


async def test_what_has_been_given_up_is_told_before_what_is_logged_later(enclave: Enclave) -> None:
    enclave.link.report_isolated(("files",), ("sockets: not here",))
    enclave.link.log("later")
    assert await enclave.hear() == Isolated(("files",), ("sockets: not here",))
    assert await enclave.hear() == LogLine("later")


BAD = [
    b"",
    b"\x00",
    b"\x02\x91\x04",
    b"\x01",
    b"\x01\x91\x63",
    b"\x01\x91\xa1x",
    b"\x01\xc0",
    b"\x01" + b"\x91" * 5000,
    TO_ENCLAVE.encode(Stop()) + b"\0",
    TO_ENCLAVE.encode(Stop())[:-1],
    b"\x01\x92\x04\x00",
    b"\x01\x93\x0c\x01\xa1x",
    TO_HOST.encode(LogLine("an ocall sent to the enclave")),
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
async def test_malformed_and_unknown_messages_are_refused_and_the_enclave_goes_on(
    enclave: Enclave, data: bytes
) -> None:
    await enclave.host.send(data)
    answer = await enclave.hear()
    assert isinstance(answer, Refused)
    assert answer.count == 1
    await enclave.say(StartManager(MANAGER))
    assert await enclave.link.started == MANAGER
    assert enclave.link.refused == 1


async def test_oversized_messages_are_refused_and_the_enclave_goes_on(
    enclave: Enclave, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = TO_ENCLAVE.encode(DiskData(1, bytes(2000)))
    await enclave.host.send(data)
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 1000)
    answer = await enclave.hear()
    assert isinstance(answer, Refused)
    assert "bound is 1000" in answer.reason
    await enclave.say(StartManager(MANAGER))
    await enclave.link.started


@pytest.mark.parametrize(
    "message",
    [
        StartExecutor(ExecutorConfig(bytes(32))),
        StartGateway(GatewayConfig(bytes(32))),
        DiskDone(1),
        DiskData(7, b"made up"),
        DiskFailed(-1, "made up", ""),
    ],
)
async def test_messages_out_of_place_are_refused(enclave: Enclave, message: Start | DiskResult) -> None:
    await enclave.say(message)
    assert isinstance(await enclave.hear(), Refused)
    assert not enclave.link.started.done()


async def test_a_second_start_is_refused(enclave: Enclave) -> None:
    await enclave.say(StartManager(MANAGER))
    await enclave.say(StartManager(ManagerConfig(b"{}", ("other",), bytes(32))))
    assert isinstance(await enclave.hear(), Refused)
    assert await enclave.link.started == MANAGER


async def test_stop_is_passed_on(enclave: Enclave) -> None:
    await enclave.say(Stop())
    await enclave.link.stop_requested.wait()


async def test_a_request_for_a_snapshot_reaches_the_manager(enclave: Enclave) -> None:
    await enclave.say(TakeSnapshot())
    await enclave.link.snapshot_requested.wait()
    assert not enclave.link.stop_requested.is_set()


async def test_a_snapshot_is_asked_of_the_manager_only() -> None:
    host, end = memory_pair()
    serving = asyncio.create_task(HostLink(end, "executor").serve())
    await host.send(TO_ENCLAVE.encode(TakeSnapshot()))
    assert isinstance(TO_HOST.decode(await host.receive()), Refused)
    await host.close()
    with pytest.raises(ChannelClosed):
        await serving


async def test_log_lines_reach_the_host_on_one_line(enclave: Enclave) -> None:
    enclave.link.log("forged\nline \x1b[2J" + "x" * 5000)
    line = await enclave.hear()
    assert isinstance(line, LogLine)
    assert line.text.startswith("forged line  [2J")
    assert len(line.text) < 2100


async def test_log_lines_are_bounded_and_the_lost_are_counted(
    enclave: Enclave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_link, "LOG_LINES_QUEUED_MAX", 2)
    for number in range(5):
        enclave.link.log(str(number))
    assert [await enclave.hear() for _ in range(3)] == [LogLine("0"), LogLine("1"), LogLine("3 log lines were dropped")]


async def test_news_reach_the_host_in_order(enclave: Enclave) -> None:
    enclave.link.log("before")
    await enclave.link.report_failed("StorageFailed", "full", "free space", 5)
    await enclave.link.report_running(b"{}", b"chain")
    await enclave.link.report_stopped()
    expected = [
        LogLine("before"),
        Failed("StorageFailed", "full", "free space", 5),
        Running("manager", b"{}", b"chain"),
        Stopped(),
    ]
    assert [await enclave.hear() for _ in expected] == expected


async def test_a_failure_told_to_nobody_is_no_error() -> None:
    host, end = memory_pair()
    await host.close()
    await HostLink(end, "executor").report_failed("StorageFailed", "full", "", 5)


# The disk by ocalls.


async def test_every_disk_call_and_its_result(enclave: Enclave) -> None:
    disk = enclave.link.disk
    calls = [
        (disk.list_files("ledger"), DiskList(1, "ledger"), DiskFiles(1, (("ledger/a", 3),)), [FileInfo("ledger/a", 3)]),
        (disk.read("a", 1, 2), DiskRead(2, "a", 1, 2), DiskData(2, b"xy"), b"xy"),
        (disk.append("a", 3, b"z"), DiskAppend(3, "a", 3, b"z"), DiskDone(3), None),
        (disk.replace("a", b"new"), DiskReplace(4, "a", b"new"), DiskDone(4), None),
        (disk.patch("a", 0, b"p"), DiskPatch(5, "a", 0, b"p"), DiskDone(5), None),
        (disk.truncate("a", 1), DiskTruncate(6, "a", 1), DiskDone(6), None),
        (disk.rename("a", "b"), DiskRename(7, "a", "b"), DiskDone(7), None),
        (disk.remove("b"), DiskRemove(8, "b"), DiskDone(8), None),
    ]
    for work, call, result, value in calls:
        task = asyncio.ensure_future(work)
        assert await enclave.hear() == call
        await enclave.say(result)
        assert await task == value


async def test_calls_are_sent_in_order_and_may_overlap(enclave: Enclave) -> None:
    tasks = [asyncio.create_task(enclave.link.disk.append("a", number, b"x")) for number in range(3)]
    heard = [await enclave.hear() for _ in tasks]
    assert [call.offset for call in heard if isinstance(call, DiskAppend)] == [0, 1, 2]
    for number in (1, 2, 3):
        await enclave.say(DiskDone(number))
    await asyncio.gather(*tasks)


async def test_the_hosts_failure_is_raised(enclave: Enclave) -> None:
    task = asyncio.create_task(enclave.link.disk.append("a", 0, b"x"))
    await enclave.hear()
    await enclave.say(DiskFailed(1, "No space left on device", "Free\nspace."))
    with pytest.raises(StorageFailed, match="No space left") as caught:
        await task
    assert caught.value.hint == "Free space."


async def test_a_result_of_another_kind_is_refused_and_the_call_still_waits(enclave: Enclave) -> None:
    task = asyncio.create_task(enclave.link.disk.read("a", 0, 10))
    await enclave.hear()
    await enclave.say(DiskDone(1))
    assert isinstance(await enclave.hear(), Refused)
    await enclave.say(DiskData(1, b"data"))
    assert await task == b"data"


async def test_a_second_result_is_refused(enclave: Enclave) -> None:
    task = asyncio.create_task(enclave.link.disk.read("a", 0, 10))
    await enclave.hear()
    await enclave.say(DiskData(1, b"first"))
    await enclave.say(DiskData(1, b"second"))
    assert await task == b"first"
    assert isinstance(await enclave.hear(), Refused)


@pytest.mark.parametrize("result", [DiskData(1, b"too much"), DiskFiles(1, (("a", -1),))])
async def test_results_that_lie_are_storage_failures(enclave: Enclave, result: DiskResult) -> None:
    work = enclave.link.disk.read("a", 0, 3) if isinstance(result, DiskData) else enclave.link.disk.list_files("")
    task = asyncio.ensure_future(work)
    await enclave.hear()
    await enclave.say(result)
    with pytest.raises(StorageFailed):
        await task


async def test_the_end_of_the_host_ends_every_call() -> None:
    enclave = Enclave()
    task = asyncio.create_task(enclave.link.disk.append("a", 0, b"x"))
    await enclave.hear()
    await enclave.host.close()
    with pytest.raises(ChannelClosed):
        await task
    with pytest.raises(ChannelClosed):
        await enclave.serving


async def test_a_call_to_a_dead_host_fails_at_once() -> None:
    host: Transport
    host, end = memory_pair()
    assert isinstance(end, MemoryTransport)
    link = HostLink(end, "manager")
    await host.close()
    with pytest.raises(ChannelClosed):
        await link.disk.append("a", 0, b"x")
