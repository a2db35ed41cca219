"""Children get what they are given and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enclave_sim import launch
from enclave_sim.process import command, environment


def test_the_environment_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("LD_PRELOAD", "/elsewhere.so")
    assert set(environment()) <= {"PATH", "TZ", "LD_LIBRARY_PATH", "LANG"}


def test_modules_run_in_isolation_from_the_current_folder(tmp_path: Path) -> None:
    """A module of the current folder, or of PYTHONPATH, never takes the place of ours."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("raise SystemExit('the wrong core')")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('customised')")
    done = subprocess.run(
        command("enclave_sim.host", ["--help"]),
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "untrusted host" in done.stdout


def test_the_command_names_the_module_for_those_who_list_processes() -> None:
    assert command("enclave_sim.enclave_main", ["--role", "manager"]) == [
        sys.executable,
        "-I",
        os.path.realpath(launch.__file__),
        "enclave_sim.enclave_main",
        "--role",
        "manager",
    ]
