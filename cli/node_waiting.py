"""Nodes of this machine that wait for a ticket: what they ask for, and how they are given it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.errors import WrongUse
from cli.files import read_private, write_private
from cli.local_nodes import LocalNode
from cli.membership import AUTHORIZATION_FILE
from core import limits
from core.errors import CocoError, NodeStopped

if TYPE_CHECKING:
    from core.governance.ticket_requests import TicketRequest
    from enclave_sim.status import Status

DEFAULT_HOURS = 24
HOURS_MAX = limits.TICKET_SECONDS_MAX // 3_600
ANSWER_SECONDS_MAX = 60.0
JOINED_SECONDS_MAX = 120.0
_LOOK_SECONDS = 0.1


class WaitsForTicket(CocoError):
    """A node that runs, and waits until its member has signed for its key."""

    exit_code = 3


class TicketRefused(CocoError):
    """A ticket that does not count for the node that it was given to."""

    exit_code = 6


def request_file(node: LocalNode) -> Path | None:
    """Return what a node wants signed, None for one that waits for no ticket."""
    from enclave_sim.host_config import NodePaths
    from enclave_sim.status import running_pid

    file = NodePaths(node.directory).ticket_request
    return file if running_pid(node.directory) is not None and file.is_file() else None


def waiting(node: LocalNode) -> WaitsForTicket:
    """Return what is to be said of a node that waits."""
    file = request_file(node)
    return WaitsForTicket(
        f"{node.slot} runs, and waits for a ticket for its key",
        hint=f"Its member signs: coco node ticket {node.slot} --request {file}. Then here: coco node join FILE",
    )


def describe(node: LocalNode) -> dict[str, Any]:
    """Return what a node that waits wants, and what is to be done. Raises CocoError."""
    file = request_file(node)
    data = read_private(file) if file is not None else None
    if file is None or data is None:
        raise NodeStopped(f"{node.slot} waits for no ticket any more", hint=f"coco node status --node {node.slot}")
    request = _parse(data)
    return {
        "slot": node.slot,
        "state": "waits for a ticket",
        "node": request.node,
        "request": str(file),
        "until": request.until,
        "next": f"coco node ticket {node.slot} --request {file}; then here: coco node join {node.slot}.cose",
    }


def give_ticket(node: LocalNode, signed: bytes) -> Status:
    """Give a node that waits what its member signed; return its status once it serves.

    Raises TicketRefused with the node's reason, NodeStopped with what ended it, CocoError when it takes too long.
    """
    from enclave_sim.status import read_status, running_pid
    from enclave_sim.ticket_hosting import read_answer

    digest = hashlib.sha256(signed).hexdigest()
    before = read_answer(node.directory)
    if before is not None and before.digest == digest and before.reason:
        raise TicketRefused(f"the ticket does not count ({before.reason}): {before.message}", hint=before.hint)
    write_private(node.directory / AUTHORIZATION_FILE, signed)
    deadline, is_taken = time.monotonic() + ANSWER_SECONDS_MAX, False
    while time.monotonic() < deadline:
        answer = read_answer(node.directory)
        if answer is not None and answer.digest == digest and not is_taken:
            if answer.reason:
                raise TicketRefused(f"the ticket does not count ({answer.reason}): {answer.message}", hint=answer.hint)
            deadline, is_taken = time.monotonic() + JOINED_SECONDS_MAX, True
        status = read_status(node.directory)
        if status is not None:
            return status
        if running_pid(node.directory) is None:
            raise NodeStopped(f"{node.slot} has stopped: {_last_words(node)}", hint="Its log tells more.")
        time.sleep(_LOOK_SECONDS)
    what = "has its ticket, and has not joined" if is_taken else "has not looked at its ticket"
    raise CocoError(f"{node.slot} {what} after a while: {_last_words(node)}", hint="It goes on by itself.")


def read_request(file: Path, slot: str) -> TicketRequest:
    """Parse what a node of this slot wants signed; raises WrongUse, CocoError."""
    from cli.files import read_file

    request = _parse(read_file(file))
    if request.slot != slot:
        raise WrongUse(f"{file} is of the node {request.slot}, not of {slot[:40]}")
    return request


def _parse(data: bytes) -> TicketRequest:
    from core.governance.ticket_requests import parse_request

    return parse_request(data)


def _last_words(node: LocalNode) -> str:
    from enclave_sim.host_config import NodePaths

    data = read_private(NodePaths(node.directory).log) or b""
    lines = click.unstyle(data[-4_096:].decode("utf-8", "replace")).strip().splitlines()
    return lines[-1] if lines else "its log is empty"
