"""Calls of bytecode, compiled and interpreted, with all that each leaves; and an assembler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth.vm.forks.cancun.computation import CancunComputation

from adapters.deadline import Deadline
from adapters.ethereum.call_state import CallDatabase, CallSight
from adapters.ethereum.compiler.computation import interpret
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.evm import make_state
from adapters.ethereum.settings import AllocatedAccount, Evm
from adapters.ethereum.state_transition import Invocation, apply
from adapters.ethereum.vm import BlockEnvironment
from tests.adapters.ethereum.evm_support import ALICE, Chain, settings_with

CONTRACT = b"\xcc" * 20
OTHER = b"\xdd" * 20
ENVIRONMENT = BlockEnvironment(9, 1_700_000_100, b"\xc0" * 20, 60_000_000, 7, b"\x05" * 32, lambda number: bytes(32))
SECONDS_MAX = 600
"""No call is stopped for its time."""

_OPCODES = {
    getattr(getattr(one, "__wrapped__", one), "mnemonic", ""): code for code, one in CancunComputation.opcodes.items()
}


def assemble(text: str) -> bytes:
    """Return the bytecode of mnemonics, numbers (pushed), `name:` (a JUMPDEST), `@name` (its place), and `.hex`."""
    made, places, uses = bytearray(), dict[str, int](), list[tuple[int, str]]()
    for word in re.sub(r"#.*", "", text).split():
        if word.startswith("."):
            made += bytes.fromhex(word[1:])
        elif word.startswith("@"):
            uses.append((len(made) + 1, word[1:]))
            made += b"\x61\x00\x00"
        elif word.endswith(":"):
            places[word[:-1]] = len(made)
            made.append(_OPCODES["JUMPDEST"])
        elif word[0].isdigit():
            number = int(word, 0)
            size = (number.bit_length() + 7) // 8
            made += bytes([_OPCODES["PUSH0"] + size]) + number.to_bytes(size, "big")
        else:
            made.append(_OPCODES[word])
    for at, name in uses:
        made[at : at + 2] = places[name].to_bytes(2, "big")
    return bytes(made)


@dataclass(frozen=True)
class Ran:
    """All that a call leaves. error: its class, which decides what a client is told."""

    gas_used: int
    error: str
    output: bytes
    logs: tuple[Any, ...]
    storage: dict[Any, int]
    touched: tuple[Any, ...]
    accounts: dict[bytes, Any]


def network_with(code: bytes, evm: Evm, fork: str, others: Mapping[bytes, AllocatedAccount] | None = None) -> Chain:
    """Return a network with code at CONTRACT, which has money and a slot, and code that returns a word at OTHER."""
    alloc = {
        CONTRACT: AllocatedAccount(nonce=1, balance=1000, code=code, storage={1: 7}),
        OTHER: AllocatedAccount(nonce=1, code=bytes.fromhex("60016000f3")),
        **(others or {}),
    }
    return Chain(settings_with(alloc=alloc, fork=fork, evm=evm))


def one_run(
    network: Chain, gas: int, data: bytes, programs: ProgramCache, *, value: int = 0, deadline: Deadline | None = None
) -> Ran:
    """Call CONTRACT on the state as it is; nothing is kept."""
    database = CallDatabase(CallSight(lambda address: True, lambda address: True))
    database.begin(network.read())
    state = make_state(database, network.settings, ENVIRONMENT, deadline or Deadline(SECONDS_MAX), programs)
    call = Invocation(ALICE, CONTRACT, value, data, gas + 21_000, 0, 0, 21_000)
    outcome = apply(state, database, call, network.settings)
    return Ran(
        outcome.gas_used,
        "" if outcome.error is None else type(outcome.error).__name__,
        outcome.output,
        outcome.logs,
        {key: value for key, value in database._storage.items() if value != database.get_storage(*key, False)},
        tuple(database.touched),
        dict(database._accounts),
    )


def ran(
    code: bytes,
    evm: Evm,
    *,
    gas: int = 200_000,
    data: bytes = b"",
    fork: str = "prague",
    threshold: int = 0,
    runs: int = 1,
    others: Mapping[bytes, AllocatedAccount] | None = None,
) -> list[Ran]:
    """Run code several times on the same state, each time from the beginning."""
    network = network_with(code, evm, fork, others)
    return [one_run(network, gas, data, ProgramCache(interpret, threshold)) for _ in range(runs)]


def assert_equal(code: bytes, **options: Any) -> Ran:
    """Run code both ways; return what it leaves."""
    (compiled,) = ran(code, "compiled", **options)
    (interpreted,) = ran(code, "interpreted", **options)
    assert compiled == interpreted
    return compiled


class Both:
    """A code in two networks, to be called with different gas and data: in one it stays compiled, one interprets it."""

    def __init__(
        self, code: bytes, *, fork: str = "prague", others: Mapping[bytes, AllocatedAccount] | None = None
    ) -> None:
        self._compiled = network_with(code, "compiled", fork, others)
        self._interpreted = network_with(code, "interpreted", fork, others)
        self._programs = ProgramCache(interpret, threshold=0)

    def call(self, gas: int = 200_000, data: bytes = b"", value: int = 0) -> Ran:
        compiled = one_run(self._compiled, gas, data, self._programs, value=value)
        assert compiled == one_run(self._interpreted, gas, data, self._programs, value=value), f"with {gas} gas"
        return compiled
