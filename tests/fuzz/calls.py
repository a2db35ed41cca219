"""Statements that call: others, oneself, the precompiled contracts; and what they read of the answer."""

from __future__ import annotations

from tests.fuzz import constants as c
from tests.fuzz.precompile_inputs import precompile_input
from tests.fuzz.program import Program


def return_data(p: Program) -> None:
    if p.random.random() < 0.75:
        p.op("RETURNDATASIZE")
    else:
        p.push(p.length())
    p.push(0 if p.random.random() < 0.85 else p.random.choice((1, 32, 2**256 - 1)))
    p.push(p.random.choice(c.OFFSETS))
    p.op("RETURNDATACOPY")


def gas_for_call(p: Program) -> None:
    kind = p.random.random()
    if kind < 0.45:
        p.op("GAS")
    elif kind < 0.85:
        p.push(p.random.choice((0, 1, 100, 700, 2300, 2301, 3000, 5000, 10_000, 30_000, 60_000)))
    elif kind < 0.95:
        p.push(p.random.choice((1, 2, 3, 64)))
        p.op("GAS", "DIV")
    else:
        p.push(p.number())


def call(p: Program) -> None:
    name = p.random.choice(("CALL", "CALL", "CALL", "DELEGATECALL", "STATICCALL", "CALLCODE"))
    p.kinds.add(name)
    p.push(p.length())
    p.push(p.offset())
    p.push(p.length())
    p.push(p.offset())
    if name in ("CALL", "CALLCODE"):
        p.push(p.random.choice((0, 0, 0, 1, 1, 1000, 10**18, 2**256 - 1)))
    p.push_address()
    gas_for_call(p)
    p.op(name)
    p.sink()
    if p.random.random() < 0.4:
        return_data(p)


def recursion(p: Program) -> None:
    """Call oneself with all the gas there is, or a part of it."""
    for _ in range(4):
        p.push(0)
    name = p.random.choice(("CALL", "DELEGATECALL", "STATICCALL", "CALLCODE"))
    if name in ("CALL", "CALLCODE"):
        p.push(0)
    p.op("ADDRESS")
    p.push(p.random.choice((0, 100, 3000)))
    p.op("GAS", "SUB", name)
    p.sink()


def precompile(p: Program) -> None:
    slow = 0.06
    numbers = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 16, 17]
    if p.random.random() < slow:
        numbers = [8, 12, 14, 15]
    number = p.random.choice(numbers)
    p.kinds.add(f"precompile {number}")
    data = precompile_input(p.random, number)
    at = p.random.choice((0, 32, 100))
    p.memory_blob(data, at)
    size = len(data) if p.random.random() < 0.9 else p.length()
    p.push(p.random.choice((0, 32, 64, 128, 256)))
    p.push(p.random.choice((0, 1, 64, 512)))
    p.push(size)
    p.push(at)
    name = p.random.choice(("CALL", "STATICCALL", "STATICCALL", "DELEGATECALL", "CALLCODE"))
    if name in ("CALL", "CALLCODE"):
        p.push(p.random.choice((0, 0, 0, 1)))
    p.push(number)
    if p.random.random() < 0.2 or number == 9:
        p.push(p.random.choice((0, 15, 60, 150, 3000, 6000, 50_000)))
    else:
        p.op("GAS")
    p.op(name)
    p.sink()
    if p.random.random() < 0.7:
        p.op("RETURNDATASIZE")
        p.push(0)
        p.push(p.random.choice((0, 256)))
        p.op("RETURNDATACOPY")
