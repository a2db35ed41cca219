"""Quorums, against counting them out."""

from __future__ import annotations

import random
from itertools import combinations

from core.consensus.configuration import Configuration
from core.consensus.raft.quorum import VoteResult, agreed_index, vote_result
from core.types import NodeId
from tests.consensus.wording import node_id
from tests.simulation.checks import is_quorum, quorums_overlap


def draw_configuration(rng: random.Random) -> Configuration:
    def some() -> tuple[NodeId, ...]:
        return tuple(sorted(node_id(number) for number in rng.sample(range(1, 7), rng.randint(1, 5))))

    return Configuration(some(), some() if rng.random() < 0.5 else ())


def test_what_a_quorum_has_reached() -> None:
    rng = random.Random(1)
    for _ in range(300):
        configuration = draw_configuration(rng)
        values = {node_id(number): rng.randint(0, 5) for number in range(1, 7)}
        agreed = agreed_index(configuration, lambda node, values=values: values[node])  # type: ignore[misc]
        for index in range(7):
            holders = frozenset(node for node, value in values.items() if value >= index)
            assert is_quorum(configuration, holders) == (index <= agreed)


def test_how_elections_stand() -> None:
    rng = random.Random(2)
    for _ in range(300):
        configuration = draw_configuration(rng)
        votes = {node_id(number): rng.random() < 0.5 for number in range(1, 7) if rng.random() < 0.7}
        granted = frozenset(node for node, vote in votes.items() if vote)
        possible = granted | frozenset(node_id(number) for number in range(1, 7) if node_id(number) not in votes)
        expected = VoteResult.OPEN if is_quorum(configuration, possible) else VoteResult.LOST
        expected = VoteResult.WON if is_quorum(configuration, granted) else expected
        assert vote_result(configuration, votes) is expected


def test_votes_of_others_do_not_count() -> None:
    configuration = Configuration((node_id(1), node_id(2), node_id(3)))
    others = {node_id(number): True for number in (1, 4, 5, 6)}
    assert vote_result(configuration, others) is VoteResult.OPEN


def test_which_quorums_overlap() -> None:
    one, two, other = (tuple(map(node_id, numbers)) for numbers in ((1, 2, 3), (1, 2, 3, 4), (4, 5, 6)))
    assert quorums_overlap(Configuration(one), Configuration(two))
    assert not quorums_overlap(Configuration(one), Configuration(other))
    joint = Configuration(other, one)
    assert quorums_overlap(Configuration(one), joint)
    assert quorums_overlap(joint, Configuration(other))
    assert all(is_quorum(Configuration(one), frozenset(pair)) for pair in combinations(one, 2))
