"""What Linux is asked for: a seccomp filter over all threads, memory that stays out of the swap space, no debuggers.

Each function asks for one thing and raises IsolationMissing when the kernel does not give it. Sources: seccomp(2),
mlockall(2), prctl(2), proc(5).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import CocoError
from enclave_sim.isolation.bpf import REFUSE, Rule, assemble
from enclave_sim.isolation.syscalls import ARCHITECTURES, number

_PR_GET_DUMPABLE = 3
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_FILTER_INSTRUCTION_BYTES = 8
_CAP_IPC_LOCK = 14
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_RING = "anon_inode:[io_uring]"


class IsolationMissing(CocoError):
    """The kernel does not give one kind of isolation; the message says which and why."""


def install_filter(rules: Sequence[Rule], otherwise: int = REFUSE) -> None:
    """Subject all threads of this process, for good, to rules; `otherwise` is what becomes of calls without one."""
    machine = platform.machine()
    if not sys.platform.startswith("linux") or machine not in ARCHITECTURES:
        raise IsolationMissing(f"no system-call filter: none is made for {sys.platform} on {machine}")
    program = assemble(rules, machine, otherwise)
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: unsigned short, padding, pointer.
    description = struct.pack("@HxxxxxxQ", len(program) // _FILTER_INSTRUCTION_BYTES, ctypes.addressof(instructions))
    libc = _libc()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise IsolationMissing(f"no system-call filter: {os.strerror(ctypes.get_errno())}")
    call = libc.syscall
    call.restype = ctypes.c_long
    done = call(
        ctypes.c_long(number("seccomp", machine) or 0),
        ctypes.c_long(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_long(_SECCOMP_FILTER_FLAG_TSYNC),
        description,
    )
    if done != 0:
        reason = "another thread has a filter of its own" if done > 0 else os.strerror(ctypes.get_errno())
        raise IsolationMissing(f"no system-call filter: {reason}")


def check_no_ring() -> None:
    """Raise when this process has an io_uring, through which the kernel would do what a filter refuses."""
    try:
        opened = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_open(int(name))]
    except OSError as error:
        raise IsolationMissing(f"whether there is an io_uring cannot be seen: {error.strerror}") from None
    if _RING in opened:
        raise IsolationMissing("an io_uring was made before the system-call filter, which it goes around")


def check_not_inspectable() -> None:
    """Raise when debuggers of the same user, or core dumps, are not refused (process.forbid_inspection)."""
    if not sys.platform.startswith("linux"):
        raise IsolationMissing(f"debuggers of the same user are not refused: {sys.platform}")
    if _libc().prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise IsolationMissing("debuggers of the same user are not refused: the process is dumpable")
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        raise IsolationMissing("core dumps are not refused: the limit on their size is not 0")


def keep_out_of_swap() -> str:
    """Keep what this process has in memory, and will have, off the disk; return how.

    Memory is locked where there is no limit on that (RLIMIT_MEMLOCK, or the capability): with a limit, an allocation
    would fail later. Elsewhere it is good enough that the machine has no swap space.
    """
    if not sys.platform.startswith("linux"):
        raise IsolationMissing(f"memory is not locked: {sys.platform}")
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    reason = f"the limit is {soft} bytes (ulimit -l unlimited lifts it), and the machine has swap space"
    if soft == resource.RLIM_INFINITY or _may_lock():
        if _libc().mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
            return "memory locked"
        reason = os.strerror(ctypes.get_errno())
    if not _has_swap():
        return "no swap space"
    raise IsolationMissing(f"memory may be swapped out to disk: {reason}")


def _has_swap() -> bool:
    """Whether the machine has swap space now; it does when that cannot be seen."""
    try:
        return len(Path("/proc/swaps").read_text().splitlines()) > 1
    except OSError:
        return True


def _may_lock() -> bool:
    """Whether this process is beyond the limit (CAP_IPC_LOCK)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return bool(held >> _CAP_IPC_LOCK & 1)


def _is_open(fd: int) -> bool:
    """Whether a descriptor is open; the one that lists descriptors no longer is."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
