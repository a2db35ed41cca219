"""The engine as its caller drives it, above all what it refuses. What it does is in tests/consensus/scenarios/."""

from __future__ import annotations

import pytest

from core import limits
from core.consensus.configuration import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    NodeChange,
    SnapshotReference,
    decode_configuration,
    decode_snapshot,
    encode_change,
    encode_snapshot,
)
from core.consensus.engine import ConsensusEngine, NotLeader, Ready, Role, TransferPending
from core.consensus.raft.engine import RaftEngine
from core.consensus.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    VoteResponse,
    WireEntry,
    decode_message,
    encode_message,
)
from core.consensus.raft.settings import RaftSettings
from core.errors import CocoError, InvariantBroken, LimitExceeded, MalformedMessage
from core.types import NodeId, View
from tests.consensus.wording import node_id

ONE, TWO, THREE = map(node_id, (1, 2, 3))
ADD_TWO = encode_change(ConfigurationChange((NodeChange(ChangeKind.ADD_LEARNER, TWO),)))


def make_engine(*voters: NodeId, node: NodeId = ONE, term: int = 0, settings: RaftSettings | None = None) -> RaftEngine:
    snapshot = encode_snapshot(SnapshotReference(0, 0, Configuration(voters or (ONE,))))
    return RaftEngine(node, settings or RaftSettings(), lambda low, high: low, snapshot=snapshot, term=View(term))


def carry_out(engine: ConsensusEngine) -> list[Ready]:
    """Do all that the engine asks for; returns it."""
    done = []
    while engine.has_ready():
        ready = engine.ready()
        for entry in ready.committed:
            if entry.change:
                engine.apply_conf_change(entry.change)
        engine.advance()
        done.append(ready)
    return done


def make_leader_of_three(settings: RaftSettings | None = None) -> RaftEngine:
    engine = make_engine(ONE, TWO, THREE, settings=settings)
    engine.campaign()
    engine.step(TWO, encode_message(VoteResponse(1, True, True, 0, 0)))
    engine.step(TWO, encode_message(VoteResponse(1, True, False, 0, 0)))
    carry_out(engine)
    assert engine.status().role is Role.LEADER
    return engine


def test_a_node_alone_commits_what_is_on_its_disk() -> None:
    engine = make_engine(term=7)
    engine.campaign()
    assert engine.status().term == 8
    carry_out(engine)
    index = engine.propose(b"block")
    ready = engine.ready()
    assert [entry.data for entry in ready.entries] == [b"block"]
    assert ready.committed == ()
    assert engine.status().commit_index == index - 1
    engine.advance()
    assert [entry.data for entry in engine.ready().committed] == [b"block"]


def test_readys_overlap_and_are_advanced_in_order() -> None:
    engine = make_engine()
    engine.campaign()
    carry_out(engine)
    engine.propose(b"1")
    first = engine.ready()
    engine.propose(b"2")
    second = engine.ready()
    assert [len(ready.entries) for ready in (first, second)] == [1, 1]
    engine.advance()
    assert engine.status().commit_index == 2
    engine.advance()
    assert engine.status().commit_index == 3


def test_calls_out_of_turn_stop_the_node() -> None:
    engine = make_engine()
    with pytest.raises(InvariantBroken):
        engine.advance()
    with pytest.raises(InvariantBroken):
        engine.apply_conf_change(ADD_TWO)
    with pytest.raises(InvariantBroken):
        engine.compact(1)
    engine.campaign()
    carry_out(engine)
    engine.propose_conf_change(ADD_TWO, b"nodes")
    engine.ready()
    engine.advance()
    assert [entry.data for entry in engine.ready().committed] == [b"nodes"]
    with pytest.raises(InvariantBroken, match="not applied"):
        engine.advance()
    with pytest.raises(InvariantBroken):
        engine.apply_conf_change(encode_change(ConfigurationChange(())))
    configuration = decode_configuration(engine.apply_conf_change(ADD_TWO))
    assert configuration.learners == (TWO,)
    engine.advance()
    with pytest.raises(InvariantBroken):
        engine.apply_conf_change(ADD_TWO)


def test_the_number_of_readys_that_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONSENSUS_READYS_MAX", 2)
    engine = make_engine()
    engine.campaign()
    engine.ready()
    engine.propose(b"1")
    engine.ready()
    engine.propose(b"2")
    assert not engine.has_ready()
    with pytest.raises(InvariantBroken):
        engine.ready()
    engine.advance()
    assert engine.has_ready()


def test_proposals_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = make_engine(ONE, TWO)
    with pytest.raises(NotLeader):
        follower.propose(b"block")
    with pytest.raises(NotLeader):
        follower.propose_conf_change(ADD_TWO, b"")
    with pytest.raises(NotLeader):
        follower.transfer_leadership(TWO)
    leader = make_leader_of_three()
    with pytest.raises(CocoError):
        leader.propose(b"")
    with pytest.raises(MalformedMessage):
        leader.propose_conf_change(b"add", b"")
    with pytest.raises(CocoError):
        leader.transfer_leadership(node_id(9))
    monkeypatch.setattr(limits, "CONSENSUS_ENTRY_BYTES_MAX", 10)
    with pytest.raises(LimitExceeded):
        leader.propose(bytes(11))
    leader.transfer_leadership(TWO)
    with pytest.raises(TransferPending):
        leader.propose(b"block")
    assert leader.status().transferring_to == TWO
    assert leader.status().last_index == 1


def test_what_is_uncommitted_is_bounded() -> None:
    leader = make_leader_of_three(RaftSettings(uncommitted_bytes_max=10))
    leader.propose(bytes(20))
    with pytest.raises(LimitExceeded):
        leader.propose(b"1")
    carry_out(leader)
    leader.step(TWO, encode_message(AppendResponse(1, 2, 2, 0)))
    leader.propose(b"1")


def test_messages_that_are_refused_change_nothing() -> None:
    leader = make_leader_of_three()
    before = leader.status()
    for payload in (b"", b"\1", encode_message(Append(9, 5, 2, 0, (WireEntry(1, b"", b""),)))):
        with pytest.raises(MalformedMessage):
            leader.step(TWO, payload)
    for sender, message in (
        (ONE, Heartbeat(9, 0, 0)),
        (TWO, AppendResponse(1, 99, 99, 0)),
        (TWO, HeartbeatResponse(1, 0, 99)),
    ):
        with pytest.raises(MalformedMessage):
            leader.step(sender, encode_message(message))
    assert leader.status() == before
    assert carry_out(leader) == [] or leader.status() == before


def test_answers_of_nodes_that_do_not_belong_count_for_nothing() -> None:
    leader = make_leader_of_three()
    leader.propose(b"block")
    carry_out(leader)
    leader.step(node_id(8), encode_message(AppendResponse(1, 2, 2, 2)))
    leader.step(node_id(9), encode_message(AppendResponse(1, 2, 2, 2)))
    assert leader.status().commit_index == 0
    leader.step(THREE, encode_message(AppendResponse(1, 2, 2, 0)))
    assert leader.status().commit_index == 2


def test_a_node_that_sees_its_committed_entries_contradicted_stops() -> None:
    follower = make_engine(ONE, TWO, node=ONE)
    follower.step(TWO, encode_message(Append(1, 0, 0, 1, (WireEntry(1, b"a", b""),))))
    carry_out(follower)
    assert follower.status().commit_index == 1
    with pytest.raises(InvariantBroken):
        follower.step(TWO, encode_message(Append(2, 0, 0, 1, (WireEntry(2, b"b", b""), WireEntry(2, b"c", b"")))))


def test_a_follower_commits_no_further_than_what_the_append_verifies() -> None:
    follower = make_engine(ONE, TWO, THREE)
    old = tuple(WireEntry(1, block, b"") for block in (b"a", b"b", b"c"))
    follower.step(TWO, encode_message(Append(1, 0, 0, 0, old)))
    carry_out(follower)
    # The leader of term 2 has another second entry, and all of its log is committed.
    follower.step(THREE, encode_message(Append(2, 0, 0, 3, old[:1])))
    assert follower.status().commit_index == 1
    follower.step(THREE, encode_message(Append(2, 1, 1, 3, (WireEntry(2, b"d", b""),))))
    carry_out(follower)
    assert (follower.status().commit_index, follower.status().last_index) == (2, 2)


def test_answers_of_an_earlier_term_count_for_nothing() -> None:
    leader = make_leader_of_three()
    leader.step(THREE, encode_message(Append(2, 0, 0, 0, ())))
    leader.campaign()
    for pre in (True, False):
        leader.step(TWO, encode_message(VoteResponse(3, True, pre, 0, 0)))
    carry_out(leader)
    assert leader.status().role is Role.LEADER
    leader.step(TWO, encode_message(AppendResponse(1, 1, 1, 0)))
    leader.step(TWO, encode_message(AppendResponse(2, 2, 2, 0)))
    assert leader.status().commit_index == 0
    leader.step(TWO, encode_message(AppendResponse(3, 2, 2, 0)))
    assert leader.status().commit_index == 2


def test_many_proposals_make_one_append() -> None:
    leader = make_leader_of_three()
    leader.step(TWO, encode_message(AppendResponse(1, 1, 1, 0)))
    carry_out(leader)
    for block in (b"a", b"b", b"c"):
        leader.propose(block)
    sent = [decode_message(message.payload) for message in leader.ready().messages if message.to == TWO]
    assert [len(one.entries) for one in sent if isinstance(one, Append)] == [3]


def test_reads_are_bounded_and_end() -> None:
    leader = make_leader_of_three()
    with pytest.raises(LimitExceeded):
        leader.read_index(bytes(limits.CONSENSUS_READ_CONTEXT_BYTES_MAX + 1))
    leader.read_index(b"early")
    assert carry_out(leader) == []
    leader.step(TWO, encode_message(Append(2, 0, 0, 0, ())))
    assert carry_out(leader)[0].dropped_reads == [b"early"]


def test_the_number_of_reads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONSENSUS_READS_MAX", 1)
    engine = make_engine(ONE, TWO)
    engine.read_index(b"nobody leads")
    with pytest.raises(LimitExceeded):
        engine.read_index(b"one too many")
    assert engine.ready().dropped_reads == [b"nobody leads"]


def test_a_snapshot_names_its_place_and_configuration() -> None:
    engine = make_engine()
    engine.campaign()
    carry_out(engine)
    engine.propose_conf_change(ADD_TWO, b"nodes")
    carry_out(engine)
    reference = decode_snapshot(engine.snapshot())
    assert (reference.index, reference.term, reference.configuration.learners) == (2, 1, (TWO,))
    joiner = make_engine(node=TWO)
    joiner.restore(engine.snapshot())
    status = joiner.status()
    assert (status.last_index, status.commit_index, status.applied_index, status.term) == (2, 2, 2, 1)
    assert status.is_member
    assert status.role is Role.LEARNER
    with pytest.raises(MalformedMessage):
        joiner.restore(b"snapshot")
    other = encode_snapshot(SnapshotReference(1, 1, Configuration((THREE,))))
    joiner.restore(other)
    assert decode_snapshot(joiner.snapshot()).index == 2


def test_a_snapshot_that_is_not_needed_is_answered_with_what_is_there() -> None:
    """Found by the simulation: the leader took the answer for an empty log, and shipped the next snapshot."""
    follower = make_engine(ONE, TWO, THREE)
    early = encode_snapshot(SnapshotReference(1, 1, Configuration((ONE, TWO, THREE))))
    blocks = tuple(WireEntry(1, block, b"") for block in (b"a", b"b", b"c"))
    follower.step(TWO, encode_message(Append(1, 0, 0, 2, blocks)))
    carry_out(follower)
    follower.step(THREE, encode_message(Heartbeat(2, 0, 0)))
    carry_out(follower)
    follower.restore(early)
    [message] = follower.ready().messages
    assert decode_message(message.payload) == AppendResponse(2, 2, 2, 2)


def test_an_old_acknowledgement_does_not_answer_a_probe() -> None:
    leader = make_leader_of_three()
    for node in (TWO, THREE):
        leader.step(node, encode_message(AppendResponse(1, 1, 1, 1)))
    for block in (b"a", b"b"):
        leader.propose(block)
    carry_out(leader)
    leader.step(TWO, encode_message(AppendResponse(1, 3, 3, 1)))
    carry_out(leader)
    leader.compact(3)
    leader.report_unreachable(THREE)
    leader.progress[THREE].next = 4
    leader.step(THREE, encode_message(AppendResponse(1, 1, 1, 1)))
    assert [ready.snapshots for ready in carry_out(leader) if ready.snapshots] == []
    assert leader.progress[THREE].next == 4


def test_randomness_is_what_was_asked_for() -> None:
    with pytest.raises(InvariantBroken):
        RaftEngine(ONE, RaftSettings(), lambda low, high: high + 1, snapshot=make_engine().snapshot())
