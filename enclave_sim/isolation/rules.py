"""What each role's process may still ask of the kernel after its start: an allow-list; all else is refused with EPERM.

Not in any list: open, creat, socket, connect, bind, listen, pipe, fork, execve, ptrace, process_vm_readv, kill, mount,
io_uring (which would go around the filter) and whatever a later kernel adds. New descriptors come by accept in a
gateway, and passed by the host (recvmsg) where readers are connected. Memory cannot be made executable.

A gateway needs two more calls, since OpenSSL takes certificates from a path only, whenever the constitution changes:
memfd_create, and openat for reading. What openat then reaches is Landlock's to refuse (landlock.py).
"""

from __future__ import annotations

import fcntl
import mmap
import os

from enclave_sim.boundary.messages import Role
from enclave_sim.isolation.bpf import UNKNOWN, Rule, Test

_CLONE_THREAD = 0x00010000
_AT_EMPTY_PATH = 0x1000
_FIONREAD, _FIONBIO, _FIOCLEX, _FIONCLEX, _TCGETS = 0x541B, 0x5421, 0x5451, 0x5450, 0x5401
_PR_SET_NAME, _PR_SET_VMA = 15, 0x53564D41
_ANY_FLAG_BUT_CLOSE_ON_EXEC = 0xFFFFFFFF & ~os.O_CLOEXEC

_PLAIN = (
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "recvfrom", "recvmsg", "sendto", "sendmsg", "read",
    "write", "readv", "writev", "futex", "close", "clock_gettime", "gettimeofday", "time", "getrandom", "madvise",
    "munmap", "mremap", "brk", "poll", "ppoll", "select", "pselect6", "sched_yield", "nanosleep", "clock_nanosleep",
    "clock_getres", "getrusage", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "uname",
    "sysinfo", "getcpu", "sched_getaffinity", "membarrier", "rseq", "set_robust_list", "get_robust_list",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "getrlimit", "setrlimit",
    "fstat", "lseek", "pread64", "pwrite64", "mlock", "munlock", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "shutdown", "exit", "exit_group",
)  # fmt: skip


def rules_for(role: Role, pid: int) -> list[Rule]:
    """Return a role's rules, those of frequent calls first. pid: of the process, which may signal itself only."""
    rules = [Rule("accept4"), Rule("accept")] if role == "gateway" else []
    rules += [Rule(call) for call in _PLAIN]
    rules += [
        Rule("mmap", (Test(2, 0, mmap.PROT_EXEC),)),
        Rule("mprotect", (Test(2, 0, mmap.PROT_EXEC),)),
        # Threads only. The flags of clone3 are out of a filter's sight; the C library then takes clone.
        Rule("clone", (Test(0, _CLONE_THREAD, _CLONE_THREAD),)),
        Rule("clone3", action=UNKNOWN),
        Rule("fcntl", tuple(Test(1, command) for command in _fcntl_commands())),
        Rule("ioctl", tuple(Test(1, command) for command in (_FIONBIO, _FIONREAD, _FIOCLEX, _FIONCLEX, _TCGETS))),
        Rule("prctl", (Test(0, _PR_SET_NAME), Test(0, _PR_SET_VMA))),
        Rule("prlimit64", (Test(0, 0), Test(0, pid))),
        Rule("tgkill", (Test(0, pid),)),
    ]
    if role == "gateway":
        rules += [
            Rule("memfd_create"),
            Rule("openat", (Test(2, os.O_RDONLY, _ANY_FLAG_BUT_CLOSE_ON_EXEC),)),
            Rule("newfstatat"),
            Rule("stat"),
        ]
    else:
        # The C library's fstat.
        rules.append(Rule("newfstatat", (Test(3, _AT_EMPTY_PATH, _AT_EMPTY_PATH),)))
    return rules


def _fcntl_commands() -> tuple[int, ...]:
    return fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_DUPFD_CLOEXEC
