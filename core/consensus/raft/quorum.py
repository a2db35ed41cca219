"""What a majority agrees on, of one or of two sets of voters. Pure functions. Source: Raft, sections 5.3 and 6."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum

from core.consensus.configuration import Configuration
from core.types import NodeId


class VoteResult(Enum):
    WON = "won"
    LOST = "lost"
    OPEN = "open"


def majority(count: int) -> int:
    return count // 2 + 1


def majority_index(voters: Collection[NodeId], value: Callable[[NodeId], int]) -> int:
    """Return the highest number that a majority of voters has reached."""
    reached = sorted(map(value, voters), reverse=True)
    return reached[majority(len(reached)) - 1]


def agreed_index(configuration: Configuration, value: Callable[[NodeId], int]) -> int:
    """Return the highest number that a quorum has reached: while joint, a majority of each side."""
    agreed = majority_index(configuration.voters, value)
    if configuration.outgoing:
        return min(agreed, majority_index(configuration.outgoing, value))
    return agreed


def vote_of(voters: Collection[NodeId], votes: dict[NodeId, bool]) -> VoteResult:
    """Count the votes of voters; others' are no votes."""
    needed = majority(len(voters))
    granted = sum(1 for node in voters if votes.get(node) is True)
    refused = sum(1 for node in voters if votes.get(node) is False)
    if granted >= needed:
        return VoteResult.WON
    return VoteResult.LOST if len(voters) - refused < needed else VoteResult.OPEN


def vote_result(configuration: Configuration, votes: dict[NodeId, bool]) -> VoteResult:
    """Return how an election stands: while joint, it is won in both sides or not at all."""
    results = {vote_of(side, votes) for side in (configuration.voters, configuration.outgoing) if side}
    if VoteResult.LOST in results:
        return VoteResult.LOST
    return VoteResult.OPEN if VoteResult.OPEN in results else VoteResult.WON
