"""Numbers of the system calls that the filters name, for x86_64 and for aarch64 (include/uapi/asm-generic/unistd.h).

A call that one of the two does not have, such as `open` on aarch64, is None there.
"""

from __future__ import annotations

from types import MappingProxyType

X86_64 = "x86_64"
AARCH64 = "aarch64"

ARCHITECTURES: MappingProxyType[str, int] = MappingProxyType({X86_64: 0xC000003E, AARCH64: 0xC00000B7})
"""The machine's name, as `platform.machine()` has it, to AUDIT_ARCH_* (include/uapi/linux/audit.h)."""

_NUMBERS: MappingProxyType[str, tuple[int | None, int | None]] = MappingProxyType({
    "accept": (43, 202), "accept4": (288, 242), "brk": (12, 214), "clock_getres": (229, 114),
    "clock_gettime": (228, 113), "clock_nanosleep": (230, 115), "clone": (56, 220), "clone3": (435, 435),
    "close": (3, 57), "dup": (32, 23), "epoll_ctl": (233, 21), "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441),
    "epoll_wait": (232, None), "exit": (60, 93), "exit_group": (231, 94), "fcntl": (72, 25), "fstat": (5, 80),
    "futex": (202, 98), "get_robust_list": (274, 100), "getcpu": (309, 168), "getegid": (108, 177),
    "geteuid": (107, 175), "getgid": (104, 176), "getitimer": (36, 102), "getpeername": (52, 205), "getpid": (39, 172),
    "getppid": (110, 173), "getrandom": (318, 278), "getrlimit": (97, 163), "getrusage": (98, 165),
    "getsockname": (51, 204), "getsockopt": (55, 209), "gettid": (186, 178), "gettimeofday": (96, 169),
    "getuid": (102, 174), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioctl": (16, 29), "lseek": (8, 62), "madvise": (28, 233), "membarrier": (324, 283),
    "memfd_create": (319, 279), "mlock": (149, 228), "mmap": (9, 222), "mprotect": (10, 226), "mremap": (25, 216),
    "munlock": (150, 229), "munmap": (11, 215), "nanosleep": (35, 101), "newfstatat": (262, 79),
    "openat": (257, 56), "poll": (7, None), "ppoll": (271, 73), "prctl": (157, 167), "prlimit64": (302, 261),
    "pselect6": (270, 72), "read": (0, 63), "readv": (19, 65),
    "recvfrom": (45, 207), "recvmsg": (47, 212), "restart_syscall": (219, 128), "rseq": (334, 293),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123), "sched_yield": (24, 124), "seccomp": (317, 277), "select": (23, None),
    "sendmsg": (46, 211), "sendto": (44, 206), "set_robust_list": (273, 99), "setitimer": (38, 103),
    "setsockopt": (54, 208), "shutdown": (48, 210), "sigaltstack": (131, 132), "stat": (4, None),
    "sysinfo": (99, 179), "tgkill": (234, 131), "time": (201, None), "uname": (63, 160), "write": (1, 64),
    "writev": (20, 66),
})  # fmt: skip


def number(name: str, machine: str) -> int | None:
    """Return a call's number on a machine of ARCHITECTURES; None where it has no such call."""
    x86_64, aarch64 = _NUMBERS[name]
    return x86_64 if machine == X86_64 else aarch64
