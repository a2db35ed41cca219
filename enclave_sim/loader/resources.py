"""Measured data files of packages, as importlib.resources shows them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from importlib.resources.abc import Traversable, TraversableResources
from typing import IO, Any

from enclave_sim.loader.importer import MeasuredFiles


class MeasuredPath(Traversable):
    """One measured file or folder."""

    def __init__(self, files: MeasuredFiles, path: str) -> None:
        self._files = files
        self._path = path

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def __str__(self) -> str:
        return self._path

    def is_dir(self) -> bool:
        return self._files.is_folder(self._path)

    def is_file(self) -> bool:
        return self._files.is_file(self._path)

    def iterdir(self) -> Iterator[MeasuredPath]:
        for name in self._files.children.get(self._path, ()):
            yield MeasuredPath(self._files, f"{self._path}/{name}")

    def joinpath(self, *descendants: str | os.PathLike[str]) -> MeasuredPath:
        return MeasuredPath(self._files, "/".join((self._path, *(str(one) for one in descendants))))

    def __truediv__(self, child: str | os.PathLike[str]) -> MeasuredPath:
        return self.joinpath(child)

    def read_bytes(self) -> bytes:
        return self._files.data(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        data = io.BytesIO(self.read_bytes())
        return data if "b" in mode else io.TextIOWrapper(data, *args, **kwargs)


class MeasuredResources(TraversableResources):
    """The resources of the package in a folder."""

    def __init__(self, files: MeasuredFiles, folder: str) -> None:
        self._root = MeasuredPath(files, folder)

    def files(self) -> MeasuredPath:
        return self._root
