"""The listening socket, which the host binds and hands to the gateways."""

from __future__ import annotations

import errno
import socket
import time
from pathlib import Path

from core import limits
from core.errors import CocoError

LEFTOVER_SECONDS_MAX = 3.0
"""How long to wait for the port of a host that was killed: its gateways need a moment to notice."""

_RETRY_SECONDS = 0.05


def bind(
    address: str,
    port: int,
    *,
    left_behind: bool,
    config_file: Path = Path("network.json"),
    setting: str = "port",
) -> socket.socket:
    """Return a listening socket; port 0 picks a free one. Raises CocoError that says what to do.

    left_behind: whether a killed host of this directory used the same port. config_file: where both are configured,
    the port as `setting`.
    """
    deadline = time.monotonic() + (LEFTOVER_SECONDS_MAX if left_behind else 0)
    while True:
        try:
            return _bind(address, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise _explained(address, port, error, config_file, setting) from None
        time.sleep(_RETRY_SECONDS)


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=limits.CONNECTIONS_MAX)


def _explained(address: str, port: int, error: OSError, config_file: Path, setting: str) -> CocoError:
    match error.errno:
        case errno.EADDRINUSE:
            return CocoError(
                f"port {port} on {address} is in use",
                hint=f"Stop the program that uses it, or write another `{setting}` in {config_file} "
                "(0 picks a free one).",
            )
        case errno.EACCES:
            return CocoError(
                f"port {port} on {address} is not allowed", hint=f"Write a `{setting}` above 1023 in {config_file}."
            )
        case _:
            return CocoError(
                f"cannot listen on {address} port {port}: {error.strerror or error}",
                hint=f"Write an address of this machine as `address` in {config_file}, such as 127.0.0.1.",
            )
