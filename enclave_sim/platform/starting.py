"""Starts the process of an enclave so that it runs measured bytes only; what it runs first lies in sealed memory.

    PROGRAM -P -s -S -B -X frozen_modules=on SCRIPT CODE_FD SOCKET_FD MODULE ARGUMENTS...

Isolated mode (-I) would ignore PYTHONPATH too, which is how the interpreter is told to take `encodings`, which it
imports before any code of ours runs, from sealed memory. So its parts are given one by one (-P -s), and the
environment is ours alone: nothing of the host's is passed on, neither PYTHON* nor LD_*.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Collection, Sequence

from core.errors import NodeStopped
from enclave_sim.platform.code_service import CodeService
from enclave_sim.platform.sealed_memory import sealed

_SCRIPT = b"import sys\nsys.path[1:] = []\nfrom enclave_sim.loader.boot import main\nmain()\n"
_SWITCHES = ("-P", "-s", "-S", "-B", "-X", "frozen_modules=on")


async def start_enclave(
    code: CodeService,
    module: str,
    arguments: Sequence[str],
    *,
    descriptors: Collection[int],
    error_fd: int,
    on_refused: Callable[[str], None],
) -> tuple[asyncio.subprocess.Process, asyncio.Task[None]]:
    """Start a module's main() in a process of its own; returns it, and the task that hands it its code.

    on_refused: told why, when code is refused; the process then ends itself. Raises CodeChanged, or NodeStopped when
    the system starts no process.
    """
    first_files = code.first_files()
    extension = None if "_socket" in sys.builtin_module_names else code.extension("_socket")
    with contextlib.ExitStack() as given, contextlib.ExitStack() as kept:
        ours, theirs = socket.socketpair()
        kept.enter_context(ours)
        inherited = [given.enter_context(theirs).fileno()]
        for name, data in (("coco-loader", first_files), ("coco-start", _SCRIPT)):
            inherited.append(sealed(name, data))
            given.callback(os.close, inherited[-1])
        code_fd, first, script = inherited
        command = [code.program, *_SWITCHES, f"/proc/self/fd/{script}", str(code_fd)]
        command += [str(-1 if extension is None else extension), module, *arguments]
        inherited += [*descriptors, *([] if extension is None else [extension])]
        process = await _spawn(command, f"/proc/self/fd/{first}", inherited, error_fd)
        kept.pop_all()
    return process, asyncio.create_task(code.serve(ours, process.pid, on_refused))


async def _spawn(
    command: Sequence[str], first: str, inherited: Collection[int], error_fd: int
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=error_fd,
            env={"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": first},
            pass_fds=tuple(inherited),
            close_fds=True,
        )
    except OSError as error:
        raise NodeStopped(
            f"an enclave cannot be started: {error.strerror}",
            hint="Check the system's limits on processes, memory and open files (ulimit -a).",
        ) from None
