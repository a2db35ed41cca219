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
