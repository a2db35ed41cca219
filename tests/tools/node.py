"""Runs programs of Node.js in a directory of their own, with the packages of one of this folder's npm projects."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def packages(project: str) -> Path:
    """Return a project's node_modules, or fail and say what to run."""
    found = HERE / project / "node_modules"
    if not found.is_dir():
        pytest.fail(f"tests/tools/{project} has no packages: make test-tools brings them (needs Node and npm)")
    return found


def workshop(directory: Path, project: str) -> Path:
    """Make a directory in which imports find a project's packages."""
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / "node_modules"
    if not link.exists():
        link.symlink_to(packages(project), target_is_directory=True)
    return directory


def run(
    command: list[str], directory: Path, seconds_max: int = 120, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COCO_", "ETH_"))}
    return subprocess.run(
        command, cwd=directory, env=environment | variables, capture_output=True, text=True, timeout=seconds_max,
        check=False,
    )  # fmt: skip


def run_program(program: str, directory: Path, **variables: str) -> list[str]:
    """Run a program of Node.js that must succeed; the lines that it printed."""
    done = run(["node", program], directory, **variables)
    assert done.returncode == 0, f"{program}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def node22() -> str:
    """Return a Node.js of version 22 or newer: the machine's own, else that of node22/."""
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    if version and int(version[1:].split(".")[0]) >= 22:
        return "node"
    for found in sorted((HERE / "node22/node_modules").glob("node-linux-*/bin/node")):
        return str(found)
    pytest.fail("Hardhat needs Node.js 22: make test-tools brings one for Linux")
