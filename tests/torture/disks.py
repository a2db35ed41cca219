"""Disks that run full on demand: small file systems of their own where the system gives them, else a limit of the host.

A limit (RLIMIT_FSIZE) lets no file of the host grow any more: its writes fail as on a full disk, with another error
number, and its log stands still, too.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from enclave_sim.host_config import NodePaths
from enclave_sim.status import running_pid

SIZE_BYTES = 512 * 2**20
STEP_BYTES = 2**20
COMMAND_SECONDS_MAX = 20


class LimitedDisks:
    """Sets and lifts a limit on what the host of a node may write. directories: by slot."""

    name = "a limit of the host process (RLIMIT_FSIZE)"

    def __init__(self, directories: Mapping[str, Path]) -> None:
        self._directories = dict(directories)

    def fill(self, slot: str) -> None:
        pid = running_pid(self._directories[slot])
        if pid is not None:
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self, slot: str) -> None:
        pid = running_pid(self._directories[slot])
        if pid is not None:
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    def close(self) -> None:
        return


class MountedDisks:
    """A file system in memory under each node's disk, filled up by a file. Needs root."""

    name = "a small file system of its own (tmpfs)"

    def __init__(self, directories: Mapping[str, Path]) -> None:
        self._mounts: dict[str, Path] = {}
        for slot, directory in directories.items():
            path = NodePaths(directory).disk
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _command("mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=700", "tmpfs", str(path))
            self._mounts[slot] = path

    def fill(self, slot: str) -> None:
        with (self._mounts[slot] / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(STEP_BYTES))

    def free(self, slot: str) -> None:
        (self._mounts[slot] / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount; what a ledger's reader still needs was copied by then."""
        for path in self._mounts.values():
            with suppress(subprocess.CalledProcessError):
                _command("umount", "--lazy", str(path))


Disks = LimitedDisks | MountedDisks


def mounts_available(scratch: Path) -> bool:
    """Say whether this process may mount."""
    if os.geteuid() != 0:
        return False
    scratch.mkdir(exist_ok=True)
    try:
        _command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(scratch))
        _command("umount", str(scratch))
    except (subprocess.CalledProcessError, OSError):
        return False
    return True


def _command(*words: str) -> None:
    subprocess.run(words, capture_output=True, timeout=COMMAND_SECONDS_MAX, check=True)
