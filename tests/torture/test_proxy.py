"""The proxy between nodes: what passes, and what each fault does to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.torture.proxy import FaultProxy, Line


class Echo:
    """Sends back what comes, to everybody."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, accepted: socket.socket) -> None:
        with accepted:
            try:
                while data := accepted.recv(65_536):
                    accepted.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    echo = Echo()
    running = FaultProxy("127.0.0.1", 0, echo.address, seed=1)
    running.start()
    yield running
    running.stop()
    echo.close()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((proxy.address, proxy.port), timeout=10)


def received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := connection.recv(65_536)):
        data += piece
    return data


def test_everything_passes_both_ways(proxy: FaultProxy) -> None:
    sent = bytes(range(256)) * 2_000
    with connect(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=(sent,))
        sender.start()
        assert received(connection, len(sent)) == sent
        sender.join(10)
    assert proxy.connections == 1


def test_a_slow_and_lossy_line_loses_nothing(proxy: FaultProxy) -> None:
    proxy.set_line(Line(delay_seconds=0.01, loss=0.3))
    with connect(proxy) as connection:
        connection.sendall(b"slow")
        assert received(connection, 4) == b"slow"


@pytest.mark.parametrize("source", ["", "127.0.0.1"])
def test_a_line_that_is_down_is_silent_until_it_is_up(proxy: FaultProxy, source: str) -> None:
    with connect(proxy) as connection:
        connection.sendall(b"before")
        assert received(connection, 6) == b"before"
        proxy.set_line(Line(is_down=True), source)
        connection.sendall(b"during")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.heal()
        connection.settimeout(10)
        assert received(connection, 6) == b"during"


def test_others_are_not_touched_by_a_fault_of_one(proxy: FaultProxy) -> None:
    proxy.set_line(Line(is_down=True), "192.0.2.1")
    with connect(proxy) as connection:
        connection.sendall(b"fine")
        assert received(connection, 4) == b"fine"


def test_a_line_that_breaks_ends_the_connection(proxy: FaultProxy) -> None:
    proxy.set_line(Line(breaking=1.0))
    with connect(proxy) as connection:
        connection.sendall(b"broken")
        with suppress(ConnectionResetError):
            assert connection.recv(6) == b""


def test_a_node_that_is_gone_refuses(proxy: FaultProxy) -> None:
    proxy.target = ("127.0.0.1", 1)
    with connect(proxy) as connection, suppress(ConnectionResetError):
        assert connection.recv(1) == b""
