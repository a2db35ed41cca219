"""The edits that turn confidentiality off, for its benchmark only, fit the source of today."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.confidentiality_off import EDITS, ROOT, Edit, copy_source


def test_every_edit_fits_and_the_copy_can_be_imported(tmp_path: Path) -> None:
    copy_source(tmp_path, EDITS)
    files = sorted({edit.file for edit in EDITS})
    for file in files:
        assert (tmp_path / file).read_text("utf-8") != (ROOT / file).read_text("utf-8")
    modules = ", ".join(file.removesuffix(".py").replace("/", ".") for file in files)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    script = f"import {modules}; print(core.__path__[0])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "core"


def test_without_edits_the_copy_is_the_source(tmp_path: Path) -> None:
    copy_source(tmp_path)
    for file in {edit.file for edit in EDITS}:
        assert (tmp_path / file).read_text("utf-8") == (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("old", ["text that stands nowhere", "import"], ids=["missing", "more than once"])
def test_an_edit_that_does_not_fit_is_refused(tmp_path: Path, old: str) -> None:
    with pytest.raises(ValueError, match=r"core/crypto/aead\.py no longer has the text that turns off encryption"):
        copy_source(tmp_path, (Edit("encryption", "core/crypto/aead.py", old, ""),))
