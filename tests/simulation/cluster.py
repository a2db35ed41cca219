"""A cluster of engines in simulated time: a heap of events, all of whose chances come from one seed.

Invariant: nothing but the seed and the engine's class decides what happens; no set of strings is iterated unsorted.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from core.consensus.configuration import (
    Configuration,
    SnapshotReference,
    encode_snapshot,
    sorted_nodes,
)
from core.consensus.engine import PeerMessage, Ready, SnapshotNeeded
from core.consensus.raft.engine import RaftEngine
from core.consensus.raft.messages import decode_message
from core.errors import CocoError, InvariantBroken, MalformedMessage
from core.types import NodeId, View
from tests.simulation.checks import Checks, Violation
from tests.simulation.host import Host
from tests.simulation.profile import TICK, Profile, draw_settings


def node_name(number: int) -> NodeId:
    """Return a node id that begins with its number, so that it can be read in messages."""
    return NodeId(f"{number:03d}".ljust(64, "0"))


class Cluster:
    """See the module. trace: called with a line for each thing that happens."""

    def __init__(
        self, seed: int, engine_class: type[RaftEngine] = RaftEngine, trace: Callable[[str], None] | None = None
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.profile = Profile.draw(self.rng)
        self.settings = draw_settings(self.rng)
        self.now = 0
        self.hosts: dict[NodeId, Host] = {}
        self.blocked: set[tuple[NodeId, NodeId]] = set()
        self.quiet = False
        """Whether faults are over."""
        self.checks = Checks(self)
        self._engine_class = engine_class
        self._trace = trace
        self._events: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._events_made = 0
        self._proposed = 0
        first = {node_name(number + 1) for number in range(self.profile.nodes)}
        configuration = Configuration(sorted_nodes(first))
        self.checks.begin(configuration)
        self.genesis = encode_snapshot(SnapshotReference(0, 0, configuration))
        for _ in first:
            self.start(self.genesis)

    # Hosts.

    def hosts_to_come(self) -> NodeId:
        """Return the name of the node that starts next."""
        return node_name(len(self.hosts) + 1)

    def start(self, snapshot: bytes, term: int = 0) -> Host:
        """Start a node under a new identity, from a snapshot."""
        node = self.hosts_to_come()
        engine = self._engine_class(node, self.settings, self.rng.randint, snapshot=snapshot, term=View(term))
        period = TICK + self.rng.randint(-self.profile.skew, self.profile.skew)
        host = self.hosts[node] = Host(node, engine, snapshot, period)
        self.trace(f"{node[:3]} starts")
        self.at(self.rng.randint(1, period), self._tick, host)
        return host

    def alive(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.alive]

    def leaders(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.leads]

    def crash(self, host: Host) -> None:
        """End a node for good. What was being written may be on its disk or not."""
        host.alive = False
        for ready in list(host.queue)[: self.rng.randint(0, len(host.queue))]:
            host.disk.write(list(ready.entries))
        self.trace(f"{host.node[:3]} crashes")

    # Time.

    def trace(self, line: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.now:6} {line}")

    def at(self, delay: int, call: Callable[..., None], *arguments: object) -> None:
        self._events_made += 1
        heapq.heappush(self._events, (self.now + delay, self._events_made, call, arguments))

    def run_until(self, time: int) -> None:
        events = self._events
        while events and events[0][0] <= time:
            self.now, _, call, arguments = heapq.heappop(events)
            call(*arguments)
        self.now = time

    def _tick(self, host: Host) -> None:
        if host.alive:
            self.at(host.period, self._tick, host)
            self.call(host, host.engine.tick)

    # What a host does with its engine.

    def call(self, host: Host, method: Callable[..., object], *arguments: object) -> bool:
        """Call an engine and carry out what it then hands out; returns False if it refused."""
        accepted = True
        try:
            method(*arguments)
        except CocoError as error:
            if isinstance(error, MalformedMessage):
                raise Violation(f"{host.node[:4]} refuses a message of an engine: {error}") from error
            accepted = False
        except InvariantBroken as error:
            raise Violation(f"{host.node[:4]} stops: {error}") from error
        self.pump(host)
        return accepted

    def pump(self, host: Host) -> None:
        engine = host.engine
        self.checks.observe(host)
        try:
            while engine.has_ready():
                ready = engine.ready()
                self.checks.observe(host)
                self.checks.check_handed(host, ready)
                self._carry_out(host, ready)
        except InvariantBroken as error:
            raise Violation(f"{host.node[:4]} stops: {error}") from error
        self.checks.observe(host)

    def _carry_out(self, host: Host, ready: Ready) -> None:
        for message in ready.messages:
            if message.to in host.engine.departed:
                self.checks.check_sent_to_removed(host, message)
            self.post(host.node, message)
        if not self.profile.apply_late:
            self._apply(host, ready)
        for context, index in ready.reads:
            self.checks.check_read(host, context, index)
        for context in ready.dropped_reads:
            if host.reads.pop(context, None) is None:
                raise Violation(f"{host.node[:4]} drops a read that does not wait")
        for needed in ready.snapshots:
            self._ship(host, needed)
        host.queue.append(ready)
        if not host.writing:
            self._write(host)

    def _apply(self, host: Host, ready: Ready) -> None:
        for entry in ready.committed:
            host.apply(entry)
            if entry.change:
                self.checks.check_change(host, *host.changes[-1])
                self.checks.observe(host)

    def _write(self, host: Host) -> None:
        """Write what waits for the disk, all in one, which takes its time."""
        while host.queue:
            host.writing = len(host.queue)
            if any(ready.entries for ready in host.queue):
                latency = int(self.rng.random() * (self.profile.disk_latency_max + 1))
                latency *= 10 if host.slow else 1
                if latency:
                    self.at(latency, self._written, host)
                    return
            self._finish_write(host)
        if host.shipped is not None:
            snapshot, host.shipped = host.shipped, None
            host.restore(snapshot)

    def _finish_write(self, host: Host) -> None:
        """Say to the engine what has been written."""
        while host.writing:
            host.writing -= 1
            ready = host.queue[0]
            host.disk.write(list(ready.entries))
            if self.profile.apply_late:
                self._apply(host, ready)
            host.queue.popleft()
            host.engine.advance()
            self.checks.observe(host)

    def _written(self, host: Host) -> None:
        if host.alive:
            try:
                self._finish_write(host)
                self._write(host)
            except InvariantBroken as error:
                raise Violation(f"{host.node[:4]} stops: {error}") from error
            self.pump(host)

    # Snapshots.

    def _ship(self, host: Host, needed: SnapshotNeeded) -> None:
        """Ship the newest snapshot, which takes long and may fail."""
        snapshot = host.engine.snapshot()
        lost = not self.quiet and self.rng.random() < self.profile.loss
        self.at(self.rng.randint(5, 60), self._shipped, host, needed.to, snapshot, lost)

    def _shipped(self, host: Host, to: NodeId, snapshot: bytes, lost: bool) -> None:
        target = self.hosts[to]
        delivered = target.alive and not lost and (host.node, to) not in self.blocked
        if delivered:
            target.shipped = snapshot
            if not target.writing:
                self.call(target, self._write, target)
        if host.alive:
            self.call(host, lambda: host.engine.report_snapshot(to, delivered=delivered))

    # The network.

    def post(self, sender: NodeId, message: PeerMessage) -> None:
        """Send a message, with what may become of it."""
        profile, chance = self.profile, self.rng.random
        if self.quiet:
            self.at(1, self._deliver, sender, message)
            return
        if profile.loss and chance() < profile.loss:
            return
        copies = 2 if profile.duplicates and chance() < profile.duplicates else 1
        for _ in range(copies):
            delay = 1 + int(chance() * profile.delay_max)
            if profile.late and chance() < profile.late:
                delay *= self.rng.choice((3, 5, 20))
            self.at(delay, self._deliver, sender, message)

    def _deliver(self, sender: NodeId, message: PeerMessage) -> None:
        host = self.hosts[message.to]
        if (sender, message.to) in self.blocked or not host.alive:
            origin = self.hosts[sender]
            if origin.alive and self.rng.random() < 0.2:
                self.call(origin, origin.engine.report_unreachable, message.to)
            return
        if self._trace is not None:
            self.trace(f"{sender[:3]}->{message.to[:3]} {decode_message(message.payload)}")
        self.call(host, host.engine.step, sender, message.payload)

    # Clients.

    def propose(self, host: Host) -> bytes | None:
        """Propose a block that is unlike any other; returns None if it was refused."""
        self._proposed += 1
        block = b"%d " % self._proposed + bytes(self.rng.choice((0, 0, 30, 150)))
        return block if self.call(host, host.engine.propose, block) else None

    def read(self, host: Host) -> None:
        self._proposed += 1
        context = b"read %d" % self._proposed
        host.reads[context] = len(self.checks.committed)
        self.call(host, host.engine.read_index, context)
