"""Binding the node's port."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from core.errors import CocoError
from enclave_sim.listener import bind


def test_port_0_picks_a_free_one() -> None:
    with bind("127.0.0.1", 0, left_behind=False) as listener:
        assert listener.getsockname()[1] > 0


def test_a_busy_port_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CocoError, match=f"port {port} on 127.0.0.1 is in use"):
            bind("127.0.0.1", port, left_behind=False)


def test_the_port_of_a_killed_host_is_waited_for() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    timer = threading.Timer(0.2, taken.close)
    timer.start()
    with bind("127.0.0.1", port, left_behind=True) as listener:
        assert listener.getsockname()[1] == port
    timer.join()


def test_the_file_to_change_is_named() -> None:
    file = Path("/somewhere/networks/demo/network.json")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CocoError) as caught:
        bind("127.0.0.1", taken.getsockname()[1], left_behind=False, config_file=file)
    assert f"another `port` in {file}" in caught.value.hint
    with pytest.raises(CocoError) as caught:
        bind("192.0.2.1", 0, left_behind=False, config_file=file)
    assert f"`address` in {file}" in caught.value.hint


@pytest.mark.parametrize("address", ["192.0.2.1", "no such address", "2001:db8::1"])
def test_an_address_that_is_not_here_is_told(address: str) -> None:
    with pytest.raises(CocoError, match="cannot listen on"):
        bind(address, 0, left_behind=False)
