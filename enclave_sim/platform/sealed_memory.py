"""Files in memory that nobody can change any more, not even who made them (memfd_create, Linux)."""

from __future__ import annotations

import fcntl
import os

from core.errors import CocoError

_SEALS = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    if hasattr(fcntl, "F_SEAL_SEAL")
    else 0
)


def sealed(name: str, data: bytes) -> int:
    """Return a descriptor of these bytes, to be closed. name: shown by the system. Raises CocoError."""
    if not hasattr(os, "memfd_create"):
        raise CocoError("enclaves need Linux: this system cannot seal memory", hint="Run the node on Linux.")
    try:
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise CocoError(f"no memory can be sealed: {error.strerror}", hint="Check the limits (ulimit -a).") from None
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        os.close(descriptor)
        raise CocoError(f"no memory can be sealed: {error.strerror}", hint="Check the machine's memory.") from None
    return descriptor
