"""Tells of what an isolated enclave tries in vain, by Python's audit events and as its first finder of modules.

What compiled code tries is not seen.

A line says what was tried and how often so far, never with which arguments: they could hold what only the enclave may
see. A module's name is told, since an import that comes too late is a defect of the code that is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter
from types import ModuleType
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

    def tell(tried: str) -> None:
        if tried not in counts and len(counts) >= KINDS_MAX:
            return
        counts[tried] = count = counts.get(tried, 0) + 1
        if str(count).strip("0") == "1":
            log(f"isolation: {tried} was tried ({count} times so far)")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        tried = _tried(role, event, arguments)
        if tried is not None:
            tell(tried)

    sys.addaudithook(hook)
    # Modules that are built into the interpreter, or frozen in it, can still be imported.
    inner = [place for place, one in enumerate(sys.meta_path) if one in (BuiltinImporter, FrozenImporter)]
    sys.meta_path.insert(max(inner, default=-1) + 1, _LateImports(tell))


class _LateImports:
    """A finder that finds nothing, and tells what it was asked for."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        self._tell(f"import of {name}")


def _tried(role: Role, event: str, arguments: tuple[Any, ...]) -> str | None:
    """Return what an event means here; None when it is in order."""
    if event in _TRIED:
        return event
    if event == "open":
        # A number is a descriptor that is there already.
        return None if isinstance(arguments[0], int) else "open"
    if event == "socket.__new__":
        # A socket that is there already: of a passed descriptor (its family is not given), or accepted.
        return None if role == "gateway" or int(arguments[1]) < 0 else "socket"
    return None
