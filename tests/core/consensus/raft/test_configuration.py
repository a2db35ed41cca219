"""Configurations and changes: the codec and the rules from one to the next."""

from __future__ import annotations

import pytest

from core import limits
from core.consensus.configuration import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    NodeChange,
    SnapshotReference,
    Transition,
    decode_change,
    decode_configuration,
    decode_snapshot,
    encode_change,
    encode_configuration,
    encode_snapshot,
)
from core.consensus.engine import ChangeRefused
from core.consensus.raft.changes import next_configuration
from core.errors import MalformedMessage
from core.types import NodeId
from tests.consensus.wording import NAMES, node_id

KINDS = {"+": ChangeKind.ADD_VOTER, "~": ChangeKind.ADD_LEARNER, "-": ChangeKind.REMOVE}


def nodes(*numbers: int) -> tuple[NodeId, ...]:
    return tuple(node_id(number) for number in numbers)


def make_change(text: str, transition: Transition = Transition.AUTO) -> ConfigurationChange:
    changes = (NodeChange(KINDS[word[0]], node_id(int(word[1:]))) for word in text.split())
    return ConfigurationChange(tuple(changes), transition)


THREE = Configuration(nodes(1, 2, 3), (), nodes(4))


@pytest.mark.parametrize(
    ("change", "transition", "expected"),
    [
        ("+4", Transition.AUTO, "voters=(1 2 3 4)"),
        ("-3", Transition.AUTO, "voters=(1 2) learners=(4)"),
        ("~3", Transition.AUTO, "voters=(1 2) learners=(3 4)"),
        ("~5 -4", Transition.AUTO, "voters=(1 2 3) learners=(5)"),
        ("-3 +4", Transition.AUTO, "voters=(1 2 4)&&(1 2 3) autoleave"),
        ("+4", Transition.JOINT, "voters=(1 2 3 4)&&(1 2 3) autoleave"),
        ("+4", Transition.EXPLICIT, "voters=(1 2 3 4)&&(1 2 3)"),
        ("~2 ~3", Transition.AUTO, "voters=(1)&&(1 2 3) learners=(4) learners_next=(2 3) autoleave"),
        ("-1 -2 -3 +4", Transition.AUTO, "voters=(4)&&(1 2 3) autoleave"),
    ],
)
def test_the_next_configuration(change: str, transition: Transition, expected: str) -> None:
    after = next_configuration(THREE, make_change(change, transition))
    assert after.describe(NAMES) == expected
    assert decode_configuration(encode_configuration(after)) == after


def test_leaving_makes_learners_of_voters_that_wait() -> None:
    joint = next_configuration(THREE, make_change("~2 ~3"))
    assert next_configuration(joint, make_change("")).describe(NAMES) == "voters=(1) learners=(2 3 4)"


@pytest.mark.parametrize("change", ["", "-1 -2 -3", "-1 -2 -3 ~5", "-9"])
def test_changes_that_do_not_fit(change: str) -> None:
    with pytest.raises(ChangeRefused):
        next_configuration(THREE, make_change(change))


def test_a_joint_configuration_takes_no_further_change() -> None:
    joint = next_configuration(THREE, make_change("+4", Transition.JOINT))
    with pytest.raises(ChangeRefused):
        next_configuration(joint, make_change("+5"))


def test_there_is_a_bound_on_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONSENSUS_NODES_MAX", 4)
    next_configuration(THREE, make_change("+4"))
    with pytest.raises(ChangeRefused):
        next_configuration(THREE, make_change("+5"))


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(()),
        Configuration(nodes(2, 1)),
        Configuration(nodes(1, 1)),
        Configuration(nodes(1), (), nodes(1)),
        Configuration(nodes(1), nodes(1, 2), nodes(2)),
        Configuration(nodes(1), nodes(1, 2), (), nodes(3)),
        Configuration(nodes(1, 2), nodes(1, 2), (), nodes(2)),
        Configuration(nodes(1), (), (), (), leaves=True),
        Configuration((NodeId("1"),)),
        Configuration((NodeId("A" * 64),)),
        Configuration((NodeId("a" * 64 + "\n"),)),
    ],
)
def test_configurations_that_make_no_sense(configuration: Configuration) -> None:
    with pytest.raises(MalformedMessage):
        decode_configuration(encode_configuration(configuration))
    with pytest.raises(MalformedMessage):
        decode_snapshot(encode_snapshot(SnapshotReference(1, 1, configuration)))


def test_one_is_not_taken_for_another() -> None:
    change, configuration = encode_change(make_change("+4")), encode_configuration(THREE)
    reference = encode_snapshot(SnapshotReference(7, 2, THREE))
    assert decode_change(change) == make_change("+4")
    assert decode_snapshot(reference) == SnapshotReference(7, 2, THREE)
    for decode, others in (
        (decode_change, (configuration, reference)),
        (decode_configuration, (change, reference)),
        (decode_snapshot, (change, configuration)),
    ):
        for data in (*others, b"", b"\2" + change[1:], change + b"x", reference[:-1]):
            with pytest.raises(MalformedMessage):
                decode(data)


def test_a_change_names_a_node_once_and_a_snapshot_has_a_term() -> None:
    with pytest.raises(MalformedMessage):
        decode_change(encode_change(make_change("+4 -4")))
    for index, term in ((0, 1), (1, 0)):
        with pytest.raises(MalformedMessage):
            decode_snapshot(encode_snapshot(SnapshotReference(index, term, THREE)))
