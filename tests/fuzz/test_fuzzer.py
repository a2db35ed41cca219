"""The fuzzer's own parts: cases come back the same, excuses stay narrow, shrinking keeps what fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.case import CHAIN_ID, Account, Case, Tx, dump, load
from tests.fuzz.compare import Comparer, missed_refusal
from tests.fuzz.generate import make_case
from tests.fuzz.results import Result, differences
from tests.fuzz.shrink import shrink
from tests.fuzz.signing import address_of

RICH = {address_of(0): Account(0, 10**20)}
VALID = Tx(2, 0, 100_000, b"\xcc" * 20, fee=10)
REFUSED = [Result(refused="some reason")]


@pytest.mark.parametrize("fork", ["cancun", "prague"])
def test_a_seed_gives_the_same_case_and_a_file_too(fork: str, tmp_path: Path) -> None:
    for number in range(20):
        case, kinds = make_case(5, fork, number)
        assert (case, kinds) == make_case(5, fork, number)
        path = tmp_path / "case.json"
        path.write_text(dump(case))
        assert load(path) == case
    assert make_case(5, fork, 1)[0] != make_case(6, fork, 1)[0]


def test_a_case_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(dump(Case("cancun", RICH, (VALID,))).replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="another version"):
        load(path)


@pytest.mark.parametrize(
    ("change", "excuse"),
    [
        ({"chain_id": CHAIN_ID + 1}, "chain id unchecked"),
        ({"tip": 11}, "tip above the max fee"),
        ({"value": 10**20}, "gas * max fee + value unchecked"),
        ({"type": 4}, "empty authorization list unchecked"),
        ({"data": b"\x01" * 10_000}, "floor of the data's gas unchecked (EIP-7623)"),
        ({}, None),
        ({"tip": 10}, None),
        ({"value": 10**20 - 10 * 100_000}, None),
    ],
)
def test_a_refusal_is_excused_for_its_reason_only(change: dict[str, int], excuse: str | None) -> None:
    case = Case("prague", RICH, (VALID,))
    assert missed_refusal(case, replace(VALID, **change), 10**20, 0, REFUSED) == excuse


def test_a_wrong_refusal_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.ethereum.validation.check_nonce", _refuse)
    (found,) = Comparer(None).compare(Case("cancun", RICH, (VALID,))).found
    assert found.kind == "stock:refused"


def _refuse(next_nonce: int, nonce: int) -> None:
    from adapters.jsonrpc import RpcError

    raise RpcError(-32000, "refused for no reason")


@pytest.mark.parametrize(
    ("theirs", "what"),
    [
        (Result(success=True, gas_used=1), ["gas_used"]),
        (Result(success=False, gas_used=2), ["success"]),
        (Result(success=True, gas_used=2, output=b"1"), ["output"]),
        (Result(success=True, gas_used=2, logs=((b"", (), b""),)), ["logs"]),
        (Result(success=True, gas_used=2, state={b"1": (1, 0, b"", {})}), ["state"]),
        (Result(success=True, gas_used=2, root=bytes(32)), ["state"]),
        (Result(refused="no"), ["refused"]),
        (Result(crash="no"), ["crash"]),
        (Result(success=True, gas_used=2, error="other words", state={}), []),
    ],
)
def test_whatever_differs_is_told(theirs: Result, what: list[str]) -> None:
    ours = Result(success=True, gas_used=2, state={})
    assert [found.what for found in differences("any", 0, ours, theirs)] == what


def test_shrinking_keeps_what_fails() -> None:
    accounts = {**RICH, b"\xcc" * 20: Account(1, 5, b"\x01" * 50 + b"\xfe" + b"\x02" * 50, {1: 1})}
    case = Case("cancun", accounts, (VALID, VALID, replace(VALID, value=3)), number=300)

    def fails(smaller: Case) -> bool:
        codes = [account.code for account in smaller.accounts.values()]
        return any(b"\xfe" in code for code in codes) and any(tx.value for tx in smaller.transactions)

    small = shrink(case, fails, seconds_max=60)
    assert [account.code for account in small.accounts.values()] == [b"\xfe"]
    assert [tx.value for tx in small.transactions] == [3]
