"""The measured files as an enclave's loader knows them: what may be imported or read, by path below one common root.

Where two files claim a path, the first of these has it: the interpreter's, Coco's own, a library's, an adapter's
(libraries and adapters in order of name). So an adapter can replace no part of what runs beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import CocoError

_DYNAMIC = "lib-dynload/"
_REINSTALL = "Stop the node, install coco-ledger and its adapters again, and start it."


class CodeChanged(CocoError):
    """A file is not what was measured."""


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A measured file. name: in the measurement; digest: SHA-256 of the bytes that were measured."""

    name: str
    file: Path
    digest: bytes

    def read(self) -> bytes:
        """Return the measured bytes; raises CodeChanged when they are no longer there."""
        try:
            data = self.file.read_bytes()
        except OSError as error:
            raise CodeChanged(f"{self.file} cannot be read any more: {error.strerror}", hint=_REINSTALL) from None
        if hashlib.sha256(data).digest() != self.digest:
            raise CodeChanged(f"{self.file} was changed after it was measured", hint=_REINSTALL)
        return data


@dataclass(frozen=True, slots=True)
class Installed:
    """A measured distribution. entry_points: as entry_points.txt has them, of adapters and families only."""

    name: str
    version: str
    entry_points: str = ""


@dataclass(frozen=True, slots=True)
class CodeList:
    """What an enclave of one kind may load. files: by path; program: the interpreter's own executable files."""

    files: Mapping[str, CodeFile] = field(default_factory=dict)
    installed: tuple[Installed, ...] = ()
    program: Mapping[str, CodeFile] = field(default_factory=dict)


Digested = Mapping[str, CodeFile]
"""Measured files by their names in the measurement."""


def make_code_list(
    interpreter: Digested,
    own: Digested,
    libraries: Mapping[str, Digested],
    adapters: Mapping[str, Digested],
    installed: tuple[Installed, ...],
) -> CodeList:
    """Put the list together. libraries, adapters: files by distribution."""
    groups = [dict(_standard_library(interpreter)), own, *(libraries[name] for name in sorted(libraries))]
    groups += [dict(_below_distribution(adapters[name])) for name in sorted(adapters)]
    files: dict[str, CodeFile] = {}
    for group in groups:
        for path, file in group.items():
            files.setdefault(path, file)
    program = {name: file for name, file in interpreter.items() if not name.startswith("lib/")}
    return CodeList(files, installed, program)


def _standard_library(interpreter: Digested) -> Iterator[tuple[str, CodeFile]]:
    for name, file in interpreter.items():
        if name.startswith("lib/"):
            yield name.removeprefix("lib/").removeprefix(_DYNAMIC), file


def _below_distribution(files: Digested) -> Iterator[tuple[str, CodeFile]]:
    for name, file in files.items():
        yield name.partition("/")[2], file
