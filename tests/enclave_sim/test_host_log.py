"""The host's log: stamped, on one line, bounded."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from core.errors import StorageFailed
from enclave_sim.host_log import HostLog


def test_lines_are_stamped_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "host.log"
    log = HostLog(path, to_stderr=True)
    log.line("manager", "one\nforged: \x1b[31mline")
    log.close()
    text = path.read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z manager: one forged:  \[31mline\n", text)
    assert capsys.readouterr().err == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_is_put_aside_at_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "host.log"
    log = HostLog(path, bytes_max=1000)
    for number in range(100):
        log.line("host", f"line {number}")
    log.close()
    assert path.stat().st_size <= 1000
    assert (tmp_path / "host.log.1").stat().st_size <= 1000
    assert "line 99" in path.read_text()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_line_that_cannot_be_written_is_lost_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = HostLog(tmp_path / "host.log")

    def full(_: int, __: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.line("host", "lost")
    log.close()


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed):
        HostLog(tmp_path / "missing" / "host.log")
