"""Asking a node on this machine for a snapshot: a signal (USR1) to its host, which passes it on to the manager.

Whoever may signal the host may stop it as well, so this gives nobody more than they have.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import CocoError, NodeStopped
from core.ledger.snapshot_format import FOLDER, SnapshotName
from enclave_sim.host_config import NodePaths
from enclave_sim.status import read_status

_LOOK_SECONDS = 0.05


@contextmanager
def snapshot_signal_ignored() -> Iterator[None]:
    """Until it is handled, let the signal not end the process, as it would."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def on_snapshot_signal(take: Callable[[], None]) -> None:
    """Call `take` at each signal, from now until the process or `snapshot_signal_ignored` ends."""
    if threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, take)


def request_snapshot(directory: Path, seconds_max: float) -> Path:
    """Have the running node of a directory write a snapshot; return its file. Raises NodeStopped, CocoError."""
    status = read_status(directory)
    if status is None:
        raise NodeStopped(f"no node runs in {directory}", hint="Start it first: coco network start")
    folder = NodePaths(directory).disk / FOLDER
    before = _committed(folder)
    try:
        os.kill(status.pid, signal.SIGUSR1)
    except ProcessLookupError:
        raise NodeStopped(f"the node in {directory} is gone", hint="Start it: coco network start") from None
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        if written := _committed(folder) - before:
            return folder / max(written, key=lambda name: int(name.split("_")[1]))
        if read_status(directory) is None:
            raise NodeStopped("the node stopped meanwhile", hint=f"See {NodePaths(directory).log}.")
        time.sleep(_LOOK_SECONDS)
    raise CocoError(
        f"no snapshot was finished within {seconds_max:.0f} s",
        hint="One begins only after the ledger before the last one is verified: coco node status tells.",
    )


def _committed(folder: Path) -> set[str]:
    """Return the names of the finished snapshots."""
    if not folder.is_dir():
        return set()
    return {file.name for file in folder.iterdir() if SnapshotName.parse(file.name) is not None}
