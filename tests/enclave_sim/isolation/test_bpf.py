"""The filter's program, run by an interpreter of the few instructions it is made of."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import get_args

import pytest

from enclave_sim.boundary.messages import Role
from enclave_sim.isolation.bpf import ALLOW, REFUSE, UNKNOWN, Condition, Rule, assemble
from enclave_sim.isolation.rules import rules_before_start, rules_for
from enclave_sim.isolation.syscalls import AARCH64, ARCHITECTURES, X86_64, number

PID = 4321
ROLES = get_args(Role)


def run(program: bytes, call: int, arguments: tuple[int, ...] = (), architecture: int = ARCHITECTURES[X86_64]) -> int:
    """Return what the program returns for a call (Linux, kernel/seccomp.c and net/core/filter.c)."""
    words = [call, architecture, 0, 0]
    for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]:
        words += [argument & 0xFFFFFFFF, argument >> 32]
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = place = 0
    while True:
        code, if_true, if_false, constant = instructions[place]
        place += 1
        match code:
            case 0x20:
                accumulator = words[constant // 4]
            case 0x54:
                accumulator &= constant
            case 0x15:
                place += if_true if accumulator == constant else if_false
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def decide(role: Role, name: str, *arguments: int, machine: str = X86_64) -> int:
    call = number(name, machine)
    assert call is not None
    return run(assemble(rules_for(role, PID), machine), call, arguments, ARCHITECTURES[machine])


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_needs_is_allowed(role: Role, machine: str) -> None:
    for name in ("read", "write", "recvmsg", "sendmsg", "futex", "munmap", "exit_group", "getrandom", "epoll_ctl"):
        assert decide(role, name, machine=machine) == ALLOW
    assert decide(role, "clone", 0x3D0F00, machine=machine) == ALLOW
    assert decide(role, "clone3", machine=machine) == UNKNOWN
    assert decide(role, "fcntl", 5, fcntl.F_GETFL, machine=machine) == ALLOW
    assert decide(role, "mmap", 0, 4096, 3, machine=machine) == ALLOW
    assert decide(role, "tgkill", PID, machine=machine) == ALLOW


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("call", [
    2, 85, 437,  # open, creat, openat2
    41, 42, 49, 50, 53,  # socket, connect, bind, listen, socketpair
    57, 58, 59, 322,  # fork, vfork, execve, execveat
    101, 310, 311, 438,  # ptrace, process_vm_readv, process_vm_writev, pidfd_getfd
    62, 129, 200, 234,  # kill, rt_sigqueueinfo, tkill, tgkill of another process
    32, 33, 292, 22, 293, 284, 290, 291,  # dup, dup2, dup3, pipe, pipe2, eventfd, eventfd2, epoll_create1
    425, 426, 427, 317, 321, 298, 165, 161, 272, 304,  # io_uring, seccomp, bpf, perf, mount, chroot, unshare, by handle
    82, 87, 83, 90, 105, 21, 89, 217, 0xFFFF, 0x40000000,  # rename, unlink, mkdir, chmod, setuid, access, readlink
])  # fmt: skip
def test_all_else_is_refused(role: Role, call: int) -> None:
    assert run(assemble(rules_for(role, PID), X86_64), call) == REFUSE
    assert REFUSE & 0xFFFF == errno.EPERM


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("name", "arguments"), [
    ("clone", (17,)), ("clone", (0x01000011,)), ("clone", (0x103D0F00,)), ("clone", (0x00020000 | 0x3D0F00,)),
    ("mmap", (0, 4096, 7)), ("mmap", (0, 4096, 4)), ("mprotect", (0, 4096, 5)), ("prctl", (4, 1)), ("prctl", (22, 2)),
    ("fcntl", (3, fcntl.F_DUPFD)), ("fcntl", (3, fcntl.F_SETOWN)), ("ioctl", (0, 0x5412)), ("prlimit64", (1,)),
    ("prlimit64", (PID,)), ("tgkill", (1, 1, 9)), ("sendto", (3, 0, 0, 0x20000000, 0, 0)),
    ("sendto", (3, 0, 0, 0, 1, 16)), ("sendmsg", (3, 0, 0x20000000)), ("setsockopt", (3, 1, 26)),
    ("setsockopt", (3, 0, 1)), ("setsockopt", (3, 6, 19)),
])  # fmt: skip
def test_a_call_with_other_arguments_is_refused(role: Role, name: str, arguments: tuple[int, ...]) -> None:
    for machine in (X86_64, AARCH64):
        assert decide(role, name, *arguments, machine=machine) == REFUSE


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
@pytest.mark.parametrize("role", ROLES)
def test_the_same_calls_as_they_are_needed(role: Role, machine: str) -> None:
    for name, arguments in (
        ("mmap", (0, 4096, 3)), ("mprotect", (0, 4096, 3)), ("prctl", (15, 1)), ("prlimit64", (0, 0)),
        ("tgkill", (PID, 1, 6)), ("sendto", (3, 0, 0, 0x4000, 0, 0)), ("sendmsg", (3, 0, 0x4000)),
        ("setsockopt", (3, 6, 1)), ("fcntl", (3, fcntl.F_DUPFD_CLOEXEC)), ("ioctl", (3, 0x5421)),
    ):  # fmt: skip
        assert decide(role, name, *arguments, machine=machine) == ALLOW


def test_only_a_gateway_accepts() -> None:
    for name in ("accept4", "accept"):
        for role in ROLES:
            assert decide(role, name) == (ALLOW if role == "gateway" else REFUSE)


def test_only_a_gateway_opens_files_and_only_where_tls_needs_it_and_only_to_read() -> None:
    for role in ROLES:
        assert decide(role, "openat", 0, 0, os.O_CLOEXEC) == REFUSE
        opens = run(assemble(rules_for(role, PID, reads_files=True), X86_64), 257, (0, 0, os.O_CLOEXEC))
        assert opens == (ALLOW if role == "gateway" else REFUSE)
    program = assemble(rules_for("gateway", PID, reads_files=True), X86_64)
    for flags in (os.O_RDWR, os.O_CREAT, os.O_WRONLY | os.O_TRUNC, os.O_PATH):
        assert run(program, 257, (0, 0, flags)) == REFUSE


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_before_the_start_only_io_uring_is_not_there(machine: str) -> None:
    program = assemble(rules_before_start(), machine, ALLOW)
    assert [run(program, call, (), ARCHITECTURES[machine]) for call in (425, 426, 427)] == [UNKNOWN] * 3
    assert run(program, 56, (), ARCHITECTURES[machine]) == ALLOW


def test_a_rule_holds_when_all_tests_of_one_group_do() -> None:
    rule = Rule("ioctl", ((Condition(0, 1), Condition(1, 2)), (Condition(0, 3, mask=3), Condition(2, 0))))
    program = assemble([rule], X86_64)
    outcomes = {arguments: run(program, 16, arguments) for arguments in ((1, 2, 9), (7, 0, 0), (1, 3, 0), (7, 2, 1))}
    assert outcomes == {(1, 2, 9): ALLOW, (7, 0, 0): ALLOW, (1, 3, 0): REFUSE, (7, 2, 1): REFUSE}


def test_calls_of_another_architecture_are_refused() -> None:
    program = assemble(rules_for("manager", PID), X86_64)
    assert run(program, 0) == ALLOW
    assert run(program, 0, architecture=0x40000003) == REFUSE


def test_a_filter_that_no_kernel_takes_is_not_made() -> None:
    with pytest.raises(ValueError, match="at most 4096"):
        assemble([Rule("read")] * 2048, X86_64)
