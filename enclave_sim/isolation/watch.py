"""Tells of what an isolated enclave tries in vain, by Python's audit events; what compiled code tries is not seen.

A line says what was tried and how often so far, never with which arguments: they could hold what only the enclave may
see. A module's name is told, since an import that comes too late is a defect of the code that is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from enclave_sim.boundary.messages import Role

KINDS_MAX = 64
"""Different things that are told of."""

_TRIED = frozenset({
    "os.exec", "os.fork", "os.forkpty", "os.listdir", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename",
    "os.scandir", "os.system", "socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen",
})  # fmt: skip


def watch(role: Role, log: Callable[[str], None]) -> None:
    """Begin. log: may be called from any thread; is told of a thing's 1st, 10th, 100th, ... time."""
    counts: dict[str, int] = {}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        tried = _tried(role, event, arguments)
        if tried is None or (tried not in counts and len(counts) >= KINDS_MAX):
            return
        counts[tried] = count = counts.get(tried, 0) + 1
        if str(count).strip("0") == "1":
            log(f"isolation: {tried} was tried ({count} times so far)")

    sys.addaudithook(hook)


def _tried(role: Role, event: str, arguments: tuple[Any, ...]) -> str | None:
    """Return what an event means here; None when it is in order."""
    if event in _TRIED:
        return event
    if event == "open":
        # A number is a descriptor that is there already.
        return None if isinstance(arguments[0], int) else "open"
    if event == "import":
        return f"import of {arguments[0]}"
    if event == "socket.__new__":
        # A socket that is there already: of a passed descriptor (its family is not given), or accepted.
        return None if role == "gateway" or int(arguments[1]) < 0 else "socket"
    return None
