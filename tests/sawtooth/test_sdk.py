"""The unmodified Sawtooth SDK from PyPI against a live network of three nodes, through `coco proxy`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.tools.network import Proxy

CLIENTS = Path(__file__).parent / "clients"
SECONDS_MAX = 120


def run_client(python: Path, proxy: Proxy, *parts: str) -> Any:
    """Run parts of clients/intkey_client.py and return what it saw."""
    done = subprocess.run(
        [str(python), str(CLIENTS / "intkey_client.py"), proxy.http, proxy.zmq, *parts],
        capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def test_an_application_over_rest(sdk_python: Path, proxy: Proxy) -> None:
    seen = run_client(sdk_python, proxy, "rest")["rest"]
    assert seen.pop("newest_block") >= 1
    assert seen == {
        "submitted": 202,
        "status": "COMMITTED",
        "value": "a1647265737407",
        "link_followed": True,
        "second_page": 1,
        "batch": True,
        "wrong_payload": 30,
        "no_state": 75,
    }


def test_an_application_over_zeromq(sdk_python: Path, proxy: Proxy) -> None:
    seen = run_client(sdk_python, proxy, "zmq")["zmq"]
    assert seen == {"submitted": "OK", "status": "COMMITTED", "value": "a1637a6d7109"}


def test_events(sdk_python: Path, proxy: Proxy) -> None:
    seen = run_client(sdk_python, proxy, "events")["events"]
    assert seen == {
        "subscribed": "OK",
        "pushed": True,
        "types": ["sawtooth/block-commit", "sawtooth/state-delta"],
        "addresses": True,
    }
