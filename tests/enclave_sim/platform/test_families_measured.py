"""Transaction families of third parties are part of the worker's measurement, as adapters are."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.errors import CocoError
from enclave_sim.platform.measurement import code_manifest, measure, measure_node


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "their_family-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-family\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[coco.sawtooth_families]\ntheirs = their_family:Handler\n")
    (info / "RECORD").write_text("_editable.pth,,\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_an_installed_family_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = measure("worker"), measure("manager")
    (tmp_path / "their_family.py").write_text("raise AssertionError('measuring must not import')")
    install(tmp_path, monkeypatch)
    first = measure("worker")
    (tmp_path / "their_family.py").write_text("one = 2\n")
    assert len({before[0], first, measure("worker")}) == 3
    assert measure("manager") == before[1]
    manager, worker = measure_node()
    shown = msgspec.json.decode(code_manifest(manager, worker))["worker"]
    (theirs,) = shown["families"]
    assert (theirs["name"], theirs["distribution"], theirs["files"]) == ("theirs", "their-family", 1)
    assert "theirs" not in {one["name"] for one in shown["adapters"]}
    assert worker.code.files["their_family.py"].file == tmp_path / "their_family.py"
    (installed,) = [one for one in worker.code.installed if one.name == "their-family"]
    assert installed.entry_points == "[coco.sawtooth_families]\ntheirs = their_family:Handler\n"


def test_a_family_that_cannot_be_found_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    with pytest.raises(CocoError, match="'theirs'"):
        measure("worker")
