"""The single-node engine as the caller drives it."""

from __future__ import annotations

import pytest

from core import limits
from core.consensus.engine import ConsensusEngine, LogEntry, Ready, Role
from core.consensus.single import SingleNodeEngine
from core.errors import CocoError, InvariantBroken, LimitExceeded
from core.types import NodeId, View

NODE = NodeId("a" * 64)


def make_engine() -> SingleNodeEngine:
    return SingleNodeEngine(NODE, View(7))


def test_a_block_is_committed_only_after_advance_said_it_is_persisted() -> None:
    engine: ConsensusEngine = make_engine()
    assert not engine.has_ready()
    assert engine.propose(b"one") == 1
    entry = LogEntry(1, View(7), b"one")
    assert engine.has_ready()
    assert engine.ready() == Ready((entry,), (), (), ())
    assert engine.status().commit_index == 0
    assert not engine.has_ready()
    engine.advance()
    assert engine.status().commit_index == 1
    assert engine.ready() == Ready((), (), (entry,), ())
    engine.advance()
    assert not engine.has_ready()


def test_blocks_proposed_while_others_are_written_are_neither_lost_nor_committed_early() -> None:
    engine = make_engine()
    engine.propose(b"1")
    engine.ready()
    engine.propose(b"2")
    engine.propose(b"3")
    engine.advance()
    ready = engine.ready()
    assert [entry.data for entry in ready.entries] == [b"2", b"3"]
    assert [entry.data for entry in ready.committed] == [b"1"]
    engine.advance()
    ready = engine.ready()
    assert [entry.index for entry in ready.committed] == [2, 3]
    assert ready.entries == ()
    engine.advance()
    engine.compact(3)
    assert not engine.has_ready()


def test_ready_and_advance_out_of_turn_break_an_invariant() -> None:
    engine = make_engine()
    with pytest.raises(InvariantBroken):
        engine.advance()
    engine.propose(b"1")
    engine.ready()
    with pytest.raises(InvariantBroken):
        engine.ready()
    with pytest.raises(InvariantBroken):
        engine.compact(1)


def test_there_are_no_others() -> None:
    engine = make_engine()
    other = NodeId("b" * 64)
    with pytest.raises(CocoError, match="one node"):
        engine.step(other, b"vote for me")
    with pytest.raises(CocoError):
        engine.apply_conf_change(b"add")
    with pytest.raises(CocoError):
        engine.transfer_leadership(other)
    engine.transfer_leadership(NODE)
    engine.tick()
    assert not engine.has_ready()
    status = engine.status()
    assert (status.role, status.term, status.leader, status.last_index) == (Role.LEADER, 7, NODE, 0)


def test_reads_are_served_at_what_is_committed_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUEUED_COMMANDS_MAX", 2)
    engine = make_engine()
    engine.propose(b"1")
    engine.ready()
    engine.advance()
    engine.read_index(b"who")
    engine.read_index(b"who else")
    with pytest.raises(LimitExceeded):
        engine.read_index(b"one too many")
    assert engine.ready().reads == ((b"who", 1), (b"who else", 1))
    engine.advance()
    assert not engine.has_ready()
    assert engine.snapshot() == b"\1" + (7).to_bytes(8, "little") + (1).to_bytes(8, "little")
