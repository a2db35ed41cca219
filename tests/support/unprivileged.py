"""Runs a command as a user without privileges, when started by root; as the same user otherwise.

    python unprivileged.py COMMAND...

One capability stays: to read files (CAP_DAC_READ_SEARCH), since a root's interpreter may lie where no one else may
look. It helps nobody to look into processes.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

USER = 65_534
"""nobody."""

_CAP_DAC_READ_SEARCH = 2
_CAPABILITIES_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2


def drop() -> None:
    """Become that user, for good. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    held = 1 << _CAP_DAC_READ_SEARCH
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    header = struct.pack("=Ii", _CAPABILITIES_VERSION_3, 0)
    # struct __user_cap_data_struct[2]: effective, permitted, inheritable.
    if libc.capset(header, struct.pack("=6I", held, held, held, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    if libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the capability does not stay")


if __name__ == "__main__":
    if os.getuid() == 0:
        drop()
    os.execv(sys.argv[1], sys.argv[1:])
