"""A command line in a home of its own, with a stand-in for the adapters' entry points."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli.genesis
import cli.wallet
from cli.local_nodes import LocalNode, local_nodes
from cli.main import root
from cli.store import ClientStore
from tests.cli.fake_chain import ABI, Chain
from tests.cli.fake_node import FakeNode, client_side, in_a_thread
from tests.cli.runner import Coco, Ran


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


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.wallet, "SCRYPT_WORK", 1024)


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


@pytest.fixture
def threaded_node(tmp_path: Path) -> Iterator[FakeNode]:
    """A stand-in node in a thread of its own, for blocking clients."""
    running = FakeNode(tmp_path)
    with in_a_thread(running):
        yield running


@pytest.fixture
def started(home: Path, threaded_node: FakeNode) -> ClientStore:
    """The client side of a network whose node is the stand-in."""
    return client_side(home, threaded_node)


@pytest.fixture
def chain(threaded_node: FakeNode, started: ClientStore, coco: Coco) -> Chain:
    scripted = Chain()
    threaded_node.answer = scripted.answer
    coco("account", "new", "alice", "--no-password")
    return scripted


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    file = tmp_path / "Register.json"
    file.write_text(json.dumps({"contractName": "Register", "abi": ABI, "bytecode": "0x6001"}))
    return file


@pytest.fixture
def trio(coco: Coco, home: Path, stand_in_adapters: None) -> list[LocalNode]:
    """Three nodes of three members that were never started."""
    coco("network", "create", "trio", "--nodes", "3", "--port", "0", "-o", "a", "-o", "b", "-o", "c", "-p", "d")
    return local_nodes(home / "networks" / "trio")
