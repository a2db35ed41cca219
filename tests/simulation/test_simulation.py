"""A few seeds of the simulation, and proof that it can fail. `make simulate SEEDS=10000` runs many."""

from __future__ import annotations

import pytest

from core.consensus.raft.engine import RaftEngine
from tests.consensus.test_scenarios import FILES
from tests.consensus.transcript import run_file
from tests.simulation import run
from tests.simulation.checks import Violation
from tests.simulation.mutations import MUTATIONS, CommitsEarlierTerms, ForgetsItsVote
from tests.simulation.simulate import Outcome, simulate

SEEDS = 40
FOUND_BY = {
    "ForgetsItsVote": 0,
    "CommitsEarlierTerms": 0,
    "OneQuorumWhileJoint": 0,
    "VotesForAnyLog": 9,
    "AcknowledgesBeforeTheDisk": 0,
    "ReadsWithoutAQuorum": 27,
    "ReadsBeforeItsFirstCommit": 19,
    "SeveralChangesAtOnce": 0,
    "CountsReplacedWrites": 22,
    "LeavesAtOnce": 6,
    "TellsRemovedNodesAll": 0,
    "StaysJoint": 0,
    "ForgetsLostAppends": 0,
    "StandsWithAChangeUnapplied": 171,
}
"""For each mutation, a seed that finds it. A change of the engine or of the simulation may ask for other ones."""


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_seeds(first: int) -> None:
    for seed in range(first, first + 10):
        simulate(seed)


def test_a_seed_replays() -> None:
    traces: list[list[str]] = [[], []]
    outcomes = [simulate(5, trace=trace.append) for trace in traces]
    assert outcomes[0] == outcomes[1]
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100


@pytest.mark.parametrize("engine_class", MUTATIONS, ids=lambda one: one.__name__)
def test_known_bugs_are_found(engine_class: type[RaftEngine]) -> None:
    seed = FOUND_BY[engine_class.__name__]
    with pytest.raises(Violation, match=f"seed {seed}, time "):
        simulate(seed, engine_class)
    simulate(seed)


def test_a_vote_that_is_forgotten_makes_two_leaders() -> None:
    [path] = [path for path in FILES if path.stem == "vote_kept_after_lost_prevote"]
    for engine_class, leaders in ((RaftEngine, 1), (ForgetsItsVote, 2)):
        [*_, (block, printed)] = run_file(path, engine_class)
        assert block.command == "status"
        assert sum("leader term 2" in line for line in printed) == leaders


def test_an_earlier_term_committed_by_counting_shows_in_figure_8() -> None:
    [path] = [path for path in FILES if path.stem == "figure_8"]
    for engine_class, commit in ((RaftEngine, 0), (CommitsEarlierTerms, 2)):
        first = next(printed for block, printed in run_file(path, engine_class) if block.command == "status")
        assert f"commit {commit} " in first[0]


def test_the_runner_counts_failures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fake(seed: int) -> Outcome:
        if seed == 3:
            raise Violation("seed 3, time 7: broken")
        return Outcome({"elections": 1}, seed)

    monkeypatch.setattr(run, "simulate", fake)
    assert [run.run_seed(seed) for seed in (2, 3)] == [(2, Outcome({"elections": 1}, 2)), (3, "seed 3, time 7: broken")]


def test_the_runner_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.run_seeds(0, 4, 1) == 0
    assert "Seeds 0 to 3: 0 failed" in capsys.readouterr().out
