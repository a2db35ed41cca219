"""The launched enclaves of a node as its host knows them, and how the cause of a node's end is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import ChannelClosed, CocoError, NodeStopped
from enclave_sim.boundary.messages import ReportedFailure, Role
from enclave_sim.ocall_server import OcallServer
from enclave_sim.process import HOST_GONE_EXIT_CODE

RESTART = "Every answered transaction is on disk; start again with: coco network start"
LOST_PEER = frozenset({ChannelClosed.__name__, NodeStopped.__name__})
"""What an enclave reports when another one is gone: never the cause."""


@dataclass(slots=True)
class Enclave:
    """One launched enclave. status: exit code, or minus the signal; None while it lives. killed: by the host."""

    number: int
    name: str
    role: Role
    server: OcallServer
    serving: asyncio.Task[None]
    ended: asyncio.Event
    pid: int = 0
    status: int | None = None
    killed: bool = False


def failure_of(enclaves: Iterable[Enclave]) -> CocoError:
    """Return the error that names the cause of a node's end."""
    cause = min(enclaves, key=rank)
    failed = cause.server.failed
    if failed is not None and failed.kind not in LOST_PEER:
        return ReportedFailure(failed.message, kind=failed.kind, exit_code=failed.exit_code, hint=failed.hint)
    kind = "manager enclave" if cause.role == "manager" else f"worker enclave ({cause.name})"
    how = told(cause.status) if cause.status is not None else "unknown"
    return NodeStopped(f"{kind} died ({how}); the node has stopped", hint=RESTART)


def rank(enclave: Enclave) -> int:
    """Order enclaves by how likely their end was the cause."""
    if enclave.status is None or enclave.killed:
        return 5
    failed = enclave.server.failed
    if enclave.status < 0:
        return 0
    if failed is not None:
        return 3 if failed.kind in LOST_PEER else 1
    return 2 if enclave.status not in (0, HOST_GONE_EXIT_CODE) else 4


def told(status: int) -> str:
    """Say how a process ended."""
    return f"exit code {status}" if status >= 0 else f"signal {-status}"
