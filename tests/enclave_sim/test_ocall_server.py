"""What the host makes of an enclave's news: it is text of a process that the host need not trust."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from enclave_sim.boundary.messages import TO_HOST, Isolated
from enclave_sim.boundary.socket_transport import SocketTransport, open_socket_transport
from enclave_sim.host_log import HostLog
from enclave_sim.ocall_server import ISOLATION_LINES_MAX, OcallServer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[OcallServer, SocketTransport, Path]]:
    """The host's end, served; the enclave's end; and the log."""
    ours, theirs = socket.socketpair()
    file = tmp_path / "host.log"
    with closing(HostLog(file)) as log:
        server = OcallServer("executor", await open_socket_transport(ours), log, None)
        serving = asyncio.create_task(server.serve())
        enclave = await open_socket_transport(theirs)
        yield server, enclave, file
        await enclave.close()
        await serving
        await server.close()


async def test_what_is_missing_is_logged_loudly(served: tuple[OcallServer, SocketTransport, Path]) -> None:
    server, enclave, file = served
    await enclave.send(TO_HOST.encode(Isolated(("no files",), ("no filter",))))
    assert await server.isolated == Isolated(("no files",), ("no filter",))
    log = file.read_text()
    assert "executor: isolated: no files\n" in log
    assert "executor: LESS ISOLATION: no filter\n" in log


async def test_nothing_given_up_is_said_to_be_nothing(served: tuple[OcallServer, SocketTransport, Path]) -> None:
    server, enclave, file = served
    await enclave.send(TO_HOST.encode(Isolated((), ())))
    await server.isolated
    assert "executor: isolated: nothing\n" in file.read_text()


async def test_text_of_an_enclave_is_bounded_and_printable(served: tuple[OcallServer, SocketTransport, Path]) -> None:
    server, enclave, file = served
    await enclave.send(TO_HOST.encode(Isolated(("a\x1b[2Jb",) * 100, ("x\ny" * 5_000,) * 100)))
    isolated = await server.isolated
    assert (len(isolated.holds), len(isolated.missing)) == (ISOLATION_LINES_MAX, ISOLATION_LINES_MAX)
    assert "\x1b" not in "".join(isolated.holds)
    assert "\n" not in "".join(isolated.missing)
    assert len(file.read_text()) < 64 * 1024
    assert len(file.read_text().splitlines()) == 1 + ISOLATION_LINES_MAX


async def test_only_the_first_word_counts(served: tuple[OcallServer, SocketTransport, Path]) -> None:
    server, enclave, _ = served
    await enclave.send(TO_HOST.encode(Isolated((), ("no filter",))))
    await server.isolated
    await enclave.send(TO_HOST.encode(Isolated(("everything",), ())))
    await asyncio.sleep(0.01)
    assert (await server.isolated).missing == ("no filter",)
