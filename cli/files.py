"""Files under COCO_HOME: private to the user, replaced as a whole, and read with an error that says what to do.

Directories are 0700 and files 0600. A file is written beside its place, fsynced, and renamed over it, so that a reader
sees the old or the new one, never half of one.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TypeVar

import msgspec

from cli.errors import StateDamaged, WrongUse
from core.errors import IncompatibleData, StorageFailed

FILE_BYTES_MAX = 16 * 1024 * 1024

RecordT = TypeVar("RecordT", bound="Record")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON file with a version. Subclasses add their fields."""

    version: int = 1


class _Versioned(msgspec.Struct):
    """Only the version, to tell another version's file from a damaged one."""

    version: int


def ensure_directory(path: Path) -> Path:
    """Make the directory and its parents, 0700 each; raises StorageFailed."""
    try:
        for ancestor in reversed(path.parents):
            if not ancestor.exists():
                ancestor.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageFailed(
            f"the directory {path} cannot be made: {error.strerror}",
            hint="Choose a directory you may write to: coco --home DIRECTORY, or COCO_HOME.",
        ) from error
    return path


def write_private(path: Path, data: bytes) -> None:
    """Replace the file atomically, mode 0600; raises StorageFailed and leaves the old file as it was."""
    ensure_directory(path.parent)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StorageFailed(f"{path} cannot be written: {error.strerror}", hint="Check the disk's space.") from error


def read_private(path: Path) -> bytes | None:
    """Return the file's bytes, or None when it does not exist; raises StateDamaged."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateDamaged(f"{path} cannot be read: {error.strerror}", hint="Check its owner and mode.") from error
    if len(data) > FILE_BYTES_MAX:
        raise StateDamaged(f"{path} is larger than {FILE_BYTES_MAX} bytes", hint="Coco did not write it: remove it.")
    return data


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that the user named; raises WrongUse."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}", hint="Name a file that you may read.") from error
    if len(data) > FILE_BYTES_MAX:
        raise WrongUse(f"{path} is larger than {FILE_BYTES_MAX} bytes", hint="Is it the file you meant?")
    return data


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON."""
    write_private(path, msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=2) + b"\n")


def read_record(path: Path, kind: type[RecordT]) -> RecordT | None:
    """Read a record, or None when the file does not exist; raises IncompatibleData, StateDamaged."""
    data = read_private(path)
    if data is None:
        return None
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version != kind().version:
            raise IncompatibleData(
                f"{path} has version {version}; this coco reads version {kind().version}",
                hint="Use the coco that wrote it, or another directory (coco --home DIRECTORY).",
            )
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateDamaged(
            f"{path} is damaged: {error}", hint="Restore it from a copy, or remove it and set it up again."
        ) from error
