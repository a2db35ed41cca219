"""Code is given when it is what was measured; requests that make no sense, and files that changed, get nothing."""

from __future__ import annotations

import asyncio
import hashlib
import marshal
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import CodeType

import pytest

from enclave_sim.loader.channel import CODE, DATA, GIVEN, HELLO, LIBRARY, REFUSED
from enclave_sim.platform import code_service
from enclave_sim.platform.code_list import CodeChanged, CodeFile, CodeList, Installed, make_code_list
from enclave_sim.platform.code_service import REQUEST_BYTES_MAX, CodeService, CodeStore


def code_file(folder: Path, path: str, data: bytes) -> CodeFile:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return CodeFile(path, file, hashlib.sha256(data).digest())


class Bench:
    def __init__(self, folder: Path) -> None:
        contents = {"one.py": b"VALUE = 1\n", "bad.py": b"VALUE = = 1\n", "data.bin": b"\x00\x01"}
        self.files = {path: code_file(folder, path, data) for path, data in contents.items()}
        self.store = CodeStore()
        self.refused: list[str] = []
        self.end, theirs = socket.socketpair()
        self.end.setblocking(False)
        service = CodeService(CodeList(self.files, (Installed("a", "1"),)), self.store)
        self.task = asyncio.create_task(service.serve(theirs, os.getpid(), self.refused.append))

    async def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.end, size - len(data)), 5)
            if not part:
                raise EOFError
            data += part
        return data

    async def ask(self, kind: bytes, path: str = "") -> tuple[int, bytes]:
        body = kind + path.encode()
        self.end.send(len(body).to_bytes(4, "little") + body)
        header = await self.receive(5)
        return header[0], await self.receive(int.from_bytes(header[1:], "little"))


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(code_service, "check_mapped", lambda *_: None)
    made = Bench(tmp_path)
    yield made
    made.end.close()
    await asyncio.wait_for(made.task, 5)
    made.store.close()


async def test_what_is_given(bench: Bench) -> None:
    status, index = await bench.ask(HELLO)
    assert (status, marshal.loads(index)) == (GIVEN, (["one.py", "bad.py", "data.bin"], [("a", "1", "")]))
    status, data = await bench.ask(DATA, "data.bin")
    assert (status, data) == (GIVEN, b"\x00\x01")
    status, data = await bench.ask(CODE, "one.py")
    code = marshal.loads(data)
    assert isinstance(code, CodeType)
    assert (status, code.co_filename) == (GIVEN, "/enclave/one.py")
    assert bench.refused == []


async def test_what_was_given_once_is_given_again_though_the_file_changed(bench: Bench) -> None:
    first = await bench.ask(CODE, "one.py")
    bench.files["one.py"].file.write_bytes(b"VALUE = 2\n")
    assert await bench.ask(CODE, "one.py") == first
    status, reason = await bench.ask(DATA, "one.py")
    assert status == REFUSED
    assert b"one.py was changed after it was measured" in reason


@pytest.mark.parametrize(
    ("kind", "path", "reason"),
    [
        (CODE, "none.py", "none.py is not among the measured files"),
        (DATA, "../one.py", "../one.py is not among"),
        (DATA, "/etc/passwd", "/etc/passwd is not among"),
        (LIBRARY, "none.so", "none.so is not among"),
        (CODE, "bad.py", "bad.py is not Python of this version"),
    ],
)
async def test_what_is_refused(bench: Bench, kind: bytes, path: str, reason: str) -> None:
    status, payload = await bench.ask(kind, path)
    assert status == REFUSED
    assert reason in payload.decode()
    assert [reason in one for one in bench.refused] == [True]
    with pytest.raises(OSError):  # Nothing more is given.
        await bench.ask(DATA, "data.bin")


async def test_a_file_that_is_gone_is_refused(bench: Bench) -> None:
    bench.files["data.bin"].file.unlink()
    status, reason = await bench.ask(DATA, "data.bin")
    assert status == REFUSED
    assert b"cannot be read any more" in reason


async def test_an_unknown_kind_is_refused(bench: Bench) -> None:
    assert await bench.ask(b"\xff", "one.py") == (REFUSED, b"no such request")


async def test_a_path_that_is_no_text_is_refused(bench: Bench) -> None:
    assert (await bench.ask(DATA, "\udc80".encode("utf-8", "surrogatepass").decode("latin-1")))[0] == REFUSED


@pytest.mark.parametrize("size", [0, REQUEST_BYTES_MAX + 1, 2**32 - 1])
async def test_a_request_of_a_wrong_size_ends_it(bench: Bench, size: int) -> None:
    bench.end.send(size.to_bytes(4, "little") + bytes(64))
    with pytest.raises((EOFError, ConnectionResetError)):
        await bench.receive(1)


async def test_a_process_that_runs_something_else_gets_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise CodeChanged("another program")

    monkeypatch.setattr(code_service, "check_mapped", refuse)
    assert await bench.ask(HELLO) == (REFUSED, b"another program")
    assert bench.refused == ["another program"]


def test_nobody_replaces_what_stands_before_them(tmp_path: Path) -> None:
    """An adapter that brings modules of the library's, Coco's or Python's own names."""
    names = ("json/__init__.py", "core/errors.py", "msgspec/__init__.py", "theirs.py")
    groups = {
        group: {f"{prefix}{path}": code_file(tmp_path / group, path, group.encode()) for path in names[:count]}
        for group, prefix, count in (("python", "lib/", 1), ("own", "", 2), ("library", "", 3), ("adapter", "dist/", 4))
    }
    dynamic = code_file(tmp_path, "_one.so", b"")
    python = {**groups["python"], "lib/lib-dynload/_one.so": dynamic, "python": dynamic, "libpython": dynamic}
    code = make_code_list(python, groups["own"], {"library": groups["library"]}, {"dist": groups["adapter"]}, ())
    owners = {path: file.file.relative_to(tmp_path).parts[0] for path, file in code.files.items()}
    assert owners == {**dict(zip(names, ("python", "own", "library", "adapter"), strict=True)), "_one.so": "_one.so"}
    assert set(code.program) == {"python", "libpython"}
