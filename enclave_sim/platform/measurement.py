"""What an enclave is: the files it is made of, as an SGX image whose `.sgxs` stream has MRENCLAVE for its SHA-256.

    image = "COCOIMG1" | number of records u64 | (path length u64 | path | size u64 | bytes) ... | zeros to the page

Records are sorted by path, integers little-endian. The first record, `.configuration`, is canonical JSON: which enclave
it is, and the digests of the interpreter, of every library and of every adapter's code. The other records are our own
files and third parties' adapters, whole. Manager: core/ and enclave_sim/. Worker: these, adapters/, every adapter
installed by entry point `coco.adapters`, and every transaction family installed by `coco.sawtooth_families`. A digest
of several files is SHA-256 over (path length u64 | path | SHA-256).

The pages with the image come first, then the page of the thread's control structure (TCS) and that of its saved state.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from core.errors import CocoError
from enclave_sim.platform.code_files import (
    APPLICATION,
    Files,
    adapter_entry_points,
    adapter_files,
    dependency_files,
    family_entry_points,
    interpreter_files,
    package_files,
    source_root,
)
from enclave_sim.platform.code_list import CodeFile, CodeList, Digested, Installed, make_code_list
from enclave_sim.platform.cpu import PRODUCT, SECURITY_VERSION, EnclaveKind
from enclave_sim.sgx.sgxs import PAGE_BYTES, EnclaveImage, Page, SecInfo, write_sgxs

CONFIGURATION = ".configuration"
MANIFEST_VERSION = 1
HASHING_THREADS = 2
_MAGIC = b"COCOIMG1"
_PACKAGES: dict[EnclaveKind, tuple[str, ...]] = {
    "manager": ("core", "enclave_sim"),
    "worker": ("core", "enclave_sim", "adapters"),
}
_TCS = struct.Struct("<QQQIIQQQII")
_REINSTALL = "Install coco-ledger and its adapters again."


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured enclave. mrenclave: 32 bytes; sgxs: the canonical stream; configuration: the first record.

    code: what its loader is given (code_service.py).
    """

    kind: EnclaveKind
    mrenclave: bytes
    sgxs: bytes
    configuration: bytes
    code: CodeList = field(default_factory=CodeList, repr=False)


def measure(kind: EnclaveKind) -> bytes:
    """Return MRENCLAVE of the code installed here; raises CocoError when a file cannot be read."""
    return measure_enclave(kind, _digest(interpreter_files())).mrenclave


def measure_node() -> tuple[Measured, Measured]:
    """Measure manager and worker of the code installed here; raises CocoError when a file cannot be read."""
    interpreter = _digest(interpreter_files())
    return measure_enclave("manager", interpreter), measure_enclave("worker", interpreter)


def measure_enclave(kind: EnclaveKind, interpreter: Digested) -> Measured:
    """Measure one enclave. interpreter: Python's own files."""
    files = package_files(source_root(), _PACKAGES[kind])
    entry_points = adapter_entry_points() if kind == "worker" else []
    families = family_entry_points() if kind == "worker" else []
    theirs: dict[str, Files] = {}
    for one in (*entry_points, *families):
        if found := adapter_files(one):
            theirs.setdefault(_distribution(one), {}).update(found)
    contents = {name: _read(file) for group in (files, *theirs.values()) for name, file in group.items()}
    own, *others = (
        {name: _digested(name, file, contents) for name, file in group.items()} for group in (files, *theirs.values())
    )
    adapters = dict(zip(theirs, others, strict=True))
    libraries = {name: _digest(group) for name, group in dependency_files(theirs).items()}
    everything = own | {name: file for group in others for name, file in group.items()}
    configuration = {
        "version": MANIFEST_VERSION,
        "enclave": kind,
        "product": PRODUCT[kind],
        "security_version": SECURITY_VERSION,
        "code": _combined(everything),
        "interpreter": _combined(interpreter),
        "libraries": [
            {"name": name, "version": _version(name), **_combined(libraries[name])} for name in sorted(libraries)
        ],
        "adapters": [_extension(one, adapters, own) for one in entry_points],
        "families": [_extension(one, adapters, own) for one in families],
    }
    installed = tuple(_installed(libraries, (*entry_points, *families)))
    code = make_code_list(interpreter, own, libraries, adapters, installed)
    return replace(_measure(kind, contents, configuration), code=code)


def measure_files(kind: EnclaveKind, files: Mapping[str, Path], configuration: Mapping[str, object]) -> Measured:
    """Measure these files under this configuration."""
    return _measure(kind, {name: _read(file) for name, file in files.items()}, configuration)


def _measure(kind: EnclaveKind, contents: Mapping[str, bytes], configuration: Mapping[str, object]) -> Measured:
    encoded = msgspec.json.encode(configuration, order="sorted")
    sgxs = b"".join(write_sgxs(_image(_encode({CONFIGURATION: encoded, **contents}))))
    return Measured(kind, hashlib.sha256(sgxs).digest(), sgxs, encoded)


def code_manifest(manager: Measured, worker: Measured) -> bytes:
    """Return the JSON that names all code of a node: each enclave's measurement, and the digests behind it."""

    def shown(measured: Measured) -> dict[str, Any]:
        configuration: dict[str, Any] = msgspec.json.decode(measured.configuration)
        return {"measurement": measured.mrenclave.hex()} | configuration

    return msgspec.json.encode({"manager": shown(manager), "worker": shown(worker)}, order="sorted")


def image_records(image: EnclaveImage) -> dict[str, bytes]:
    """Return the records of an image of ours by path; raises CocoError for any other image."""
    data = b"".join(page.content for page in image.pages if page.content is not None and page.flags == _DATA)
    if not data.startswith(_MAGIC):
        raise CocoError("not an image of Coco's", hint="coco enclave measure writes them.")
    try:
        return dict(_decode(data))
    except (struct.error, UnicodeDecodeError, IndexError):
        raise CocoError("the image's records are damaged", hint="coco enclave measure writes them.") from None


def _encode(records: Mapping[str, bytes]) -> bytes:
    parts = [_MAGIC, len(records).to_bytes(8, "little")]
    for name in sorted(records):
        for part in (name.encode(), records[name]):
            parts += [len(part).to_bytes(8, "little"), part]
    return b"".join(parts)


def _decode(data: bytes) -> Iterator[tuple[str, bytes]]:
    offset = len(_MAGIC)

    def take() -> bytes:
        nonlocal offset
        (size,) = struct.unpack_from("<Q", data, offset)
        offset += 8 + size
        if offset > len(data):
            raise IndexError
        return data[offset - size : offset]

    (count,) = struct.unpack_from("<Q", data, offset)
    offset += 8
    for _ in range(count):
        yield take().decode(), take()


_DATA = int(SecInfo.READ | SecInfo.REGULAR)


def _image(content: bytes) -> EnclaveImage:
    padded = content + bytes(-len(content) % PAGE_BYTES)
    pages = [Page(start, _DATA, padded[start : start + PAGE_BYTES]) for start in range(0, len(padded), PAGE_BYTES)]
    tcs_offset, state_offset = len(padded), len(padded) + PAGE_BYTES
    tcs = _TCS.pack(0, 0, state_offset, 0, 1, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    pages.append(Page(tcs_offset, int(SecInfo.TCS), tcs.ljust(PAGE_BYTES, b"\0")))
    pages.append(Page(state_offset, int(SecInfo.READ | SecInfo.WRITE | SecInfo.REGULAR), None))
    return EnclaveImage(1 << (state_offset + PAGE_BYTES - 1).bit_length(), 1, tuple(pages))


def _extension(entry_point: metadata.EntryPoint, theirs: Mapping[str, Digested], own: Digested) -> dict[str, object]:
    """Return what the configuration says of an adapter or family. theirs: the files of third parties' distributions."""
    distribution = _distribution(entry_point)
    return {
        "name": entry_point.name,
        "entry_point": entry_point.value,
        "distribution": distribution,
        "version": _version(distribution),
        **_combined(theirs.get(distribution) or _own_adapter(entry_point, own)),
    }


def _own_adapter(entry_point: metadata.EntryPoint, files: Digested) -> Digested:
    """Return the files of an adapter of ours: its package, and what adapters share."""
    folder = entry_point.module.rpartition(".")[0].replace(".", "/") + "/"
    return {
        name: file
        for name, file in files.items()
        if name.startswith(folder) or (name.startswith("adapters/") and name.count("/") == 1)
    }


def _installed(libraries: Iterable[str], entry_points: Iterable[metadata.EntryPoint]) -> Iterator[Installed]:
    lines: dict[str, dict[str, str]] = {name: {} for name in libraries}
    for one in entry_points:
        groups = lines.setdefault(_distribution(one), {})
        groups[one.group] = groups.get(one.group, f"[{one.group}]\n") + f"{one.name} = {one.value}\n"
    for name in sorted(lines):
        yield Installed(name, _version(name), "".join(lines[name].values()))


def _distribution(entry_point: metadata.EntryPoint) -> str:
    return APPLICATION if entry_point.dist is None else entry_point.dist.name


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _combined(files: Digested) -> dict[str, object]:
    """Return the digest of several files by their names and digests."""
    digest = hashlib.sha256()
    for name in sorted(files):
        encoded = name.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded + files[name].digest)
    return {"files": len(files), "sha256": digest.hexdigest()}


def _digest(files: Files) -> Digested:
    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        digests = threads.map(_file_digest, files.values())
        return {name: CodeFile(name, file, one) for (name, file), one in zip(files.items(), digests, strict=True)}


def _digested(name: str, file: Path, contents: Mapping[str, bytes]) -> CodeFile:
    """Return a file whose measured bytes are at hand."""
    return CodeFile(name, file, hashlib.sha256(contents[name]).digest())


def _file_digest(file: Path) -> bytes:
    """Return SHA-256 of a file, remembered in this process for as long as size and times stay."""
    try:
        found = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from None
    return _hash(file, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=20_000)
def _hash(file: Path, _size: int, _modified: int, _changed: int) -> bytes:
    return hashlib.sha256(_read(file)).digest()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> CocoError:
    return CocoError(f"{file} cannot be measured: {error.strerror}", hint=_REINSTALL)
