"""The three things asked of the Linux kernel: a seccomp filter, a Landlock domain, and memory that is never swapped.

Each function raises IsolationMissing, with the reason, where the kernel does not do it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from pathlib import Path

from core.errors import CocoError
from enclave_sim.boundary.messages import Role
from enclave_sim.isolation.bpf import assemble
from enclave_sim.isolation.rules import rules_for
from enclave_sim.isolation.syscalls import ARCHITECTURES, number

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_FILTER_INSTRUCTION_BYTES = 8
# The same on every architecture.
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_VERSION_FLAG = 1
_LANDLOCK_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_LANDLOCK_FILE_RIGHTS_NEWEST = 16
_LANDLOCK_NETWORK_VERSION = 4
_LANDLOCK_SCOPE_VERSION = 6
_CAP_IPC_LOCK = 14
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


class IsolationMissing(CocoError):
    """The kernel does not give one kind of isolation; the message says which and why."""


def install_filter(role: Role) -> None:
    """Refuse all threads of this process, for good, the calls that are not in the role's list."""
    machine = platform.machine()
    if not sys.platform.startswith("linux") or machine not in ARCHITECTURES:
        raise IsolationMissing(f"no system-call filter: none is made for {sys.platform} on {machine}")
    program = assemble(rules_for(role, os.getpid()), machine)
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: unsigned short, padding, pointer.
    description = struct.pack("@HxxxxxxQ", len(program) // _FILTER_INSTRUCTION_BYTES, ctypes.addressof(instructions))
    _forbid_new_privileges()
    call = number("seccomp", machine)
    done = _system_call(call or 0, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, description)
    if done != 0:
        reason = "another thread refused it" if done > 0 else os.strerror(ctypes.get_errno())
        raise IsolationMissing(f"no system-call filter: {reason}")


def leave_file_system() -> None:
    """Refuse this thread, and those it starts, every named file, TCP bind and connect, by an empty Landlock domain."""
    if not sys.platform.startswith("linux"):
        raise IsolationMissing(f"no Landlock: {sys.platform}")
    version = _system_call(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION_FLAG)
    if version < 1:
        raise IsolationMissing(f"no Landlock: {os.strerror(ctypes.get_errno())}")
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise IsolationMissing("no Landlock: other threads run already")
    rights = [(1 << _LANDLOCK_FILE_RIGHTS.get(version, _LANDLOCK_FILE_RIGHTS_NEWEST)) - 1]
    if version >= _LANDLOCK_NETWORK_VERSION:
        rights.append(0b11)  # TCP bind, TCP connect.
    if version >= _LANDLOCK_SCOPE_VERSION:
        rights.append(0b11)  # Abstract sockets and signals of others.
    description = struct.pack(f"={len(rights)}Q", *rights)
    ruleset = _system_call(_LANDLOCK_CREATE_RULESET, description, len(description), 0)
    if ruleset < 0:
        raise IsolationMissing(f"no Landlock: {os.strerror(ctypes.get_errno())}")
    try:
        _forbid_new_privileges()
        if _system_call(_LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
            raise IsolationMissing(f"no Landlock: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(ruleset)


def lock_memory() -> None:
    """Keep what this process has in memory, and will have, out of the swap space.

    Only where the limit on locked memory is none (RLIMIT_MEMLOCK, or the administrator): with another one, an
    allocation would fail later.
    """
    if not sys.platform.startswith("linux"):
        raise IsolationMissing(f"memory is not locked: {sys.platform}")
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and not _may_lock():
        raise IsolationMissing(f"memory is not locked: the limit is {soft} bytes (ulimit -l unlimited lifts it)")
    if _libc().mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        raise IsolationMissing(f"memory is not locked: {os.strerror(ctypes.get_errno())}")


def _may_lock() -> bool:
    """Whether this process is beyond the limit (CAP_IPC_LOCK)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return bool(held >> _CAP_IPC_LOCK & 1)


def _forbid_new_privileges() -> None:
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _system_call(call: int, *arguments: int | bytes | None) -> int:
    call_it = _libc().syscall
    call_it.restype = ctypes.c_long
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(call_it(ctypes.c_long(call), *given))
