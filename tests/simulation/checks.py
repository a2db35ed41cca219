"""The invariants, checked at every step of a simulation. Each is a promise of the Raft paper (figure 3) or of
docs/consensus.md.

The checks look at all hosts at once, dead ones' disks included, and know what was ever committed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from core.consensus.configuration import Configuration
from core.consensus.engine import LogEntry, PeerMessage, Ready, Role
from core.consensus.raft.messages import Append, decode_message
from core.types import NodeId
from tests.simulation.host import Host

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class Violation(AssertionError):
    """An invariant is broken, or the network does not come back to life."""


def is_quorum(configuration: Configuration, nodes: frozenset[NodeId]) -> bool:
    """Return whether nodes hold a majority of each side.

    Written apart from core/consensus/raft/quorum.py on purpose.
    """
    sides = [side for side in (configuration.voters, configuration.outgoing) if side]
    return all(2 * len(nodes.intersection(side)) > len(side) for side in sides)


@lru_cache(maxsize=4096)
def quorums_overlap(one: Configuration, other: Configuration) -> bool:
    """Return whether every quorum of one shares a node with every quorum of the other."""
    nodes = sorted(one.all_voters | other.all_voters)
    for chosen in product((False, True), repeat=len(nodes)):
        inside = frozenset(node for node, taken in zip(nodes, chosen, strict=True) if taken)
        if is_quorum(one, inside) and is_quorum(other, frozenset(nodes) - inside):
            return False
    return True


class Checks:
    """See the module. committed: every entry ever committed, by index from 1, and the term in which it was."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.committed: list[tuple[LogEntry, int]] = []
        self.leaders: dict[int, NodeId] = {}
        self._entries: dict[tuple[int, int], tuple[bytes, bytes, int | None]] = {}
        self._configurations: dict[int, Configuration] = {}
        self._newest_change = -1
        self.counts: dict[str, int] = {}

    def fail(self, what: str) -> None:
        raise Violation(what)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def begin(self, configuration: Configuration, index: int = 0) -> None:
        """Note the configuration that a network starts with, or starts again with."""
        self._configurations[index] = configuration
        self._newest_change = index

    def observe(self, host: Host) -> None:
        """Check a host after each call of its engine."""
        engine = host.engine
        if engine.term < host.term_seen:
            self.fail(f"the term of {host.node[:4]} falls from {host.term_seen} to {engine.term}")
        if engine.term != host.term_seen:
            host.vote_seen = None
        if host.vote_seen not in (None, engine.vote):
            self.fail(f"{host.node[:4]} changes its vote of term {engine.term}")
        host.term_seen, host.vote_seen = engine.term, engine.vote
        if engine.role is Role.LEADER and host.leading_term != engine.term:
            host.leading_term = engine.term
            self._check_leader(host)
        if engine.log.commit != host.commit_seen:
            self._check_commit(host)
        if engine.log.applied < host.applied_seen or engine.log.applied > engine.log.commit:
            self.fail(f"the applied index of {host.node[:4]} is not between what it was and the commit index")
        host.applied_seen = engine.log.applied
        if host.configuration_seen is not engine.configuration:
            host.configuration_seen = engine.configuration
            host.member = host.node in engine.configuration.members
            host.was_member = host.was_member or host.member
        if host.was_member and not host.member and engine.role in (Role.CANDIDATE, Role.PRE_CANDIDATE):
            self.fail(f"{host.node[:4]} is removed, and is a {engine.role.value}")

    def _check_leader(self, host: Host) -> None:
        """One leader per term; a leader has all that was committed in earlier terms."""
        term = host.engine.term
        if self.leaders.setdefault(term, host.node) != host.node:
            self.fail(f"election safety: {self.leaders[term][:4]} and {host.node[:4]} both lead in term {term}")
        for entry, commit_term in reversed(self.committed):
            if commit_term < term:
                self._check_complete(host, entry)
                break
        self._count("elections")

    def _check_complete(self, host: Host, entry: LogEntry) -> None:
        log = host.engine.log
        if entry.index > log.snapshot_index and log.term_at(entry.index) != entry.term:
            self.fail(f"leader completeness: {host.node[:4]} leads without the committed entry {entry.index}")

    def _check_commit(self, host: Host) -> None:
        """The commit index grows; what is committed is the same everywhere, and on a quorum's disks at first."""
        log, seen = host.engine.log, host.commit_seen
        if log.commit < seen:
            self.fail(f"the commit index of {host.node[:4]} falls from {seen} to {log.commit}")
        host.commit_seen = log.commit
        known = len(self.committed)
        for index in range(max(seen + 1, log.first_index), log.commit + 1):
            entry = log.entry(index)
            if index <= len(self.committed):
                if self.committed[index - 1][0] != entry:
                    self.fail(f"state machine safety: {host.node[:4]} commits another entry {index}")
                continue
            self._check_first_commit(host, entry)
        if len(self.committed) > known and log.term_at(log.commit) != host.engine.term:
            self.fail(f"{host.node[:4]} commits up to an entry of an earlier term than its own, {host.engine.term}")
        if log.commit > len(self.committed):
            self.fail(f"{host.node[:4]} has a snapshot of what is not committed")

    def _check_first_commit(self, host: Host, entry: LogEntry) -> None:
        if host.leading_term != host.engine.term:  # it may have stepped down in the same call
            self.fail(f"{host.node[:4]} commits entry {entry.index}, which no leader has committed")
        hosts = self._cluster.hosts.values()
        holders = frozenset(one.node for one in hosts if one.disk.has(entry.index, entry.term))
        if not is_quorum(host.engine.configuration, holders):
            self.fail(f"durability: entry {entry.index} is committed, but not on the disks of a quorum")
        for other in hosts:
            if other.leads and other.engine.term > host.engine.term:
                self._check_complete(other, entry)
        self.committed.append((entry, host.engine.term))
        self._count("entries committed")

    def check_handed(self, host: Host, ready: Ready) -> None:
        """Log matching: an index and a term name one entry, and one entry before it; at most one change is pending."""
        log = host.engine.log
        for entry in ready.entries:
            known = (entry.data, entry.change, log.term_at(entry.index - 1))
            if self._entries.setdefault((entry.index, entry.term), known) != known:
                self.fail(f"log matching: {host.node[:4]} has another entry {entry.index} of term {entry.term}")
            if entry.change:
                pending = sum(1 for one in log.entries(log.commit + 1, log.last_index) if one.change)
                if pending > 1:
                    self.fail(f"{host.node[:4]} has {pending} configuration changes that are not committed")
        for entry in ready.committed:
            if not host.disk.has(entry.index, entry.term):
                self.fail(f"{host.node[:4]} is to apply entry {entry.index}, which it has not written")

    def check_change(self, host: Host, index: int, configuration: Configuration) -> None:
        """All nodes go through the same configurations, and each overlaps with the one before."""
        if self._configurations.setdefault(index, configuration) != configuration:
            self.fail(f"{host.node[:4]} has another configuration at entry {index}")
        if index > self._newest_change:
            before = self._configurations[self._newest_change]
            if not quorums_overlap(before, configuration):
                self.fail(f"two quorums without a common node: {before.describe()} and {configuration.describe()}")
            self._newest_change = index
            self._count("changes of configuration")

    def check_sent_to_removed(self, host: Host, message: PeerMessage) -> None:
        """A leader that has put a removal in force sends the removed node nothing past it."""
        index = host.engine.departed[message.to].index
        sent = decode_message(message.payload)
        if isinstance(sent, Append) and sent.entries and sent.previous_index + len(sent.entries) > index:
            self.fail(f"{host.node[:4]} sends {message.to[:4]} entries past {index}, by which it was removed")

    def configurations(self) -> list[tuple[int, Configuration]]:
        """Return the configurations that were in force, oldest first."""
        return sorted((index, one) for index, one in self._configurations.items() if index <= self._newest_change)

    def check_read(self, host: Host, context: bytes, index: int) -> None:
        """A read sees all that was committed anywhere when it was asked for."""
        floor = host.reads.pop(context, None)
        if floor is None:
            self.fail(f"{host.node[:4]} answers a read that does not wait")
        elif index < floor:
            self.fail(f"stale read: {host.node[:4]} reads at {index}, but {floor} was committed when it was asked")
        host.reads_done += 1
        self._count("reads")
