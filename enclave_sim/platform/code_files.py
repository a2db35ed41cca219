"""Which files an enclave's code is: ours, the adapters', the interpreter's and the libraries'. Nothing is imported.

Every file has a name that is the same on any machine and in any folder: relative to what it belongs to. Left out:
compiled copies (`__pycache__`), installers' records and scripts (they carry absolute names), the interpreter's tests
and tools that no enclave imports, and `_sysconfigdata` (it names the folder that Python was installed in).
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata, util
from pathlib import Path

from core.errors import CocoError

APPLICATION = "coco-ledger"
"""Our own distribution, whose adapters are measured with adapters/."""

GROUP = "coco.adapters"
"""The entry points of adapters."""

FAMILIES_GROUP = "coco.sawtooth_families"
"""The entry points of what runs inside the Sawtooth adapter."""

Files = dict[str, Path]
"""Measured files by their names."""

_NOT_CODE = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache"})
_NOT_INTERPRETER = _NOT_CODE | {
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "tkinter", "ensurepip", "lib2to3"),
}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_PYTHON_BELOW = re.compile(r"python(?:_full)?_version\s*<=?\s*['\"]3\.(\d+)")


def source_root() -> Path:
    """Return the folder that holds core/, enclave_sim/ and adapters/."""
    return Path(__file__).resolve().parent.parent.parent


def package_files(root: Path, packages: Iterable[str]) -> Files:
    """Return the files of our packages, named from the root."""
    return {file.relative_to(root).as_posix(): file for package in packages for file in _code_files(root / package)}


def adapter_entry_points() -> list[metadata.EntryPoint]:
    """Return every installed adapter by name; one that two distributions have counts twice."""
    return sorted(metadata.entry_points(group=GROUP), key=lambda one: (one.name, one.value))


def family_entry_points() -> list[metadata.EntryPoint]:
    """Return every installed transaction family by name; one that two distributions have counts twice."""
    return sorted(metadata.entry_points(group=FAMILIES_GROUP), key=lambda one: (one.name, one.value))


def adapter_files(entry_point: metadata.EntryPoint) -> Files:
    """Return the files of a third party's adapter or family; none for ours, which lie in adapters/.

    These are what its distribution lists, and the package it is imported from: an editable installation lists no
    modules. Raises CocoError when there are none.
    """
    distribution = entry_point.dist
    if distribution is None or distribution.name == APPLICATION:
        return {}
    files = {f"{distribution.name}/{name}": file for name, file in _listed_files(distribution)}
    for location in _locations(entry_point.module.partition(".")[0]):
        for file in _code_files(location) if location.is_dir() else (location,):
            files[f"{distribution.name}/{file.relative_to(location.parent).as_posix()}"] = file
    if not files:
        raise CocoError(
            f"the files of {entry_point.name!r} ({distribution.name}) were not found",
            hint="Install it again: what cannot be measured is not run.",
        )
    return files


def interpreter_files() -> Files:
    """Return the Python interpreter's program, shared library and standard library."""
    library = Path(os.__file__).resolve().parent
    files = {"python": Path(sys.executable).resolve()}
    shared = Path(sys.base_prefix, "lib", str(sysconfig.get_config_var("INSTSONAME") or ""))
    if shared.is_file():
        files["libpython"] = shared
    for folder, folders, names in os.walk(library):
        folders[:] = [one for one in folders if one not in _NOT_INTERPRETER and not one.startswith("config-")]
        for name in names:
            if not name.endswith((".pyc", ".pyo")) and not name.startswith(("_sysconfigdata", "_tkinter")):
                file = Path(folder, name)
                files[f"lib/{file.relative_to(library).as_posix()}"] = file
    return files


def dependency_files(roots: Iterable[str] = ()) -> dict[str, Files]:
    """Return the files of every library that we need, and of those that `roots` (distributions) need, by library."""
    found: dict[str, Files] = {}
    waiting = [*_own_requirements(), *(line for name in roots for line in _requirements(name, frozenset()))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name == APPLICATION:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # For another operating system, or missing: then what needs it does not start.
        found.setdefault(name, dict(_listed_files(distribution)))
        waiting += _requirements(name, extras)
    return found


def _own_requirements() -> list[tuple[str, frozenset[str]]]:
    project = source_root() / "pyproject.toml"
    if project.is_file():
        lines = tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
        return _parse_requirements(lines, frozenset())
    return _requirements(APPLICATION, frozenset())


def _requirements(name: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    try:
        return _parse_requirements(metadata.distribution(name).requires or (), extras)
    except metadata.PackageNotFoundError:
        return []


def _parse_requirements(lines: Iterable[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Parse requirement lines as far as needed: names, extras, and markers of extras and of older Pythons."""
    parsed = []
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match is None:
            continue
        marker = match[3] or ""
        wanted, below = _EXTRA.search(marker), _PYTHON_BELOW.search(marker)
        if (wanted and wanted[1] not in extras) or (below and int(below[1]) <= sys.version_info.minor):
            continue
        inner = frozenset(one.strip() for one in (match[2] or "").split(",") if one.strip())
        parsed.append((re.sub(r"[-_.]+", "-", match[1]).lower(), inner))
    return parsed


def _listed_files(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """Yield what a distribution lists, without metadata, compiled copies and what lies elsewhere (scripts)."""
    for listed in distribution.files or ():
        top = listed.parts[0]
        if listed.suffix in (".pyc", ".pyo", ".pth") or top == ".." or top.endswith((".dist-info", ".egg-info")):
            continue
        file = Path(str(listed.locate()))
        if file.is_file():
            yield listed.as_posix(), file


def _code_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if (
            path.is_file()
            and path.suffix not in (".pyc", ".pyo")
            and _NOT_CODE.isdisjoint(path.relative_to(folder).parts)
        ):
            yield path


def _locations(package: str) -> list[Path]:
    spec = util.find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(location) for location in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin is not None and Path(spec.origin).is_file() else []
