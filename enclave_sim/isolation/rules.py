"""What each role's process may still ask of the kernel after its start: an allow-list; all else is refused with EPERM.

Not in any list: open, creat, stat of a name, socket, connect, bind, listen, pipe, dup, fork, execve, ptrace,
process_vm_readv, kill, mount, io_uring (which would go around the filter) and whatever a later kernel adds. New
descriptors come by accept in a gateway, and passed by the host (recvmsg) where readers are connected. No memory can be
made executable. What is sent goes to the other end of a socket that is connected: TCP Fast Open, by which a send
connects, is refused (a listening socket that is shut down could be connected so).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket

from enclave_sim.boundary.messages import Role
from enclave_sim.isolation.bpf import UNKNOWN, Condition, Rule

_THREAD_OF_GLIBC, _THREAD_OF_MUSL = 0x003D0F00, 0x007D0F00
_MSG_FASTOPEN = 0x20000000
_FIONREAD, _FIONBIO, _FIOCLEX, _FIONCLEX, _TCGETS = 0x541B, 0x5421, 0x5451, 0x5450, 0x5401
_PR_SET_NAME, _PR_SET_VMA = 15, 0x53564D41
_TCP_NODELAY = 1
_ANY_FLAG_BUT_CLOSE_ON_EXEC = 0xFFFFFFFF & ~os.O_CLOEXEC

_PLAIN = (
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "recvfrom", "recvmsg", "read", "write", "readv", "writev",
    "futex", "close", "clock_gettime", "gettimeofday", "time", "getrandom", "madvise", "munmap", "mremap", "brk",
    "poll", "ppoll", "select", "pselect6", "sched_yield", "nanosleep", "clock_nanosleep", "clock_getres", "getrusage",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "uname", "sysinfo", "getcpu",
    "sched_getaffinity", "membarrier", "rseq", "set_robust_list", "get_robust_list", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sigaltstack", "setitimer", "getitimer", "restart_syscall", "getrlimit", "fstat", "lseek", "mlock",
    "munlock", "getsockname", "getpeername", "getsockopt", "shutdown", "exit", "exit_group",
)  # fmt: skip


def rules_for(role: Role, pid: int, *, reads_files: bool = False) -> list[Rule]:
    """Return a role's rules, those of frequent calls first. pid: of the process, which may signal itself only.

    reads_files: what a gateway also needs where TLS takes keys from files only (core/node/tls_memory.py): to make a
    file in memory, and to open one for reading, which no filter can confine to that file.
    """
    rules = [Rule("accept4"), Rule("accept")] if role == "gateway" else []
    rules += [Rule(call) for call in _PLAIN]
    rules += [
        Rule("sendto", ((Condition(3, 0, _MSG_FASTOPEN), Condition(5, 0)),)),
        Rule("sendmsg", ((Condition(2, 0, _MSG_FASTOPEN),),)),
        Rule("mmap", ((Condition(2, 0, mmap.PROT_EXEC),),)),
        Rule("mprotect", ((Condition(2, 0, mmap.PROT_EXEC),),)),
        # Threads only. The flags of clone3 are out of a filter's sight; the C library then takes clone.
        Rule("clone", ((Condition(0, _THREAD_OF_GLIBC),), (Condition(0, _THREAD_OF_MUSL),))),
        Rule("clone3", action=UNKNOWN),
        Rule("fcntl", tuple((Condition(1, command),) for command in _fcntl_commands())),
        Rule(
            "ioctl", tuple((Condition(1, command),) for command in (_FIONBIO, _FIONREAD, _FIOCLEX, _FIONCLEX, _TCGETS))
        ),
        Rule("setsockopt", ((Condition(1, socket.IPPROTO_TCP), Condition(2, _TCP_NODELAY)),)),
        Rule("prctl", ((Condition(0, _PR_SET_NAME),), (Condition(0, _PR_SET_VMA),))),
        # Of this process only: a reader's watchdog moves its limit on processor time.
        Rule("prlimit64", ((Condition(0, 0),),)),
        Rule("tgkill", ((Condition(0, pid),),)),
    ]
    if role == "gateway" and reads_files:
        rules += [
            Rule("memfd_create"),
            Rule("dup"),
            Rule("openat", ((Condition(2, os.O_RDONLY, _ANY_FLAG_BUT_CLOSE_ON_EXEC),),)),
            Rule("newfstatat"),
            Rule("stat"),
        ]
    return rules


def rules_before_start() -> list[Rule]:
    """Return the rules for the time before: anything but io_uring. libuv makes a ring with every event loop.

    Through a ring that is there already, the kernel would do what the later filter refuses.
    """
    return [Rule(call, action=UNKNOWN) for call in ("io_uring_setup", "io_uring_enter", "io_uring_register")]


def _fcntl_commands() -> tuple[int, ...]:
    return fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_DUPFD_CLOEXEC
