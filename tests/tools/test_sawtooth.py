"""npm's unmodified `sawtooth-sdk`, as a client of a live network through `coco proxy`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.tools.network import start_network
from tests.tools.node import run, workshop

HERE = Path(__file__).resolve().parent


def test_use(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = workshop(tmp_path / "client", "sawtooth")
    shutil.copy(HERE / "sawtooth/intkey.cjs", directory)
    home = tmp_path_factory.mktemp("network")
    network = start_network(home, "saw", "--adapter", "sawtooth", "-o", "north", "-o", "south")
    try:
        proxy = network.proxy("north", "--zmq-port", "0")
        done = run(["node", "intkey.cjs", proxy.http, proxy.zmq], directory)
    finally:
        network.close()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "rest": {"submitted": 202, "status": "COMMITTED", "value": "a1676a732d7265737407", "wrong": 35},
        "zmq": {"submitted": 1, "status": 1, "value": "a1666a732d7a6d7109"},
    }
