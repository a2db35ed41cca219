"""A command line in a home of its own, with a stand-in for the adapters' entry points."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli.genesis
from cli.main import root


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Coco = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COCO_NETWORK", "COCO_IDENTITY", "COCO_ACCOUNT", "COCO_PASSWORD", "COCO_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "home"
    monkeypatch.setenv("COCO_HOME", str(directory))
    return directory


@pytest.fixture
def coco(home: Path) -> Coco:
    """Run a command line: coco("network", "list", input=...)."""

    def run(*arguments: str, input: str | None = None, code: int | None = 0) -> Ran:
        result = CliRunner().invoke(root, list(arguments), input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        ran = Ran(result.exit_code, result.stdout, result.stderr)
        assert code is None or ran.code == code, f"{arguments}: exit code {ran.code}\n{ran.out}\n{ran.err}"
        assert "Traceback" not in ran.err
        return ran

    return run


@pytest.fixture
def network(coco: Coco) -> str:
    """A network that was created and never started."""
    coco("network", "create", "demo", "-o", "manufacturer", "-o", "carrier", "-p", "auditor", "--port", "0")
    return "demo"


class StandInAdapter:
    """Takes Ethereum's settings and does nothing."""

    def __init__(self, settings: Mapping[str, Any], network: str) -> None:
        from adapters.ethereum.settings import parse_settings

        parse_settings(settings)


@pytest.fixture
def stand_in_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `ethereum` and `kv` installed whatever is."""

    class Point(EntryPoint):
        def load(self) -> Any:
            return StandInAdapter if self.name == "ethereum" else lambda settings, network: None

    points = {name: Point(name, f"stand_in:{name}", "coco.adapters") for name in ("ethereum", "kv")}
    monkeypatch.setattr(cli.genesis, "installed_adapters", lambda: points)
