"""A ledger's directory as the read-only part of `core.ports.Disk`, wherever the ledger was copied to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.errors import NotFound
from cli.store import Store
from core.errors import StorageFailed
from core.ledger.files import FOLDER
from core.ports import FileInfo


class ReadOnlyDisk:
    """The files of one ledger, under the names that a node knows them by; every write is refused."""

    def __init__(self, ledger: Path) -> None:
        """ledger: the folder that holds the ledger's files, whatever its name."""
        self.ledger = ledger

    async def list_files(self, folder: str) -> Sequence[FileInfo]:
        path = self._folder(folder)
        if not path.is_dir():
            return []
        files = [file for file in sorted(path.iterdir()) if file.is_file()]
        return [FileInfo(f"{folder}/{file.name}", file.stat().st_size) for file in files]

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        folder, _, file_name = name.partition("/")
        path = self._folder(folder) / file_name
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size_bytes)
        except OSError as error:
            raise StorageFailed(f"{path} cannot be read: {error.strerror}") from error

    async def append(self, name: str, offset: int, data: bytes) -> None:
        raise _read_only(name)

    async def replace(self, name: str, data: bytes) -> None:
        raise _read_only(name)

    async def patch(self, name: str, offset: int, data: bytes) -> None:
        raise _read_only(name)

    async def truncate(self, name: str, size_bytes: int) -> None:
        raise _read_only(name)

    async def rename(self, old: str, new: str) -> None:
        raise _read_only(old)

    async def remove(self, name: str) -> None:
        raise _read_only(name)

    def _folder(self, folder: str) -> Path:
        if folder == FOLDER:
            return self.ledger
        # Beside a node's ledger; within a copy that has another name, whose neighbours are not of this network.
        return (self.ledger.parent if self.ledger.name == FOLDER else self.ledger) / folder


def _read_only(name: str) -> StorageFailed:
    return StorageFailed(f"{name} was opened for reading only")


def find_ledger(directory: Path) -> Path | None:
    """Return the folder of ledger files that a network's, node's, disk's or ledger's directory means."""
    if any(directory.glob("ledger_*")):
        return directory
    for candidate in (directory, directory / "disk", directory / "node0" / "disk"):
        if (candidate / FOLDER).is_dir():
            return candidate / FOLDER
    return None


def open_ledger(store: Store, directory: Path | None, network: str | None) -> ReadOnlyDisk:
    """Open the ledger in a directory, or that of a network hosted here; raises NotFound."""
    where = directory if directory is not None else store.host_directory(network)[1]
    found = find_ledger(where)
    if found is None:
        raise NotFound(
            f"there is no ledger in {where}",
            hint="A network has one once it was started: coco network start. Or name its directory.",
        )
    return ReadOnlyDisk(found)
