"""The fuses file: made once, private, and never guessed at when it is damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.errors import IncompatibleData, StorageFailed
from enclave_sim.platform.fuses import load_or_create_fuses


def test_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "platform" / "fuses"
    fuses = load_or_create_fuses(path)
    assert len(fuses) == 32
    assert load_or_create_fuses(path) == fuses
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["fuses"]


def test_two_platforms_differ(tmp_path: Path) -> None:
    assert load_or_create_fuses(tmp_path / "a") != load_or_create_fuses(tmp_path / "b")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "fuses"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(IncompatibleData):
        load_or_create_fuses(path)
    assert path.stat().st_size == size


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fuses"
    load_or_create_fuses(path)
    path.chmod(0o644)
    with pytest.raises(IncompatibleData, match="chmod 600"):
        load_or_create_fuses(path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    load_or_create_fuses(tmp_path / "real")
    (tmp_path / "fuses").symlink_to(tmp_path / "real")
    with pytest.raises(StorageFailed):
        load_or_create_fuses(tmp_path / "fuses")
