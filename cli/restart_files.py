"""What a node of this machine that waits for its network says, and what is handed to it: files on its own disk.

core/node/replication/restart_desk.py tells what they are. The node judges what it finds; nothing here decides anything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import NotFound, Refused, WrongUse
from cli.files import read_private, write_private
from cli.local_nodes import LocalNode, find_node
from core import limits
from core.crypto.hashing import sha256
from core.errors import CocoError, NodeStopped

if TYPE_CHECKING:
    from core.governance.restarts import RestartRequest
    from core.node.replication.restart_desk import RestartState

VERDICT_SECONDS_MAX = 30.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Waiting:
    """A node that waits. request: what its members are asked, None when it waits for other nodes' disks."""

    node: LocalNode
    folder: Path
    state: RestartState
    request: RestartRequest | None

    @property
    def request_file(self) -> Path:
        return self.folder / "request"

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        import msgspec

        from core.node.replication.restart_desk import describe

        shown = msgspec.to_builtins(self.state)
        return {
            "slot": self.node.slot,
            "waits_for": self.state.waits_for,
            "disks": shown["disks"],
            "missing": shown["missing"],
            "reaches_furthest": self.state.best,
            "accept_loss": self.state.accept_loss,
            "request_file": None if self.request is None else str(self.request_file),
            "request": None if self.request is None else describe(self.request),
            "needed": self.state.needed,
            "approved": list(self.state.approved),
            "refused": [{"file": digest, "reason": reason} for digest, reason in self.state.refused],
        }


def read_waiting(node: LocalNode) -> Waiting | None:
    """Return what a node says that waits for its network, None for any other. Raises CocoError."""
    from core.governance.restarts import RestartRequest
    from core.node.replication.restart_desk import decode_state
    from enclave_sim.host_config import NodePaths
    from enclave_sim.status import read_status, running_pid

    if running_pid(node.directory) is None or read_status(node.directory) is not None:
        return None
    folder = NodePaths(node.directory).disk / "restart"
    data = read_private(folder / "state")
    if data is None:
        return None
    state = decode_state(data)
    asked = read_private(folder / "request") if state.request else None
    return Waiting(node, folder, state, RestartRequest.decode(asked) if asked else None)


def waiting_nodes(nodes: Sequence[LocalNode]) -> list[Waiting]:
    """Return those of this machine's nodes that wait."""
    return [found for node in nodes if (found := read_waiting(node)) is not None]


def choose_waiting(network: str, nodes: Sequence[LocalNode], slot: str | None, *, asks: bool) -> Waiting:
    """Return the node of a slot, or the one that is meant; asks: it waits for members. Raises NotFound, WrongUse."""
    if slot is not None:
        found = read_waiting(find_node(network, nodes, slot))
        candidates = [] if found is None else [found]
    else:
        candidates = [one for one in waiting_nodes(nodes) if one.request is not None or not asks]
    if len(candidates) > 1:
        names = ", ".join(one.node.slot for one in candidates)
        raise WrongUse(f"several nodes wait: {names}", hint="Name one: --node SLOT.")
    if not candidates or (asks and candidates[0].request is None):
        whom = "its members" if asks else "its network"
        raise NotFound(
            f"no node of network {network} on this machine waits for {whom}" if slot is None
            else f"the node {slot} does not wait for {whom}",
            hint="coco network status tells what the nodes of this machine do.",
        )  # fmt: skip
    return candidates[0]


def hand_over(waiting: Waiting, approvals: Sequence[bytes]) -> list[tuple[str, str]]:
    """Give approvals to a waiting node; return digest and verdict of each: "counted", or why it does not count.

    Raises NodeStopped when it ends meanwhile, CocoError when it says nothing.
    """
    digests = {sha256(data).hex(): data for data in approvals}
    for digest, data in digests.items():
        if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
            raise WrongUse(f"an approval of {len(data)} bytes", hint="It is not what coco node restart approve wrote.")
        write_private(waiting.folder / f"approval_{digest}", data)
    deadline = time.monotonic() + VERDICT_SECONDS_MAX
    while time.monotonic() < deadline:
        verdicts = _verdicts(waiting, list(digests))
        if verdicts is not None:
            return verdicts
        time.sleep(_LOOK_SECONDS)
    raise CocoError("the node does not say whether the approvals count", hint="coco node restart show, and its log.")


def _verdicts(waiting: Waiting, digests: Sequence[str]) -> list[tuple[str, str]] | None:
    from enclave_sim.status import read_status, running_pid

    if running_pid(waiting.node.directory) is None:
        raise NodeStopped(f"{waiting.node.slot} stopped meanwhile", hint="Start it again; it then asks anew.")
    now = read_waiting(waiting.node)
    if now is None:
        # It has heard of enough members; its state went with its waiting.
        went_on = read_status(waiting.node.directory) is not None or not any(
            (waiting.folder / f"approval_{digest}").exists() for digest in digests
        )
        return [(digest, "counted") for digest in digests] if went_on else None
    refused = dict(now.state.refused)
    known = {digest: "counted" for digest in now.state.counted} | refused
    return [(digest, known[digest]) for digest in digests] if all(one in known for one in digests) else None


def check_counted(verdicts: Sequence[tuple[str, str]]) -> None:
    """Raise Refused when one of them does not count."""
    refused = [(digest, reason) for digest, reason in verdicts if reason != "counted"]
    if refused:
        told = "; ".join(f"{digest[:16]}: {reason}" for digest, reason in refused)
        raise Refused(
            f"{len(refused)} of {len(verdicts)} approvals do not count: {told}",
            code=0,
            hint="Approve of the request as it is now: coco node restart show",
        )


def ask_for_loss(waiting: Waiting) -> None:
    """Tell a waiting node that its operator would do without the disks that are missing."""
    write_private(waiting.folder / "accept_loss", b"")
