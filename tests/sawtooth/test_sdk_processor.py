"""The unmodified SDK's TransactionProcessor, through `coco proxy` and outside the enclaves of three live nodes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tools.network import Proxy, ToolNetwork

CLIENTS = Path(__file__).parent / "clients"
SECONDS_MAX = 90


@contextmanager
def running(python: Path, proxy: Proxy, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run clients/notes_processor.py, until the block ends."""
    process = subprocess.Popen(
        [str(python), str(CLIENTS / "notes_processor.py"), proxy.zmq, *options],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        expect(process, "started")
        yield process
    finally:
        process.kill()
        process.wait(SECONDS_MAX)
        assert process.stdout is not None
        process.stdout.close()


def expect(process: subprocess.Popen[str], line: str) -> None:
    """Wait for a line that the processor prints; one that prints nothing is killed in the end."""
    assert process.stdout is not None
    late = threading.Timer(SECONDS_MAX, process.kill)
    late.start()
    try:
        assert process.stdout.readline().strip() == line
    finally:
        late.cancel()


def client(python: Path, proxy: Proxy, *arguments: str) -> subprocess.Popen[str]:
    """Start clients/notes_client.py."""
    return subprocess.Popen(
        [str(python), str(CLIENTS / "notes_client.py"), proxy.http, proxy.zmq, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def seen_by(process: subprocess.Popen[str]) -> Any:
    """Return what a client saw."""
    output, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, f"{output}\n{errors}"
    return json.loads(output.splitlines()[-1])


def test_a_processor(sdk_python: Path, proxy: Proxy) -> None:
    with running(sdk_python, proxy):
        seen = seen_by(client(sdk_python, proxy, "first", "one", " two", "forbidden", " three"))
    assert seen == {
        "statuses": [["COMMITTED"], ["COMMITTED"], ["INVALID", "that may not be noted"], ["COMMITTED"]],
        "text": "one two three",
        "events": ["notes/added"],
        "receipt": ["noted"],
    }


def test_a_processor_killed_in_the_middle(sdk_python: Path, proxy: Proxy) -> None:
    """The batch is run again, as a whole, by a processor that comes later."""
    with running(sdk_python, proxy, "stall") as stalled:
        sent = client(sdk_python, proxy, "killed", "whole")
        expect(stalled, "stalled")
        stalled.kill()
    with running(sdk_python, proxy) as other:
        seen = seen_by(sent)
        expect(other, "applied")
    assert (seen["statuses"], seen["text"]) == ([["COMMITTED"]], "whole")


def test_an_organisation_that_the_constitution_does_not_name(
    sdk_python: Path, proxy: Proxy, network: ToolNetwork
) -> None:
    south = network.proxy("south", "--zmq-port", "0")
    with running(sdk_python, south) as refused, running(sdk_python, proxy):
        expect(refused, "stopped")
        seen = seen_by(client(sdk_python, south, "south", "by another"))  # it may send what north runs
    assert (seen["statuses"], seen["text"]) == ([["COMMITTED"]], "by another")
