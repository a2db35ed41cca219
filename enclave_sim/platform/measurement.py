"""What an enclave is: SHA-256 over the files it is made of.

    measurement = SHA-256("coco measurement 1" | kind | number of files | (path | contents) ...)

every part length-prefixed (8 bytes, little-endian), files sorted by path. Manager: core/ and enclave_sim/. Worker:
these, adapters/, and the files of every adapter installed by entry point `coco.adapters`. The Python interpreter and
the libraries of requirements are not part of it; they are pinned by hash at installation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from importlib import metadata, util
from pathlib import Path

from core.errors import CocoError
from enclave_sim.platform.cpu import EnclaveKind

APPLICATION = "coco-ledger"
"""Our own distribution, whose adapters are measured with adapters/."""

_PACKAGES: dict[EnclaveKind, tuple[str, ...]] = {
    "manager": ("core", "enclave_sim"),
    "worker": ("core", "enclave_sim", "adapters"),
}
_NOT_CODE = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache"})


def source_root() -> Path:
    """Return the folder that holds core/, enclave_sim/ and adapters/."""
    return Path(__file__).resolve().parent.parent.parent


def measure(kind: EnclaveKind) -> bytes:
    """Return the 32-byte measurement of the code installed here; raises CocoError when a file cannot be read."""
    root = source_root()
    files: dict[str, Path] = {}
    for package in _PACKAGES[kind]:
        files.update((path.relative_to(root).as_posix(), path) for path in _code_files(root / package))
    if kind == "worker":
        for entry_point in metadata.entry_points(group="coco.adapters"):
            files.update(_adapter_files(entry_point))
    return measure_files(kind, sorted(files.items()))


def measure_files(kind: EnclaveKind, files: Iterable[tuple[str, Path]]) -> bytes:
    """Return the measurement over these (name, file) pairs, sorted by name already."""
    listed = list(files)
    digest = hashlib.sha256()
    for part in (b"coco measurement 1", kind.encode(), len(listed).to_bytes(8, "little")):
        digest.update(len(part).to_bytes(8, "little") + part)
    for name, path in listed:
        try:
            contents = path.read_bytes()
        except OSError as error:
            raise CocoError(
                f"{path} cannot be measured: {error.strerror}", hint="Install coco-ledger and its adapters again."
            ) from None
        encoded = name.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
        digest.update(len(contents).to_bytes(8, "little") + contents)
    return digest.digest()


def _code_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if (
            path.is_file()
            and path.suffix not in (".pyc", ".pyo")
            and _NOT_CODE.isdisjoint(path.relative_to(folder).parts)
        ):
            yield path


def _adapter_files(entry_point: metadata.EntryPoint) -> Iterator[tuple[str, Path]]:
    """Yield the files of a third party's adapter: what its distribution lists, and the package it is imported from.

    Both, since an editable installation lists no modules. Nothing is imported.
    """
    distribution = entry_point.dist
    if distribution is None or distribution.name == APPLICATION:
        return
    found = False
    for listed in distribution.files or ():
        path = Path(str(listed.locate()))
        if path.suffix not in (".pyc", ".pyo") and not _is_metadata(listed.parts[0]) and path.is_file():
            found = True
            yield f"{distribution.name}/{listed.as_posix()}", path
    package = entry_point.module.partition(".")[0]
    for location in _locations(package):
        for path in _code_files(location) if location.is_dir() else (location,):
            found = True
            relative = path.relative_to(location.parent).as_posix()
            yield f"{distribution.name}/{relative}", path
    if not found:
        raise CocoError(
            f"the files of the adapter {entry_point.name!r} ({distribution.name}) were not found",
            hint="Install the adapter again: an adapter that cannot be measured is not run.",
        )


def _is_metadata(folder: str) -> bool:
    """Installers add and rewrite files here (RECORD, INSTALLER), and path files carry absolute names."""
    return folder.endswith((".dist-info", ".egg-info", ".pth"))


def _locations(package: str) -> list[Path]:
    spec = util.find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(location) for location in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin is not None and Path(spec.origin).is_file() else []
