"""Hands enclaves their code: each file is read, compared with its measured digest, and only then given, and kept.

What was given once is given to every later enclave from here, so that all of a node's enclaves run the same bytes.
Modules are compiled here, once for all enclaves; a shared library is copied to sealed memory, which all enclaves map.
The protocol is enclave_sim/loader/channel.py's. A file that is not what was measured is refused, and
`on_refused` is told.
"""

from __future__ import annotations

import asyncio
import io
import marshal
import os
import socket
import warnings
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath

from core.errors import CocoError
from enclave_sim.loader.channel import CODE, DATA, GIVEN, HELLO, LIBRARY, REFUSED
from enclave_sim.loader.importer import ROOT
from enclave_sim.platform.code_list import CodeChanged, CodeFile, CodeList
from enclave_sim.platform.elf import needed_libraries
from enclave_sim.platform.mapped import check_mapped
from enclave_sim.platform.sealed_memory import sealed

REQUEST_BYTES_MAX = 4096
_FIRST_FILES = (
    "__future__.py",
    *(f"encodings/{name}.py" for name in ("__init__", "aliases", "utf_8")),
    *("enclave_sim/__init__.py", "enclave_sim/loader/__init__.py"),
    *(f"enclave_sim/loader/{name}.py" for name in ("boot", "channel", "importer")),
)
"""What runs before the loader can ask."""


class CodeStore:
    """What has been compiled and sealed, for all enclaves of a node. `close` frees it; enclaves keep what they have."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, bytes], bytes] = {}
        self._libraries: dict[bytes, tuple[int, tuple[str, ...]]] = {}

    def compiled(self, path: str, file: CodeFile) -> bytes:
        """Return a module's code, as marshal writes it. Raises CodeChanged."""
        key = path, file.digest
        if key not in self._compiled:
            source = file.read()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    code = compile(source, f"{ROOT}/{path}", "exec", dont_inherit=True, optimize=0)
            except (SyntaxError, ValueError) as error:
                raise CodeChanged(f"{path} is not Python of this version: {error}") from None
            self._compiled[key] = marshal.dumps(code)
        return self._compiled[key]

    def library(self, path: str, file: CodeFile) -> tuple[int, tuple[str, ...]]:
        """Return a descriptor, which stays ours, of a shared library, and the names of those it needs.

        Raises CodeChanged.
        """
        if file.digest not in self._libraries:
            data = file.read()
            self._libraries[file.digest] = sealed(PurePosixPath(path).name, data), needed_libraries(data)
        return self._libraries[file.digest]

    @property
    def descriptors(self) -> list[int]:
        """Those of sealed memory."""
        return [descriptor for descriptor, _ in self._libraries.values()]

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        self._libraries.clear()


class CodeService:
    """The code of one kind of enclave."""

    def __init__(self, code: CodeList, store: CodeStore) -> None:
        self._code = code
        self._store = store
        self._by_name: dict[str, str] = {}
        for path in code.files:
            self._by_name.setdefault(PurePosixPath(path).name, path)

    @property
    def program(self) -> str:
        """The interpreter's program."""
        return os.fspath(self._code.program["python"].file.resolve())

    def first_files(self) -> bytes:
        """Return, as a ZIP archive, what an enclave's process runs first. Raises CodeChanged."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as writing:
            for path in _FIRST_FILES:
                writing.writestr(path, self._file(path).read())
        return archive.getvalue()

    def extension(self, module: str) -> int | None:
        """Return a descriptor of a top-level extension module's bytes, which stays ours; None when there is none."""
        path = next((path for path in self._code.files if path.startswith(f"{module}.") and path.endswith(".so")), None)
        return None if path is None else self._store.library(path, self._file(path))[0]

    async def serve(self, end: socket.socket, process: int, on_refused: Callable[[str], None]) -> None:
        """Answer the loader of an enclave's process until it closes its end, or is refused something."""
        loop = asyncio.get_running_loop()
        end.setblocking(False)
        with end:
            while True:
                try:
                    size = int.from_bytes(await _receive(loop, end, 4), "little")
                    if not 1 <= size <= REQUEST_BYTES_MAX:
                        return
                    request = await _receive(loop, end, size)
                    status, payload, descriptor = self._answer(request, process, on_refused)
                    header = bytes([status]) + len(payload).to_bytes(4, "little")
                    # Nothing is on its way to the enclave now, so that the header always fits.
                    socket.send_fds(end, [header], [] if descriptor is None else [descriptor])
                    await loop.sock_sendall(end, payload)
                    if status == REFUSED:
                        return
                except (EOFError, OSError):
                    return  # The enclave is gone, or needs no more.

    def _answer(self, request: bytes, process: int, on_refused: Callable[[str], None]) -> tuple[int, bytes, int | None]:
        kind, path = request[:1], request[1:].decode("utf-8", "replace")
        try:
            match kind:
                case _ if kind == HELLO:
                    check_mapped(process, self._code, self._store.descriptors)
                    return GIVEN, self._index(), None
                case _ if kind == CODE:
                    return GIVEN, self._store.compiled(path, self._file(path)), None
                case _ if kind == DATA:
                    return GIVEN, self._file(path).read(), None
                case _ if kind == LIBRARY:
                    descriptor, names = self._store.library(path, self._file(path))
                    needed = [self._by_name[name] for name in names if name in self._by_name]
                    return GIVEN, "\n".join(needed).encode(), descriptor
        except CocoError as error:
            on_refused(error.message)
            return REFUSED, error.message.encode(), None
        return REFUSED, b"no such request", None

    def _index(self) -> bytes:
        installed = [(one.name, one.version, one.entry_points) for one in self._code.installed]
        return marshal.dumps((list(self._code.files), installed))

    def _file(self, path: str) -> CodeFile:
        file = self._code.files.get(path)
        if file is None:
            raise CodeChanged(f"{path} is not among the measured files")
        return file


async def _receive(loop: asyncio.AbstractEventLoop, end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await loop.sock_recv(end, size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
