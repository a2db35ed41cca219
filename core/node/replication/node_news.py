"""What a node tells its executor of itself and the others (core/node/node_news.py reads it), and of its clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core import limits
from core.consensus.engine import Role, Status
from core.node.manager_tables import SystemState
from core.types import NodeId


class ClockWatch:
    """Compares blocks' times with this node's clock. Where they differ one of two clocks is wrong: that is a warning.

    It stops nothing: whose clock is wrong is not known here, and the block is committed.
    """

    def __init__(self, clock: Callable[[], float], log: Callable[[str], None]) -> None:
        self._clock = clock
        self._log = log
        self.behind_s = 0
        """By how much this node's clock is behind the newest block's time, where that is too much; else 0."""

    def note(self, time_s: int) -> bool:
        """Look at a committed block's time; returns whether it begins or ends to be too far ahead."""
        behind_s = time_s - int(self._clock())
        was_behind, self.behind_s = self.behind_s, behind_s if behind_s > limits.BLOCK_TIME_AHEAD_SECONDS_MAX else 0
        if bool(was_behind) == bool(self.behind_s):
            return False
        if self.behind_s:
            self._log(
                f"warning: a block's time is {behind_s} s ahead of this node's clock: this or its leader's is wrong"
            )
        return True


def news_of(status: Status, state: SystemState, own: NodeId, clock: ClockWatch, removed: str) -> dict[str, Any]:
    """Return the facts for LedgerStatus. removed: why this node takes part no more, else empty."""
    role = status.role.value if status.role in (Role.LEADER, Role.LEARNER) else Role.FOLLOWER.value
    nodes = []
    for name, slot in sorted(state.slots.items()):
        for node in slot.nodes:
            info = state.nodes.get(node.encode())
            nodes.append(
                {
                    "node_id": node,
                    "slot": name,
                    "member": slot.member,
                    "address": slot.address,
                    "status": info.status if info else "",
                    "role": role if node == own else "leader" if node == status.leader else "",
                }
            )
    told = {"role": role, "leader": status.leader or "", "nodes": nodes, "clock_behind_seconds": clock.behind_s}
    return told | ({"role": "removed", "removed": removed} if removed else {})
