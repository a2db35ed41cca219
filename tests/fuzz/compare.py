"""Runs a case through the implementations and says where they differ.

EELS is the measure: where it was asked, what it and the adapter agree on is right, and py-evm is outvoted. Without it
py-evm's known faults are excused one by one (`missed_refusal`, `known_fault`), each on a condition as narrow as the
fault; whatever else differs is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapters.ethereum.gas import floor_gas
from tests.fuzz.case import CHAIN_ID, Case, Tx
from tests.fuzz.eels import Eels
from tests.fuzz.ours import Ours, Way
from tests.fuzz.results import Difference, Result, differences
from tests.fuzz.signing import address_of
from tests.fuzz.stock import Stock

_OTHER_WAYS: tuple[Way, ...] = ("interpreted", "warming")


@dataclass(frozen=True, slots=True)
class Comparison:
    """ours: the adapter's results. excused: py-evm's known faults as they showed.

    outvoted: what py-evm alone says otherwise, where EELS agrees with the adapter on the whole case.
    """

    ours: list[Result]
    found: tuple[Difference, ...]
    excused: tuple[str, ...] = ()
    outvoted: tuple[Difference, ...] = ()
    asked_eels: bool = False

    def unexpected(self, case: Case) -> list[Difference]:
        """Return the differences that the case does not record as an oracle's fault."""
        return [difference for difference in self.found if difference.kind not in case.allowed]


class Comparer:
    """eels None: without the oracle environment."""

    def __init__(self, eels: Eels | None, *, with_stock: bool = True) -> None:
        self.eels = eels
        self.with_stock = with_stock

    def compare(self, case: Case, *, ask_eels: bool | Callable[[list[Result]], bool] = True) -> Comparison:
        """Run a case; ask_eels may decide from the adapter's results."""
        ours, results = _run(case, "compiled")
        asked = self.eels if (ask_eels if isinstance(ask_eels, bool) else ask_eels(results)) else None
        if asked is not None:
            asked.send(case, ours.raws)
        by_ours = compare_ways(case, results)
        by_stock, excused = compare_stock(case, ours.raws, results) if self.with_stock else ([], [])
        if by_stock and asked is None and self.eels is not None:
            asked = self.eels
            asked.send(case, ours.raws)
        if asked is None:
            return Comparison(results, (*by_ours, *by_stock), tuple(excused))
        by_eels = _compare_all(case, "eels", results, asked.receive())
        found, outvoted = ((*by_stock, *by_eels), ()) if by_eels else ((), tuple(by_stock))
        return Comparison(results, (*by_ours, *found), tuple(excused), outvoted, asked_eels=True)


def _run(case: Case, way: Way) -> tuple[Ours, list[Result]]:
    ours = Ours(case, way)
    try:
        return ours, ours.run()
    finally:
        ours.close()


def compare_ways(case: Case, compiled: list[Result]) -> list[Difference]:
    """Compare compiled bytecode with the same interpreted, and half of each; the kind of an error counts, too."""
    found = []
    for way in _OTHER_WAYS:
        for place, (mine, other) in enumerate(zip(compiled, _run(case, way)[1], strict=True)):
            differing = differences(way, place, mine, other)
            ends = [side.error.split(":")[0] for side in (mine, other)]
            if not differing and ends[0] != ends[1]:
                differing = [
                    Difference(way, "error", place, f"ours {mine.error}, theirs {other.error}", "/".join(ends))
                ]
            found += differing
            if differing:
                break
    return found


def _compare_all(case: Case, oracle: str, ours: list[Result], theirs: list[Result]) -> list[Difference]:
    """Compare up to the first transaction that differs: after it the states do."""
    for place, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
        if case.transactions[place].chain_id != CHAIN_ID and mine.refused:
            # EELS recovers the sender of a typed transaction with the transaction's own chain id.
            return []
        if other.crash and other.crash.startswith("OverflowError"):
            # EELS computes MODEXP's price for a length near 2**256 with a shift that no memory holds.
            return []
        found = differences(oracle, place, mine, other)
        if found:
            return found
    return []


def compare_stock(case: Case, raws: list[bytes], ours: list[Result]) -> tuple[list[Difference], list[str]]:
    """Compare with py-evm; a refusal that py-evm misses is taken back, any other known fault ends the comparison."""
    stock, excuses = Stock(case), list[str]()
    balances = {address: account.balance for address, account in case.accounts.items()}
    for place, (raw, mine) in enumerate(zip(raws, ours, strict=True)):
        tx = case.transactions[place]
        mark = None if mine.refused is None else stock.mark()
        theirs = stock.apply(raw, mark)
        if mark is not None and theirs.refused is None and theirs.crash is None:
            excuse = missed_refusal(case, tx, balances.get(address_of(tx.key), 0), place, ours)
            if excuse:
                stock.back(mark)
                excuses.append(excuse)
                continue
        found = differences("stock", place, mine, theirs)
        if found:
            excuse = known_fault(case, tx, found, mine, theirs)
            if excuse:
                return [], [*excuses, excuse]
            return found, excuses
        if mine.state is not None:
            balances = {address: account[1] for address, account in mine.state.items()}
    return [], excuses


def missed_refusal(case: Case, tx: Tx, balance: int, place: int, ours: list[Result]) -> str | None:
    """Name the check that py-evm leaves to others, if this transaction fails it."""
    if tx.chain_id != CHAIN_ID:
        return "chain id unchecked"
    if tx.type in (2, 4) and tx.tip > tx.fee:
        return "tip above the max fee"
    if not case.free and balance < tx.gas * tx.fee + tx.value:
        return "gas * max fee + value unchecked"
    if (ours[place].refused or "").startswith("sender not an eoa"):
        return "EIP-3607 unchecked"
    if case.fork == "prague" and tx.gas < floor_gas(tx.data):
        return "floor of the data's gas unchecked (EIP-7623)"
    if tx.type == 4 and not tx.authorizations:
        return "empty authorization list unchecked"
    if tx.type == 4 and tx.to is None:
        return "creation by a set-code transaction unchecked"
    return None


def known_fault(case: Case, tx: Tx, found: list[Difference], mine: Result, theirs: Result) -> str | None:
    """Name py-evm's known fault behind a difference, None when it may be ours."""
    if any(account.storage and not account.code and not account.nonce for account in case.accounts.values()):
        return "EIP-7610: storage is no obstacle to py-evm"
    if theirs.crash and theirs.crash.startswith("RecursionError"):
        return "jump analysis by recursion"
    if mine.error.startswith("OutOfGas: initcode of more than") and theirs.success:
        return "EIP-3860: the bound on initcode after the balance"
    only_gas = [difference.what for difference in found] == ["gas_used"]
    if only_gas and case.fork == "prague" and mine.gas_used == floor_gas(tx.data):
        # Its receipt takes the refund's bound from the gas with the floor; what it charges (the state) is right.
        return "EIP-7623: gas used in the receipt"
    return None
