"""The enclave's end of the channel over which the platform hands it measured bytes (platform/code_service.py).

    request = length u32 | kind (1 byte) | path
    reply   = status (1 byte) | length u32 | payload        integers little-endian

Only modules that are built into the interpreter, or frozen in it, may be imported here: this runs before anything else
can be. The platform has checked what it hands over against the measurement. When it refuses, because a file is no
longer what was measured, the process ends there and then: an ImportError could be caught, and the enclave run without
a part.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock

TYPE_CHECKING = False  # The typing module is not there yet.
if TYPE_CHECKING:
    import _socket
    from typing import NoReturn

HELLO, CODE, DATA, LIBRARY = b"H", b"C", b"D", b"L"
"""Kinds of request: the index; a module's code; a file's bytes; a shared library, whose sealed memory is passed."""

GIVEN, REFUSED = 0, 1
REFUSED_EXIT_CODE = 72
"""An enclave that was refused code."""

_CONTROL_LEVEL = 1  # SOL_SOCKET and SCM_RIGHTS on Linux; the socket module has them, but is not there yet.
_DESCRIPTORS = 1
_CONTROL_BYTES_MAX = 64
_INT_BYTES = 4
_HEADER_BYTES = 5


class CodeChannel:
    """See the module. One request at a time, from any thread."""

    def __init__(self, end: _socket.socket) -> None:
        self._end: _socket.socket | None = end
        self._lock = RLock()

    def ask(self, kind: bytes, path: str = "") -> bytes:
        """Return the payload; raises ImportError once the channel is closed. Does not return when refused."""
        return self._ask(kind, path)[0]

    def ask_library(self, path: str) -> tuple[int, list[str]]:
        """Return a descriptor of a shared library's bytes, and the measured libraries that it needs."""
        payload, descriptor = self._ask(LIBRARY, path)
        if descriptor is None:
            _end("the platform passed no descriptor")
        return descriptor, payload.decode().split("\n") if payload else []

    def close(self) -> None:
        """Load nothing any more."""
        with self._lock:
            if self._end is not None:
                self._end.close()
                self._end = None

    def _ask(self, kind: bytes, path: str) -> tuple[bytes, int | None]:
        with self._lock:
            if self._end is None:
                raise ImportError(f"{path} was not loaded while the enclave could load code")
            body = kind + path.encode()
            self._end.sendall(len(body).to_bytes(4, "little") + body)
            header, control, _, _ = self._end.recvmsg(_HEADER_BYTES, _CONTROL_BYTES_MAX)
            header += self._receive(_HEADER_BYTES - len(header))
            payload = self._receive(int.from_bytes(header[1:], "little"))
        if header[0] != GIVEN:
            _end(payload.decode("utf-8", "replace"))
        for level, what, content in control:
            if (level, what, len(content)) == (_CONTROL_LEVEL, _DESCRIPTORS, _INT_BYTES):
                return payload, int.from_bytes(content, sys.byteorder)
        return payload, None

    def _receive(self, size: int) -> bytes:
        assert self._end is not None
        parts = []
        while size:
            part = self._end.recv(min(size, 1 << 20))
            if not part:
                _end("the platform is gone")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _end(reason: str) -> NoReturn:
    os.write(2, f"enclave code refused: {reason}\n".encode())
    os._exit(REFUSED_EXIT_CODE)
