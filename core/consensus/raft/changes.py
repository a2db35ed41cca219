"""The rules of configuration changes: from one configuration and a change to the next. Pure functions.

One voter at a time changes directly; more go through a joint configuration, in which both majorities must agree, so
that at no time two disjoint majorities can decide. Source: Raft, section 6; Raft thesis, chapter 4; go.etcd.io/raft,
confchange.
"""

from __future__ import annotations

import msgspec

from core import limits
from core.consensus.configuration import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    Transition,
    sorted_nodes,
)
from core.consensus.engine import ChangeRefused


def next_configuration(configuration: Configuration, change: ConfigurationChange) -> Configuration:
    """Return the configuration after change; raises ChangeRefused when it does not fit."""
    if not change.changes:
        return _leave_joint(configuration)
    if configuration.is_joint:
        raise ChangeRefused("the configuration is joint", hint="Wait until it is left, or leave it.")
    changed = _with_changes(configuration, change)
    voters_changed = len(set(changed.voters) ^ set(configuration.voters))
    if change.transition is Transition.AUTO and voters_changed <= 1:
        return _staged(changed, configuration, joint=False)
    return _staged(changed, configuration, joint=True, leaves=change.transition is not Transition.EXPLICIT)


def _with_changes(configuration: Configuration, change: ConfigurationChange) -> Configuration:
    """Return voters and learners as they shall be in the end."""
    voters, learners = set(configuration.voters), set(configuration.learners)
    for one in change.changes:
        voters.discard(one.node)
        learners.discard(one.node)
        if one.kind is ChangeKind.ADD_VOTER:
            voters.add(one.node)
        elif one.kind is ChangeKind.ADD_LEARNER:
            learners.add(one.node)
        elif one.node not in configuration.members:
            raise ChangeRefused(f"{one.node[:16]} is to be removed, but is not a node of the network")
    if not voters:
        raise ChangeRefused("a change that removes all voters")
    if len(voters | learners | set(configuration.voters)) > limits.CONSENSUS_NODES_MAX:
        raise ChangeRefused(f"more than {limits.CONSENSUS_NODES_MAX} nodes")
    return Configuration(sorted_nodes(voters), (), sorted_nodes(learners))


def _staged(changed: Configuration, before: Configuration, *, joint: bool, leaves: bool = False) -> Configuration:
    """Return `changed`, joint with the voters before if asked. A voter becomes a learner only once it stops voting."""
    if not joint:
        return changed
    demoted = set(changed.learners).intersection(before.voters)
    return Configuration(
        changed.voters,
        before.voters,
        sorted_nodes(set(changed.learners) - demoted),
        sorted_nodes(demoted),
        leaves,
    )


def _leave_joint(configuration: Configuration) -> Configuration:
    if not configuration.is_joint:
        raise ChangeRefused("the configuration is not joint, so that it cannot be left")
    learners = set(configuration.learners).union(configuration.learners_next)
    return msgspec.structs.replace(
        configuration, outgoing=(), learners=sorted_nodes(learners), learners_next=(), leaves=False
    )
