"""Checks what the kernel mapped when an enclave's process was started, before it is handed any code.

That is the interpreter's program and shared library, which were measured, and libraries of the system (the C library),
which were not: of these the platform, which runs on the same interpreter, must have the same mapped. The kernel and
the linker loaded them by name, so this is a look afterwards; a program that is another could answer for itself in
any case, and only here it cannot.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from enclave_sim.platform.code_list import CodeChanged, CodeList

_SEALED = "/memfd:"


@dataclass(frozen=True, slots=True)
class Mapping:
    """An executable mapping of a file."""

    path: str
    device: str
    inode: int


def executable_mappings(maps: str) -> Iterator[Mapping]:
    """Yield the executable mappings of files in the text of /proc/PID/maps."""
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
            yield Mapping(fields[5], fields[3], int(fields[4]))


def check_mapped(process: int, code: CodeList, given: Collection[int]) -> None:
    """Raise CodeChanged unless a new process runs the measured interpreter and maps nothing that we do not.

    given: descriptors of sealed memory that it may have mapped, too.
    """
    if not sys.platform.startswith("linux"):
        return
    ours = set(executable_mappings(Path("/proc/self/maps").read_text()))
    try:
        theirs = set(executable_mappings(Path(f"/proc/{process}/maps").read_text()))
    except OSError as error:
        raise CodeChanged(f"what an enclave's process runs cannot be seen: {error.strerror}") from None
    ours |= {one for one in theirs if one.path.startswith(_SEALED) and one.inode in map(_inode, given)}
    measured = {os.fspath(file.file.resolve()): file for file in code.program.values()}
    for mapping in theirs - ours:
        if mapping.path not in measured:
            raise CodeChanged(f"an enclave's process was started with {mapping.path}, which was not measured")
    for path in {mapping.path for mapping in theirs} & set(measured):
        measured[path].read()
    if not any(mapping.path == os.fspath(code.program["python"].file.resolve()) for mapping in theirs):
        raise CodeChanged("an enclave's process runs another program than the interpreter that was measured")


def _inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino
