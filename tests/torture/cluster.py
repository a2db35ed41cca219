"""The nodes of one network on this machine, as real processes that can be killed, paused and started again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.connection import Connection
from cli.errors import Refused, Unreachable
from cli.local_nodes import LocalNode, local_nodes
from cli.store import ClientStore, Store
from core.errors import CocoError
from enclave_sim.host import start_detached
from enclave_sim.host import stop as stop_host
from enclave_sim.status import Status, stored_status
from tests.support.crash_load import all_gone

GONE_SECONDS_MAX = 30.0
START_SECONDS_MAX = 120.0
ASK_SECONDS_MAX = 3.0
POLL_SECONDS = 0.1

Runner = Callable[[str, Callable[[], Status]], Status]
"""Calls a function for a node, by slot, wherever its processes shall live (a network namespace)."""


def run_here(slot: str, start: Callable[[], Status]) -> Status:
    return start()


@dataclass(slots=True)
class Cluster:
    """See the module. Its network was created, and its nodes admitted, before."""

    store: Store
    network: str
    run: Runner = run_here
    nodes: dict[str, LocalNode] = field(init=False)
    _urls: dict[str, str] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.nodes = {one.slot: one for one in local_nodes(self.store.network_directory(self.network))}
        for slot in self.nodes:
            self.learn(slot)

    @property
    def client(self) -> ClientStore:
        return self.store.client(self.network)

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(self.nodes)

    @property
    def directories(self) -> dict[str, Path]:
        return {slot: node.directory for slot, node in self.nodes.items()}

    def url(self, slot: str) -> str:
        """Return a node's address, the last known where it is down."""
        with self._lock:
            return self._urls.get(slot, "https://127.0.0.1:1")

    def connect(self, slot: str, identity: str | None = None) -> Connection:
        """Connect to one node, and to no other."""
        client = self.client
        return Connection(self.url(slot), client.ca_file, client.identity(identity).token(), self.network)

    def start(self, slot: str) -> None:
        """Start a node and wait until it serves. Raises CocoError."""
        directory = self.nodes[slot].directory
        self.run(slot, lambda: start_detached(directory, START_SECONDS_MAX))
        self.learn(slot)

    def stop(self) -> None:
        """Stop the nodes in order, the first at last."""
        for slot in reversed(self.slots):
            stop_host(self.nodes[slot].directory)

    def kill(self, slot: str) -> None:
        """SIGKILL host and enclaves, and wait until they are gone."""
        pids = self.pids(slot)
        self.signal(slot, signal.SIGKILL)
        self.wait_until_gone(pids, GONE_SECONDS_MAX)

    def wait_until_gone(self, pids: Sequence[int], seconds_max: float) -> None:
        """Wait until none of these processes is left; raises CocoError."""
        wait_until(lambda: all_gone(list(pids)), seconds_max, "processes stay")

    def signal(self, slot: str, number: int, roles: Sequence[str] = ()) -> None:
        """Send a signal to a node's processes; roles: only to these."""
        status = stored_status(self.nodes[slot].directory)
        for name, pid in (status.pids if status is not None else {}).items():
            if not roles or name.startswith(tuple(roles)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def pids(self, slot: str) -> list[int]:
        status = stored_status(self.nodes[slot].directory)
        return list(status.pids.values()) if status is not None else []

    def state(self, slot: str) -> dict[str, Any] | None:
        """Return what a node says of itself, None when it does not answer."""
        with self.connect(slot) as connection:
            connection.timeout_seconds = ASK_SECONDS_MAX
            try:
                found: dict[str, Any] = connection.get("/node/status")
                return found
            except (Unreachable, Refused):
                return None

    def leader(self) -> str | None:
        """Return the node that leads now, as the nodes say; None when none does."""
        states = {slot: state for slot in self.slots if (state := self.state(slot)) is not None}
        leading = [slot for slot, state in states.items() if state.get("role", "leader") == "leader"]
        return max(leading, key=lambda slot: int(states[slot]["view"]), default=None)

    def wait_until_level(self, seconds_max: float = 60.0) -> int:
        """Wait until every node has committed the same; return the seqno."""
        found: set[int | None] = set()

        def is_level() -> bool:
            found.clear()
            found.update((self.state(slot) or {}).get("committed") for slot in self.slots)
            return len(found) == 1 and None not in found

        wait_until(is_level, seconds_max, "the nodes do not come level")
        return int(found.pop() or 0)

    def learn(self, slot: str) -> None:
        status = stored_status(self.nodes[slot].directory)
        if status is not None:
            with self._lock:
                self._urls[slot] = status.url


def wait_until(condition: Callable[[], bool], seconds_max: float, otherwise: str) -> None:
    """Wait; raises CocoError(otherwise) when it takes too long."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise CocoError(otherwise)
        time.sleep(POLL_SECONDS)
