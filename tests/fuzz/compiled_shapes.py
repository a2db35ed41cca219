"""Statements that a compiler may get wrong and an interpreter cannot: some of it is known before the program runs.

Each leaves the stack as it was, as those of statements.py do.
"""

from __future__ import annotations

from tests.fuzz import constants as c
from tests.fuzz.program import Program

FREE_POINTER = 0x40
_WRITES = (
    *("MSTORE", "MSTORE8", "MCOPY", "CALLDATACOPY", "CODECOPY", "EXTCODECOPY", "RETURNDATACOPY"),
    "STATICCALL",
)


def memory_that_changes(p: Program) -> None:
    """Store a word, change some of it in one of many ways, and load it again."""
    start = p.random.choice((0, 1, 31, 32, 64, 65, 96))
    p.value(1)
    p.push(start)
    p.op("MSTORE")
    for _ in range(p.random.randint(1, 2)):
        _overlap(p, max(0, start + p.random.choice((-64, -33, -32, -31, -1, 0, 1, 31, 32, 33))))
    p.push(start)
    p.op("MLOAD")
    p.sink()


def _overlap(p: Program, place: int) -> None:
    """Write near a place, which is a constant half of the time."""
    kind = p.random.choice(_WRITES)
    size = p.random.choice((0, 1, 31, 32, 33, 64))
    if kind in ("MSTORE", "MSTORE8"):
        p.value(1)
        p.number_value(place)
        p.op(kind)
    elif kind == "RETURNDATACOPY":
        p.push(0)
        p.push(0)
        p.number_value(place)
        p.op(kind)
    elif kind == "STATICCALL":
        # The identity, whose output lands at the place.
        p.number_value(size)
        p.number_value(place)
        p.push(40)
        p.push(p.random.choice((0, 64, 100)))
        p.push(4)
        p.op("GAS", kind)
        p.sink()
    else:
        p.number_value(size)
        p.push(p.offset() if kind != "MCOPY" else p.random.choice((0, 32, 64, 100)))
        p.number_value(place)
        if kind == "EXTCODECOPY":
            p.push_address()
        p.op(kind)


def free_memory(p: Program) -> None:
    """Take memory as Solidity does, by a pointer in memory."""
    if p.random.random() < 0.7:
        p.number_value(p.random.choice((0x80, 0x80, 0xA0, 0x44, 0x60)))
        p.push(FREE_POINTER)
        p.op("MSTORE")
    for _ in range(p.random.randint(1, 3)):
        p.push(FREE_POINTER)
        p.op("MLOAD")
        p.push(0xFFFF)
        p.op("AND", "DUP1")
        p.push(p.random.choice((32, 64)))
        p.op("ADD")
        p.push(FREE_POINTER)
        p.op("MSTORE")
        p.value(1)
        p.op("SWAP1", "MSTORE")


def internal_function(p: Program) -> None:
    """Call a function within the code, once or twice, with its return address on the stack."""
    function, after = p.label(), p.label()
    p.push_label(after)
    p.op("JUMP")
    p.mark(function)
    # Return address and argument are on the stack.
    p.value(2)
    p.op(p.random.choice(c.BINARY))
    if p.random.random() < 0.3:
        p.op("DUP1")
        p.push(0)
        p.op("SSTORE")
    p.op("SWAP1", "JUMP")
    p.mark(after)
    for _ in range(p.random.randint(1, 3)):
        back = p.label()
        p.push_label(back)
        p.value(1)
        p.push_label(function)
        p.op("JUMP")
        p.mark(back)
        p.sink()


def counted_loop(p: Program) -> None:
    """Add something to a sum some times over; both are on the stack."""
    start = p.label()
    p.value(1)
    p.number_value(p.random.choice((1, 2, 3, 5, 20)))
    p.mark(start)
    # Sum and counter.
    p.op("SWAP1")
    p.value(1)
    p.op(p.random.choice(c.BINARY), "SWAP1")
    if p.random.random() < 0.3:
        p.op("DUP2")
        p.push(32 * p.random.randrange(8))
        p.op("MSTORE")
    p.push(1)
    p.op("SWAP1", "SUB", "DUP1")
    p.push_label(start)
    p.op("JUMPI", "POP")
    p.sink()


def deep_swaps(p: Program) -> None:
    """Put values on the stack, turn them about, and look at each, across a branch."""
    count = p.random.randint(2, 10)
    for _ in range(count):
        p.value(2)
    for _ in range(p.random.randint(1, 6)):
        p.op(f"SWAP{p.random.randint(1, count - 1)}")
        if p.random.random() < 0.4:
            place = p.label()
            p.value(2)
            p.push_label(place)
            p.op("JUMPI")
            p.op(f"SWAP{p.random.randint(1, count - 1)}")
            p.mark(place)
    for _ in range(count):
        p.sink()


def same_again(p: Program) -> None:
    """Compute a mapping's slot from the same data twice over, perhaps with its words changed in between."""
    data, start, number = p.random.choice((0, 4, 31)), p.random.choice((0, 0, 32, 100)), p.random.randrange(3)
    operation = p.random.choice(c.BINARY)
    for _ in range(2):
        p.push(data)
        p.op("CALLDATALOAD")
        p.push(2**160 - 1)
        p.op(*p.random.choice((("AND",), ("SWAP1", "AND"))))
        p.op("DUP1", operation)
        p.push(start)
        p.op("MSTORE")
        p.push(number)
        p.push(start + 32)
        p.op("MSTORE")
        if p.random.random() < 0.4:
            _overlap(p, max(0, start + p.random.choice((-32, -1, 0, 31, 32, 63, 64))))
        p.push(p.random.choice((64, 64, 64, 32, 96, 63)))
        p.push(start)
        p.op("KECCAK256")
        if p.random.random() < 0.6:
            load, store = p.random.choice((("SLOAD", "SSTORE"), ("TLOAD", "TSTORE")))
            p.op("DUP1", load)
            p.push(1)
            p.op("ADD", "SWAP1", store)
        else:
            p.sink()


SHAPES = (memory_that_changes, free_memory, internal_function, counted_loop, deep_swaps, same_again)
