"""Writes the Gramine manifest of one of Coco's enclaves: the template, with the files that the enclave measures.

    python deploy/gramine/render.py manager > coco-manager.manifest
    python deploy/gramine/render.py executor > coco-executor.manifest

Needs jinja2, and the installation that is to run. What was rendered was never run on hardware (README.md).
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from enclave_sim.platform.code_files import source_root  # noqa: E402
from enclave_sim.platform.code_list import CodeList  # noqa: E402
from enclave_sim.platform.cpu import PRODUCT, SECURITY_VERSION, EnclaveKind  # noqa: E402
from enclave_sim.platform.elf import needed_libraries  # noqa: E402
from enclave_sim.platform.measurement import measure_node  # noqa: E402

KINDS: dict[str, EnclaveKind] = {"manager": "manager", "executor": "worker", "gateway": "worker", "reader": "worker"}
ENCLAVE_SIZE = {"manager": "1G", "executor": "4G", "gateway": "1G", "reader": "4G"}
"""A power of two, as SGX has it. State is held in memory (docs/decisions/0003-values-in-memory.md)."""

GLIBC = frozenset(
    f"{name}.so.{version}"
    for name, version in (
        *(("libc", 6), ("libm", 6), ("libdl", 2), ("libpthread", 0), ("librt", 1), ("libresolv", 2), ("libutil", 1)),
        ("ld-linux-x86-64", 2),
    )
)
"""What Gramine brings a version of its own of."""

THREADS_MAX = 32
"""Ours, Gramine's own, and those of libraries."""


@dataclass(frozen=True, slots=True)
class TrustedFile:
    """A measured file. sha256: in hexadecimal digits."""

    path: str
    sha256: str


def render(role: str, code: CodeList, gramine: Path, system: Path) -> str:
    """Return the manifest. gramine: the folder of its runtime; system: that of the system's libraries."""
    files = {os.fspath(file.file): file.digest.hex() for file in (*code.program.values(), *code.files.values())}
    measured = [TrustedFile(path, files[path]) for path in sorted(files)]
    system_files = sorted(_system_libraries(code, system))
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701 - TOML
    template = environment.from_string((Path(__file__).parent / "coco.manifest.template").read_text("utf-8"))
    return template.render(
        role=role,
        program=os.fspath(code.program["python"].file),
        source=os.fspath(source_root()),
        product=PRODUCT[KINDS[role]],
        security_version=SECURITY_VERSION,
        enclave_size=ENCLAVE_SIZE[role],
        threads=THREADS_MAX,
        gramine_libos=os.fspath(gramine / "libsysdb.so"),
        gramine_runtime=os.fspath(gramine / "runtime" / "glibc"),
        system_libraries=os.fspath(system),
        system_files=system_files,
        measured=measured,
        mounted=[*(file.path for file in measured), *system_files],
    )


def _system_libraries(code: CodeList, folder: Path) -> Iterator[str]:
    """Yield the libraries of the system that measured ones ask for: Gramine measures them, the simulation does not."""
    shared = [file for file in (*code.program.values(), *code.files.values()) if _is_shared(file.file)]
    ours = {file.file.name for file in shared}
    seen: set[str] = set()
    waiting = [name for file in shared for name in needed_libraries(file.file.read_bytes())]
    while waiting:
        name = waiting.pop()
        found = folder / name
        if name in seen or name in ours or name in GLIBC or not found.is_file():
            continue
        seen.add(name)
        yield os.fspath(found)
        waiting += needed_libraries(found.read_bytes())


def _is_shared(file: Path) -> bool:
    with file.open("rb") as reading:
        return reading.read(4) == b"\x7fELF"


def main(arguments: Iterable[str] | None = None) -> None:
    """Print the manifest of one role."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    parser = argparse.ArgumentParser(description="The Gramine manifest of one of Coco's enclaves.")
    parser.add_argument("role", choices=sorted(KINDS))
    parser.add_argument("--gramine", type=Path, default=Path("/usr/lib", multiarch, "gramine"))
    parser.add_argument("--system", type=Path, default=Path("/usr/lib", multiarch))
    parsed = parser.parse_args(None if arguments is None else list(arguments))
    manager, worker = measure_node()
    code = manager.code if KINDS[parsed.role] == "manager" else worker.code
    sys.stdout.write(render(parsed.role, code, parsed.gramine, parsed.system))


if __name__ == "__main__":
    main()
