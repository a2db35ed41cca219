"""A process that is started with more than the interpreter that was measured is given no code."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from enclave_sim.platform.code_files import interpreter_files
from enclave_sim.platform.code_list import CodeChanged, CodeFile, CodeList
from enclave_sim.platform.mapped import check_mapped, executable_mappings

MAPS = """\
55d0-55d1 r--p 00000000 fe:00 11 /usr/bin/python3.11
55d1-55d2 r-xp 00001000 fe:00 11 /usr/bin/python3.11
7f00-7f01 r-xp 00000000 00:01 44 /memfd:a name (deleted)
7f01-7f02 r-xp 00000000 00:00 0
7f02-7f03 r-xp 00000000 00:00 0 [vdso]
7f03-7f04 rw-p 00000000 fe:00 12 /usr/lib/libc.so.6
"""


@contextmanager
def running(environment: Mapping[str, str], program: str = os.path.realpath(sys.executable)) -> Iterator[int]:
    """A Python process that waits."""
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [program, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
        process.kill()


@pytest.fixture(scope="module")
def code() -> CodeList:
    files = {name: file for name, file in interpreter_files().items() if not name.startswith("lib/")}
    return CodeList(
        program={name: CodeFile(name, file, hashlib.sha256(file.read_bytes()).digest()) for name, file in files.items()}
    )


def test_mappings() -> None:
    assert [(one.path, one.inode) for one in executable_mappings(MAPS)] == [
        ("/usr/bin/python3.11", 11),
        ("/memfd:a name (deleted)", 44),
    ]


def test_the_measured_interpreter_is_accepted(code: CodeList) -> None:
    with running({}) as process:
        check_mapped(process, code, [])


def test_a_library_that_was_preloaded_is_refused(code: CodeList, tmp_path: Path) -> None:
    with running({}) as process:
        maps = executable_mappings(Path(f"/proc/{process}/maps").read_text())
        system = next(one.path for one in maps if Path(one.path).name.startswith("libm"))
    preloaded = tmp_path / "preloaded.so"
    shutil.copy(system, preloaded)
    with running({"LD_PRELOAD": str(preloaded)}) as process, pytest.raises(CodeChanged, match=r"preloaded\.so"):
        check_mapped(process, code, [])


def test_another_program_is_refused(code: CodeList) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        with pytest.raises(CodeChanged):
            check_mapped(process.pid, code, [])
        process.kill()


@pytest.mark.parametrize("part", ["python", "libpython"])
def test_a_program_that_was_changed_is_refused(code: CodeList, part: str) -> None:
    if part not in code.program:
        pytest.skip("this interpreter has no shared library of its own")
    changed = {**code.program, part: replace(code.program[part], digest=bytes(32))}
    with running({}) as process, pytest.raises(CodeChanged, match="changed after it was measured"):
        check_mapped(process, replace(code, program=changed), [])


def test_a_process_that_is_gone_is_refused(code: CodeList) -> None:
    with running({}) as process:
        pass
    with pytest.raises(CodeChanged, match="cannot be seen"):
        check_mapped(process, code, [])
