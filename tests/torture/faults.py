"""The fault injector: does one thing after another to the nodes, undoes each, and keeps a record of both.

A majority that is killed at once starts the network again by itself (docs/restarts.md).
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cli.membership import slots_of
from cli.node_run import prepare
from core.errors import CocoError
from tests.torture.availability import Fault
from tests.torture.cluster import Cluster, wait_until
from tests.torture.disks import Disks
from tests.torture.proxy import Line
from tests.torture.wires import Wires

VOTER_SECONDS_MAX = 180.0
DEAD_SECONDS_MAX = 30.0
REST_SECONDS = (1.0, 6.0)
ROLES = ("host", "platform", "manager", "executor", "gateway")


@dataclass(slots=True)
class Injector:
    """See the module. say: told each fault as it happens. only: these kinds of faults; () all there are."""

    cluster: Cluster
    wires: Wires
    disks: Disks
    random: random.Random
    say: Callable[[str], None]
    only: tuple[str, ...] = ()
    faults: list[Fault] = field(default_factory=list)
    restarts: int = 0

    def kinds(self) -> Mapping[str, Callable[[str], None]]:
        """Return what can be done here, each with the node that it is done to."""
        several = len(self.cluster.slots) > 1
        kinds = {
            "kill": self._kill,
            "kill the leader": lambda _: self._kill(self._leader()),
            "kill one process": self._kill_process,
            "pause": self._pause,
            "pause the leader": lambda _: self._pause(self._leader()),
            "disk full": self._fill_disk,
        }
        if several:
            kinds |= {
                "pause a majority": self._pause_majority,
                "kill a majority": self._kill_majority,
                "kill all": lambda _: self._kill_at_once("kill all", self.cluster.slots),
                "link down": self._cut,
                "link of the leader down": lambda _: self._cut(self._leader()),
                "slow link": self._slow,
                "lossy link": self._lossy,
            }
        if several and self.wires.can_part():
            kinds["part two nodes"] = self._part
        return {kind: do for kind, do in kinds.items() if not self.only or kind in self.only}

    def run(self, until: Callable[[], bool]) -> None:
        """Inject until told to stop; everything is healed at the end. Raises CocoError when a node stays away."""
        waiting: list[str] = []
        try:
            while not until():
                if not waiting:  # Each kind comes before any comes again.
                    waiting = list(self.kinds())
                    self.random.shuffle(waiting)
                kind = waiting.pop()
                slot = self.random.choice(self.cluster.slots)
                self.kinds()[kind](slot)
                self._rest(*REST_SECONDS)
        finally:
            self.heal_all()

    def heal_all(self) -> None:
        """Undo whatever is still in force."""
        self.wires.heal()
        for slot in self.cluster.slots:
            self.disks.free(slot)
            self.cluster.signal(slot, signal.SIGCONT)

    def _rest(self, low: float, high: float) -> None:
        time.sleep(self.random.uniform(low, high))

    def _leader(self) -> str:
        return self.cluster.leader() or self.random.choice(self.cluster.slots)

    def _kill(self, slot: str) -> None:
        began = self._begin(f"kill {slot}")
        self.cluster.kill(slot)
        self._rest(0.3, 4.0)
        self._come_back(slot)
        self._record("kill", (slot,), began)

    def _kill_majority(self, slot: str) -> None:
        self._kill_at_once("kill a majority", tuple(one for one in self.cluster.slots if one != slot))

    def _kill_at_once(self, kind: str, slots: tuple[str, ...]) -> None:
        """Kill nodes at once, and start them again, all at once too, since they wait for one another.

        Who is left of a network that has lost its majority sees by itself that it has, ends, and is started again by
        its host (docs/restarts.md): nobody does anything for it here.
        """
        began = self._begin(f"{kind}: {', '.join(slots)}")
        pids = [pid for slot in slots for pid in self.cluster.pids(slot)]
        for slot in slots:
            self.cluster.signal(slot, signal.SIGKILL)
        self.cluster.wait_until_gone(pids, DEAD_SECONDS_MAX)
        self._rest(0.3, 2.0)
        with ThreadPoolExecutor(len(slots)) as pool:
            for coming in [pool.submit(self._come_back, slot, is_prepared=True) for slot in slots]:
                coming.result()
        for slot in self.cluster.slots:
            if slot not in slots:
                what = f"{slot} lost its majority, and did not come back by itself"
                wait_until(lambda slot=slot: self._is_voter(slot, says=slots[0]), VOTER_SECONDS_MAX, what)  # type: ignore[misc]
                self.cluster.learn(slot)
        self._record(kind, slots, began, blocks=True)

    def _kill_process(self, slot: str) -> None:
        role = self.random.choice(ROLES)
        began = self._begin(f"kill {role} of {slot}")
        pids = self.cluster.pids(slot)
        self.cluster.signal(slot, signal.SIGKILL, (role,))
        self._until_dead(slot, pids)
        self._rest(0.0, 2.0)
        self._come_back(slot)
        self._record(f"kill one process ({role})", (slot,), began)

    def _fill_disk(self, slot: str) -> None:
        began = self._begin(f"fill the disk of {slot}")
        pids = self.cluster.pids(slot)
        self.disks.fill(slot)
        try:
            self._until_dead(slot, pids)
        finally:
            self.disks.free(slot)
        self._come_back(slot)
        self._record("disk full", (slot,), began)

    def _until_dead(self, slot: str, pids: list[int]) -> None:
        """Wait until a node that cannot go on has stopped; one that does not is ended, and said to be odd."""
        try:
            self.cluster.wait_until_gone(pids, DEAD_SECONDS_MAX)
        except CocoError:
            self.say(f"{slot} went on, and is killed")
            self.cluster.kill(slot)

    def _come_back(self, slot: str, *, is_prepared: bool = False) -> None:
        """Start a node again by its member's delegation, and wait until it takes part in full."""
        self.restarts += 1
        nodes = list(self.cluster.nodes.values())
        if len(nodes) > 1 and not is_prepared:
            prepare(nodes, self.cluster.nodes[slot], self.cluster.client)
        self.cluster.start(slot)
        if len(nodes) > 1:
            wait_until(lambda: self._is_voter(slot), VOTER_SECONDS_MAX, f"{slot} was not taken in again")

    def _is_voter(self, slot: str, says: str = "") -> bool:
        """says: who is asked, itself by default."""
        with self.cluster.connect(says or slot) as connection:
            connection.timeout_seconds = 3.0
            try:
                return slots_of(connection).get(slot, {}).get("state") == "active"
            except CocoError:
                return False

    def _pause(self, slot: str) -> None:
        self._pause_all("pause", (slot,), self.random.uniform(0.5, 8.0))

    def _pause_majority(self, slot: str) -> None:
        others = [one for one in self.cluster.slots if one != slot]
        self._pause_all("pause a majority", tuple(others), self.random.uniform(1.0, 6.0), blocks=True)

    def _pause_all(self, kind: str, slots: tuple[str, ...], seconds: float, *, blocks: bool = False) -> None:
        began = self._begin(f"{kind}: {', '.join(slots)} for {seconds:.1f} s")
        for slot in slots:
            self.cluster.signal(slot, signal.SIGSTOP)
        time.sleep(seconds)
        for slot in slots:
            self.cluster.signal(slot, signal.SIGCONT)
        self._record(kind, slots, began, blocks=blocks or len(self.cluster.slots) == 1)

    def _cut(self, slot: str) -> None:
        began = self._begin(f"link of {slot} down")
        self.wires.cut(slot)
        self._rest(1.0, 8.0)
        self.wires.heal()
        self._record("link down", (slot,), began)

    def _part(self, slot: str) -> None:
        other = self.random.choice([one for one in self.cluster.slots if one != slot])
        began = self._begin(f"{slot} and {other} parted")
        self.wires.part(slot, other)
        self._rest(1.0, 8.0)
        self.wires.heal()
        self._record("part two nodes", (slot, other), began)

    def _slow(self, slot: str) -> None:
        line = Line(delay_seconds=self.random.uniform(0.02, 0.2))
        self._line("slow link", slot, line)

    def _lossy(self, slot: str) -> None:
        line = Line(loss=self.random.uniform(0.05, 0.3), breaking=self.random.choice([0.0, 0.02]))
        self._line("lossy link", slot, line)

    def _line(self, kind: str, slot: str, line: Line) -> None:
        slots = self.random.choice([(slot,), self.cluster.slots])
        began = self._begin(f"{kind} to {', '.join(slots)}: {line}")
        for one in slots:
            self.wires.set_line(one, line)
        self._rest(2.0, 10.0)
        self.wires.heal()
        self._record(kind, slots, began, blocks=len(slots) > 1 and line.breaking > 0)

    def _begin(self, what: str) -> float:
        self.say(what)
        return time.monotonic()

    def _record(self, kind: str, slots: tuple[str, ...], began: float, *, blocks: bool = False) -> None:
        alone = len(self.cluster.slots) == 1
        self.faults.append(Fault(kind, slots, began, time.monotonic(), blocks or alone))
