"""The differential fuzzer, briefly and from fixed seeds; its kept cases; and proof that it finds what it should find.

Against stock py-evm always, against EELS where `make oracle` was run. Counts bound the runs, not clocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.ethereum import state_transition
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.compiler import calls, expressions, runtime, symbolic, trace, values
from tests.fuzz import campaign, eels, ours
from tests.fuzz.campaign import Plan, Tally
from tests.fuzz.case import load
from tests.fuzz.compare import Comparer

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
SEED = 1
FOUND_WITHIN = 1_000
"""Executions in which a planted fault has to show."""
NEEDS_EELS = pytest.mark.skipif(
    not eels.is_available(), reason="the oracle environment is not there: run `make oracle`"
)
BOTH = ("cancun", "prague")


@pytest.fixture(scope="module")
def oracle() -> Iterator[eels.Eels]:
    with eels.Eels() as running:
        yield running


def fuzz(comparer: Comparer, executions: int, **others: Any) -> Tally:
    plan = Plan(SEED, BOTH, executions, float("inf"), shrink_seconds=0, **others)
    return campaign.run(plan, comparer, lambda line: None)


def test_short_run_against_py_evm() -> None:
    tally = fuzz(Comparer(None), 200)
    assert [str(difference) for _, difference in tally.found] == []
    # A run in which nothing runs would find nothing, too.
    assert tally.executions - tally.refused > 100
    assert tally.failed > 20


@NEEDS_EELS
def test_short_run_against_eels(oracle: eels.Eels) -> None:
    tally = fuzz(Comparer(oracle, with_stock=False), 300)
    assert [str(difference) for _, difference in tally.found] == []
    assert tally.eels_executions == tally.executions


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_kept_case_against_py_evm(path: Path) -> None:
    case = load(path)
    assert [str(difference) for difference in Comparer(None).compare(case).unexpected(case)] == []


@NEEDS_EELS
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_kept_case_against_eels(path: Path, oracle: eels.Eels) -> None:
    case = load(path)
    assert [str(difference) for difference in Comparer(oracle, with_stock=False).compare(case).found] == []


def _refund_a_quarter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(state_transition, "REFUND_QUOTIENT", 4)


def _cheap_storage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AccountDatabase, "is_storage_warm", lambda database, address, slot: True)


def _accounts_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AccountDatabase, "delete_account", lambda database, address: None)


def _reverts_keep_transient_storage(patch: pytest.MonkeyPatch) -> None:
    def set_transient(database: AccountDatabase, address: bytes, slot: int, value: bytes) -> None:
        database._transient[address, slot] = value

    patch.setattr(AccountDatabase, "set_transient", set_transient)


def _reverts_keep_warm_slots(patch: pytest.MonkeyPatch) -> None:
    def mark(database: AccountDatabase, address: bytes, slot: int) -> None:
        database._warm[address, slot] = True

    patch.setattr(AccountDatabase, "mark_storage_warm", mark)


def _unpaid_tip(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("adapters.ethereum.fees.FeeRules.tip", lambda rules, max_fee, max_priority_fee: 0)


def _compiled_changes_are_cheap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runtime, "SSTORE_RESET_GAS", 2_899)


def _compiled_arithmetic_wraps_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values, "WORD_MAX", 2**257)
    patch.setattr(expressions, "WORD_MAX", 2**257)


def _compiled_calls_share_all_gas(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(calls, "_share", lambda g, asked, extra: (min(asked, g - extra), g - extra - min(asked, g - extra)))


def _compiled_segments_are_free(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trace.Tracer, "charge", lambda tracer, gas: None)


def _memory_is_remembered_too_long(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(symbolic.SymbolicMemory, "forget", lambda memory, start=None, size=None: None)


@pytest.mark.parametrize(
    "plant",
    [
        _compiled_changes_are_cheap,
        _compiled_arithmetic_wraps_late,
        _compiled_calls_share_all_gas,
        _compiled_segments_are_free,
        _memory_is_remembered_too_long,
        _refund_a_quarter,
        _cheap_storage,
        _accounts_stay,
        _reverts_keep_transient_storage,
        _reverts_keep_warm_slots,
        _unpaid_tip,
    ],
    ids=lambda plant: plant.__name__.strip("_"),
)
def test_a_planted_fault_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours._programs.cache_clear()  # Traces compiled before would be right, and those compiled now are wrong.
    plant(monkeypatch)
    tally = fuzz(Comparer(None), FOUND_WITHIN, differences_max=1)
    ((case, _),) = tally.found
    monkeypatch.undo()
    ours._programs.cache_clear()
    assert not Comparer(None).compare(case).found


def test_a_found_case_is_shrunk_written_and_replays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _cheap_storage(monkeypatch)
    plan = Plan(SEED, BOTH, FOUND_WITHIN, float("inf"), out=tmp_path, shrink_seconds=3, differences_max=1)
    campaign.run(plan, Comparer(None), lambda line: None)
    (path,) = tmp_path.glob("*.json")
    small = load(path)
    assert len(small.transactions) == 1
    assert Comparer(None).compare(small).found
    monkeypatch.undo()
    assert not Comparer(None).compare(small).found
