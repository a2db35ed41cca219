"""An adapter that tries what an isolated process must not do, wherever its code runs, and reports what came of it.

Tests install this one file as a third party's package (tests/scenarios/test_isolation.py); others run `forbidden` and
`allowed` in a process that they have isolated themselves. Each attempt is made by Python, or by a system call of its
own, as code would make it that has taken the process over. Where one is not refused, it does no harm.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import mmap
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from core.adapter import interface as coco
from core.adapter.interface import Executed

_LIBC = ctypes.CDLL(None, use_errno=True)
_X86_64 = {
    "open": 2, "socket": 41, "connect": 42, "bind": 49, "listen": 50, "socketpair": 53, "execve": 59, "kill": 62,
    "ptrace": 101, "tkill": 200, "openat": 257, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304,
    "process_vm_readv": 310, "process_vm_writev": 311, "seccomp": 317, "memfd_create": 319, "bpf": 321, "execveat": 322,
    "userfaultfd": 323, "pidfd_send_signal": 424, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_open": 434,
    "openat2": 437, "pidfd_getfd": 438,
}  # fmt: skip
_AARCH64 = {
    "openat": 56, "unshare": 97, "ptrace": 117, "kill": 129, "tkill": 130, "socket": 198, "socketpair": 199,
    "bind": 200, "listen": 201, "connect": 203, "execve": 221, "perf_event_open": 241, "open_by_handle_at": 265,
    "process_vm_readv": 270, "process_vm_writev": 271, "seccomp": 277, "memfd_create": 279, "bpf": 280,
    "execveat": 281, "userfaultfd": 282, "pidfd_send_signal": 424, "io_uring_enter": 426, "io_uring_register": 427,
    "pidfd_open": 434, "openat2": 437, "pidfd_getfd": 438,
}  # fmt: skip
_CALLS = _AARCH64 if platform.machine() == "aarch64" else _X86_64
_CLONE = 220 if platform.machine() == "aarch64" else 56
_MPROTECT = 226 if platform.machine() == "aarch64" else 10
_SENDTO = 206 if platform.machine() == "aarch64" else 44
_SIGCHLD, _CLONE_NEWUSER, _MSG_FASTOPEN, _PR_SET_DUMPABLE = 17, 0x10000000, 0x20000000, 4


def _call(number: int, *arguments: int | bytes) -> int:
    """Make a system call by its number; raises OSError."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    made = int(_LIBC.syscall(ctypes.c_long(number), *given))
    if made < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return made


def _open(file: str, mode: str) -> None:
    with open(file, mode):
        pass


def _clone(flags: int) -> None:
    if _call(_CLONE, flags, 0, 0, 0, 0) == 0:
        os._exit(0)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _make_executable() -> None:
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    _call(_MPROTECT, address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)


def forbidden() -> dict[str, Callable[[], Any]]:
    """Return attempts by name; each must raise OSError EPERM."""
    by_python: dict[str, Callable[[], Any]] = {
        "open to read": lambda: _open(sys.executable, "rb"),
        "open a secret of the host": lambda: _open("/proc/self/mem", "rb"),
        "open to write": lambda: _open("/coco-probe", "wb"),
        "os.open": lambda: os.open("/", os.O_RDONLY),
        "os.listdir": lambda: os.listdir("/"),
        "os.stat": lambda: os.stat("/"),
        "os.mkdir": lambda: os.mkdir("/coco-probe"),
        "os.unlink": lambda: os.unlink("/coco-probe"),
        "os.chmod": lambda: os.chmod("/coco-probe", 0o755),
        "os.pipe": os.pipe,
        "TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "UDP socket": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "UNIX socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "socket pair": socket.socketpair,
        "os.fork": _fork,
        "subprocess": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        "os.posix_spawn": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], {}),
        "os.execv": lambda: os.execv("/coco-probe", ["coco-probe"]),
        "os.kill of another": lambda: os.kill(os.getppid(), 0),
        "os.kill of all": lambda: os.kill(-1, 0),
        "os.setuid": lambda: os.setuid(os.getuid()),
        "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
        "memory made executable": _make_executable,
    }
    by_number: dict[str, Callable[[], Any]] = {
        f"system call {name}": lambda number=number: _call(number, 0, 0, 0, 0, 0, 0) for name, number in _CALLS.items()
    }
    with_arguments: dict[str, Callable[[], Any]] = {
        "clone of a process": lambda: _clone(_SIGCHLD),
        "clone into another user namespace": lambda: _clone(_SIGCHLD | _CLONE_NEWUSER),
        "dumpable again": lambda: _prctl(_PR_SET_DUMPABLE, 1),
        "TCP Fast Open": lambda: _call(_SENDTO, 0, b"", 0, _MSG_FASTOPEN, 0, 0),
    }
    return by_python | by_number | with_arguments


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "refused")


def _thread() -> bool:
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(all(what.startswith("EPERM") for what in attempts().values())))
    thread.start()
    thread.join()
    return done == [True]


def allowed() -> dict[str, Callable[[], Any]]:
    """Return what a role's work needs, by name; none may raise."""
    return {
        "random bytes": lambda: os.urandom(16),
        "hashes": lambda: hashlib.sha256(b"a").hexdigest(),
        "memory": lambda: len(bytearray(64 * 1024 * 1024)),
        "the time": lambda: (time.time(), time.localtime(), time.monotonic(), time.process_time()),
        "timers": lambda: signal.setitimer(signal.ITIMER_PROF, 0),
        "codecs": lambda: "ä".encode("idna") + "ä".encode("utf-16"),
        "a signal to itself": lambda: signal.pthread_kill(threading.get_ident(), 0),
        "sleep": lambda: time.sleep(0.001),
    }


def attempts() -> dict[str, str]:
    """Make all forbidden attempts; return what came of each: "EPERM", or what is wrong with it."""
    return {name: _outcome(attempt) for name, attempt in forbidden().items()}


def report() -> dict[str, Any]:
    """Return what came of everything, of a thread that is started now as well."""
    return {
        "attempts": attempts(),
        "allowed": {name: _outcome(use) for name, use in allowed().items()},
        "thread": _thread(),
        "late import": _late_import(),
        "pid": os.getpid(),
    }


def _late_import() -> str:
    """Import a module that nothing else does."""
    try:
        importlib.import_module("colorsys")
    except ImportError:
        return "refused"
    return "done"


def _outcome(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except OSError as error:
        return "EPERM" if error.errno == 1 else f"errno {error.errno}"
    return "done"


class Probe(coco.Adapter):
    """POST /execute, /query and /route: the report of the executor, of whoever answers queries, and of the gateway."""

    info = coco.AdapterInfo("probe", "1.0.0", "Tries what it must not do", {})

    def routes(self) -> Sequence[coco.Route]:
        return [coco.Route("POST", path, self._try) for path in ("/execute", "/query", "/route")]

    async def _try(self, request: coco.Request, backend: coco.Backend) -> coco.Response:
        if request.path == "/execute":
            return coco.Response(200, (await backend.submit(b"", request.caller)).reply)
        if request.path == "/query":
            return coco.Response(200, await backend.query(b"", request.caller))
        return coco.Response(200, json.dumps(report()).encode())

    def execute(self, transaction: coco.ScopedTransaction, payload: bytes, context: coco.ExecutionContext) -> Executed:
        transaction.table("tried").put(b"last", payload)
        return Executed(json.dumps(report()).encode())

    def query(self, payload: bytes, context: coco.QueryContext) -> bytes:
        return json.dumps(report()).encode()
