"""Whose disk a network starts again from: rules one by one, then many disasters, with crashes in the middle of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from core.consensus.configuration import Configuration
from core.consensus.restart import DiskReport, Restart
from core.errors import InvariantBroken
from core.types import NodeId, Seqno, View
from tests.consensus.wording import node_id
from tests.simulation.checks import is_quorum

A, B, C, D, E = (node_id(number) for number in range(1, 6))
THREE = Configuration((A, B, C))


def report(node: NodeId, view: int, seqno: int, configuration: Configuration = THREE) -> DiskReport:
    return DiskReport(node, View(view), Seqno(seqno), configuration)


def test_one_disk_of_three_starts_nothing() -> None:
    restart = Restart(report(A, 2, 10))
    assert not restart.is_candidate()
    assert restart.missing == {B, C}
    assert restart.grants(restart.own)
    assert not restart.is_won()


def test_the_best_of_a_majority_starts() -> None:
    restart = Restart(report(A, 2, 10))
    restart.hear(report(B, 2, 9))
    assert restart.is_candidate()
    assert restart.grants(restart.own)
    assert not restart.is_won()
    restart.take_grant(B)
    assert restart.is_won()


@pytest.mark.parametrize(("view", "seqno"), [(2, 11), (3, 1)])
def test_a_better_disk_is_not_passed_over(view: int, seqno: int) -> None:
    restart = Restart(report(A, 2, 10))
    restart.hear(report(B, view, seqno))
    assert not restart.is_candidate()
    assert restart.best.node == B


def test_of_equals_one_is_chosen_by_all() -> None:
    first, second = Restart(report(A, 2, 10)), Restart(report(B, 2, 10))
    first.hear(second.own)
    second.hear(first.own)
    assert first.is_candidate()
    assert not second.is_candidate()


def test_a_disk_is_granted_once() -> None:
    restart = Restart(report(C, 2, 5))
    assert restart.grants(report(A, 2, 5))
    assert not restart.grants(report(B, 9, 9))
    assert restart.grants(report(A, 2, 5))  # Asked again, after an answer was lost.
    assert not Restart(report(C, 2, 5), granted=restart.granted).grants(report(B, 9, 9))  # And after a crash.


def test_a_disk_is_not_granted_to_one_that_holds_less() -> None:
    assert not Restart(report(C, 2, 5)).grants(report(A, 2, 4))
    assert not Restart(report(C, 2, 5)).grants(report(A, 1, 50))


def test_who_granted_its_own_disk_away_starts_nothing() -> None:
    restart = Restart(report(A, 2, 10))
    assert restart.grants(report(B, 2, 10))
    restart.take_grant(B)
    restart.take_grant(C)
    assert not restart.is_won()


def test_while_joint_both_majorities_are_needed() -> None:
    restart = Restart(report(A, 2, 10, Configuration(tuple(sorted((A, D, E))), (A, B, C))))
    restart.hear(report(B, 2, 9))
    assert not restart.is_candidate()
    restart.hear(report(D, 2, 9))
    assert restart.is_candidate()
    assert restart.grants(restart.own)
    restart.take_grant(B)
    assert not restart.is_won()
    restart.take_grant(D)
    assert restart.is_won()


def test_grants_of_others_do_not_count() -> None:
    restart = Restart(report(A, 2, 10))
    assert restart.grants(restart.own)
    restart.take_grant(D)
    restart.take_grant(E)
    assert not restart.is_won()


def test_a_copied_disk_is_found() -> None:
    restart = Restart(report(A, 2, 10))
    with pytest.raises(InvariantBroken, match="copy"):
        restart.hear(report(A, 2, 9))


@dataclass
class Node:
    """A node in a disaster. disk and granted outlive its process."""

    disk: DiskReport
    granted: NodeId | None = None
    process: Restart | None = None
    won: bool = False


def draw_disks(rng: random.Random) -> tuple[list[DiskReport], tuple[int, int]]:
    """Return disks of which a quorum holds what is committed, and where that ends."""
    count = rng.choice((1, 3, 3, 4, 5))
    voters = tuple(sorted(node_id(number) for number in range(1, count + 1)))
    outgoing = tuple(sorted(rng.sample([node_id(n) for n in range(1, 8)], 3))) if rng.random() < 0.3 else ()
    configuration = Configuration(voters, outgoing)
    nodes = sorted(configuration.all_voters)
    committed = (rng.randint(1, 4), rng.randint(1, 20))
    while True:
        holders = frozenset(rng.sample(nodes, rng.randint(1, len(nodes))))
        if is_quorum(configuration, holders):
            break
    disks = []
    for node in nodes:
        if node in holders:
            position = (committed[0] + rng.randint(0, 2), committed[1] + rng.randint(0, 3))
        else:
            position = (rng.randint(1, committed[0]), rng.randint(0, committed[1] - 1))
        disks.append(report(node, *position, configuration))
    return disks, committed


def run_disaster(seed: int) -> bool:
    """Play one disaster; returns whether somebody started the network. Asserts that it was right, and the only one."""
    rng = random.Random(seed)
    disks, committed = draw_disks(rng)
    nodes = [Node(disk) for disk in disks]
    for _ in range(400):
        node, other = rng.choice(nodes), rng.choice(nodes)
        match rng.randint(0, 9):
            case 0 if not node.won and rng.random() < 0.3:
                node.process = None
            case 1 | 2:
                node.process = node.process or Restart(node.disk, node.granted)
        mine, theirs = node.process, other.process
        if mine is None or theirs is None or (node is other and len(nodes) > 1):
            continue
        mine.hear(theirs.own)
        if mine.is_candidate() and mine.grants(mine.own):
            node.granted = mine.granted
            if node is not other and theirs.grants(mine.own):
                other.granted = theirs.granted
                if rng.random() < 0.8:  # Else the answer is lost.
                    mine.take_grant(other.disk.node)
        node.won = node.won or mine.is_won()
    winners = [node.disk for node in nodes if node.won]
    assert len(winners) <= 1
    assert all((one.view, one.seqno) >= committed for one in winners)
    return bool(winners)


def run_disasters(count: int) -> int:
    return sum(run_disaster(seed) for seed in range(count))


def test_many_disasters() -> None:
    started = run_disasters(600)
    assert started > 450  # The rest lost a candidate on the way, or never had a quorum up at once.


def test_the_disasters_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Restart, asked: DiskReport) -> bool:
        self.granted = asked.node
        return asked.position >= self.own.position

    monkeypatch.setattr(Restart, "grants", forgetful)
    with pytest.raises(AssertionError):
        run_disasters(600)


def test_a_later_report_of_a_disk_counts() -> None:
    restart = Restart(report(A, 2, 10))
    restart.hear(report(B, 2, 12))
    restart.hear(replace(report(B, 2, 12), seqno=Seqno(9)))
    assert restart.is_candidate()


# What the members decide.


def asked(own: DiskReport, *others: DiskReport, granted: NodeId | None = None) -> Restart:
    """Return the part of a node whose operator would accept a loss, and which has heard of others."""
    restart = Restart(own, granted)
    restart.accepts_loss = True
    for other in others:
        restart.hear(other)
    return restart


def test_one_disk_of_three_asks_the_members_when_its_operator_wants_it() -> None:
    restart = Restart(report(A, 2, 10))
    assert not restart.may_accept_loss()
    restart.accepts_loss = True
    assert restart.may_accept_loss()
    assert not restart.is_won()


def test_a_quorum_does_not_ask_the_members_to_accept_a_loss() -> None:
    restart = asked(report(A, 2, 10), report(B, 2, 9))
    restart.take_standing_back(B)
    assert not restart.may_accept_loss()


def test_survivors_that_talk_choose_one() -> None:
    five = Configuration((A, B, C, D, E))
    first, second = report(A, 2, 10, five), report(B, 2, 12, five)
    lesser, better = asked(first, second), asked(second, first)
    assert not lesser.may_accept_loss()
    assert not better.may_accept_loss()
    assert better.still_before == {A}
    assert not better.stands_back(first)
    assert lesser.stands_back(second)
    better.take_standing_back(A)
    assert better.may_accept_loss()
    assert not lesser.may_accept_loss()


def test_a_disk_stands_back_for_one_only_and_none_that_starts_elsewhere() -> None:
    five = Configuration((A, B, C, D, E))
    restart = asked(report(C, 2, 5, five))
    assert restart.stands_back(report(A, 2, 5, five))
    assert not restart.stands_back(report(B, 9, 9, five))
    assert restart.stands_back(report(A, 2, 5, five))
    assert not restart.may_accept_loss()


def test_another_disk_that_comes_must_stand_back_too() -> None:
    five = Configuration((A, B, C, D, E))
    restart = asked(report(A, 2, 10, five))
    assert restart.may_accept_loss()
    restart.hear(report(B, 2, 9, five))
    assert not restart.may_accept_loss()
    restart.hear(report(C, 2, 11, five))
    restart.take_standing_back(B)
    restart.take_standing_back(C)
    assert not restart.may_accept_loss()  # C's reaches further.


def test_to_stand_back_is_no_grant() -> None:
    restart = asked(report(A, 2, 10), report(B, 2, 9))
    restart.take_standing_back(B)
    assert restart.grants(restart.own)
    assert not restart.is_won()
    other = Restart(report(B, 2, 9))
    assert other.stands_back(report(A, 2, 10))
    assert other.granted is None


@pytest.mark.parametrize("whose", ["own", "other"])
def test_disks_granted_to_one_that_is_lost_are_for_the_members_to_decide(whose: str) -> None:
    restart = asked(report(A, 2, 10), granted=C if whose == "own" else None)
    restart.hear(report(B, 2, 9), C if whose == "other" else None)
    restart.take_standing_back(B)
    assert restart.granted_away == {C}
    assert not restart.is_won()
    assert restart.may_accept_loss()
    restart.hear(report(C, 2, 8))  # It is back: the grants stand.
    restart.take_standing_back(C)
    assert not restart.may_accept_loss()
