"""The measurement changes with every byte and name of the measured files, and with nothing else."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from core.errors import CocoError
from enclave_sim.platform import measurement
from enclave_sim.platform.measurement import measure, measure_files


def files(folder: Path, contents: dict[str, bytes]) -> list[tuple[str, Path]]:
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [(name, folder / name) for name in sorted(contents)]


def test_every_name_and_byte_counts(tmp_path: Path) -> None:
    base = {"a.py": b"one", "b.py": b"two"}
    variants = [base, {"a.py": b"one", "b.py": b"twO"}, {"a.py": b"onetwo", "b.py": b""}, {"a.py": b"one"}]
    variants += [{"a.py": b"one", "c.py": b"two"}, {**base, "c.py": b""}]
    digests = [measure_files("worker", files(tmp_path / str(n), one)) for n, one in enumerate(variants)]
    digests.append(measure_files("manager", files(tmp_path / "m", base)))
    assert len(set(digests)) == len(digests)
    assert measure_files("worker", files(tmp_path / "again", base)) == digests[0]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="cannot be measured"):
        measure_files("worker", [("a.py", tmp_path / "a.py")])


def test_this_installation() -> None:
    manager, worker = measure("manager"), measure("worker")
    assert len(manager) == len(worker) == 32
    assert manager != worker


def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str) -> None:
    """Install a distribution with an adapter, by its metadata alone."""
    info = tmp_path / "their_adapter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-adapter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[coco.adapters]\ntheirs = their_adapter.main:Adapter\n")
    (info / "RECORD").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("record", ["their_adapter/main.py,,\n", "_editable.pth,,\n"])
def test_an_installed_adapter_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str) -> None:
    before = measure("worker"), measure("manager")
    package = tmp_path / "their_adapter"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('measuring must not import')")
    (package / "main.py").write_text("one = 1\n")
    third_party(tmp_path, monkeypatch, record)
    with_adapter = measure("worker")
    (package / "main.py").write_text("one = 2\n")
    assert len({before[0], with_adapter, measure("worker")}) == 3
    assert measure("manager") == before[1]
    assert "their_adapter" not in sys.modules


def test_an_adapter_that_cannot_be_found_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(tmp_path, monkeypatch, "")
    with pytest.raises(CocoError, match="'theirs'"):
        measure("worker")


def test_our_own_distribution_is_not_measured_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[metadata.EntryPoint] = []
    monkeypatch.setattr(measurement, "_adapter_files", lambda entry: seen.append(entry) or iter(()))
    measure("manager")
    assert seen == []
