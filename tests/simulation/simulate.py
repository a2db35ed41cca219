"""One simulation from a seed: faults first, then a phase without faults in which the network must come back to life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.consensus.engine import Role
from core.consensus.raft.engine import RaftEngine
from core.types import NodeId
from tests.simulation.checks import Violation
from tests.simulation.cluster import Cluster
from tests.simulation.faults import disaster, one_tick
from tests.simulation.host import Host
from tests.simulation.profile import TICK

ELECTIONS_TO_LIVE_MAX = 40
"""Election timeouts after the last fault within which all of the network has to work again, catching up apart."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in a simulation in which nothing was wrong. ticks_to_live: how long the network took to recover."""

    counts: dict[str, int]
    ticks_to_live: int


def simulate(
    seed: int, engine_class: type[RaftEngine] = RaftEngine, trace: Callable[[str], None] | None = None
) -> Outcome:
    """Run a seed; raises Violation, with the seed and the time in it."""
    cluster = Cluster(seed, engine_class, trace)
    try:
        for tick in range(cluster.profile.ticks):
            cluster.run_until(cluster.now + TICK)
            one_tick(cluster)
            if cluster.profile.disaster and tick == cluster.profile.ticks // 2:
                disaster(cluster)
        ticks = _come_to_life(cluster)
    except Violation as violation:
        raise Violation(f"seed {seed}, time {cluster.now}: {violation}") from violation
    return Outcome(cluster.checks.counts, ticks)


def _come_to_life(cluster: Cluster) -> int:
    """End all faults; returns after how many ticks all living members had a new block and could read."""
    cluster.quiet = True
    cluster.blocked = set()
    cluster.profile.disk_latency_max = min(cluster.profile.disk_latency_max, 2)
    for host in cluster.hosts.values():
        host.slow = False
        host.period = TICK
    began = cluster.now
    # With the narrowest window a follower takes half a tick per entry that it has to catch up with.
    behind = max(host.engine.log.last_index for host in cluster.alive())
    limit = ELECTIONS_TO_LIVE_MAX * cluster.settings.election_ticks + behind // 2
    markers: set[bytes] = set()
    answered = {host.node: host.reads_done for host in cluster.alive()}
    for tick in range(limit):
        cluster.run_until(began + (tick + 1) * TICK)
        leader = max(cluster.leaders(), key=lambda host: host.engine.term, default=None)
        if leader is None:
            continue
        if _lives(cluster, leader, markers, answered):
            return tick
        if tick % 5 == 0:
            block = cluster.propose(leader)
            markers.update({block} if block is not None else ())
            for host in _members(cluster, leader):
                if leader.engine.has_committed_in_term():
                    cluster.read(host)
    raise Violation(f"the network does not work {limit} ticks after the last fault: {_describe(cluster)}")


def _members(cluster: Cluster, leader: Host) -> list[Host]:
    members = leader.engine.configuration.members
    return [host for host in cluster.alive() if host.node in members]


def _lives(cluster: Cluster, leader: Host, markers: set[bytes], answered: dict[NodeId, int]) -> bool:
    """Return whether a block proposed after the last fault is applied by all, all have read, and no change hangs."""
    committed = [entry.index for entry, _ in cluster.checks.committed if entry.data in markers]
    if not committed or leader.engine.configuration.leaves:
        return False
    members = _members(cluster, leader)
    read = all(host.reads_done > answered.get(host.node, 0) for host in members)
    return read and all(host.engine.log.applied >= committed[0] for host in members)


def _describe(cluster: Cluster) -> str:
    lines = []
    for host in cluster.alive():
        engine = host.engine
        role = engine.role.value if engine.role is not Role.FOLLOWER or engine.is_promotable() else "learner"
        lines.append(
            f"\n  {host.node[:3]} {role} term {engine.term} log {engine.log.first_index}..{engine.log.last_index} "
            f"stable {engine.log.stable} commit {engine.log.commit} applied {engine.log.applied} "
            f"{engine.configuration.describe({node: node[:3] for node in cluster.hosts})}"
        )
        for node, progress in engine.progress.items():
            lines.append(
                f"\n      {node[:3]} {progress.state.value} match {progress.match} next {progress.next}"
                f"{' paused' if progress.paused else ''}{' active' if progress.recent_active else ''}"
            )
    return "".join(lines)
