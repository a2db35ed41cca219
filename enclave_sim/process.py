"""How the host, the platform and the enclaves are started as processes: isolated, with chosen descriptors only."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from core.errors import NodeStopped
from enclave_sim import launch

BROKEN_EXIT_CODE = 70
"""An enclave's broken invariant or another unexpected exception (EX_SOFTWARE of sysexits.h)."""

HOST_GONE_EXIT_CODE = 71
"""An enclave whose host ended its channel."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs `main()` of one of our modules in isolation."""
    return [sys.executable, "-I", str(Path(launch.__file__).resolve()), module, *arguments]


def environment() -> dict[str, str]:
    """Return the little of the environment that children are given."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8"}


async def spawn(
    module: str, arguments: Sequence[str], *, descriptors: Collection[int], error_fd: int, new_session: bool = False
) -> asyncio.subprocess.Process:
    """Start one of our modules with these descriptors and no others; standard error goes to error_fd.

    Raises NodeStopped when the system starts no process.
    """
    try:
        return await asyncio.create_subprocess_exec(
            *command(module, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=error_fd,
            env=environment(),
            pass_fds=tuple(descriptors),
            close_fds=True,
            start_new_session=new_session,
        )
    except OSError as error:
        raise NodeStopped(
            f"a process of the node cannot be started: {error.strerror}",
            hint="Check the system's limits on processes, memory and open files (ulimit -a).",
        ) from None


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux), even where it would not notice by itself.

    parent: the parent's process id, as the parent knows it; when it is gone already, exit at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def forbid_inspection() -> None:
    """Refuse debuggers of the same user and core dumps, where the system can. Administrators are not stopped."""
    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def ignore_terminal_signals() -> None:
    """Leave Ctrl-C and hang-up to the host, which stops the node in order."""
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
