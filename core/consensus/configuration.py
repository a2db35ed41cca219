"""Who takes part in consensus, and changes of it, as both engines exchange them with their caller: data and codec only.

Each encoding starts with the codec's version. Invariant of a decoded Configuration: lists are sorted without
repetition, nobody is voter and learner at once, and there are at most limits.CONSENSUS_NODES_MAX nodes. Source: Raft,
section 6; go.etcd.io/raft, ConfChangeV2 and ConfState.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec

from core import limits
from core.codec import Codec, Message
from core.errors import MalformedMessage
from core.types import NodeId

NodeIdField = Annotated[NodeId, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
NodeIds = Annotated[tuple[NodeIdField, ...], msgspec.Meta(max_length=limits.CONSENSUS_NODES_MAX)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class ChangeKind(IntEnum):
    ADD_VOTER = 1
    """Also promotes a learner."""
    ADD_LEARNER = 2
    """Also demotes a voter."""
    REMOVE = 3


class Transition(IntEnum):
    AUTO = 1
    """Through a joint configuration when more than one voter changes; it is left without being asked."""
    JOINT = 2
    """Through a joint configuration in any case; it is left without being asked."""
    EXPLICIT = 3
    """Through a joint configuration, which lasts until a change without changes is proposed."""


class NodeChange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    kind: ChangeKind
    node: NodeIdField


class ConfigurationChange(Message, frozen=True, tag=1):
    """No changes at all: leave the joint configuration."""

    changes: Annotated[tuple[NodeChange, ...], msgspec.Meta(max_length=limits.CONSENSUS_NODES_MAX)]
    transition: Transition = Transition.AUTO


class Configuration(Message, frozen=True, tag=2):
    """voters: the incoming majority. outgoing: the other one while joint, else empty. learners_next: outgoing voters
    that are learners once the joint configuration is left. leaves: whether that happens without being asked.
    """

    voters: NodeIds
    outgoing: NodeIds = ()
    learners: NodeIds = ()
    learners_next: NodeIds = ()
    leaves: bool = False

    @property
    def is_joint(self) -> bool:
        return bool(self.outgoing)

    @property
    def all_voters(self) -> frozenset[NodeId]:
        return frozenset(self.voters).union(self.outgoing)

    @property
    def members(self) -> frozenset[NodeId]:
        return self.all_voters.union(self.learners, self.learners_next)

    def describe(self, name: dict[NodeId, str] | None = None) -> str:
        """Return it as etcd prints it: `voters=(1 2 3)&&(1 2) learners=(4)`."""

        def listed(nodes: tuple[NodeId, ...]) -> str:
            return "(" + " ".join((name or {}).get(node, node[:16]) for node in nodes) + ")"

        text = f"voters={listed(self.voters)}"
        text += f"&&{listed(self.outgoing)}" if self.outgoing else ""
        text += f" learners={listed(self.learners)}" if self.learners else ""
        text += f" learners_next={listed(self.learners_next)}" if self.learners_next else ""
        return text + (" autoleave" if self.leaves else "")


class SnapshotReference(Message, frozen=True, tag=3):
    """A snapshot as an engine knows it: position and term of its last entry, and the configuration in force there."""

    index: Number
    term: Number
    configuration: Configuration


_CODEC: Codec[ConfigurationChange | Configuration | SnapshotReference] = Codec(
    ConfigurationChange | Configuration | SnapshotReference
)


def sorted_nodes(nodes: frozenset[NodeId] | set[NodeId]) -> tuple[NodeId, ...]:
    return tuple(sorted(nodes))


def encode_change(change: ConfigurationChange) -> bytes:
    return _CODEC.encode(change)


def decode_change(data: bytes) -> ConfigurationChange:
    """Raises MalformedMessage; also when one node is named twice."""
    change = _CODEC.decode(data)
    if not isinstance(change, ConfigurationChange):
        raise MalformedMessage("not a configuration change")
    if len({one.node for one in change.changes}) != len(change.changes):
        raise MalformedMessage("a configuration change names a node twice")
    return change


def encode_configuration(configuration: Configuration) -> bytes:
    return _CODEC.encode(configuration)


def decode_configuration(data: bytes) -> Configuration:
    """Raises MalformedMessage."""
    configuration = _CODEC.decode(data)
    if not isinstance(configuration, Configuration):
        raise MalformedMessage("not a configuration")
    verify_configuration(configuration)
    return configuration


def encode_snapshot(reference: SnapshotReference) -> bytes:
    return _CODEC.encode(reference)


def decode_snapshot(data: bytes) -> SnapshotReference:
    """Raises MalformedMessage."""
    reference = _CODEC.decode(data)
    if not isinstance(reference, SnapshotReference):
        raise MalformedMessage("not a snapshot's reference")
    if (reference.index == 0) != (reference.term == 0):
        raise MalformedMessage("a snapshot's index and term are zero together")
    verify_configuration(reference.configuration)
    return reference


def verify_configuration(configuration: Configuration) -> None:
    """Check the module's invariant; raises MalformedMessage."""
    lists = (configuration.voters, configuration.outgoing, configuration.learners, configuration.learners_next)
    if any(list(nodes) != sorted(set(nodes)) for nodes in lists):
        raise MalformedMessage("a configuration's nodes are not sorted, or repeated")
    if not configuration.voters:
        raise MalformedMessage("a configuration without voters")
    if configuration.all_voters.intersection(configuration.learners):
        raise MalformedMessage("a configuration in which a learner votes")
    if not set(configuration.learners_next) <= set(configuration.outgoing) - set(configuration.voters):
        raise MalformedMessage("a learner that waits, but is no outgoing voter")
    if configuration.leaves and not configuration.is_joint:
        raise MalformedMessage("a configuration that is left, but not joint")
    if len(configuration.members) > limits.CONSENSUS_NODES_MAX:
        raise MalformedMessage(f"a configuration of more than {limits.CONSENSUS_NODES_MAX} nodes")
