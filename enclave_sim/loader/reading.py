"""Lets code that opens files by their measured names (/enclave/...) have the measured bytes.

That is `open`, `io.open`, `os.stat`, `os.listdir` and what is built on them (os.path.isfile, pathlib's read_text), and
shared libraries that ctypes and cffi load by name. Other looks at such a name, as os.open or os.scandir, find nothing:
a package that needs them must use importlib.resources. Names of the host's files are left alone; which of these an
enclave may open is for its isolation to say.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
from collections.abc import Callable
from types import ModuleType
from typing import IO, Any

from enclave_sim.loader.importer import ROOT, MeasuredFiles

_WRITING = frozenset("wax+")


def open_measured_files(files: MeasuredFiles) -> None:
    """Replace `open` in builtins and io."""
    original = builtins.open

    def open_measured(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> IO[Any]:
        path = _path(file)
        if path is None:
            return original(file, mode, buffering, *args, **kwargs)
        if not _WRITING.isdisjoint(mode):
            raise PermissionError(13, "measured files cannot be written", path)
        data = io.BytesIO(files.data(path))
        if "b" in mode:
            return data
        for name in ("closefd", "opener"):
            kwargs.pop(name, None)
        return io.TextIOWrapper(data, *args[:3], **kwargs)

    builtins.open = io.open = open_measured  # type: ignore[assignment]


def find_measured_files(files: MeasuredFiles) -> None:
    """Replace os.stat and os.listdir."""
    original_stat, original_listdir = os.stat, os.listdir

    def stat_measured(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        name = _path(path)
        if name is None:
            return original_stat(path, *args, **kwargs)
        if files.is_folder(name):
            return os.stat_result((stat.S_IFDIR | 0o555, 0, 0, 1, 0, 0, 0, 0, 0, 0))
        return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, len(files.data(name)), 0, 0, 0))

    def listdir_measured(path: Any = ".") -> list[Any]:
        name = _path(path)
        if name is None:
            return original_listdir(path)
        if not files.is_folder(name):
            raise NotADirectoryError(20, "no folder of measured files", name)
        return list(files.children[name])

    os.stat = stat_measured
    os.listdir = listdir_measured


def load_libraries_from(files: MeasuredFiles, module: ModuleType) -> None:
    """Have ctypes' and cffi's own modules load libraries with measured names from sealed memory."""
    name = module.__name__.rpartition(".")[2]
    if name == "_ctypes":
        module.dlopen = _loading(files, module.dlopen)  # type: ignore[attr-defined]
    elif name == "_cffi_backend":
        module.load_library = _loading(files, module.load_library)  # type: ignore[attr-defined]


def _loading(files: MeasuredFiles, original: Callable[..., Any]) -> Callable[..., Any]:
    def load(name: Any = None, *args: Any) -> Any:
        path = _path(name)
        if path is None:
            return original(name, *args)
        if not files.is_file(path):
            raise OSError(2, "not among the measured files", path)
        descriptor, measured = files.library(path)
        try:
            return original(measured, *args)
        finally:
            os.close(descriptor)

    load.original = original  # type: ignore[attr-defined]
    return load


def _path(name: Any) -> str | None:
    """Return a measured name, without dots in it; None for any other."""
    if isinstance(name, os.PathLike):
        name = os.fspath(name)
    if isinstance(name, str) and name.startswith(f"{ROOT}/"):
        return os.path.normpath(name)
    return None
