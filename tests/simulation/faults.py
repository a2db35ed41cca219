"""What goes wrong in a simulation, and what its operators do: one chance of each per tick.

A crash is done only if the configuration keeps a living majority on each side, since without one the network stands
still by design; the disaster, after which the network starts again from its disks, is the exception.
"""

from __future__ import annotations

from core.consensus.configuration import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    NodeChange,
    SnapshotReference,
    Transition,
    decode_change,
    encode_change,
    encode_snapshot,
)
from core.consensus.engine import ChangeRefused
from core.consensus.raft.changes import next_configuration
from core.types import NodeId
from tests.simulation.checks import Violation, is_quorum
from tests.simulation.cluster import Cluster
from tests.simulation.host import Host, LedgerDisk

HOSTS_MAX = 24
MEMBERS_MAX = 7


def possible_configurations(cluster: Cluster) -> list[Configuration]:
    """Return the newest configuration that a quorum of its nodes knows, later ones, and what is in logs."""
    alive = cluster.alive()
    found = []
    for index, configuration in reversed(cluster.checks.configurations()):
        found.append(configuration)
        if is_quorum(configuration, frozenset(host.node for host in alive if host.engine.log.applied >= index)):
            break
    for host in alive:
        log, configuration = host.engine.log, host.engine.configuration
        for entry in log.entries(log.applied + 1, log.last_index):
            if entry.change:
                try:
                    configuration = next_configuration(configuration, decode_change(entry.change))
                except ChangeRefused:
                    break
                found.append(configuration)
    return found


def survives(cluster: Cluster, without: Host) -> bool:
    alive = frozenset(host.node for host in cluster.alive() if host is not without)
    return all(is_quorum(configuration, alive) for configuration in possible_configurations(cluster))


def one_tick(cluster: Cluster) -> None:
    """Let each thing happen by its chance."""
    profile, rng = cluster.profile, cluster.rng
    chance = rng.random
    alive = cluster.alive()
    leaders = cluster.leaders()
    if leaders and chance() < profile.propose:
        host = rng.choice(leaders)
        for _ in range(rng.choice((1, 1, 3))):
            cluster.propose(host)
    if chance() < profile.read:
        cluster.read(rng.choice(alive))
    if chance() < profile.compact:
        compact(rng.choice(alive), cluster)
    if leaders and chance() < profile.transfer:
        host = rng.choice(leaders)
        cluster.call(host, host.engine.transfer_leadership, rng.choice(sorted(host.engine.configuration.all_voters)))
    if chance() < profile.campaign:
        for host in rng.sample(alive, rng.randint(1, len(alive))):
            cluster.call(host, host.engine.campaign)
    if chance() < profile.partition:
        partition(cluster)
    if chance() < profile.slow_disk:
        host = rng.choice(alive)
        host.slow = not host.slow
    if len(alive) > 1 and chance() < profile.crash:
        host = rng.choice(alive)
        if survives(cluster, host):
            cluster.crash(host)
    if leaders and chance() < profile.change:
        change(cluster, rng.choice(leaders))


def compact(host: Host, cluster: Cluster) -> None:
    """Take a snapshot and forget what it holds, or most of it."""
    log = host.engine.log
    host.snapshot = host.engine.snapshot()
    keep = cluster.rng.choice((0, 0, 3, 10))
    if log.applied - keep > log.snapshot_index:
        host.engine.compact(log.applied - keep)


def partition(cluster: Cluster) -> None:
    """Heal the network, or cut it: in two, one node off, or one way only."""
    rng = cluster.rng
    nodes = sorted(cluster.hosts)
    cluster.blocked = set()
    kind = rng.choice(("heal", "heal", "halves", "one", "one way", "one way"))
    cluster.trace(f"network: {kind}")
    if kind == "heal":
        return
    side = {rng.choice(nodes)} if kind == "one" else {node for node in nodes if rng.random() < 0.5}
    for one in nodes:
        for other in nodes:
            if (one in side) != (other in side) and (kind != "one way" or one in side):
                cluster.blocked.add((one, other))


# Operators.


def change(cluster: Cluster, leader: Host) -> None:
    """Propose a change of configuration; replace a dead node's slot first of all."""
    configuration = leader.engine.configuration
    if configuration.is_joint and not configuration.leaves:
        cluster.call(leader, leader.engine.propose_conf_change, encode_change(ConfigurationChange(())), b"leave")
        return
    changes = replace_dead(cluster, configuration) or change_by_chance(cluster, configuration)
    if not changes:
        return
    transition = cluster.rng.choice((Transition.AUTO, Transition.AUTO, Transition.JOINT, Transition.EXPLICIT))
    wanted = ConfigurationChange(tuple(changes), transition)
    try:
        after = next_configuration(configuration, wanted)
    except ChangeRefused:
        return
    if is_quorum(after, frozenset(host.node for host in cluster.alive())):
        accepted = cluster.call(leader, leader.engine.propose_conf_change, encode_change(wanted), b"nodes")
        cluster.trace(f"{leader.node[:3]} is asked for {after.describe()}: {accepted}")


def living_learners(cluster: Cluster, configuration: Configuration) -> list[NodeId]:
    return [node for node in configuration.learners if cluster.hosts[node].alive]


def new_learner(cluster: Cluster) -> list[NodeChange]:
    """Start a node under a new identity, from some older snapshot, and ask for it to be a learner."""
    if len(cluster.hosts) >= HOSTS_MAX:
        return []
    snapshot = cluster.rng.choice([cluster.genesis, *(host.snapshot for host in cluster.hosts.values())])
    return [NodeChange(ChangeKind.ADD_LEARNER, cluster.start(snapshot).node)]


def replace_dead(cluster: Cluster, configuration: Configuration) -> list[NodeChange]:
    """A restarted node comes as a new learner, which then takes the slot of the old one in one change."""
    dead = [node for node in sorted(configuration.members) if not cluster.hosts[node].alive]
    if not dead:
        return []
    learners = living_learners(cluster, configuration)
    if not learners:
        return new_learner(cluster)
    old = cluster.rng.choice(dead)
    removal = NodeChange(ChangeKind.REMOVE, old)
    if old in configuration.learners:
        return [removal]
    return [removal, NodeChange(ChangeKind.ADD_VOTER, cluster.rng.choice(learners))]


def change_by_chance(cluster: Cluster, configuration: Configuration) -> list[NodeChange]:
    rng = cluster.rng
    learners = living_learners(cluster, configuration)
    voters = list(configuration.voters)
    changes: dict[NodeId, NodeChange] = {}
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.choice(("new", "promote", "promote", "demote", "remove", "remove"))
        if kind == "new" and len(configuration.members) < MEMBERS_MAX:
            found = new_learner(cluster)
        elif kind == "promote" and learners:
            found = [NodeChange(ChangeKind.ADD_VOTER, rng.choice(learners))]
        elif kind == "demote" and len(voters) > 1:
            found = [NodeChange(ChangeKind.ADD_LEARNER, rng.choice(voters))]
        elif kind == "remove" and len(configuration.members) > 1:
            found = [NodeChange(ChangeKind.REMOVE, rng.choice(sorted(configuration.members)))]
        else:
            found = []
        changes.update((one.node, one) for one in found)
    return list(changes.values())


# The disaster.


def disaster(cluster: Cluster) -> None:
    """Crash all hosts at once, and start the network again from the disks of its last configuration.

    A minority of the voters' hosts hand back older disks; as all are read, the rest still holds all that was committed.
    """
    alive = cluster.alive()
    furthest = max(alive, key=lambda host: (host.engine.log.applied, host.node))
    configuration = furthest.engine.configuration
    term = max(host.engine.term for host in cluster.hosts.values())
    for host in alive:
        cluster.crash(host)
    disks = voters_disks(cluster, configuration)
    best = max(disks, key=lambda disk: (disk.last_term, disk.last_index))
    committed = cluster.checks.committed
    if committed and not best.has(committed[-1][0].index, committed[-1][0].term):
        raise Violation(f"the network starts again without the committed entry {committed[-1][0].index}")
    if best.base > len(committed) or best.last_index < len(committed):
        raise Violation("the disks hold a snapshot of what is not committed, or less than was")
    committed += [(entry, term) for entry in best.entries[len(committed) - best.base :]]
    index, last_term = best.last_index, best.last_term
    first = cluster.hosts_to_come()
    again = Configuration((first,))
    cluster.checks.begin(again, index)
    cluster.genesis = encode_snapshot(SnapshotReference(index, last_term, again))
    for host in cluster.hosts.values():
        host.snapshot = cluster.genesis
    cluster.trace(f"the network starts again after entry {index}")
    cluster.call(host := cluster.start(cluster.genesis, term + 1), host.engine.campaign)


def voters_disks(cluster: Cluster, configuration: Configuration) -> list[LedgerDisk]:
    """Return the voters' disks, some of them older than they should be: as many as leave a majority of each side."""
    disks: list[LedgerDisk] = []
    old: set[NodeId] = set()
    for node in sorted(configuration.all_voters):
        disk = cluster.hosts[node].disk
        honest = frozenset(configuration.all_voters - old - {node})
        if cluster.rng.random() < 0.5 and is_quorum(configuration, honest):
            older = LedgerDisk(disk.base, disk.base_term)
            older.write(disk.entries[: cluster.rng.randint(0, len(disk.entries))])
            disk = older
            old.add(node)
        disks.append(disk)
    return disks
