"""The host's part for a node that waits for a ticket: files in, files out, and bounds on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from core import limits
from core.errors import CocoError
from enclave_sim.boundary.memory_transport import memory_pair
from enclave_sim.boundary.messages import TO_HOST, TicketAnswered, TicketWanted
from enclave_sim.boundary.ticket_desk import HostTickets
from enclave_sim.host_config import HostConfig, NodePaths, read_authorization
from enclave_sim.host_log import HostLog
from enclave_sim.ticket_hosting import TicketHosting, read_answer

CONFIG = HostConfig(authorization="authorization.cose", contacts=("localhost:1",), ticket_seconds=60)


class Bench:
    def __init__(self, directory: Path, config: HostConfig = CONFIG, given: bytes = b"") -> None:
        self.directory = directory
        self.paths = NodePaths(directory)
        self.paths.node.mkdir(exist_ok=True)
        self.log = HostLog(self.paths.log)
        self.brought: asyncio.Queue[bytes] = asyncio.Queue()
        self.hosting = TicketHosting(directory, config, self.log, given=given, look_seconds=0.01)

    async def give(self, data: bytes) -> None:
        await self.brought.put(data)

    def bring(self, data: bytes) -> None:
        (self.directory / "authorization.cose").write_bytes(data)

    async def next(self) -> bytes:
        async with asyncio.timeout(30):
            return await self.brought.get()

    async def logged(self, text: str) -> None:
        async with asyncio.timeout(30):
            while True:
                if text in self.paths.log.read_text():
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def bench(directory: Path, config: HostConfig = CONFIG, given: bytes = b"") -> AsyncIterator[Bench]:
    made = Bench(directory, config, given)
    with closing(made.log), closing(made.hosting):
        yield made
    await asyncio.sleep(0)


async def test_what_is_wanted_is_shown_and_what_is_brought_is_given(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.hosting.wanted(b"the request", made.give)
        assert made.paths.ticket_request.read_bytes() == b"the request"
        made.bring(b"one")
        assert await made.next() == b"one"
        made.hosting.answered(TicketAnswered("another-nodes-ticket", "not yours", "sign anew"))
        answer = read_answer(tmp_path)
        assert answer is not None
        assert (answer.reason, answer.message) == ("another-nodes-ticket", "not yours")
        assert made.paths.ticket_request.is_file()
        made.bring(b"two")
        assert await made.next() == b"two"
        made.hosting.answered(TicketAnswered("", "", ""))
        again = read_answer(tmp_path)
        assert again is not None
        assert again.reason == ""
        assert again.digest != answer.digest
        assert not made.paths.ticket_request.exists()
    assert read_answer(tmp_path) is None


async def test_what_the_node_was_started_with_is_not_given_again(tmp_path: Path) -> None:
    async with bench(tmp_path, given=b"old") as made:
        made.bring(b"old")
        made.hosting.wanted(b"the request", made.give)
        await asyncio.sleep(0.05)
        assert made.brought.empty()
        made.bring(b"new")
        assert await made.next() == b"new"


async def test_a_file_that_is_too_large_is_told_of_and_not_given(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.hosting.wanted(b"the request", made.give)
        made.bring(bytes(limits.GOVERNANCE_MESSAGE_BYTES_MAX + 1))
        await made.logged("is too large")
        assert made.brought.empty()
        made.bring(b"small")
        assert await made.next() == b"small"


async def test_a_manager_that_asks_out_of_turn_gets_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path, HostConfig()) as made:
        made.hosting.wanted(b"the request", made.give)
        assert not made.paths.ticket_request.exists()
        await made.logged("out of turn")
    async with bench(tmp_path) as made:
        made.hosting.wanted(bytes(limits.TICKET_REQUEST_BYTES_MAX + 1), made.give)
        assert not made.paths.ticket_request.exists()
        made.hosting.wanted(b"the request", made.give)
        made.hosting.wanted(b"another", made.give)
        assert made.paths.ticket_request.read_bytes() == b"the request"


async def test_a_dead_hosts_files_are_removed(tmp_path: Path) -> None:
    paths = NodePaths(tmp_path)
    paths.node.mkdir()
    for path in (paths.ticket_request, paths.ticket_answer):
        path.write_bytes(b"old")
    async with bench(tmp_path):
        assert not paths.ticket_request.exists()
        assert not paths.ticket_answer.exists()


async def test_a_manager_takes_tickets_only_while_it_waits() -> None:
    enclave, host = memory_pair()
    tickets = HostTickets(enclave)
    assert "not waited for" in tickets.take(b"early")
    await tickets.want(b"request")
    assert TO_HOST.decode(await host.receive()) == TicketWanted(b"request")
    assert "bytes" in tickets.take(bytes(limits.GOVERNANCE_MESSAGE_BYTES_MAX + 1))
    for number in range(limits.TICKETS_QUEUED_MAX):
        assert tickets.take(b"%d" % number) == ""
    assert "more tickets" in tickets.take(b"one more")
    assert await tickets.receive() == b"0"
    await tickets.answer(None)
    assert TO_HOST.decode(await host.receive()) == TicketAnswered("", "", "")
    assert "not waited for" in tickets.take(b"late")


def test_the_configuration_of_a_node_that_waits(tmp_path: Path) -> None:
    CONFIG.check()
    assert HostConfig.decode(CONFIG.encode()) == CONFIG
    assert read_authorization(tmp_path, CONFIG) == b""
    with pytest.raises(CocoError, match="cannot be read"):
        read_authorization(tmp_path, HostConfig(authorization="authorization.cose"))
    for wrong in (
        HostConfig(ticket_seconds=60),
        HostConfig(ticket_seconds=60, authorization="a"),
        HostConfig(ticket_seconds=-1),
        HostConfig(ticket_seconds=limits.TICKET_SECONDS_MAX + 1, authorization="a", contacts=("localhost:1",)),
    ):
        with pytest.raises(CocoError, match="ticket_seconds"):
            wrong.check()
